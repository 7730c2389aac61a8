"""Golden cases of the Fisher divergence: three forms, four families of priors that are known by log f alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from book import BadCase, Book, Case, Formula, Mistake, draw
from formulas_prior import DENSITIES, WITH_SHAPE, slopes
from number import Number
from pieces import gradient_of, stopped

EDGE = ("edge",)
FORMS = ("weighted", "explicit", "implicit")


def one_sample(
    mu: Any,
    log_var: Any,
    eps: Any,
    log_r: Any,
    shape: Number,
    family: str,
    form: str,
    offset: float,
    *,
    deviation: Any = lambda log_var: np.exp(log_var / 2),
    precision: Any = lambda log_r: 1 / np.exp(log_r),
    weight: Any = lambda sig: sig,
    sign: int = -1,
    half: float = 0.5,
    twice: int = 2,
    divergent: int = 1,
    posterior: int = 1,
    through_u: bool = True,
    through_noise: bool = True,
) -> Any:
    """F of one vector: mu, log_var, eps, log_r (D,). Everything after the star is there to be mistaken."""
    density = DENSITIES[family]
    sig, r_inverse = deviation(log_var), precision(log_r)
    z = mu + (sig if through_noise else stopped(sig)) * eps
    u = np.sum(r_inverse * z * z)
    if not through_u:
        u = stopped(np.array([u]))[0]
    parameter = shape if density in WITH_SHAPE else None
    phi, phi_1 = (slope * -2 for slope in slopes(density, u, parameter, mu.size, offset))
    psi = r_inverse * z * phi * sign
    if form == "implicit":
        divergence = (np.sum(r_inverse) * phi + np.sum((r_inverse * z) ** 2) * phi_1 * twice) * sign
        return np.sum(psi * psi + posterior / (sig * sig)) * half + divergence * divergent
    difference = psi + eps / sig * posterior
    if form == "weighted":
        difference = weight(sig) * difference
    return np.sum(difference * difference) * half


def fisher(
    mu: Any, log_var: Any, eps: Any, log_r: Any, shape: Any, *, family: str, form: str, offset: float, **how: Any
) -> dict[str, Any]:
    """mu, log_var, eps (..., D), log_r that broadcasts, shape (1,) -> f (...,)."""
    log_r = np.broadcast_to(np.asarray(log_r, dtype=object), mu.shape)
    f = np.empty(mu.shape[:-1], dtype=object)
    for i in np.ndindex(f.shape):
        f[i] = one_sample(mu[i], log_var[i], eps[i], log_r[i], shape[0], family, form, offset, **how)
    return {"f": f}


def mistaken(*forms: str, **how: Any) -> Formula:
    """The formula with a change, None in the forms that it does not concern."""
    return lambda form, **more: fisher(form=form, **more, **how) if form in forms else None


def taken_for(meant: str, taken: str) -> Formula:
    """The formula with one form taken for another."""
    return lambda form, **more: fisher(form=taken, **more) if form == meant else None


def mean_over_components(mu: Any, **more: Any) -> dict[str, Any]:
    """F divided by D."""
    return {"f": fisher(mu, **more)["f"] / mu.shape[-1]}


def each_component_alone(mu: Any, log_var: Any, eps: Any, log_r: Any, shape: Any, **attrs: Any) -> dict[str, Any]:
    """The prior is a product over components, each with its own u and D = 1."""
    log_r = np.broadcast_to(np.asarray(log_r, dtype=object), mu.shape)
    single = fisher(mu[..., None], log_var[..., None], eps[..., None], log_r[..., None], shape, **attrs)
    return {"f": np.sum(single["f"], axis=-1)}


def tags(family: str, form: str) -> tuple[str, ...]:
    """The tags of a form and of a family, whose second derivatives (numbers listed last) the implicit form needs."""
    forms = {"explicit": (4, 14), "weighted": (5, 15), "implicit": (6, 7, 16, 17, 18)}
    families = {"gaussian": ((2,), ()), "student": ((2, 3, 5), (4, 6)), "power": ((2, 3, 5), (4, 6))}
    families["laplace"] = ((2, 3, 4, 5), (6,))
    first, second = families[family]
    chain = (1, 2, 3, *forms[form], 8, 9, 10, 11, 12, 13)
    needed = first + second * (form == "implicit")
    return (*(f"fisher.{i}" for i in sorted(chain)), *(f"{family}.{i}" for i in sorted(needed)))


def case(
    name: str,
    family: str,
    form: str,
    sizes: tuple[int, ...],
    log_r: tuple[int, ...] | None = None,
    shape: float = 1.0,
    offset: float = 0.0,
    **more: Any,
) -> Case:
    """A case with mu of these sizes and log_r of its own, mu's where none are given."""
    label = f"fisher/{name}"
    arrays = {
        "mu": draw(f"{label}/mu", *sizes),
        "log_var": draw(f"{label}/log_var", *sizes, scale=0.75, mean=-0.5),
        "eps": draw(f"{label}/eps", *sizes, scale=1.5),
        "log_r": draw(f"{label}/log_r", *(sizes if log_r is None else log_r), scale=0.75),
        "shape": np.array([shape]),
    }
    attrs = {"family": family, "form": form, "offset": offset}
    return Case(name, arrays | more.pop("arrays", {}), attrs, equations=tags(family, form), **more)


