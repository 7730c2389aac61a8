"""Curves over the steps of one run or of two: means of neighbouring steps, and where most of them lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from refbss._types import Array
from refbss.reports import charts
from refbss.reports.charts import Axes, Mark, Series
from refbss.reports.markup import Markup, tag
from refbss.reports.page import Column, figure, numbers_of, table
from refbss.reports.scales import Scale, linear, logarithmic

MOST_PARTS = 250
"""A curve of more steps shows the means of neighbouring ones."""
LOW, HIGH = 0.1, 0.9
"""Between these quantiles of its steps the band of a part lies."""
LATE, WIDER = 0.1, 3.0
"""An axis for all steps that is so many times wider than the steps after this share of them need is theirs alone."""
MOST_DOTS = 60
"""A curve of more values has no dots."""
ROWS = 12
"""Rows of a curve's numbers."""


class Curve(NamedTuple):
    """Values (n,) at steps (n,), with NaN where there is none; what it is called in legends; its style."""

    name: str
    style: int
    steps: Array
    values: Array


class Parts(NamedTuple):
    """A curve in parts of ``width`` steps: the middle of each, mean, and the quantiles LOW and HIGH."""

    width: int
    x: Array
    mean: Array
    low: Array
    high: Array


def in_parts(curve: Curve, width: int) -> Parts:
    """Parts of so many steps, from step 1 on; NaN where a part has no finite value."""
    known = np.isfinite(curve.values)
    groups: dict[int, list[float]] = {}
    for place, value, good in zip((curve.steps - 1) // width, curve.values, known, strict=True):
        groups.setdefault(int(place), []).extend([float(value)] if good else [])
    places = sorted(groups)
    statistics: list[Callable[[Array], float]] = [
        lambda x: float(x.mean()),
        lambda x: float(np.quantile(x, LOW)),
        lambda x: float(np.quantile(x, HIGH)),
    ]
    rows = [[one(np.array(groups[p])) if groups[p] else math.nan for p in places] for one in statistics]
    middle = np.array([p * width + (width + 1) / 2 for p in places])
    return Parts(width, middle, *map(np.array, rows))


def width_for(curves: Iterable[Curve]) -> int:
    """Steps of a part, for curves in one picture: a round number, 1 for short runs."""
    most = max(int(curve.steps[-1]) for curve in curves)
    rough = most / MOST_PARTS
    if rough <= 1:
        return 1
    power = 10 ** math.floor(math.log10(rough))
    return int(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough))


def picture(
    title: str,
    unit: str,
    curves: Sequence[Curve],
    *,
    note: str = "",
    log: bool = False,
    sparse: bool = False,
    marks: Sequence[Mark] = (),
    scale: Scale | None = None,
) -> Markup | None:
    """A figure of the curves that have values; None where none has.

    ``sparse`` curves have a value at some steps alone, each of which is a dot; others become means of neighbouring
    steps. ``scale`` is that of the y axis where pictures are to be compared.
    """
    curves = [curve for curve in curves if np.isfinite(curve.values).any()]
    if not curves:
        return None
    width = 1 if sparse else width_for(curves)
    series = [_few(curve) if sparse else _means(curve, width) for curve in curves]
    end = max(float(curve.steps[-1]) for curve in curves)
    said = [f"Means of {width} steps; in the band lie 80 percent of them."] if width > 1 else []
    if scale is None:
        fixed = [mark.value for mark in marks if mark.axis == "y"]
        scale = logarithmic([*_extent(series), *fixed]) if log else linear([*_extent(series), *fixed])
        late = _extent(series, after=LATE * end)
        if not log and late and scale.high - scale.low > WIDER * (max(late) - min(late)) > 0:
            scale = linear([*late, *fixed])
            ends = min(_extent(series)), max(_extent(series))
            reach = " and ".join(f"{value:.3g}" for value in ends if not scale.low <= value <= scale.high)
            said.append(f"The axis fits the steps from {int(LATE * end):,} on; before, values reach {reach}.")
    axes = Axes(linear((0, end), widen=False), scale, "step", unit + (", logarithmic" if scale.log else ""))
    drawn = charts.lines(axes, series, _described(title, unit, series), marks)
    names = len(curves) > 1 or curves[0].name
    legend = charts.legend((curve.name, curve.style, "line") for curve in curves) if names else None
    return figure(
        title, " ".join([*said, note]).strip(), drawn, numbers_of(title, _numbers(title, curves, sparse)), legend
    )


def _few(curve: Curve) -> Series:
    """The values that there are; of very many every second, third, .. and the last."""
    kept = np.flatnonzero(np.isfinite(curve.values))
    kept = np.unique([*kept[:: -(-len(kept) // MOST_PARTS)], kept[-1]])
    return Series(
        curve.name, curve.style, curve.steps[kept].tolist(), curve.values[kept].tolist(), dots=len(kept) <= MOST_DOTS
    )


def _means(curve: Curve, width: int) -> Series:
    parts = in_parts(curve, width)
    band = (parts.low.tolist(), parts.high.tolist()) if width > 1 else None
    return Series(curve.name, curve.style, parts.x.tolist(), parts.mean.tolist(), band)


def _extent(series: Iterable[Series], *, after: float = 0.0) -> list[float]:
    """The finite values after a step, and those of the bands."""
    found: list[float] = []
    for one in series:
        rows = [one.y, *(one.band or ())]
        found += [y for row in rows for x, y in zip(one.x, row, strict=True) if x > after and math.isfinite(y)]
    return found


def _described(title: str, unit: str, series: Sequence[Series]) -> str:
    said = []
    for one in series:
        points = [(x, y) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(y)]
        if points:
            low, high = min(y for _, y in points), max(y for _, y in points)
            name = f"{one.name}: " if one.name else ""
            said.append(f"{name}from {points[0][1]:.4g} to {points[-1][1]:.4g}, between {low:.4g} and {high:.4g}")
    return f"{title} in {unit} over the steps. {'; '.join(said)}"


def _numbers(title: str, curves: Sequence[Curve], sparse: bool) -> Markup:
    """Means in twelve parts of the run; of sparse curves the values themselves, the last of each part."""
    most = max(int(curve.steps[-1]) for curve in curves)
    width = -(-most // ROWS)
    edges = [(start + 1, min(start + width, most)) for start in range(0, most, width)]
    columns = [Column("Steps", number=False)]
    columns += [
        Column(f"{curve.name}, {what}" if curve.name else what.capitalize())
        for curve in curves
        for what in _what(sparse)
    ]
    rows = []
    for first, last in edges:
        row: list[object] = [f"{first:,} to {last:,}" if last > first else f"{first:,}"]
        for curve in curves:
            inside = (curve.steps >= first) & (curve.steps <= last) & np.isfinite(curve.values)
            row += _row(curve.values[inside], sparse)
        rows.append(row)
    return table(f"{title} by steps", columns, rows)


def _what(sparse: bool) -> tuple[str, ...]:
    return ("last",) if sparse else ("mean", "least", "most")


def _row(values: Array, sparse: bool) -> list[str]:
    if not len(values):
        return ["none"] * len(_what(sparse))
    if sparse:
        return [f"{values[-1]:.4g}"]
    return [f"{value:.4g}" for value in (values.mean(), values.min(), values.max())]


def side_by_side(figures: Iterable[Markup | None]) -> Markup:
    """Figures in a grid; a sentence where there is none."""
    there = [one for one in figures if one is not None]
    return tag("div", there, class_="figures") if there else tag("p", "The log has nothing on this.")
