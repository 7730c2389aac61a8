"""Every equation of docs/math/power.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest

from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[Any, Any], None]


@pytest.fixture(params=["example", "steep"])
def run(request: pytest.FixtureRequest, traced: Callable[[str], Trace]) -> Trace:
    """The worked example, and one whose exponent is above 1; u = 0 is among its numbers, and w below and above 1."""
    if request.param == "example":
        return traced("prior_power")
    outputs = ("log_f", "phi", "phi_1", "phi_2", "phi_shape", "phi_1_shape")
    arrays = {"u": [0.0, 0.25, 1.5], "shape": [1.25]}
    return trace(Example("prior_power", "power", "", arrays, outputs, {}, {"dim": 3, "offset": 0.375}))


@pytest.fixture
def w(run: Trace) -> list[float]:
    return [float(u) + run.example.attributes["offset"] for u in run.inputs["u"]]


@pytest.fixture
def beta(run: Trace) -> float:
    return float(run.inputs["shape"][0])


def power(w: float, exponent: float) -> float:
    return exp(exponent * log(w))


@pytest.mark.equation("power.1")
def test_log_density(run: Trace, w: list[float], beta: float, same: Same) -> None:
    want = [-power(x, beta) / 2 for x in w]
    same(run.value("power.1"), want)
    same(run.outputs["log_f"], want)


@pytest.mark.equation("power.2")
def test_phi(run: Trace, w: list[float], beta: float, same: Same) -> None:
    want = [beta * power(x, beta - 1) for x in w]
    same(run.value("power.2"), want)
    same(run.outputs["phi"], want)


@pytest.mark.equation("power.3")
def test_first_derivative(run: Trace, w: list[float], beta: float, same: Same) -> None:
    want = [beta * (beta - 1) * power(x, beta - 2) for x in w]
    same(run.value("power.3"), want)
    same(run.outputs["phi_1"], want)


@pytest.mark.equation("power.4")
def test_second_derivative(run: Trace, w: list[float], beta: float, same: Same) -> None:
    want = [beta * (beta - 1) * (beta - 2) * power(x, beta - 3) for x in w]
    same(run.value("power.4"), want)
    same(run.outputs["phi_2"], want)


@pytest.mark.equation("power.5")
def test_derivative_of_phi_by_beta(run: Trace, w: list[float], beta: float, same: Same) -> None:
    want = [power(x, beta - 1) + beta * power(x, beta - 1) * log(x) for x in w]
    same(run.value("power.5"), want)
    same(run.outputs["phi_shape"], want)


@pytest.mark.equation("power.6")
def test_derivative_of_the_slope_by_beta(run: Trace, w: list[float], beta: float, same: Same) -> None:
    want = [(2 * beta - 1) * power(x, beta - 2) + beta * (beta - 1) * power(x, beta - 2) * log(x) for x in w]
    same(run.value("power.6"), want)
    same(run.outputs["phi_1_shape"], want)
