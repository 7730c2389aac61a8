"""What memory_read must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.memory_bank import memory_read_backward, memory_read_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(m: Array, q: Array) -> tuple[Array, ...]:
    """Write [m_1; ..; m_K; q_1; ..; q_K] value by value."""
    batch, sources, constants, latent = m.shape
    r = np.empty((batch, sources, 2 * constants * latent))
    for k in range(constants):
        for d in range(latent):
            r[:, :, k * latent + d] = m[:, :, k, d]
            r[:, :, (constants + k) * latent + d] = q[:, :, k, d]
    return (r,)


def draw(*shape: int) -> Any:
    """Return the function that draws a state of this shape."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"m": normal(rng, *shape), "q": normal(rng, *shape) ** 2}

    return arrays


def interleaved(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The row is [m_1; q_1; m_2; q_2; ..]; forward and backward agree."""

    def faulty_forward(m: Array, q: Array) -> tuple[Any, ...]:
        _, cache = forward(m, q)
        return np.stack([m, q], axis=3).reshape(*m.shape[:2], -1), (m.shape, cache)

    def faulty_backward(dr: Array, cache: Any) -> Any:
        shape, inner = cache
        batch, sources, constants, latent = shape
        pairs = dr.reshape(batch, sources, constants, 2, latent)
        grads = backward(dr, inner)
        return grads._replace(dm=pairs[:, :, :, 0].copy(), dq=pairs[:, :, :, 1].copy())

    return faulty_forward, faulty_backward


SPEC = OpSpec(
    name="memory_read",
    forward=memory_read_forward,
    backward=memory_read_backward,
    oracle=oracle,
    outputs=("r",),
    differentiable=("m", "q"),
    cases=(Case("plain", draw(2, 2, 3, 2)), Case("one time constant", draw(1, 3, 1, 2))),
    linear=("m", "q"),
    faults=(Fault("time constants interleaved, forward and backward alike", "oracle", interleaved),),
    bad_calls=(
        BadCall("q shape", r"q has shape \(2, 2, 2, 2\).*, wanted K = 3 as m has", {"q": np.zeros((2, 2, 2, 2))}),
    ),
)
