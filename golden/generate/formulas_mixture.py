"""Golden cases of mixture consistency and of the KL divergence of two Gaussians, and of what is taken for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from book import BadCase, Book, Case, Formula, Mistake, draw
from formulas_signal import EDGE, SMALL, TINY, decibels, energy, mixed
from mpmath import mpf

GENERATOR = "golden/generate/formulas_mixture.py"


def of_mixtures(measure: Callable[[Any, Any], Any]) -> Formula:
    """est (B, P, N), mix (B, N) -> loss (B,), the measure of every item."""

    def formula(est: Any, mix: Any) -> dict[str, Any]:
        return {"loss": np.array([measure(y, x) for y, x in zip(est, mix, strict=True)], dtype=object)}

    return formula


def unexplained_share(y: Any, x: Any) -> Any:
    """Energy of what the estimates y (P, N) leave of the mixture x (N,), relative to the mixture's."""
    return energy(x - sum(y)) / (energy(x) + TINY)


def root(ratio: Any) -> Any:
    """The square root; where it has no derivative the mistake cannot be made."""
    if not ratio > 0:
        raise ValueError("the root has no derivative at zero")
    return np.sqrt(ratio)


def mixture_case(name: str, *sizes: int, scale: float = 1.0, **more: Any) -> Case:
    """A case with signals of these sizes (B, P, N)."""
    return Case(name, mixed("mixture_consistency", name, *sizes, scale=scale) | more.pop("arrays", {}), **more)


EXPLAINED = draw("mixture_consistency/perfect/est", 1, 2, 5)
MIXTURE_CONSISTENCY = Book(
    op="mixture_consistency",
    inputs=("est", "mix"),
    outputs=("loss",),
    differentiable=("est",),
    equations=("mixture.1", "mixture.2", "mixture.3"),
    formula=of_mixtures(unexplained_share),
    cases=(
        mixture_case("plain", 2, 2, 6),
        mixture_case("three-outputs", 1, 3, 5),
        mixture_case("long", 3, 2, 12),
        mixture_case("silent-estimate", 2, 2, 5, arrays={"est": np.zeros((2, 2, 5))}, flags=EDGE),
        mixture_case("silent-mixture", 1, 2, 5, arrays={"mix": np.zeros((1, 5))}, flags=EDGE),
        mixture_case("silence", 1, 2, 4, arrays={"est": np.zeros((1, 2, 4)), "mix": np.zeros((1, 4))}, flags=EDGE),
        mixture_case("perfect", 1, 2, 5, arrays={"est": EXPLAINED, "mix": EXPLAINED.sum(axis=1)}, flags=EDGE),
        mixture_case("amplitude-1e-4", 1, 2, 6, scale=SMALL, flags=EDGE),
        mixture_case("one-output-one-sample", 2, 1, 1, flags=EDGE),
        mixture_case("constant-input", 1, 2, 6, arrays={"mix": np.full((1, 6), 0.75)}, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "not-normalised",
            "you return the energy of the unexplained part; the case divides it by the mixture's energy",
            of_mixtures(lambda y, x: energy(x - sum(y))),
        ),
        Mistake(
            "mean-square",
            "you return the mean square of the unexplained part; the case wants its energy over the mixture's",
            of_mixtures(lambda y, x: energy(x - sum(y)) / x.size),
        ),
        Mistake(
            "ratio-of-amplitudes",
            "you return a ratio of norms, the square root; the case wants the ratio of energies",
            of_mixtures(lambda y, x: root(unexplained_share(y, x))),
        ),
        Mistake(
            "decibels",
            "you return dB; the case wants the plain ratio of energies",
            of_mixtures(lambda y, x: decibels(unexplained_share(y, x) + TINY)),
        ),
        Mistake(
            "mean-of-estimates",
            "you compare the mixture with the mean of the estimates; the case wants their sum",
            of_mixtures(lambda y, x: energy(x - sum(y) / len(y)) / (energy(x) + TINY)),
        ),
        Mistake(
            "each-estimate-alone",
            "you sum |x - y_p|^2 over the estimates; the case sums the estimates first",
            of_mixtures(lambda y, x: sum(energy(x - output) for output in y) / (energy(x) + TINY)),
        ),
        Mistake(
            "energies-added",
            "you compare the mixture's energy with the sum of the estimates' energies; the case compares the signals",
            of_mixtures(lambda y, x: (energy(x) - sum(energy(y))) ** 2 / (energy(x) ** 2 + TINY)),
        ),
        Mistake(
            "gradient-shared-out",
            "your gradient is divided by the number of estimates; every estimate gets the whole gradient of the sum",
            gradient=lambda arrays, cotangents, grads, attrs: {"est": grads["est"] / arrays["est"].shape[1]},
        ),
    ),
    bad_cases=(
        BadCase("wrong-length", "mix has 5 samples, est has 6", {"mix": draw("mixture_consistency/bad/mix", 2, 5)}),
    ),
    generator=GENERATOR,
    axes={"est": "B P N", "mix": "B N", "loss": "B"},
)


# ---------------------------------------------------------------- KL divergence of two Gaussians


def terms(mu: Any, log_var: Any, log_r: Any) -> Any:
    """Twice the divergence of every component: variance ratio and mean against the prior's variance."""
    ratio = np.exp(log_var - log_r)
    return ratio - 1 - (log_var - log_r) + mu * mu / np.exp(log_r)


