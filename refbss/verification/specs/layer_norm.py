"""What layer_norm must satisfy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.layer_norm import layer_norm_backward, layer_norm_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, ...]:
    """One frame at a time with exact sums, variance as mean square minus squared mean of the shifted frame."""
    channels = x.shape[-1]
    y = np.empty(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        mean = math.fsum(x[index]) / channels
        variance = math.fsum((value - mean) ** 2 for value in x[index]) / channels
        for c in range(channels):
            y[(*index, c)] = beta[c] + gamma[c] * (x[(*index, c)] - mean) / math.sqrt(variance + eps)
    return (y,)


def draw(*shape: int) -> Any:
    """Return the function that draws arrays of these sizes."""

    def arrays(rng: np.random.Generator) -> Arrays:
        gamma = normal(rng, shape[-1], mean=1.0, scale=0.5)
        return {"x": normal(rng, *shape, mean=0.3), "gamma": gamma, "beta": normal(rng, shape[-1])}

    return arrays


def missing_projection(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient treats the standard deviation as a constant."""

    def faulty_backward(dy: Array, cache: Any) -> Any:
        grads = backward(dy, cache)
        dxhat = dy * cache.gamma
        centred = (dxhat - dxhat.mean(axis=-1, keepdims=True)) * cache.inverse
        return grads._replace(dx=centred.astype(dy.dtype))

    return forward, faulty_backward


SPEC = OpSpec(
    name="layer_norm",
    forward=layer_norm_forward,
    backward=layer_norm_backward,
    oracle=oracle,
    outputs=("y",),
    differentiable=("x", "gamma", "beta"),
    cases=(
        Case("frames", draw(2, 3, 5)),
        Case("one frame", draw(4)),
        Case("large eps", draw(3, 4), {"eps": 0.3}),
        Case("four axes", draw(2, 1, 2, 3)),
    ),
    linear=("gamma", "beta"),
    faults=(Fault("gradient through the deviation forgotten", "differences", missing_projection),),
    bad_calls=(
        BadCall("gamma length", r"gamma has shape \(4,\).*, wanted C = 5 as x has", {"gamma": np.zeros(4)}),
        BadCall("beta length", r"beta has shape \(6,\).*, wanted C = 5 as x has", {"beta": np.zeros(6)}),
        BadCall("eps 0", r"eps is 0\.0, wanted a finite number above 0", attributes={"eps": 0.0}),
        BadCall("eps nan", "eps is nan, wanted a finite number above 0", attributes={"eps": float("nan")}),
    ),
    free_axes=("x",),
)
