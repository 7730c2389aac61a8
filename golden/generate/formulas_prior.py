"""Golden cases of the prior families: log f alone is stated, derivatives are mpmath's differences at raised digits.

phi = -2 f'/f is the quotient that it says, so that rounding shows as it would in a program. The differences themselves
lose no digit: mpmath takes them at several times the precision that is asked for, also where floats are imitated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
from book import Book, Case, Formula, Mistake, draw
from mpmath import mp, mpf
from number import Number, partials

EDGE = ("edge",)
GENERATOR = "golden/generate/formulas_prior.py"
GUARD = 40
Density = Callable[[Any, Any, int, Any], Any]
"""log f(u, shape, dim, offset) up to a constant, of mpmath numbers."""


def gaussian(u: Any, shape: Any, dim: int, offset: Any) -> Any:
    """Of variance one. The parameter is unused."""
    return -u / 2


def student(u: Any, nu: Any, dim: int, offset: Any) -> Any:
    """nu degrees of freedom."""
    return -(nu + dim) * mpmath.log(1 + u / nu) / 2


def power(u: Any, beta: Any, dim: int, offset: Any) -> Any:
    """Power exponential, beta the exponent of u."""
    return -((u + offset) ** beta) / 2


def bessel_k(order: Any, x: Any) -> Any:
    """K of a whole or half order. For whole orders the power series, DLMF 10.31.1: mpmath takes a limit, slowly."""
    order = abs(order)
    if order != int(order):
        return mpmath.besselk(order, x)
    n = int(order)
    with mpmath.workprec(mp.prec + 60 + 4 * int(x)):  # the series is e^2x times larger than K, and more than four bits
        q, harmonic = x * x / 4, mpmath.harmonic(n) / 2 - mp.euler - mpmath.log(x / 2)
        term, total, k = 1 / mpmath.factorial(n), mpf(0), 0
        while mpmath.mag(term) + mpmath.mag(q) + 8 > -mp.prec:
            total += term * harmonic
            k += 1
            term *= q / (k * (n + k))
            harmonic += mpf(1) / (2 * k) + mpf(1) / (2 * (n + k))
        finite = sum((-q) ** i * mpmath.factorial(n - i - 1) / mpmath.factorial(i) for i in range(n))
        return finite * (x / 2) ** -n / 2 + (-1) ** n * (x / 2) ** n * total


def laplace(u: Any, shape: Any, dim: int, offset: Any, order: int = 0) -> Any:
    """Symmetric multivariate Laplace; the order of K is D/2 - 1, more by ``order`` for those who mistake it."""
    w = u + offset
    if not w > 0:
        raise ValueError("the density is singular at zero")
    k = bessel_k(mpf(dim) / 2 - 1 + order, mpmath.sqrt(2 * w))
    return mpf(2 - dim) / 4 * mpmath.log(w) + mpmath.log(k)


DENSITIES: dict[str, Density] = {"gaussian": gaussian, "student": student, "power": power, "laplace": laplace}
WITH_SHAPE = (student, power)


@cache
def derivative(
    density: Density, dim: int, offset: float, u: Any, shape: Any, orders: tuple[int, int], bits: int, of_f: bool
) -> Any:
    """Derivative of f or log f by u and by shape (None: there is none), right to ``bits`` bits and more.

    Raises ValueError where what is mistaken for log f has none.
    """

    def value(x: Any, y: Any = None) -> Any:
        log_f = density(x, y, dim, mpf(offset))
        return mpmath.exp(log_f) if of_f else log_f

    if orders[1] and shape is None:
        return mpf(0)
    with mpmath.workprec(bits + GUARD):
        found = mpmath.diff(value, u, orders[0]) if shape is None else mpmath.diff(value, (u, shape), orders)
    if not isinstance(found, mpf):
        raise ValueError(f"no derivative at u = {u}")
    return found


def known(
    density: Density, order: int, u: Number, shape: Number | None, dim: int, offset: float, of_f: bool = False
) -> Number:
    """Derivative of f or log f by u of that order, which knows its own derivatives by u and shape."""
    parameter = None if shape is None else shape.value

    def number_of(by_u: int, by_shape: int) -> Any:
        return derivative(density, dim, offset, u.value, parameter, (by_u, by_shape), mp.prec, of_f)

    return partials(number_of, u, Number(0) if shape is None else shape, order)


def slopes(density: Density, *arguments: Any) -> tuple[Number, Number]:
    """First and second derivative of log f by u. Arguments: u, shape, dim, offset."""
    second = known(density, 2, *arguments)
    if not second.value:  # phi is constant, and a difference of quotients would not be exactly zero
        return known(density, 1, *arguments), second
    f, f_1, f_2 = (known(density, order, *arguments, of_f=True) for order in range(3))
    return f_1 / f, f_2 / f - (f_1 / f) ** 2


def prior(density: Density, factor: Any = -2, sign_1: int = 1) -> Formula:
    """u (n,), shape (1,) where the family has one -> phi, phi_1, log_f (n,); phi is ``factor`` times (log f)'."""

    def formula(u: Any, shape: Any = None, *, dim: int, offset: float) -> dict[str, Any]:
        each = [(density, x, None if shape is None else shape[0], dim, offset) for x in u]
        log_f = [known(density, 0, *arguments) for density, *arguments in each]
        first, second = np.array([slopes(*arguments) for arguments in each], dtype=object).T
        return {"phi": factor * first, "phi_1": sign_1 * factor * second, "log_f": np.array(log_f)}

    return formula