def with_zeros(name: str, *parts: str) -> dict[str, np.ndarray]:
    """Arrays (1, 2, 3) by name whose first vector is zero."""
    drawn = {part: draw(f"fisher/{name}/{part}", 1, 2, 3) for part in parts}
    for array in drawn.values():
        array[0, 0] = 0.0
    return drawn


ZEROS = np.zeros((1, 2, 3))
FISHER = Book(
    op="fisher",
    inputs=("mu", "log_var", "eps", "log_r", "shape"),
    outputs=("f",),
    differentiable=("mu", "log_var", "log_r", "shape"),
    equations=(),
    formula=fisher,
    cases=(
        case("gaussian-weighted", "gaussian", "weighted", (2, 2, 3)),
        case("gaussian-explicit", "gaussian", "explicit", (1, 3, 2)),
        case("gaussian-implicit", "gaussian", "implicit", (2, 4)),
        case("student-weighted", "student", "weighted", (2, 2, 4), (4,), shape=2.5),
        case("student-explicit", "student", "explicit", (1, 3, 3), shape=2.25),
        case("student-implicit", "student", "implicit", (2, 2, 2), (2, 1, 2), shape=3.5),
        case("power-weighted", "power", "weighted", (1, 3, 3), shape=0.625, offset=2.0**-4),
        case("power-explicit", "power", "explicit", (2, 2, 4), (2, 1, 4), shape=1.5),
        case("power-implicit", "power", "implicit", (1, 4, 2), shape=0.75, offset=2.0**-3),
        case("laplace-weighted", "laplace", "weighted", (2, 2, 3), (3,)),
        case("laplace-explicit", "laplace", "explicit", (1, 2, 4), offset=2.0**-4),
        case("laplace-implicit", "laplace", "implicit", (1, 2, 5), offset=2.0**-6),
        case("one-vector-scalar-variance", "student", "implicit", (3,), (), shape=3.0, flags=EDGE),
        case("one-component", "laplace", "weighted", (2, 3, 1), offset=0.25, flags=EDGE),
        case(
            "posterior-is-prior",
            "gaussian",
            "weighted",
            (1, 2, 3),
            arrays=with_zeros("posterior-is-prior", "mu", "log_var", "log_r"),
            flags=EDGE,
        ),
        case("silence", "student", "implicit", (1, 2, 3), shape=2.0, arrays={"mu": ZEROS, "eps": ZEROS}, flags=EDGE),
        case(
            "zero-sample-laplace",
            "laplace",
            "implicit",
            (1, 2, 3),
            offset=2.0**-3,
            arrays=with_zeros("zero-sample-laplace", "mu", "eps"),
            flags=EDGE,
        ),
        case(
            "amplitude-1e-4",
            "power",
            "explicit",
            (1, 2, 3),
            shape=0.75,
            offset=2.0**-4,
            arrays={
                "mu": draw("fisher/small/mu", 1, 2, 3) * 2.0**-13,
                "log_var": draw("fisher/small/log_var", 1, 2, 3) - 12.0,
            },
            flags=EDGE,
        ),
        case(
            "far-from-prior",
            "student",
            "weighted",
            (1, 2, 4),
            shape=2.0,
            arrays={"mu": draw("fisher/far/mu", 1, 2, 4) * 32.0},
            flags=EDGE,
        ),
    ),
    mistakes=(
        Mistake(
            "score-sign",
            "your score of the prior is +phi R^-1 z; the case wants -phi R^-1 z",
            mistaken(*FORMS, sign=1),
        ),
        Mistake(
            "divergence-missing",
            "you leave out the divergence of the score; the case adds div psi",
            mistaken("implicit", divergent=0),
        ),
        Mistake(
            "phi-constant-in-divergence",
            "your divergence is -phi tr R^-1; the case adds -2 phi' z'R^-2 z, because phi depends on z",
            mistaken("implicit", twice=0),
        ),
        Mistake(
            "two-missing-in-divergence",
            "your divergence has phi' z'R^-2 z; the case has it twice, because u is a square",
            mistaken("implicit", twice=1),
        ),
        Mistake(
            "posterior-term-missing",
            "you leave out the posterior's own score; the case has eps/sig beside psi, or 1/sig^2 in the implicit form",
            mistaken(*FORMS, posterior=0),
        ),
        Mistake(
            "explicit-for-weighted",
            "you do not weigh; the case multiplies psi + eps/sig by sig before squaring",
            taken_for("weighted", "explicit"),
        ),
        Mistake(
            "weighted-for-explicit",
            "you multiply by sig before squaring; the case's form does not weigh",
            taken_for("explicit", "weighted"),
        ),
        Mistake(
            "explicit-for-implicit",
            "you compute the explicit form, equal on average; the case wants 1/2 |psi|^2 + div psi + 1/2 sum 1/sig^2",
            taken_for("implicit", "explicit"),
        ),
        Mistake(
            "weighted-by-variance",
            "you weigh with sig^2 before squaring; the case weighs with sig",
            mistaken("weighted", weight=lambda sig: sig * sig),
        ),
        Mistake(
            "log-var-as-log-std",
            "you take log_var as the logarithm of the deviation; it is that of the variance, sig = exp(log_var/2)",
            mistaken(*FORMS, deviation=np.exp),
        ),
        Mistake(
            "log-r-as-log-std",
            "you take log_r as the logarithm of a deviation; it is that of a variance, R^-1 = exp(-log_r)",
            mistaken(*FORMS, precision=lambda log_r: 1 / np.exp(2 * log_r)),
        ),
        Mistake(
            "r-for-its-inverse",
            "you multiply by R = exp(log_r); the case wants R^-1 = exp(-log_r)",
            mistaken(*FORMS, precision=np.exp),
        ),
        Mistake(
            "half-missing", "you leave out the factor 1/2 of the squares; the case has it", mistaken(*FORMS, half=1)
        ),
        Mistake("mean-over-components", "you take the mean over the last axis; the case sums", mean_over_components),
        Mistake(
            "each-component-alone",
            "you take a prior for each component; the case has one of the whole vector, with u summed over D",
            each_component_alone,
        ),
        Mistake(
            "gradient-not-through-u",
            "your gradient holds phi constant; the case differentiates phi(u) too, u = sum z^2 exp(-log_r)",
            gradient=gradient_of(mistaken(*FORMS, through_u=False), "mu", "log_var", "log_r"),
        ),
        Mistake(
            "gradient-not-through-noise",
            "your gradient of log_var leaves out z = mu + sig eps; the case goes through the sample",
            gradient=gradient_of(mistaken(*FORMS, through_noise=False), "log_var"),
        ),
    ),
    bad_cases=(
        BadCase("wrong-noise", "eps has 4 components, mu has 3", {"eps": draw("fisher/bad/eps", 2, 2, 4)}),
        BadCase("wrong-log-r", "log_r (2,) does not broadcast to (2, 2, 3)", {"log_r": draw("fisher/bad/log_r", 2)}),
    ),
    generator="golden/generate/formulas_fisher.py",
    axes={"mu": "... D", "log_var": "... D", "eps": "... D", "log_r": "...", "shape": "1", "f": "..."},
)

BOOKS = (FISHER,)
