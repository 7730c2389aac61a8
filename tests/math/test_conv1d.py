"""Every equation of docs/math/conv1d.md, worked out again from the traced values of its right-hand side."""

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
    return traced("conv1d")


@pytest.fixture
def windows(run: Trace) -> list[Array]:
    """Of every frame the samples (C, K) that it covers, those in front of the input zero."""
    stride, zeros = run.example.attributes["stride"], run.example.attributes["pad_left"]
    padded = np.pad(run.inputs["x"][0], ((0, 0), (zeros, 0)))
    return [padded[:, t * stride : t * stride + len(TAPS)] for t in FRAMES]


@pytest.mark.equation("conv1d.1")
def test_output(run: Trace, windows: list[Array], same: Same) -> None:
    w, b = run.inputs["w"][0], run.inputs["b"][0]
    for t in FRAMES:
        want = b + sum(w[c, k] * windows[t][c, k] for c, k in product(CHANNELS, TAPS))
        same(run.value("conv1d.1", t=t), want)
        same(run.outputs["y"][0, 0, t], want)
    assert run.outputs["y"].shape == (1, 1, len(FRAMES))


@pytest.mark.equation("conv1d.2")
def test_gradient_of_the_input(run: Trace, same: Same) -> None:
    w, dy = run.inputs["w"][0], run.cotangents["y"][0, 0]
    stride, zeros = run.example.attributes["stride"], run.example.attributes["pad_left"]
    for c, n in product(CHANNELS, SAMPLES):
        pairs = [(t, k) for t, k in product(FRAMES, TAPS) if t * stride + k - zeros == n]
        want = sum(w[c, k] * dy[t] for t, k in pairs)
        last, tap = pairs[-1]
        same(run.value("conv1d.2", t=last, c=c, k=tap), want)
        same(run.grads["x"][0, c, n], want)


@pytest.mark.equation("conv1d.3")
def test_gradient_of_the_kernels(run: Trace, windows: list[Array], same: Same) -> None:
    dy = run.cotangents["y"][0, 0]
    for c, k in product(CHANNELS, TAPS):
        want = sum(dy[t] * windows[t][c, k] for t in FRAMES)
        same(run.value("conv1d.3", c=c, k=k), want)
        same(run.grads["w"][0, c, k], want)


@pytest.mark.equation("conv1d.4")
def test_gradient_of_the_biases(run: Trace, same: Same) -> None:
    want = sum(run.cotangents["y"][0, 0, t] for t in FRAMES)
    same(run.value("conv1d.4"), want)
    same(run.grads["b"], [want])


@pytest.fixture(scope="module")
def wide() -> Trace:
    """Two items, three channels, four outputs, five taps, six frames: sizes that show which index stands where."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape) for name, shape in {"x": (2, 3, 13), "w": (4, 3, 5), "b": (4,)}.items()}
    cotangents = {"y": rng.standard_normal((2, 4, 6))}
    return trace(Example("conv1d", "conv1d", "", arrays, ("y",), cotangents, {"stride": 2, "pad_left": 3}))


@pytest.mark.equation("conv1d.1", "conv1d.2", "conv1d.3", "conv1d.4")
def test_several_items_and_outputs(wide: Trace, same: Same) -> None:
    w, dy = wide.inputs["w"], wide.cotangents["y"]
    padded = np.pad(wide.inputs["x"], ((0, 0), (0, 0), (3, 0)))
    covered = np.stack([padded[:, :, 2 * t : 2 * t + 5] for t in range(6)])
    same(wide.outputs["y"], np.einsum("ock,tick->iot", w, covered) + wide.inputs["b"][:, None])
    reached = np.zeros(padded.shape)
    for t in range(6):
        reached[:, :, 2 * t : 2 * t + 5] += np.einsum("ock,io->ick", w, dy[:, :, t])
    same(wide.grads["x"], reached[:, :, 3:])
    same(wide.grads["w"], np.einsum("iot,tick->ock", dy, covered))
    same(wide.grads["b"], np.einsum("iot->o", dy))
