"""What mixture_consistency must satisfy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.losses.mixture import mixture_consistency_backward, mixture_consistency_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(est: Array, mix: Array) -> tuple[Array, ...]:
    """Sample by sample what the outputs leave of the mixture, summed exactly."""
    losses = []
    for outputs, x in zip(est, mix, strict=True):
        rest = [(x[n] - math.fsum(outputs[:, n])) ** 2 for n in range(len(x))]
        losses.append(math.fsum(rest) / math.fsum(value**2 for value in x))
    return (np.array(losses),)


def draw(batch: int, outputs: int, samples: int) -> Any:
    """Return the function that draws signals."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"est": normal(rng, batch, outputs, samples), "mix": normal(rng, batch, samples)}

    return arrays


def mean_of_outputs(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient is shared out between the outputs."""

    def faulty_backward(dloss: Array, cache: Any) -> Any:
        grads = backward(dloss, cache)
        return grads._replace(dest=grads.dest / grads.dest.dtype.type(grads.dest.shape[1]))

    return forward, faulty_backward


SPEC = OpSpec(
    name="mixture_consistency",
    forward=mixture_consistency_forward,
    backward=mixture_consistency_backward,
    oracle=oracle,
    outputs=("loss",),
    differentiable=("est",),
    cases=(Case("plain", draw(2, 2, 6)), Case("three outputs", draw(1, 3, 4))),
    faults=(Fault("gradient divided by the number of outputs", "differences", mean_of_outputs),),
    bad_calls=(BadCall("samples", r"mix has shape \(2, 5\).*, wanted N = 6 as est has", {"mix": np.zeros((2, 5))}),),
)