def times(factor: Callable[[int], Any], density: Density) -> Density:
    """A log density times a number that may depend on D."""
    return lambda u, shape, dim, offset: factor(dim) * density(u, shape, dim, offset)


def without_offset(density: Density) -> Density:
    """The offset is left out."""
    return lambda u, shape, dim, offset: density(u, shape, dim, 0)


def case(name: str, u: np.ndarray, dim: int, offset: float = 0.0, shape: float | None = None, **more: Any) -> Case:
    """A case with these u, and the family's parameter where it has one."""
    arrays = {"u": u} | ({} if shape is None else {"shape": np.array([shape])})
    return Case(name, arrays, {"dim": dim, "offset": offset}, **more)


def values(family: str, name: str, count: int, scale: float = 1.0) -> np.ndarray:
    """Numbers u between 0 and 4 times ``scale``."""
    return draw(f"prior_{family}/{name}/u", count, scale=2.0, mean=2.0) * scale


def book(
    family: str, last: int, cases: tuple[Case, ...], mistakes: tuple[Mistake, ...], with_shape: bool = False
) -> Book:
    """A book of one family, tags 1 to ``last``. Functions of each u by itself: there is no call to refuse."""
    density = DENSITIES[family]
    shared = (
        Mistake(
            "factor-two",
            "your phi is -f'/f; the case wants -2 f'/f, because u is a square",
            prior(density, factor=-1),
        ),
        Mistake("sign", "your phi is 2 f'/f; the case wants -2 f'/f, which is positive", prior(density, factor=2)),
        Mistake(
            "sign-of-the-derivative",
            "your phi_1 has the other sign; the case wants the derivative of phi by u",
            prior(density, sign_1=-1),
        ),
    )
    return Book(
        op=f"prior_{family}",
        inputs=("u", "shape") if with_shape else ("u",),
        outputs=("phi", "phi_1", "log_f"),
        reported=("log_f",),
        differentiable=("u", "shape") if with_shape else ("u",),
        equations=tuple(f"{family}.{i}" for i in range(1, last + 1)),
        formula=prior(density),
        cases=cases,
        mistakes=(*(m for m in shared if family != "gaussian" or m.name != "sign-of-the-derivative"), *mistakes),
        bad_cases=(),
        generator=GENERATOR,
        axes={"u": "n", "shape": "1", "phi": "n", "phi_1": "n", "log_f": "n"},
    )


