"""Charts: what is drawn lies where the axes say, gaps are gaps, and every chart says what it shows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from refbss.reports import charts
from refbss.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axes, Mark, Series
from refbss.reports.scales import linear

AXES = Axes(linear([0, 10]), linear([0, 4]), "step", "loss")
RIGHT_END, FLOOR = WIDTH - RIGHT, HEIGHT - BOTTOM


def of_class(root: Any, name: str) -> list[Any]:
    return [element for element in root.all() if name in (element.get("class") or "").split()]


def numbers(path: str) -> list[float]:
    return [float(text) for text in re.findall(r"-?\d+\.?\d*", path)]


def test_a_line_goes_through_its_points(parse: Callable[[str], Any]) -> None:
    drawn = parse(charts.lines(AXES, [Series("a", 1, [0, 5, 10], [0, 2, 4])], "A line"))
    (line,) = of_class(drawn, "line")
    middle = (LEFT + RIGHT_END) / 2, (TOP + FLOOR) / 2
    assert numbers(line["d"]) == [LEFT, FLOOR, *middle, RIGHT_END, TOP]
    assert line["class"] == "line s1" and not of_class(drawn, "dots")
    chart = drawn.all("svg")[0]
    assert (chart["role"], chart["aria-label"]) == ("img", "A line")
    texts = [text.text for text in drawn.all("text")]
    assert texts == ["0", "1", "2", "3", "4", "0", "2", "4", "6", "8", "10", "step", "loss"]


def test_gaps(parse: Callable[[str], Any]) -> None:
    y = [1, math.nan, 2, math.nan, 3, 4]
    drawn = parse(charts.lines(AXES, [Series("a", 0, [0, 2, 4, 6, 8, 10], y, band=(y, y))], ""))
    (line,), (dots,), (band,) = (of_class(drawn, name) for name in ("line", "dots", "band"))
    assert line["d"].count("M") == 3 and line["d"].count("L") == 1
    assert dots["d"].count("M") == 2, "points without neighbours are dots"
    assert band["d"].count("Z") == 3
    empty = parse(charts.lines(AXES, [Series("a", 0, [1, 2], [math.nan] * 2)], ""))
    assert of_class(empty, "line")[0]["d"] == ""


def test_what_lies_beyond_is_cut_off(parse: Callable[[str], Any]) -> None:
    drawn = parse(charts.lines(AXES, [Series("a", 0, [0, 10], [2, 1e9])], ""))
    window = drawn.all("svg")[1]
    assert numbers(window["viewbox"])[:2] == [LEFT - 4, TOP - 4] and of_class(window, "line")
    assert min(numbers(of_class(drawn, "line")[0]["d"])) > -HEIGHT


def test_bars_stand_on_each_other(parse: Callable[[str], Any]) -> None:
    drawn = parse(charts.bars(AXES, [0, 5, 10], [[1, 0], [2, 4]], "Bars"))
    first, second, third = of_class(drawn, "bar")
    assert [bar["class"] for bar in (first, second, third)] == ["bar s0", "bar s1", "bar s1"]
    unit = (FLOOR - TOP) / 4
    assert float(first["y"]) == pytest.approx(FLOOR - unit, abs=0.1)
    assert float(second["y"]) == pytest.approx(FLOOR - 3 * unit, abs=0.1)
    assert float(second["height"]) == pytest.approx(2 * unit, abs=0.6)
    assert float(third["x"]) > float(first["x"]) + float(first["width"])


def test_points_marks_and_legend(parse: Callable[[str], Any]) -> None:
    series = [Series("a", 0, [0, 10], [0, 4]), Series("b", 1, [5], [2])]
    marks = [Mark("x", 9.5, "mean 9.5", (9, 10)), Mark("y", 2, "limit"), Mark("x", math.nan, "none")]
    drawn = parse(charts.points(AXES, series, "Points", diagonal=True, marks=marks))
    assert [one["d"].count("M") for one in of_class(drawn, "points")] == [2, 1]
    (span,) = of_class(drawn, "span")
    assert float(span["height"]) == FLOOR - TOP
    texts = [element.text for element in of_class(drawn, "mark") if element.name == "text"]
    assert texts == ["mean 9.5", "limit"]
    legend = parse(charts.legend([("a", 0, "bar"), ("b", 7, "line"), ("<c>", 2, "points")]))
    assert [item.text for item in legend.all("li")] == ["a", "b", "<c>"]
    assert of_class(legend, "s1") and all(svg["aria-hidden"] == "true" for svg in legend.all("svg"))


def test_names_are_escaped(parse: Callable[[str], Any]) -> None:
    axes = AXES._replace(x_name="<script>", y_name='"')
    drawn = parse(charts.lines(axes, [], '"><script>'))
    assert drawn.all("svg")[0]["aria-label"] == '"><script>' and not drawn.all("script")
