"""What silent must satisfy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.losses.silent import silent_backward, silent_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(est: Array, mix: Array, *, floor: float = 1e-3) -> tuple[Array, ...]:
    """10 log10 of the floor plus the ratio of the energies, summed exactly."""
    loss = np.empty(est.shape[:2])
    for b, p in np.ndindex(loss.shape):
        loss[b, p] = 10.0 * math.log10(math.fsum(est[b, p] ** 2) / math.fsum(mix[b] ** 2) + floor)
    return (loss,)


def draw(batch: int, outputs: int, samples: int, scale: float = 0.5) -> Any:
    """Return the function that draws signals, the estimates scaled."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"est": normal(rng, batch, outputs, samples, scale=scale), "mix": normal(rng, batch, samples)}

    return arrays


def amplitude_for_power(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """20 log10 of a ratio of energies; the gradient agrees."""

    def faulty_forward(est: Array, mix: Array, **attributes: Any) -> tuple[Any, ...]:
        loss, cache = forward(est, mix, **attributes)
        return loss * loss.dtype.type(2.0), cache

    def faulty_backward(dloss: Array, cache: Any) -> Any:
        return backward(dloss * dloss.dtype.type(2.0), cache)

    return faulty_forward, faulty_backward


SPEC = OpSpec(
    name="silent",
    forward=silent_forward,
    backward=silent_backward,
    oracle=oracle,
    outputs=("loss",),
    differentiable=("est",),
    cases=(
        Case("plain", draw(2, 2, 6)),
        Case("large floor", draw(1, 3, 4), {"floor": 0.5}),
        Case("zero estimate", draw(1, 2, 4, scale=0.0), {"floor": 0.1}),
    ),
    faults=(Fault("20 log10 of an energy, gradient alike", "oracle", amplitude_for_power),),
    bad_calls=(
        BadCall("samples", r"mix has shape \(2, 5\).*, wanted N = 6 as est has", {"mix": np.zeros((2, 5))}),
        BadCall("floor 0", "floor is 0, wanted a finite number above 0", attributes={"floor": 0}),
    ),
)