SMALL = 2.0**-13
GAUSSIAN = book(
    "gaussian",
    2,
    (
        case("plain", values("gaussian", "plain", 6), 4),
        case("wide", values("gaussian", "wide", 5, 16.0), 3),
        case("many-components", values("gaussian", "many-components", 7, 4.0), 16),
        case("one-number", values("gaussian", "one-number", 1), 1, flags=EDGE),
        case("zero", np.zeros(3), 2, flags=EDGE),
        case("amplitude-1e-4", values("gaussian", "amplitude", 4, SMALL), 3, flags=EDGE),
    ),
    (
        Mistake(
            "half-missing",
            "your log f is -u; the case wants -u/2",
            prior(times(lambda dim: 2, gaussian)),
        ),
        Mistake(
            "divided-by-dimension",
            "you divide u by D; the case wants -u/2",
            prior(times(lambda dim: mpf(1) / dim, gaussian)),
        ),
        Mistake(
            "amplitude-for-square",
            "you take the root of u; u is already the square, z' R^-1 z, and log f = -u/2",
            prior(lambda u, shape, dim, offset: -mpmath.sqrt(u) / 2),
        ),
        Mistake(
            "normalised",
            "your log f holds -D/2 log(2 pi); the case leaves out what does not depend on u",
            prior(lambda u, shape, dim, offset: -u / 2 - dim * mpmath.log(2 * mpmath.pi) / 2),
        ),
    ),
)


def student_norm(u: Any, nu: Any, dim: int, offset: Any) -> Any:
    """With the normalising constant."""
    gammas = mpmath.loggamma((nu + dim) / 2) - mpmath.loggamma(nu / 2)
    return student(u, nu, dim, offset) + gammas - dim * mpmath.log(mpmath.pi * nu) / 2


def student_case(name: str, u: np.ndarray, dim: int, nu: float, **more: Any) -> Case:
    """A case with so many degrees of freedom."""
    return case(name, u, dim, shape=nu, **more)


STUDENT = book(
    "student",
    6,
    (
        student_case("plain", values("student", "plain", 6), 4, 3.5),
        student_case("few-degrees", values("student", "few-degrees", 5, 4.0), 3, 0.75),
        student_case("many-components", values("student", "many-components", 6, 8.0), 16, 8.25),
        student_case("one-component", values("student", "one-component", 5), 1, 2.5),
        student_case("one-number", values("student", "one-number", 1), 2, 4.0, flags=EDGE),
        student_case("zero", np.array([0.0, 0.5, 0.0]), 3, 3.0, flags=EDGE),
        student_case("amplitude-1e-4", values("student", "amplitude", 4, SMALL), 3, 2.25, flags=EDGE),
        student_case("nearly-gaussian", values("student", "nearly-gaussian", 4), 4, 128.0, flags=EDGE),
        student_case("far-out", values("student", "far-out", 4, 1024.0), 4, 2.0, flags=EDGE),
    ),
    (
        Mistake(
            "dimension-forgotten",
            "you use nu + 1, the exponent of one component; the case wants nu + D",
            prior(lambda u, nu, dim, offset: student(u, nu, 1, offset)),
        ),
        Mistake(
            "half-missing",
            "your log f is -(nu + D) log(1 + u/nu); the case wants half of that",
            prior(times(lambda dim: 2, student)),
        ),
        Mistake(
            "covariance-for-scatter",
            "you take R for the covariance, so u is divided by nu - 2; the case divides by nu, R is the scatter matrix",
            prior(lambda u, nu, dim, offset: -(nu + dim) * mpmath.log(1 + u / (nu - 2)) / 2),
        ),
        Mistake(
            "not-divided-by-nu",
            "you compute log(1 + u); the case wants log(1 + u/nu)",
            prior(lambda u, nu, dim, offset: -(nu + dim) * mpmath.log(1 + u) / 2),
        ),
        Mistake(
            "normalised",
            "your log f holds the normalising constant; the case leaves out what does not depend on u",
            prior(student_norm),
        ),
    ),
    with_shape=True,
)


def power_case(name: str, u: np.ndarray, dim: int, beta: float, offset: float = 0.0, **more: Any) -> Case:
    """A case with this exponent."""
    return case(name, u, dim, offset, shape=beta, **more)


