"""What softplus must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from refbss._types import Array
from refbss.ops.activations import softplus_backward, softplus_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, Case, Fault, Forward, OpSpec


def oracle(x: Array) -> tuple[Array, ...]:
    """log(exp(0) + exp(x)), by NumPy's logaddexp."""
    return (np.logaddexp(0.0, x),)


def draw(*shape: int, scale: float = 1.5) -> Any:
    """Return the function that draws an array of this shape."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"x": normal(rng, *shape, scale=scale)}

    return arrays


def sigmoid_of_output(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The sigmoid is taken of y, which the cache holds, instead of x."""

    def faulty_backward(dy: Array, cache: Any) -> Any:
        grads = backward(dy, cache)
        return grads._replace(dx=(dy * expit(cache.y)).astype(dy.dtype))

    return forward, faulty_backward


SPEC = OpSpec(
    name="softplus",
    forward=softplus_forward,
    backward=softplus_backward,
    oracle=oracle,
    outputs=("y",),
    differentiable=("x",),
    cases=(Case("vector", draw(5)), Case("four axes", draw(2, 1, 3, 2)), Case("saturated", draw(6, scale=12.0))),
    faults=(Fault("sigmoid of the output instead of the input", "differences", sigmoid_of_output),),
    free_axes=("x",),
)
