"""Every equation of docs/math/student.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import pytest

from refbss._types import Array
from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[Any, Any], None]


@pytest.fixture(params=["example", "one component"])
def run(request: pytest.FixtureRequest, traced: Callable[[str], Trace]) -> Trace:
    """The worked example, and one where nu, D and u are other numbers; u = D and u = 0 are among them."""
    if request.param == "example":
        return traced("prior_student")
    outputs = ("log_f", "phi", "phi_1", "phi_2", "phi_shape", "phi_1_shape")
    arrays = {"u": [0.0, 1.0, 0.25, 30.0], "shape": [0.75]}
    return trace(Example("prior_student", "student", "", arrays, outputs, {}, {"dim": 1, "offset": 0.5}))


@pytest.fixture
def u(run: Trace) -> Array:
    return run.inputs["u"]


@pytest.fixture
def nu(run: Trace) -> float:
    return float(run.inputs["shape"][0])


@pytest.fixture
def dim(run: Trace) -> int:
    size: int = run.example.attributes["dim"]
    return size


@pytest.mark.equation("student.1")
def test_log_density(run: Trace, u: Array, nu: float, dim: int, same: Same) -> None:
    want = [-(nu + dim) / 2 * log(1 + x / nu) for x in u]
    same(run.value("student.1"), want)
    same(run.outputs["log_f"], want)


@pytest.mark.equation("student.2")
def test_phi(run: Trace, u: Array, nu: float, dim: int, same: Same) -> None:
    want = [(nu + dim) / (nu + x) for x in u]
    same(run.value("student.2"), want)
    same(run.outputs["phi"], want)


@pytest.mark.equation("student.3")
def test_first_derivative(run: Trace, u: Array, nu: float, dim: int, same: Same) -> None:
    want = [-(nu + dim) / ((nu + x) * (nu + x)) for x in u]
    same(run.value("student.3"), want)
    same(run.outputs["phi_1"], want)
    same(want, -run.value("student.2") / (nu + u))


@pytest.mark.equation("student.4")
def test_second_derivative(run: Trace, u: Array, nu: float, dim: int, same: Same) -> None:
    want = [2 * (nu + dim) / ((nu + x) * (nu + x) * (nu + x)) for x in u]
    same(run.value("student.4"), want)
    same(run.outputs["phi_2"], want)


@pytest.mark.equation("student.5")
def test_derivative_of_phi_by_nu(run: Trace, u: Array, nu: float, dim: int, same: Same) -> None:
    want = [(x - dim) / ((nu + x) * (nu + x)) for x in u]
    same(run.value("student.5"), want)
    same(run.outputs["phi_shape"], want)


@pytest.mark.equation("student.6")
def test_derivative_of_the_slope_by_nu(run: Trace, u: Array, nu: float, dim: int, same: Same) -> None:
    want = [(nu + 2 * dim - x) / ((nu + x) * (nu + x) * (nu + x)) for x in u]
    same(run.value("student.6"), want)
    same(run.outputs["phi_1_shape"], want)


@pytest.mark.equation("student.2", "student.3", "student.4", "student.5", "student.6")
def test_the_quotient_rule(run: Trace, u: Array, nu: float, dim: int, same: Same) -> None:
    """The derivatives before anything is cancelled, each of the one before it."""
    top, bottom = nu + dim, nu + u
    phi_1, phi_2 = -top / bottom**2, (0 * bottom**2 + top * 2 * bottom) / bottom**4
    same(run.outputs["phi_1"], phi_1)
    same(run.outputs["phi_2"], phi_2)
    same(run.outputs["phi_shape"], (bottom - top) / bottom**2)
    same(run.outputs["phi_1_shape"], -(bottom**2 - top * 2 * bottom) / bottom**4)
    same(np.sign(run.outputs["phi"]), np.ones_like(u))
