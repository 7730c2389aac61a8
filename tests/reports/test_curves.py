"""Curves of a run: means and bands of neighbouring steps, axes that show what happens, numbers below."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refbss.reports import curves
from refbss.reports.charts import Mark
from refbss.reports.curves import Curve, in_parts, picture, side_by_side, width_for
from refbss.reports.scales import linear


def curve(values: Any, *, name: str = "", style: int = 0, first: int = 1) -> Curve:
    found = np.asarray(values, np.float64)
    return Curve(name, style, np.arange(first, first + len(found)), found)


@pytest.mark.parametrize(
    ("steps", "width"), [(1, 1), (250, 1), (251, 2), (600, 5), (2500, 10), (2501, 20), (11000, 50), (10**6, 5000)]
)
def test_the_width_of_a_part(steps: int, width: int) -> None:
    assert width_for([curve(np.zeros(steps)), curve([0.0])]) == width


def test_parts() -> None:
    values = np.arange(25.0)
    values[3], values[20:] = math.nan, math.inf
    parts = in_parts(curve(values), 10)
    assert parts.x.tolist() == [5.5, 15.5, 25.5]
    np.testing.assert_allclose(parts.mean[:2], [(45 - 3) / 9, 14.5])
    np.testing.assert_allclose(parts.low[1], np.quantile(np.arange(10.0, 20.0), 0.1))
    np.testing.assert_allclose(parts.high[1], np.quantile(np.arange(10.0, 20.0), 0.9))
    assert math.isnan(parts.mean[2])


def texts(root: Any) -> list[str]:
    return [text.text for text in root.all("text")]


def test_a_picture(parse: Callable[[str], Any]) -> None:
    found = picture("Loss", "dB", [curve([3, 2, 1], name="A"), curve([1, 2, math.nan], name="B", style=1)], note="So.")
    root = parse(str(found))
    assert root.all("figcaption")[0].text == "LossSo." and [item.text for item in root.all("li")] == ["A", "B"]
    said = next(svg["aria-label"] for svg in root.all("svg") if svg.get("role") == "img")
    assert said == "Loss in dB over the steps. A: from 3 to 1, between 1 and 3; B: from 1 to 2, between 1 and 2"
    rows = [[cell.text for cell in row.all("th", "td")] for row in root.all("tr")]
    assert rows[0] == ["Steps", "A, mean", "A, least", "A, most", "B, mean", "B, least", "B, most"]
    assert rows[1] == ["1", *["3"] * 3, *["1"] * 3] and rows[3] == ["3", *["1"] * 3, *["none"] * 3]


def test_a_single_curve_without_a_name_has_no_legend(parse: Callable[[str], Any]) -> None:
    assert not parse(str(picture("Loss", "dB", [curve([3, 2, 1])]))).all("li")


def test_long_runs_are_means(parse: Callable[[str], Any]) -> None:
    root = parse(str(picture("Loss", "dB", [curve(np.sin(np.arange(5000.0)))])))
    assert "Means of 20 steps; in the band lie 80 percent of them." in root.text
    (line,) = [path for path in root.all("path") if path["class"] == "line s0"]
    assert line["d"].count("L") == 249 and any(path["class"] == "band s0" for path in root.all("path"))
    assert len(root.all("tr")) == 1 + curves.ROWS


def test_sparse_curves_are_dots(parse: Callable[[str], Any]) -> None:
    values = np.full(100, math.nan)
    values[9::10] = np.arange(10)
    root = parse(str(picture("Validation", "dB", [curve(values)], sparse=True)))
    (dots,) = [path for path in root.all("path") if path["class"] == "dots s0"]
    assert dots["d"].count("M") == 10 and "Means" not in root.text
    rows = [[cell.text for cell in row.all("th", "td")] for row in root.all("tr")]
    assert rows[0] == ["Steps", "Last"] and rows[-1] == ["100", "9"]
    many = parse(str(picture("Rate", "x", [curve(np.arange(5000.0))], sparse=True)))
    (line,) = [path for path in many.all("path") if path["class"] == "line s0"]
    assert line["d"].count("L") == 250 and not [path for path in many.all("path") if path["class"] == "dots s0"]


def test_a_steep_beginning_does_not_flatten_the_rest(parse: Callable[[str], Any]) -> None:
    values = np.concatenate([np.linspace(50, 1, 10), np.linspace(1, 0, 190)])
    root = parse(str(picture("Loss", "dB", [curve(values)])))
    assert "The axis fits the steps from 20 on; before, values reach 50." in root.text
    assert "40" not in texts(root) and "1.0" in texts(root)
    flat = parse(str(picture("Loss", "dB", [curve(np.linspace(2, 0, 200))])))
    assert "The axis" not in flat.text
    given = parse(str(picture("Loss", "dB", [curve(values)], scale=linear([0, 50]))))
    assert "The axis" not in given.text and "40" in texts(given)


def test_logarithmic_with_a_mark(parse: Callable[[str], Any]) -> None:
    values = [900.0, 300.0, 20.0, 0.0, math.nan]
    root = parse(str(picture("Norm", "norm", [curve(values)], log=True, marks=[Mark("y", 5.0, "clipped above")])))
    assert {"clipped above", "norm, logarithmic", "100", "1,000"} <= set(texts(root))


def test_nothing_to_show(parse: Callable[[str], Any]) -> None:
    assert picture("Loss", "dB", [curve([math.nan, math.inf])]) is None and picture("Loss", "dB", []) is None
    assert parse(side_by_side([None, None])).text == "The log has nothing on this."
