"""Every equation of docs/math/kl.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, pi

import numpy as np
import pytest

from refbss._types import Array
from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
LATENTS, COMPONENTS = range(2), range(2)


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("gaussian_kl")


def each(run: Trace, number: Callable[[float, float, float, float], float]) -> Array:
    """(2, 2): a function of the cotangent, mu, log_var and log_r of every component; both latents have one log_r."""
    mu, log_var, log_r, d = run.inputs["mu"], run.inputs["log_var"], run.inputs["log_r"], run.cotangents["kl"]
    rows = [[number(d[i], mu[i, k], log_var[i, k], log_r[k]) for k in COMPONENTS] for i in LATENTS]
    return np.array(rows, dtype=np.float64)


@pytest.mark.equation("kl.1")
def test_divergence(run: Trace, same: Same) -> None:
    terms = each(run, lambda _, mu, log_var, log_r: (log_r - log_var - 1 + (exp(log_var) + mu**2) * exp(-log_r)) / 2)
    want = [sum(terms[i]) for i in LATENTS]
    same(run.value("kl.1"), want)
    same(run.outputs["kl"], want)


@pytest.mark.equation("kl.1")
def test_divergence_is_the_integral(run: Trace) -> None:
    """Of every component by the trapezoidal rule, which is exact to rounding for what falls off at both ends."""

    def integral(_: float, mu: float, log_var: float, log_r: float) -> float:
        z = mu + exp(log_var / 2) * np.linspace(-12, 12, 481)
        log_q = -(log(2 * pi) + log_var + (z - mu) ** 2 * exp(-log_var)) / 2
        log_p = -(log(2 * pi) + log_r + z**2 * exp(-log_r)) / 2
        return float(sum(np.exp(log_q) * (log_q - log_p)) * (z[1] - z[0]))

    assert run.outputs["kl"] == pytest.approx(each(run, integral).sum(axis=1), rel=1e-13)


@pytest.mark.equation("kl.2")
def test_gradient_of_the_mean(run: Trace, same: Same) -> None:
    want = each(run, lambda d, mu, log_var, log_r: d * mu * exp(-log_r))
    same(run.value("kl.2"), want)
    same(run.grads["mu"], want)


@pytest.mark.equation("kl.3")
def test_gradient_of_the_log_variance(run: Trace, same: Same) -> None:
    want = each(run, lambda d, mu, log_var, log_r: d * (exp(log_var - log_r) - 1) / 2)
    same(run.value("kl.3"), want)
    same(run.grads["log_var"], want)


@pytest.mark.equation("kl.4")
def test_gradient_of_the_prior(run: Trace, same: Same) -> None:
    want = each(run, lambda d, mu, log_var, log_r: d * (1 - (exp(log_var) + mu**2) * exp(-log_r)) / 2)
    shares = run.value("kl.4")
    same(shares, want)
    same(run.grads["log_r"], [shares[0, k] + shares[1, k] for k in COMPONENTS])


@pytest.mark.equation("kl.1", "kl.2", "kl.3", "kl.4")
@pytest.mark.parametrize(
    ("shape", "uses"), [((), "bld->"), ((4,), "bld->d"), ((3, 1), "bld->l"), ((2, 3, 4), "bld->bld")]
)
def test_two_axes_of_latents(shape: tuple[int, ...], uses: str, same: Same) -> None:
    """Two by three latents of four components, and a prior that is repeated along some axes, or none."""
    rng = np.random.default_rng(0)
    mu, log_var, log_r, d = (rng.standard_normal(sizes) for sizes in ((2, 3, 4), (2, 3, 4), shape, (2, 3)))
    arrays = {"mu": mu, "log_var": log_var, "log_r": log_r}
    run = trace(Example("gaussian_kl", "kl", "", arrays, ("kl",), {"kl": d}))
    r = np.broadcast_to(log_r, (2, 3, 4))
    ratio = np.exp(log_var - r) + mu * mu / np.exp(r)
    same(run.outputs["kl"], np.einsum("bld->bl", r - log_var - 1 + ratio) / 2)
    same(run.grads["mu"], np.einsum("bl,bld->bld", d, mu / np.exp(r)))
    same(run.grads["log_var"], np.einsum("bl,bld->bld", d, np.exp(log_var - r) - 1) / 2)
    shares = np.einsum("bl,bld->bld", d, 1 - ratio) / 2
    same(run.value("kl.4"), shares)
    same(run.grads["log_r"], np.einsum(uses, shares).reshape(shape))
