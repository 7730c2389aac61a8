"""What sigmoid must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from refbss._types import Array
from refbss.ops.activations import sigmoid_backward, sigmoid_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, Case, Fault, Forward, OpSpec


def oracle(x: Array) -> tuple[Array, ...]:
    """SciPy's logistic function."""
    return (np.asarray(expit(x)),)


def draw(*shape: int, scale: float = 1.5) -> Any:
    """Return the function that draws an array of this shape."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"x": normal(rng, *shape, scale=scale)}

    return arrays


def tanh_derivative(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The derivative of tanh instead."""

    def faulty_backward(dy: Array, cache: Any) -> Any:
        grads = backward(dy, cache)
        return grads._replace(dx=(dy * (1.0 - cache.y**2)).astype(dy.dtype))

    return forward, faulty_backward


SPEC = OpSpec(
    name="sigmoid",
    forward=sigmoid_forward,
    backward=sigmoid_backward,
    oracle=oracle,
    outputs=("y",),
    differentiable=("x",),
    cases=(Case("vector", draw(5)), Case("four axes", draw(2, 1, 3, 2)), Case("saturated", draw(6, scale=12.0))),
    faults=(Fault("derivative of tanh, 1 - y^2", "differences", tanh_derivative),),
    free_axes=("x",),
)
