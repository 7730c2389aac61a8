"""Every equation of docs/math/mixture.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
ESTIMATES, SAMPLES = range(2), range(2)
TINY = 1e-30


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("mixture_consistency")


@pytest.fixture
def energy(run: Trace) -> float:
    """|x|^2."""
    return sum(run.inputs["mix"][0, n] ** 2 for n in SAMPLES)


@pytest.mark.equation("mixture.1")
def test_what_is_left_over(run: Trace, same: Same) -> None:
    y, x = run.inputs["est"][0], run.inputs["mix"][0]
    same(run.value("mixture.1"), [[x[n] - sum(y[p, n] for p in ESTIMATES) for n in SAMPLES]])


@pytest.mark.equation("mixture.2")
def test_loss(run: Trace, energy: float, same: Same) -> None:
    e = run.value("mixture.1")[0]
    want = [sum(e[n] ** 2 for n in SAMPLES) / energy]
    same(run.value("mixture.2"), want)
    same(run.outputs["loss"], want)


@pytest.mark.equation("mixture.3")
def test_gradient_of_the_estimates(run: Trace, energy: float, same: Same) -> None:
    e, d = run.value("mixture.1")[0], run.cotangents["loss"][0]
    want = [-2 * d * e[n] / energy for n in SAMPLES]
    same(run.value("mixture.3"), [want])
    same(run.grads["est"], [[want for _ in ESTIMATES]])


def example(est: object, mix: object, dloss: object) -> Trace:
    arrays = {"est": est, "mix": mix}
    return trace(Example("mixture_consistency", "mixture", "", arrays, ("loss",), {"loss": dloss}))


@pytest.mark.equation("mixture.1", "mixture.2", "mixture.3")
def test_several_items(same: Same) -> None:
    """Two items, three estimates, four samples; quarters, so that every sum is exact."""
    rng = np.random.default_rng(0)
    y, x, d = (rng.integers(-8, 9, shape) / 4 for shape in ((2, 3, 4), (2, 4), (2,)))
    run = example(y, x, d)
    e, energy = x - np.einsum("bpn->bn", y), np.einsum("bn,bn->b", x, x)
    same(run.value("mixture.1"), e)
    same(run.outputs["loss"], np.einsum("bn,bn->b", e, e) / energy)
    want = -2 * np.einsum("b,bn->bn", d / energy, e)
    same(run.value("mixture.3"), want)
    same(run.grads["est"], np.stack([want, want, want], axis=1))


@pytest.mark.equation("mixture.2", "mixture.3")
def test_silent_mixture(same: Same) -> None:
    run = example([[[0.5, 0.0], [0.0, 2.0]]], [[0.0, 0.0]], [1.5])
    same(run.outputs["loss"], [4.25 / TINY])
    same(run.grads["est"], [[[1.5 / TINY, 6.0 / TINY], [1.5 / TINY, 6.0 / TINY]]])
