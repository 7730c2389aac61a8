"""Every equation of docs/math/layer_norm.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest

from refbss._types import Array
from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
FRAMES, CHANNELS = range(2), range(3)


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("layer_norm")


@pytest.fixture
def xhat(run: Trace) -> Array:
    return run.value("layer_norm.3")


@pytest.fixture
def roots(run: Trace) -> list[float]:
    """The root of variance and eps of every frame."""
    return [sqrt(run.value("layer_norm.2")[f, 0] + run.example.attributes["eps"]) for f in FRAMES]


@pytest.mark.equation("layer_norm.1")
def test_mean(run: Trace, same: Same) -> None:
    x = run.inputs["x"]
    same(run.value("layer_norm.1"), [[sum(x[f]) / len(CHANNELS)] for f in FRAMES])


@pytest.mark.equation("layer_norm.2")
def test_variance(run: Trace, same: Same) -> None:
    x, mean = run.inputs["x"], run.value("layer_norm.1")
    same(
        run.value("layer_norm.2"),
        [[sum((x[f, c] - mean[f, 0]) ** 2 for c in CHANNELS) / len(CHANNELS)] for f in FRAMES],
    )


@pytest.mark.equation("layer_norm.3")
def test_normalised_input(run: Trace, xhat: Array, roots: list[float], same: Same) -> None:
    x, mean = run.inputs["x"], run.value("layer_norm.1")
    same(xhat, [[(x[f, c] - mean[f, 0]) / roots[f] for c in CHANNELS] for f in FRAMES])


@pytest.mark.equation("layer_norm.4")
def test_output(run: Trace, xhat: Array, same: Same) -> None:
    gamma, beta = run.inputs["gamma"], run.inputs["beta"]
    want = [[gamma[c] * xhat[f, c] + beta[c] for c in CHANNELS] for f in FRAMES]
    same(run.value("layer_norm.4"), want)
    same(run.outputs["y"], want)


@pytest.mark.equation("layer_norm.5")
def test_gradients_of_the_parameters(run: Trace, xhat: Array, same: Same) -> None:
    dy = run.cotangents["y"]
    dbeta = [sum(dy[f, c] for f in FRAMES) for c in CHANNELS]
    dgamma = [sum(dy[f, c] * xhat[f, c] for f in FRAMES) for c in CHANNELS]
    same(run.value("layer_norm.5", "dbeta"), dbeta)
    same(run.value("layer_norm.5", "dgamma"), dgamma)
    same(run.grads["beta"], dbeta)
    same(run.grads["gamma"], dgamma)


@pytest.mark.equation("layer_norm.6")
def test_gradient_of_the_normalised_input(run: Trace, same: Same) -> None:
    gamma, dy = run.inputs["gamma"], run.cotangents["y"]
    same(run.value("layer_norm.6"), [[gamma[c] * dy[f, c] for c in CHANNELS] for f in FRAMES])


@pytest.mark.equation("layer_norm.7")
def test_gradient_of_the_input(run: Trace, xhat: Array, roots: list[float], same: Same) -> None:
    dxhat = run.value("layer_norm.6")
    want = np.empty((len(FRAMES), len(CHANNELS)))
    for f in FRAMES:
        mean = sum(dxhat[f]) / len(CHANNELS)
        slope = sum(dxhat[f, c] * xhat[f, c] for c in CHANNELS) / len(CHANNELS)
        for c in CHANNELS:
            want[f, c] = (dxhat[f, c] - mean - slope * xhat[f, c]) / roots[f]
    same(run.value("layer_norm.7"), want)
    same(run.grads["x"], want)


@pytest.fixture(scope="module")
def wide() -> Trace:
    """Two axes of frames, four channels."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape) for name, shape in {"x": (2, 3, 4), "gamma": (4,), "beta": (4,)}.items()}
    cotangents = {"y": rng.standard_normal((2, 3, 4))}
    return trace(Example("layer_norm", "layer_norm", "", arrays, ("y",), cotangents, {"eps": 0.25}))


@pytest.mark.equation("layer_norm.1", "layer_norm.2", "layer_norm.3", "layer_norm.4")
def test_forward_over_two_axes_of_frames(wide: Trace, same: Same) -> None:
    x, (mean, var, xhat) = wide.inputs["x"], (wide.value(f"layer_norm.{number}") for number in (1, 2, 3))
    same(mean, np.einsum("lmc->lm", x)[:, :, None] / 4)
    same(var, np.einsum("lmc,lmc->lm", x - mean, x - mean)[:, :, None] / 4)
    same(xhat, (x - mean) / np.sqrt(var + 0.25))
    same(wide.outputs["y"], wide.inputs["gamma"] * xhat + wide.inputs["beta"])


@pytest.mark.equation("layer_norm.5", "layer_norm.6", "layer_norm.7")
def test_backward_over_two_axes_of_frames(wide: Trace, same: Same) -> None:
    var, xhat, dxhat = (wide.value(f"layer_norm.{number}") for number in (2, 3, 6))
    dy = wide.cotangents["y"]
    same(wide.grads["beta"], np.einsum("lmc->c", dy))
    same(wide.grads["gamma"], np.einsum("lmc,lmc->c", dy, xhat))
    same(dxhat, wide.inputs["gamma"] * dy)
    jacobian = np.eye(4) - 1 / 4 - np.einsum("lmc,lmj->lmcj", xhat, xhat) / 4
    same(wide.grads["x"], np.einsum("lmc,lmcj->lmj", dxhat, jacobian) / np.sqrt(var + 0.25))
