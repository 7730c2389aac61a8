"""What memory_activity must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.memory_bank import memory_activity_backward, memory_activity_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(mu: Array, *, e0: float) -> tuple[Array, ...]:
    """1 / (1 + e0 / e), frame by frame; 0 for a frame of zeros."""
    a = np.zeros(mu.shape[:-1])
    for index in np.ndindex(a.shape):
        energy = sum(float(value) ** 2 for value in mu[index]) / mu.shape[-1]
        a[index] = 1.0 / (1.0 + e0 / energy) if energy > 0.0 else 0.0
    return (a,)


def draw(*shape: int, silent: bool = False) -> Any:
    """Return the function that draws a block of this shape, its first frame zero if ``silent``."""

    def arrays(rng: np.random.Generator) -> Arrays:
        mu = normal(rng, *shape, scale=0.6)
        mu[:, :, 0] *= 0.0 if silent else 1.0
        return {"mu": mu}

    return arrays


def energy_not_mean(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The energy is a sum over the latent axis, not a mean; the gradient agrees."""

    def faulty_forward(mu: Array, *, e0: float) -> tuple[Any, ...]:
        return forward(mu, e0=e0 / mu.shape[-1])

    return faulty_forward, backward


SPEC = OpSpec(
    name="memory_activity",
    forward=memory_activity_forward,
    backward=memory_activity_backward,
    oracle=oracle,
    outputs=("a",),
    differentiable=("mu",),
    cases=(
        Case("plain", draw(2, 2, 3, 3), {"e0": 0.1}),
        Case("silent frame", draw(1, 2, 3, 2, silent=True), {"e0": 0.5}),
    ),
    faults=(Fault("energy summed over the latent axis, gradient alike", "oracle", energy_not_mean),),
    bad_calls=(
        BadCall("e0 0", r"e0 is 0\.0, wanted a finite number above 0", attributes={"e0": 0.0}),
        BadCall("e0 text", "e0 is 'loud', wanted a finite number", attributes={"e0": "loud"}),
    ),
)
