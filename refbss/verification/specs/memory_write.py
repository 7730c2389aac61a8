"""What memory_write must satisfy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.memory_bank import memory_write_backward, memory_write_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec
from refbss.verification.specs import memory_activity


def oracle(m: Array, q: Array, mu: Array, theta: Array, *, e0: float, delta: float) -> tuple[Array, ...]:
    """One source at a time: weighted means of the block, then a step of size eta_k G towards them."""
    (activity,) = memory_activity.oracle(mu, e0=e0)
    m_new, q_new = m.copy(), q.copy()
    for b, p in np.ndindex(mu.shape[:2]):
        a = activity[b, p]
        first = np.array([np.dot(a, mu[b, p, :, d]) for d in range(mu.shape[3])]) / (sum(a) + delta)
        second = np.array([np.dot(a, mu[b, p, :, d] ** 2) for d in range(mu.shape[3])]) / (sum(a) + delta)
        for k, value in enumerate(theta):
            rate = sum(a) / len(a) / (1.0 + math.exp(-value))
            m_new[b, p, k] = (1.0 - rate) * m[b, p, k] + rate * first
            q_new[b, p, k] = (1.0 - rate) * q[b, p, k] + rate * second
    return m_new, q_new


def draw(batch: int, sources: int, constants: int, frames: int, latent: int, silent: bool = False) -> Any:
    """Return the function that draws a state and a block of these sizes, all frames zero if ``silent``."""

    def arrays(rng: np.random.Generator) -> Arrays:
        state = (batch, sources, constants, latent)
        mu = normal(rng, batch, sources, frames, latent, scale=0.0 if silent else 0.7)
        theta = normal(rng, constants, scale=1.5)
        return {"m": normal(rng, *state), "q": normal(rng, *state) ** 2, "mu": mu, "theta": theta}

    return arrays


def rate_not_its_logit(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """theta receives the gradient of exp(theta)'s kind: the factor 1 - sigm(theta) is missing."""

    def faulty_forward(m: Array, q: Array, mu: Array, theta: Array, **attributes: Any) -> tuple[Any, ...]:
        m_new, q_new, cache = forward(m, q, mu, theta, **attributes)
        return m_new, q_new, (theta, cache)

    def faulty_backward(dm_new: Array, dq_new: Array, cache: Any) -> Any:
        theta, inner = cache
        grads = backward(dm_new, dq_new, inner)
        return grads._replace(dtheta=(grads.dtheta * (1.0 + np.exp(theta))).astype(theta.dtype))

    return faulty_forward, faulty_backward


def variance_for_square(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient of q's own decay is that of m: one cotangent used twice."""

    def faulty_backward(dm_new: Array, dq_new: Array, cache: Any) -> Any:
        grads = backward(dm_new, dq_new, cache)
        return grads._replace(dq=grads.dm.copy())

    return forward, faulty_backward


SPEC = OpSpec(
    name="memory_write",
    forward=memory_write_forward,
    backward=memory_write_backward,
    oracle=oracle,
    outputs=("m_new", "q_new"),
    differentiable=("m", "q", "mu", "theta"),
    cases=(
        Case("plain", draw(2, 2, 3, 3, 2), {"e0": 0.1, "delta": 1e-3}),
        Case("one frame", draw(1, 2, 2, 1, 3), {"e0": 0.3, "delta": 0.1}),
        Case("silent block", draw(1, 1, 2, 3, 2, silent=True), {"e0": 0.5, "delta": 0.5}),
    ),
    linear=("m", "q"),
    faults=(
        Fault("gradient of theta without 1 - sigm(theta)", "differences", rate_not_its_logit),
        Fault("gradient of q computed from the cotangent of m", "adjoint", variance_for_square),
    ),
    bad_calls=(
        BadCall("theta length", r"theta has shape \(2,\).*, wanted K = 3 as m has", {"theta": np.zeros(2)}),
        BadCall("latent", r"mu has shape \(2, 2, 3, 3\).*, wanted D = 2 as m has", {"mu": np.zeros((2, 2, 3, 3))}),
        BadCall("delta 0", r"delta is 0\.0, wanted a finite number above 0", attributes={"delta": 0.0}),
        BadCall("e0 negative", r"e0 is -0\.1, wanted a finite number above 0", attributes={"e0": -0.1}),
    ),
)