def over_last(measure: Callable[[Any, Any, Any], Any], share: Callable[[int], Any] = lambda d: mpf(1) / 2) -> Formula:
    """mu, log_var (..., D), log_r that broadcasts -> kl (...,): the sum over D of the measure times a share."""

    def formula(mu: Any, log_var: Any, log_r: Any) -> dict[str, Any]:
        log_r = np.broadcast_to(np.asarray(log_r, dtype=object), mu.shape)
        return {"kl": np.sum(measure(mu, log_var, log_r), axis=-1) * share(mu.shape[-1])}

    return formula


def reversed_terms(mu: Any, log_var: Any, log_r: Any) -> Any:
    """The prior's divergence from the posterior."""
    return np.exp(log_r - log_var) - 1 - (log_r - log_var) + mu * mu / np.exp(log_var)


def kl_case(name: str, shape: tuple[int, ...], log_r: tuple[int, ...] | None = None, **more: Any) -> Case:
    """A case with mu of this shape and log_r of its own, mu's where none is given."""
    label = f"gaussian_kl/{name}"
    arrays = {
        "mu": draw(f"{label}/mu", *shape, scale=1.5),
        "log_var": draw(f"{label}/log_var", *shape, mean=-0.5),
        "log_r": draw(f"{label}/log_r", *(shape if log_r is None else log_r), scale=1.5),
    }
    return Case(name, arrays | more.pop("arrays", {}), **more)


EQUAL = draw("gaussian_kl/equal/log_r", 2, 3)
SECOND = np.array([[0.0], [1.0]])
"""The first vector's Gaussian is the prior."""

GAUSSIAN_KL = Book(
    op="gaussian_kl",
    inputs=("mu", "log_var", "log_r"),
    outputs=("kl",),
    differentiable=("mu", "log_var", "log_r"),
    equations=tuple(f"kl.{i}" for i in range(1, 5)),
    formula=over_last(terms),
    cases=(
        kl_case("plain", (2, 3, 4)),
        kl_case("vector-of-variances", (2, 3, 4), (4,)),
        kl_case("repeated-over-frames", (2, 2, 3, 2), (2, 1, 2)),
        kl_case("one-frame", (1, 5), flags=EDGE),
        kl_case("one-component", (2, 3, 1), flags=EDGE),
        kl_case("no-batch-scalar-variance", (3,), (), flags=EDGE),
        kl_case("equal", (2, 3), arrays={"mu": EQUAL * SECOND, "log_var": EQUAL + SECOND, "log_r": EQUAL}, flags=EDGE),
        kl_case("amplitude-1e-4", (2, 3), arrays={"mu": draw("gaussian_kl/small/mu", 2, 3) * SMALL}, flags=EDGE),
        kl_case(
            "far-apart",
            (2, 3),
            arrays={name: 8.0 * draw(f"gaussian_kl/far/{name}", 2, 3) for name in ("mu", "log_var", "log_r")},
            flags=EDGE,
        ),
    ),
    mistakes=(
        Mistake(
            "reversed",
            "you compute KL(prior || posterior); the case wants KL(posterior || prior)",
            over_last(reversed_terms),
        ),
        Mistake(
            "log-var-as-log-std",
            "you take log_var and log_r as logarithms of deviations; they are logarithms of variances",
            over_last(lambda mu, log_var, log_r: terms(mu, 2 * log_var, 2 * log_r)),
        ),
        Mistake(
            "posterior-log-std",
            "you take log_var as the logarithm of a deviation; it is that of a variance, as log_r is",
            over_last(lambda mu, log_var, log_r: terms(mu, 2 * log_var, log_r)),
        ),
        Mistake(
            "mean-over-components",
            "you take the mean over the last axis; the case wants the sum",
            over_last(terms, lambda d: mpf(1) / (2 * d)),
        ),
        Mistake("half-missing", "you leave out the factor 1/2", over_last(terms, lambda d: 1)),
        Mistake(
            "one-missing",
            "you leave out the -1 of every component, so the divergence of equal Gaussians is not zero",
            over_last(lambda *a: terms(*a) + 1),
        ),
        Mistake(
            "standard-prior",
            "you take a prior of variance one; the case has its own, exp(log_r)",
            over_last(lambda mu, log_var, log_r: terms(mu, log_var, 0 * log_r)),
        ),
        Mistake(
            "precision-for-variance",
            "you take exp(log_r) as the prior's precision; it is its variance",
            over_last(lambda mu, log_var, log_r: terms(mu, log_var, -log_r)),
        ),
        Mistake(
            "mean-not-scaled",
            "you add mu^2 as it is; the case divides it by the prior's variance",
            over_last(lambda mu, log_var, log_r: terms(0 * mu, log_var, log_r) + mu * mu),
        ),
        Mistake(
            "bits",
            "you return bits; the case wants nats",
            over_last(terms, lambda d: 1 / (2 * mpmath.log(2))),
        ),
    ),
    bad_cases=(
        BadCase("wrong-log-var", "log_var has 5 components, mu has 4", {"log_var": draw("gaussian_kl/bad", 2, 3, 5)}),
        BadCase("wrong-log-r", "log_r (3,) does not broadcast to (2, 3, 4)", {"log_r": draw("gaussian_kl/bad/r", 3)}),
    ),
    generator=GENERATOR,
    axes={"mu": "... D", "log_var": "... D", "log_r": "...", "kl": "..."},
)

BOOKS = (MIXTURE_CONSISTENCY, GAUSSIAN_KL)
