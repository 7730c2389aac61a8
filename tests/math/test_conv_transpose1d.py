"""Every equation of docs/math/conv_transpose1d.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from refbss._types import Array
from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
FRAMES, TAPS, CHANNELS, SAMPLES = range(2), range(3), range(2), range(4)


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("conv_transpose1d")


@pytest.fixture
def windows(run: Trace) -> list[Array]:
    """Of every frame the cotangents (K,) of the samples that it reaches, those of dropped samples zero."""
    stride, dropped = run.example.attributes["stride"], run.example.attributes["trim_right"]
    continued = np.pad(run.cotangents["y"][0, 0], (0, dropped))
    return [continued[t * stride : t * stride + len(TAPS)] for t in FRAMES]


@pytest.mark.equation("conv_transpose1d.1")
def test_output(run: Trace, same: Same) -> None:
    x, w, b = run.inputs["x"][0], run.inputs["w"][:, 0], run.inputs["b"][0]
    stride = run.example.attributes["stride"]
    for n in SAMPLES:
        pairs = [(t, k) for t, k in product(FRAMES, TAPS) if t * stride + k == n]
        want = b + sum(w[c, k] * x[c, t] for (t, k), c in product(pairs, CHANNELS))
        same(run.value("conv_transpose1d.1", n=n), want)
        same(run.outputs["y"][0, 0, n], want)
    assert run.outputs["y"].shape == (1, 1, len(SAMPLES))


@pytest.mark.equation("conv_transpose1d.2")
def test_gradient_of_the_input(run: Trace, windows: list[Array], same: Same) -> None:
    w = run.inputs["w"][:, 0]
    for c, t in product(CHANNELS, FRAMES):
        want = sum(w[c, k] * windows[t][k] for k in TAPS)
        same(run.value("conv_transpose1d.2", c=c, t=t), want)
        same(run.grads["x"][0, c, t], want)


@pytest.mark.equation("conv_transpose1d.3")
def test_gradient_of_the_kernels(run: Trace, windows: list[Array], same: Same) -> None:
    x = run.inputs["x"][0]
    for c, k in product(CHANNELS, TAPS):
        want = sum(x[c, t] * windows[t][k] for t in FRAMES)
        same(run.value("conv_transpose1d.3", c=c, k=k), want)
        same(run.grads["w"][c, 0, k], want)


@pytest.mark.equation("conv_transpose1d.4")
def test_gradient_of_the_biases(run: Trace, same: Same) -> None:
    want = sum(run.cotangents["y"][0, 0, n] for n in SAMPLES)
    same(run.value("conv_transpose1d.4"), want)
    same(run.grads["b"], [want])


@pytest.mark.equation("conv_transpose1d.1", "conv_transpose1d.2")
def test_the_gradient_is_the_adjoint_of_the_forward_pass(run: Trace, same: Same) -> None:
    sent = np.sum((run.outputs["y"] - run.inputs["b"][0]) * run.cotangents["y"])
    same(np.sum(run.inputs["x"] * run.grads["x"]), sent)


@pytest.fixture(scope="module")
def wide() -> Trace:
    """Two items, three channels, four outputs, five taps, six frames: sizes that show which index stands where."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape) for name, shape in {"x": (2, 3, 6), "w": (3, 4, 5), "b": (4,)}.items()}
    cotangents, attributes = {"y": rng.standard_normal((2, 4, 12))}, {"stride": 2, "trim_right": 3}
    return trace(Example("conv_transpose1d", "conv_transpose1d", "", arrays, ("y",), cotangents, attributes))


@pytest.mark.equation("conv_transpose1d.1", "conv_transpose1d.2", "conv_transpose1d.3", "conv_transpose1d.4")
def test_several_items_and_outputs(wide: Trace, same: Same) -> None:
    x, w, dy = wide.inputs["x"], wide.inputs["w"], wide.cotangents["y"]
    reached = np.zeros((2, 4, 15))
    for t in range(6):
        reached[:, :, 2 * t : 2 * t + 5] += np.einsum("cok,ic->iok", w, x[:, :, t])
    same(wide.outputs["y"], reached[:, :, :12] + wide.inputs["b"][:, None])
    continued = np.pad(dy, ((0, 0), (0, 0), (0, 3)))
    covered = np.stack([continued[:, :, 2 * t : 2 * t + 5] for t in range(6)])
    same(wide.grads["x"], np.einsum("cok,tiok->ict", w, covered))
    same(wide.grads["w"], np.einsum("ict,tiok->cok", x, covered))
    same(wide.grads["b"], np.einsum("ion->o", dy))
