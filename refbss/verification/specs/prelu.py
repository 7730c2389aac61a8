"""What prelu must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.prelu import prelu_backward, prelu_forward
from refbss.verification.draw import normal, off_zero
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(x: Array, a: Array) -> tuple[Array, ...]:
    """max(x, 0) + a min(x, 0), channel by channel."""
    slopes = list(a) * (x.shape[1] // len(a))
    rows = [np.maximum(x[:, c], 0.0) + slopes[c] * np.minimum(x[:, c], 0.0) for c in range(x.shape[1])]
    return (np.stack(rows, axis=1),)


def draw(batch: int, channels: int, samples: int, slopes: int) -> Any:
    """Return the function that draws arrays of these sizes."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"x": off_zero(rng, batch, channels, samples), "a": normal(rng, slopes, mean=0.25, scale=0.4)}

    return arrays


def slope_everywhere(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The slope's gradient sums over positive inputs too."""

    def faulty_backward(dy: Array, cache: Any) -> Any:
        grads = backward(dy, cache)
        da = (dy * cache.x).sum(axis=(0, 2))
        return grads._replace(da=da if grads.da.shape == da.shape else da.sum(keepdims=True))

    return forward, faulty_backward


SPEC = OpSpec(
    name="prelu",
    forward=prelu_forward,
    backward=prelu_backward,
    oracle=oracle,
    outputs=("y",),
    differentiable=("x", "a"),
    cases=(
        Case("slope a channel", draw(2, 3, 4, 3)),
        Case("shared slope", draw(2, 3, 4, 1)),
        Case("one channel", draw(2, 1, 5, 1)),
    ),
    linear=("a",),
    faults=(Fault("slope gradient sums positive inputs too", "adjoint", slope_everywhere),),
    bad_calls=(BadCall("slopes", r"a has shape \(2,\).*, wanted C = 3 as x has", {"a": np.zeros(2)}),),
)
