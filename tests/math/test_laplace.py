"""Every equation of docs/math/laplace.md, worked out again from the traced values of its right-hand side.

Bessel functions come from their integral over cosh, which shares nothing with the recurrence or with scipy.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cosh, exp, fsum, log, sqrt
from typing import Any

import pytest

from refbss._types import Array
from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[Any, Any], None]
SIZES = (1, 2, 3, 4, 7, 8)


@pytest.fixture(params=SIZES)
def run(request: pytest.FixtureRequest, traced: Callable[[str], Trace]) -> Trace:
    """The worked examples for D = 3 and 4, and other numbers for D without a step, and with several."""
    if request.param in (3, 4):
        return traced("prior_laplace" if request.param == 3 else "prior_laplace/even")
    outputs, attributes = ("log_f", "phi", "phi_1", "phi_2"), {"dim": request.param, "offset": 0.25}
    return trace(Example("prior_laplace", "laplace", "", {"u": [0.5, 2.0, 5.0]}, outputs, {}, attributes))


@pytest.fixture
def dim(run: Trace) -> int:
    size: int = run.example.attributes["dim"]
    return size


@pytest.fixture
def w(run: Trace) -> list[float]:
    return [float(u) + run.example.attributes["offset"] for u in run.inputs["u"]]


@pytest.fixture
def orders(dim: int) -> list[float]:
    """From 0 or -1/2 up to D/2 - 1."""
    return [dim % 2 * -0.5 + step for step in range((dim + 1) // 2)]


def bessel_k(order: float, x: float) -> float:
    """Integral of exp(-x cosh t) cosh(order t) over t > 0, DLMF 10.32.9: the trapezoidal rule has all digits of it."""
    step = 1 / 32
    return step * (exp(-x) / 2 + fsum(exp(-x * cosh(t * step)) * cosh(order * t * step) for t in range(1, 320)))


def ratio(order: float, w: float) -> float:
    return bessel_k(order + 1, sqrt(2 * w)) / bessel_k(order, sqrt(2 * w))


def last_ratio(run: Trace) -> Array:
    """Of order D/2 - 1, as traced: of the recurrence, or where it takes no step the first one."""
    return run.value("laplace.3" if run.find("laplace.3") else "laplace.2")


@pytest.mark.equation("laplace.1")
def test_log_density(run: Trace, w: list[float], dim: int, same: Same) -> None:
    want = [(2 - dim) / 4 * log(x) + log(bessel_k(dim / 2 - 1, sqrt(2 * x))) for x in w]
    same(run.value("laplace.1"), want)
    same(run.outputs["log_f"], want)


@pytest.mark.equation("laplace.2")
def test_first_ratio(run: Trace, w: list[float], orders: list[float], same: Same) -> None:
    same(run.value("laplace.2"), [ratio(orders[0], x) for x in w])
    if orders[0] < 0:
        same(run.value("laplace.2"), [1.0 for _ in w])


@pytest.mark.equation("laplace.3")
def test_recurrence(run: Trace, w: list[float], orders: list[float], same: Same) -> None:
    before = run.value("laplace.2")
    assert len({step.loops["step"] for step in run.find("laplace.3")}) == len(orders) - 1
    for step, order in enumerate(orders[1:], start=1):
        now = run.value("laplace.3", step=step)
        same(now, [2 * order / sqrt(2 * x) + 1 / r for x, r in zip(w, before, strict=True)])
        same(now, [ratio(order, x) for x in w])
        before = now


@pytest.mark.equation("laplace.4")
def test_phi(run: Trace, w: list[float], same: Same) -> None:
    want = [2 * r / sqrt(2 * x) for x, r in zip(w, last_ratio(run), strict=True)]
    same(run.value("laplace.4"), want)
    same(run.outputs["phi"], want)


@pytest.mark.equation("laplace.5")
def test_first_derivative(run: Trace, w: list[float], dim: int, same: Same) -> None:
    phi = run.value("laplace.4")
    want = [p * p / 2 - dim / 2 * p / x - 1 / x for x, p in zip(w, phi, strict=True)]
    same(run.value("laplace.5"), want)
    same(run.outputs["phi_1"], want)


@pytest.mark.equation("laplace.6")
def test_second_derivative(run: Trace, w: list[float], dim: int, same: Same) -> None:
    phi, slope = run.value("laplace.4"), run.value("laplace.5")
    want = [p * q - dim / 2 * (q / x - p / x**2) + 1 / x**2 for x, p, q in zip(w, phi, slope, strict=True)]
    same(run.value("laplace.6"), want)
    same(run.outputs["phi_2"], want)


@pytest.mark.equation("laplace.2", "laplace.3", "laplace.4", "laplace.5", "laplace.6")
def test_three_components_in_closed_form(traced: Callable[[str], Trace], same: Same) -> None:
    run = traced("prior_laplace")
    x = [sqrt(2 * (u + run.example.attributes["offset"])) for u in run.inputs["u"]]
    same(run.outputs["phi"], [2 / y + 2 / y**2 for y in x])
    same(run.outputs["phi_1"], [-2 / y**3 - 4 / y**4 for y in x])
    same(run.outputs["phi_2"], [6 / y**5 + 16 / y**6 for y in x])
