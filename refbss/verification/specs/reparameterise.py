"""What reparameterise must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.reparameterise import reparameterise_backward, reparameterise_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(mu: Array, log_var: Array, eps: Array) -> tuple[Array, ...]:
    """The mean plus the square root of the variance times the noise."""
    return (mu + np.sqrt(np.exp(log_var)) * eps,)


def draw(*shape: int) -> Any:
    """Return the function that draws arrays of this shape."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"mu": normal(rng, *shape), "log_var": normal(rng, *shape, mean=-1.0), "eps": normal(rng, *shape)}

    return arrays


def variance_for_deviation(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient takes log_var for the logarithm of the standard deviation: the half is missing."""

    def faulty_backward(dz: Array, cache: Any) -> Any:
        grads = backward(dz, cache)
        return grads._replace(dlog_var=grads.dlog_var * dz.dtype.type(2.0))

    return forward, faulty_backward


SPEC = OpSpec(
    name="reparameterise",
    forward=reparameterise_forward,
    backward=reparameterise_backward,
    oracle=oracle,
    outputs=("z",),
    differentiable=("mu", "log_var"),
    cases=(Case("matrix", draw(3, 4)), Case("four axes", draw(2, 2, 3, 2)), Case("vector", draw(3))),
    linear=("mu",),
    faults=(Fault("half of log_var forgotten in its gradient", "differences", variance_for_deviation),),
    bad_calls=(
        BadCall("log_var shape", r"log_var has shape \(3, 3\).*, wanted .*4", {"log_var": np.zeros((3, 3))}),
        BadCall("eps shape", r"eps has shape \(4,\).*, wanted 2 axes", {"eps": np.zeros(4)}),
    ),
    free_axes=("mu",),
)
