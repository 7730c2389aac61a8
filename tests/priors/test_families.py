"""The prior families against mpmath, 40 digits: log f from its definition, everything else by its derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refbss import priors
from refbss._checks import InputError
from refbss.verification.gradcheck import derivative

mpmath = pytest.importorskip("mpmath")
Real = Any
POINTS = (0.02, 3.0, 600.0)
SETTINGS = [
    pytest.param(family, dim, shape, offset, id=f"{family}-D{dim}")
    for family, dims, shape, offset in (
        ("gaussian", (1, 5), 1.0, 0.0),
        ("student", (1, 2, 96), 3.3, 0.0),
        ("power", (1, 3, 96), 0.7, 0.05),
        ("laplace", (1, 2, 3, 5, 96), 1.0, 0.05),
    )
    for dim in dims
]
TOLERANCE = {"phi": 1e-13, "phi_1": 1e-12, "phi_2": 1e-11, "phi_shape": 1e-13, "phi_1_shape": 1e-13}
"""Relative. phi_1 and phi_2 of laplace are differences of terms that nearly cancel where u is large."""


def exact_log_f(family: str, dim: int, offset: float) -> Callable[[Real, Real], Real]:
    """log f(u, shape) of the table of families, in mpmath."""

    def student(u: Real, nu: Real) -> Real:
        return -(nu + dim) / 2 * mpmath.log(1 + u / nu)

    def power(u: Real, beta: Real) -> Real:
        return -((u + mpmath.mpf(offset)) ** beta) / 2

    def laplace(u: Real, unused: Real) -> Real:
        w = u + mpmath.mpf(offset)
        order = mpmath.mpf(dim) / 2 - 1
        return mpmath.mpf(2 - dim) / 4 * mpmath.log(w) + mpmath.log(mpmath.besselk(order, mpmath.sqrt(2 * w)))

    return {"gaussian": lambda u, unused: -u / 2, "student": student, "power": power, "laplace": laplace}[family]


def exact(name: str, family: str, dim: int, shape: float, offset: float, u: float) -> float:
    """The value at u of one of the functions of a family, by mpmath's numerical differentiation of log f."""
    orders = {
        "log_f": (0, 0),
        "phi": (1, 0),
        "phi_1": (2, 0),
        "phi_2": (3, 0),
        "phi_shape": (1, 1),
        "phi_1_shape": (2, 1),
    }[name]
    if orders[1] and not priors.get(family).HAS_SHAPE:
        return 0.0
    with mpmath.workdps(40):
        value = mpmath.diff(exact_log_f(family, dim, offset), (mpmath.mpf(u), mpmath.mpf(shape)), orders)
        return float(value if name == "log_f" else -2 * value)


@pytest.mark.parametrize(("family", "dim", "shape", "offset"), SETTINGS)
@pytest.mark.parametrize("name", TOLERANCE)
def test_against_mpmath(family: str, dim: int, shape: float, offset: float, name: str, figures: dict[str, str]) -> None:
    got = getattr(priors.get(family), name)(np.array(POINTS), dim, shape, offset)
    assert got.shape == (len(POINTS),) and got.dtype == np.float64
    for u, value in zip(POINTS, got, strict=True):
        wanted = exact(name, family, dim, shape, offset, u)
        gap = abs(value - wanted) / (abs(wanted) or 1.0)
        message = f"{family} {name} D {dim} u {u}: got {value!r}, wanted {wanted!r}, relative error {gap:.1e}"
        assert gap <= TOLERANCE[name], message
        if family == "laplace" and not name.endswith("shape"):
            key = f"laplace {name} against mpmath"
            if gap >= float(figures.get(key, "0 ").split()[0]):
                figures[key] = f"{gap:.1e} at D {dim}, u {u}"


@pytest.mark.parametrize(("family", "dim", "shape", "offset"), SETTINGS)
def test_log_f_differs_from_mpmath_by_a_constant(family: str, dim: int, shape: float, offset: float) -> None:
    got = priors.get(family).log_f(np.array(POINTS), dim, shape, offset)
    wanted = np.array([exact("log_f", family, dim, shape, offset, u) for u in POINTS])
    gap = got - wanted
    assert np.ptp(gap) <= 1e-12 * np.max(np.abs(wanted)), gap


@pytest.mark.parametrize(("family", "dim", "shape", "offset"), SETTINGS)
def test_phi_is_the_derivative_of_its_own_log_f(family: str, dim: int, shape: float, offset: float) -> None:
    prior = priors.get(family)
    for u in (0.4, 5.0, 70.0):

        def change(h: float, u: float = u) -> float:
            plus, minus = prior.log_f(np.array([u + h, u - h]), dim, shape, offset)
            return float(plus - minus)

        phi = prior.phi(np.array([u]), dim, shape, offset)[0]
        assert -2.0 * derivative(change, 0.01 * u) == pytest.approx(phi, rel=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 96])
def test_laplace_phi_is_a_ratio_of_bessel_functions(dim: int) -> None:
    u = np.geomspace(1e-3, 1e4, 15)
    phi = priors.get("laplace").phi(u, dim, 1.0, 0.0)
    for point, value in zip(u, phi, strict=True):
        with mpmath.workdps(40):
            x = mpmath.sqrt(2 * mpmath.mpf(float(point)))
            ratio = mpmath.besselk(mpmath.mpf(dim) / 2, x) / mpmath.besselk(mpmath.mpf(dim) / 2 - 1, x)
            wanted = float(2 / x * ratio)
        assert value == pytest.approx(wanted, rel=1e-13), f"D {dim} u {point}"


def test_laplace_in_one_dimension_is_the_double_exponential() -> None:
    u = np.array([0.1, 1.0, 9.0])
    assert priors.get("laplace").phi(u, 1, 1.0, 0.0) == pytest.approx(np.sqrt(2.0 / u), rel=1e-15)


def test_power_one_is_the_gaussian_and_student_tends_to_it() -> None:
    u = np.array([0.1, 2.0, 30.0])
    gaussian = priors.get("gaussian").phi(u, 4, 1.0, 0.0)
    assert np.array_equal(priors.get("power").phi(u, 4, 1.0, 0.0), gaussian)
    assert priors.get("student").phi(u, 4, 1e9, 0.0) == pytest.approx(gaussian, rel=1e-7)


def test_offset_shifts_the_singular_families_alone() -> None:
    u = np.array([0.5, 2.0])
    for name, prior in priors.FAMILIES.items():
        moved = prior.phi(u, 3, 0.8, 0.25)
        assert np.array_equal(moved, prior.phi(u + 0.25 if name in ("power", "laplace") else u, 3, 0.8, 0.0)), name


def test_nothing_overflows_far_out() -> None:
    u = np.array([1e-6, 1e8])
    for name, prior in priors.FAMILIES.items():
        for dim in (1, 2, 96):
            for function in ("phi", "phi_1", "phi_2", "log_f"):
                values = getattr(prior, function)(u, dim, 0.8, 1e-3)
                assert np.all(np.isfinite(values)), f"{name} {function} D {dim}: {values}"
    assert math.isfinite(priors.get("laplace").phi(np.array([1e12]), 96, 1.0, 0.0)[0])


def test_unknown_family() -> None:
    with pytest.raises(InputError, match="family is 'cauchy', wanted one of gaussian, student, power, laplace"):
        priors.get("cauchy")
