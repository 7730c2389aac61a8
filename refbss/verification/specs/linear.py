"""What linear must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.linear import linear_backward, linear_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(x: Array, w: Array, b: Array) -> tuple[Array, ...]:
    """Sums of products, element by element."""
    y = np.empty((*x.shape[:-1], w.shape[0]))
    for index in np.ndindex(y.shape):
        *row, o = index
        y[index] = b[o] + sum(w[o, i] * x[(*row, i)] for i in range(w.shape[1]))
    return (y,)


def draw(shape: tuple[int, ...], outputs: int) -> Any:
    """Return the function that draws arrays of these sizes."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"x": normal(rng, *shape), "w": normal(rng, outputs, shape[-1]), "b": normal(rng, outputs)}

    return arrays


def mean_bias_gradient(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The bias gradient is a mean over the rows, not a sum."""

    def faulty_backward(dy: Array, cache: Any) -> Any:
        grads = backward(dy, cache)
        return grads._replace(db=dy.reshape(-1, dy.shape[-1]).mean(axis=0))

    return forward, faulty_backward


SPEC = OpSpec(
    name="linear",
    forward=linear_forward,
    backward=linear_backward,
    oracle=oracle,
    outputs=("y",),
    differentiable=("x", "w", "b"),
    cases=(
        Case("frames", draw((2, 3, 4), 2)),
        Case("one row", draw((3,), 2)),
        Case("square", draw((4, 3), 3)),
        Case("four axes", draw((2, 1, 2, 2), 3)),
    ),
    linear=("x", "w", "b"),
    faults=(Fault("bias gradient averaged over rows", "adjoint", mean_bias_gradient),),
    bad_calls=(
        BadCall("inputs", r"w has shape \(2, 3\).*, wanted I = 4 as x has", {"w": np.zeros((2, 3))}),
        BadCall("bias length", r"b has shape \(3,\).*, wanted O = 2 as w has", {"b": np.zeros(3)}),
        BadCall("scalar", r"x has shape \(\), wanted 1 axes", {"x": np.array(1.0)}),
    ),
    free_axes=("x",),
)
