"""Charts as SVG: lines, stacked bars, points. Their colours and dashes are in page.css, light and dark.

A chart is drawn for a width of 440 and takes the width that it gets; every one has a text alternative. Series differ in
dash or shape as well as in colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from refbss.reports.markup import Markup, join, tag
from refbss.reports.scales import Scale

WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 40
"""Room around the plot: numbers of the y axis, half a number, name of the y axis, numbers and name of the x axis."""
SLACK = 4
"""How far a dot at the end of an axis may reach over it."""
STYLES = 6
"""Styles of series in page.css."""


class Series(NamedTuple):
    """Points that belong together; NaN breaks a line. ``band`` is filled between its two lists of y."""

    name: str
    style: int
    x: Sequence[float]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None
    dots: bool = False
    """Whether a line has a dot at each point."""


class Mark(NamedTuple):
    """A value on the x axis ("x") or the y axis ("y") that is pointed out, with a span around it or none."""

    axis: str
    value: float
    text: str
    span: tuple[float, float] | None = None


class Axes(NamedTuple):
    """The two scales and what is said beside them."""

    x: Scale
    y: Scale
    x_name: str
    y_name: str

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The point of the picture where (x, y) lies."""
        return (
            LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM),
        )


def short(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def picture(axes: Axes, described: str, *content: object, marks: Iterable[Mark] = ()) -> Markup:
    """Axes, grid and marks around ``content``; ``described`` is what is read out instead."""
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    back: list[Markup] = []
    for value, text in axes.y.ticks:
        y = axes.at(axes.x.low, value)[1]
        back.append(tag("path", class_="grid", d=f"M{left} {short(y)}H{right}"))
        back.append(tag("text", text, x=left - 6, y=short(y + 4), text_anchor="end"))
    for value, text in axes.x.ticks:
        x = axes.at(value, axes.y.low)[0]
        back.append(tag("path", class_="axis", d=f"M{short(x)} {bottom}v4"))
        back.append(tag("text", text, x=short(x), y=bottom + 17, text_anchor="middle"))
    names = [
        tag("text", axes.x_name, class_="name", x=(left + right) / 2, y=HEIGHT - 5, text_anchor="middle"),
        tag("text", axes.y_name, class_="name", x=2, y=12),
        tag("path", class_="axis", d=f"M{left} {top}V{bottom}H{right}"),
    ]
    around = {
        "x": left - SLACK,
        "y": top - SLACK,
        "width": right - left + 2 * SLACK,
        "height": bottom - top + 2 * SLACK,
    }
    window = tag("svg", content, viewBox=" ".join(map(str, around.values())), **around)  # cuts off what lies beyond
    return tag(
        "svg",
        back,
        [_span(axes, mark) for mark in marks],
        window,
        [_mark(axes, mark) for mark in marks],
        names,
        class_="chart",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=described,
    )


def _span(axes: Axes, mark: Mark) -> Markup | None:
    if mark.span is None or not all(map(math.isfinite, mark.span)):
        return None
    low, high = mark.span
    (x0, y0), (x1, y1) = (
        ((axes.at(v, axes.y.low)[0], TOP) if mark.axis == "x" else (LEFT, axes.at(axes.x.low, v)[1]))
        for v in (low, high)
    )
    if mark.axis == "x":
        y0, y1 = HEIGHT - BOTTOM, TOP
    else:
        x0, x1 = LEFT, WIDTH - RIGHT
    return tag("rect", class_="span", x=short(x0), y=short(y1), width=short(max(x1 - x0, 1)), height=short(y0 - y1))


def _mark(axes: Axes, mark: Mark) -> Markup | None:
    if not math.isfinite(mark.value):
        return None
    if mark.axis == "y":
        y = axes.at(axes.x.low, mark.value)[1]
        text = tag("text", mark.text, class_="mark", x=WIDTH - RIGHT - 4, y=short(y - 5), text_anchor="end")
        return join(tag("path", class_="mark", d=f"M{LEFT} {short(y)}H{WIDTH - RIGHT}"), text)
    x = axes.at(mark.value, axes.y.low)[0]
    end = x > WIDTH - 110  # there is no room to the right of it
    place = {"x": short(x - 5 if end else x + 5), "y": TOP + 10, "text_anchor": "end" if end else "start"}
    line = tag("path", class_="mark", d=f"M{short(x)} {TOP}V{HEIGHT - BOTTOM}")
    return join(line, tag("text", mark.text, class_="mark", **place))


def lines(axes: Axes, series: Iterable[Series], described: str, marks: Iterable[Mark] = ()) -> Markup:
    """A line for each series, over its band."""
    bands, drawn = [], []
    for one in series:
        style = f"s{one.style % STYLES}"
        points = [axes.at(x, y) if math.isfinite(y) else None for x, y in zip(one.x, one.y, strict=True)]
        if one.band is not None:
            bands.append(tag("path", class_=f"band {style}", d=_band(axes, one)))
        drawn.append(tag("path", class_=f"line {style}", d=_polyline(points)))
        alone = [here for before, here, after in _neighbours(points) if here and not before and not after]
        dots = [point for point in points if point] if one.dots else alone
        if dots:
            drawn.append(tag("path", class_=f"dots {style}", d="".join(map(_dot, dots))))
    return picture(axes, described, bands, drawn, marks=marks)


def _neighbours(points: list[tuple[float, float] | None]) -> Iterable[tuple[tuple[float, float] | None, ...]]:
    return zip([None, *points[:-1]], points, [*points[1:], None], strict=True)


def _polyline(points: Iterable[tuple[float, float] | None]) -> str:
    path, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        path.append(f"{pen}{short(point[0])} {short(point[1])}")
        pen = "L"
    return "".join(path)


def _band(axes: Axes, series: Series) -> str:
    """The outline of a band, in as many pieces as NaN leaves."""
    assert series.band is not None
    path: list[str] = []
    above: list[tuple[float, float]] = []
    below: list[tuple[float, float]] = []
    for x, low, high in [*zip(series.x, *series.band, strict=True), (math.nan, math.nan, math.nan)]:
        if math.isfinite(low) and math.isfinite(high):
            above.append(axes.at(x, high))
            below.append(axes.at(x, low))
        elif above:
            path.append(_polyline(above + below[::-1]) + "Z")
            above, below = [], []
    return "".join(path)


def _dot(point: tuple[float, float]) -> str:
    """A line of no length: its round or square ends are the dot."""
    return f"M{short(point[0])} {short(point[1])}h.01"


def bars(
    axes: Axes, edges: Sequence[float], counts: Sequence[Sequence[int]], described: str, marks: Iterable[Mark] = ()
) -> Markup:
    """Bars between edges (n + 1), those of each series of counts (n) upon those of the one before."""
    drawn, floor = [], [0] * (len(edges) - 1)
    for style, heights in enumerate(counts):
        for i, height in enumerate(heights):
            if height:
                x0, y0 = axes.at(edges[i], floor[i])
                x1, y1 = axes.at(edges[i + 1], floor[i] + height)
                size = {"width": short(max(x1 - x0 - 1.5, 0.5)), "height": short(max(y0 - y1 - 0.5, 0.5))}
                drawn.append(tag("rect", class_=f"bar s{style % STYLES}", x=short(x0 + 0.75), y=short(y1), **size))
                floor[i] += height
    return picture(axes, described, drawn, marks=marks)


def points(
    axes: Axes, series: Iterable[Series], described: str, *, diagonal: bool = False, marks: Iterable[Mark] = ()
) -> Markup:
    """A dot for each point, round or square by its style; with ``diagonal`` the line where y is x."""
    drawn = []
    if diagonal:
        low, high = max(axes.x.low, axes.y.low), min(axes.x.high, axes.y.high)
        if low < high:
            drawn.append(tag("path", class_="mark", d=_polyline([axes.at(low, low), axes.at(high, high)])))
    for one in series:
        dots = "".join(_dot(axes.at(x, y)) for x, y in zip(one.x, one.y, strict=True))
        if dots:
            drawn.append(tag("path", class_=f"points s{one.style % STYLES}", d=dots))
    return picture(axes, described, drawn, marks=marks)


def legend(entries: Iterable[tuple[str, int, str]]) -> Markup:
    """What the styles stand for: (name, style, kind) with the kinds line, bar and points."""
    drawn = []
    for text, style, kind in entries:
        look = f"{kind} s{style % STYLES}"
        if kind == "bar":
            swatch = tag("rect", class_=look, x=7, y=2, width=12, height=10)
        else:
            swatch = tag("path", class_=look, d="M2 7H26" if kind == "line" else "M14 7h.01")
        drawn.append(tag("li", tag("svg", swatch, viewBox="0 0 28 14", aria_hidden="true"), text))
    return tag("ul", drawn, class_="legend")
