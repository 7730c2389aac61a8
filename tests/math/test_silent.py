"""Every equation of docs/math/silent.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log10

import numpy as np
import pytest

from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
ESTIMATES, SAMPLES = range(2), range(2)
TINY = 1e-30


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("silent")


@pytest.fixture
def floored(run: Trace) -> list[float]:
    """|e|^2 + floor |x|^2 of every estimate."""
    e, x, floor = run.inputs["est"][0], run.inputs["mix"][0], run.example.attributes["floor"]
    return [sum(e[p, n] ** 2 + floor * x[n] ** 2 for n in SAMPLES) for p in ESTIMATES]


@pytest.mark.equation("silent.1")
def test_loss(run: Trace, floored: list[float], same: Same) -> None:
    energy = sum(run.inputs["mix"][0, n] ** 2 for n in SAMPLES)
    want = [[10 * log10(floored[p] / energy) for p in ESTIMATES]]
    same(run.value("silent.1"), want)
    same(run.outputs["loss"], want)


@pytest.mark.equation("silent.2")
def test_gradient_of_the_estimate(run: Trace, floored: list[float], same: Same) -> None:
    e, d = run.inputs["est"][0], run.cotangents["loss"][0]
    want = [[[d[p] * 20 / log(10) * e[p, n] / floored[p] for n in SAMPLES] for p in ESTIMATES]]
    same(run.value("silent.2"), want)
    same(run.grads["est"], want)


def example(est: object, mix: object, dloss: object, floor: float) -> Trace:
    arrays = {"est": est, "mix": mix}
    return trace(Example("silent", "silent", "", arrays, ("loss",), {"loss": dloss}, {"floor": floor}))


@pytest.mark.equation("silent.1", "silent.2")
def test_several_estimates(same: Same) -> None:
    """Two items, three estimates, four samples; quarters, so that every sum is exact."""
    rng = np.random.default_rng(0)
    e, x, d = (rng.integers(-8, 9, shape) / 4 for shape in ((2, 3, 4), (2, 4), (2, 3)))
    run = example(e, x, d, 0.25)
    energy = np.einsum("bn,bn->b", x, x)[:, None]
    floored = np.einsum("bpn,bpn->bp", e, e) + energy / 4
    same(run.outputs["loss"], 10 * np.log10(floored / energy))
    same(run.grads["est"], 20 / log(10) * np.einsum("bp,bpn->bpn", d / floored, e))


@pytest.mark.equation("silent.1", "silent.2")
def test_silence(same: Same) -> None:
    run = example([[[0.0, 0.0], [1e-5, 0.0]]], [[0.0, 0.0]], [[1.5, -0.5]], 0.01)
    same(run.outputs["loss"], [[0.0, 10 * log10(1e-10 / TINY)]])
    same(run.grads["est"], [[[0.0, 0.0], [-0.5 * 20 / log(10) / 1e-5, 0.0]]])


@pytest.mark.equation("silent.1")
def test_best_value_is_the_floor(same: Same) -> None:
    same(example([[[0.0, 0.0]]], [[1.0, -2.0]], [[1.5]], 1e-3).outputs["loss"], [[-30.0]])