POWER = book(
    "power",
    6,
    (
        power_case("plain", values("power", "plain", 6), 4, 0.625),
        power_case("laplacian-exponent", values("power", "laplacian-exponent", 5, 4.0), 3, 0.5, 0.25),
        power_case("steep", values("power", "steep", 5), 2, 1.75),
        power_case("flat", values("power", "flat", 6, 8.0), 8, 0.25, 2.0**-10),
        power_case("one-number", values("power", "one-number", 1), 2, 1.5, flags=EDGE),
        power_case("gaussian-exponent", values("power", "gaussian-exponent", 4), 3, 1.0, flags=EDGE),
        power_case("zero", np.array([0.0, 0.5, 0.0]), 3, 0.75, 2.0**-6, flags=EDGE),
        power_case("amplitude-1e-4", values("power", "amplitude", 4, SMALL), 3, 0.625, 2.0**-14, flags=EDGE),
    ),
    (
        Mistake(
            "exponent-not-lowered",
            "your phi is beta w^beta; the case wants beta w^(beta-1)",
            prior(lambda u, beta, dim, offset: -beta * (u + offset) ** (beta + 1) / (beta + 1) / 2),
        ),
        Mistake(
            "half-missing",
            "your log f is -w^beta; the case wants -w^beta/2",
            prior(times(lambda dim: 2, power)),
        ),
        Mistake(
            "exponent-of-the-norm",
            "you take beta as the exponent of the norm, w^(beta/2); it is that of the square, w^beta",
            prior(lambda u, beta, dim, offset: power(u, beta / 2, dim, offset)),
        ),
        Mistake(
            "offset-missing",
            "you leave out the offset; the case adds it to u",
            prior(without_offset(power)),
        ),
        Mistake(
            "offset-subtracted-again",
            "you subtract offset^beta, so that log f is zero at zero; the case leaves constants of u out",
            prior(lambda u, beta, dim, offset: power(u, beta, dim, offset) + mpf(offset) ** beta / 2),
        ),
        Mistake(
            "beta-not-a-factor",
            "your phi is w^(beta-1); the case wants beta w^(beta-1)",
            prior(lambda u, beta, dim, offset: power(u, beta, dim, offset) / beta),
        ),
    ),
    with_shape=True,
)


def laplace_case(name: str, u: np.ndarray, dim: int, offset: float = 0.0, **more: Any) -> Case:
    """A case of so many components."""
    return case(name, u, dim, offset, **more)


LAPLACE = book(
    "laplace",
    6,
    (
        laplace_case("plain", values("laplace", "plain", 6), 4),
        laplace_case("odd", values("laplace", "odd", 5, 2.0), 5, 0.25),
        laplace_case("two", values("laplace", "two", 4, 4.0), 2),
        laplace_case("three", values("laplace", "three", 5), 3, 2.0**-6),
        laplace_case("many-components", values("laplace", "many-components", 4, 8.0), 16),
        laplace_case("one-component", values("laplace", "one-component", 4), 1, flags=EDGE),
        laplace_case("one-number", values("laplace", "one-number", 1), 3, flags=EDGE),
        laplace_case("zero", np.array([0.0, 0.5, 0.0]), 4, 2.0**-4, flags=EDGE),
        laplace_case("amplitude-1e-4", values("laplace", "amplitude", 4, SMALL), 3, 2.0**-14, flags=EDGE),
        laplace_case("far-out", values("laplace", "far-out", 4, 16.0), 6, flags=EDGE),
    ),
    (
        Mistake(
            "order-one-low",
            "your Bessel functions have an order one lower; the case wants K of order D/2 - 1 in f and D/2 in phi",
            prior(lambda *a: laplace(*a, order=-1)),
        ),
        Mistake(
            "order-one-high",
            "your Bessel functions have an order one higher; the case wants K of order D/2 - 1 in f and D/2 in phi",
            prior(lambda *a: laplace(*a, order=1)),
        ),
        Mistake(
            "root-of-u",
            "you take K at sqrt(u + offset); the case wants sqrt(2 (u + offset))",
            prior(lambda u, shape, dim, offset: laplace(u / 2, shape, dim, mpf(offset) / 2)),
        ),
        Mistake(
            "power-of-w-missing",
            "you leave out (2 - D)/4 log w; the case wants it beside log K",
            prior(
                lambda u, shape, dim, offset: (
                    laplace(u, shape, dim, offset) - mpf(2 - dim) / 4 * mpmath.log(u + mpf(offset))
                )
            ),
        ),
        Mistake(
            "exponential-of-the-norm",
            "you compute exp(-sqrt(2 w)), right for one component only; the case wants the Gaussian of random variance",
            prior(lambda u, shape, dim, offset: -mpmath.sqrt(2 * (u + offset))),
        ),
        Mistake(
            "offset-missing",
            "you leave out the offset; the case adds it to u",
            prior(without_offset(laplace)),
        ),
    ),
)

BOOKS = (GAUSSIAN, STUDENT, POWER, LAPLACE)
