"""Axes: they hold their values, their ticks are round, and numbers read as they should."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refbss.reports.scales import label, linear, logarithmic, step_for

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: round(x, 6))


@pytest.mark.parametrize(("span", "step"), [(10, 2), (9, 2), (1, 0.2), (0.03, 0.01), (700, 200), (5, 1)])
def test_round_steps(span: float, step: float) -> None:
    assert step_for(span, 5) == pytest.approx(step)


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_a_linear_axis_holds_its_values(values: list[float]) -> None:
    scale = linear(values)
    for value in values:
        assert -1e-6 <= scale.place(value) <= 1 + 1e-6
    ticks = [tick for tick, _ in scale.ticks]
    assert 2 <= len(ticks) <= 12 and ticks == sorted(ticks)
    assert (ticks[0], ticks[-1]) == (pytest.approx(scale.low), pytest.approx(scale.high))


@given(st.lists(st.floats(1e-8, 1e12), min_size=1, max_size=8))
def test_a_logarithmic_axis_holds_its_values(values: list[float]) -> None:
    scale = logarithmic(values)
    assert scale.low <= min(values) * 1.00001 and scale.high >= max(values) * 0.99999 and scale.low < scale.high
    assert 1 <= len(scale.ticks) <= 8
    assert scale.place(math.sqrt(scale.low * scale.high)) == pytest.approx(0.5)
    assert scale.place(0.0) < 0 and scale.place(-1.0) < 0


def test_places() -> None:
    scale = linear([0, 10])
    assert [scale.place(value) for value in (0, 2.5, 10, 11, 1000, -1000)] == [0, 0.25, 1, 1.1, 2, -1]
    assert logarithmic([1, 100]).place(10) == pytest.approx(0.5)


def test_labels() -> None:
    assert [text for _, text in linear([0, 0.3]).ticks] == ["0.0", "0.1", "0.2", "0.3"]
    assert [text for _, text in linear([-4, 12]).ticks] == ["-5", "0", "5", "10", "15"]
    assert [text for _, text in linear([0, 11000]).ticks] == ["0", "5,000", "10,000", "15,000"]
    assert [text for _, text in linear([0, 11000], widen=False).ticks] == ["0", "5,000", "10,000"]
    assert [text for _, text in logarithmic([3, 4000]).ticks] == ["1", "10", "100", "1,000", "10,000"]
    assert [text for _, text in logarithmic([3, 40]).ticks] == ["2", "5", "10", "20", "50"]
    assert label(-1e-18, 0.1) == "0.0" and label(2.5e7, 1e6) == "2.5e+07"


def test_no_values_and_equal_values() -> None:
    assert linear([]).ticks and linear([math.nan, math.inf]).ticks
    assert linear([5, 5]).low < 5 < linear([5, 5]).high
    assert linear([0]).low < 0 < linear([0]).high
    assert logarithmic([]).ticks and logarithmic([-1, 0]).ticks
    assert logarithmic([10]).low <= 10 < logarithmic([10]).high
