"""What memory_separator must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.memory_separator import memory_separator_backward, memory_separator_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec, Tolerances
from refbss.verification.specs import adaptive_separator, memory_read, memory_write


def oracle(
    x: Array,
    g: Array,
    a: Array,
    c: Array,
    read: Array,
    v: Array,
    b: Array,
    m0: Array,
    q0: Array,
    theta: Array,
    *,
    block: int,
    e0: float,
    delta: float,
    memory: bool = True,
) -> tuple[Array, ...]:
    """The recursion over blocks, made of the oracles of its three parts; without memory it is one separator."""
    states, mus, ls = [(m0, q0)], [], []
    for start in range(0, x.shape[1], block):
        m, q = states[-1]
        r = memory_read.oracle(m, q)[0] if memory else np.zeros((*m.shape[:2], read.shape[1]))
        stop = min(start + block, x.shape[1])
        mu, l = adaptive_separator.oracle(x[:, start:stop], g[:, start:stop], r, a, c, read, v, b)
        m_new, q_new = memory_write.oracle(m, q, mu, theta, e0=e0, delta=delta)
        states.append((m_new, q_new) if memory else (m, q))
        mus.append(mu)
        ls.append(l)
    m_blocks, q_blocks = (np.stack([state[i] for state in states], axis=2) for i in (0, 1))
    return np.concatenate(mus, axis=2), np.concatenate(ls, axis=2), m_blocks, q_blocks


def draw(batch: int, frames: int, sources: int, constants: int) -> Any:
    """Return the function that draws arrays of these sizes, with M = 3, H = 2, D = 2."""
    channels, hidden, latent = 3, 2, 2

    def arrays(rng: np.random.Generator) -> Arrays:
        return {
            "x": normal(rng, batch, frames, channels),
            "g": normal(rng, batch, frames, hidden),
            "a": normal(rng, sources, channels, hidden, scale=0.5),
            "c": normal(rng, sources, channels),
            "read": normal(rng, channels, 2 * constants * latent, scale=0.5),
            "v": normal(rng, 2 * latent, channels),
            "b": normal(rng, 2 * latent),
            "m0": normal(rng, batch, sources, constants, latent),
            "q0": normal(rng, batch, sources, constants, latent) ** 2,
            "theta": normal(rng, constants, scale=1.5),
        }

    return arrays


def truncated(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient of the state stops at the border of a block."""

    def faulty_forward(*arrays: Array, **attributes: Any) -> tuple[Any, ...]:
        cut = {"truncate": 1} if attributes.get("memory", True) else {}
        return forward(*arrays, **attributes, **cut)

    return faulty_forward, backward


def short_block_not_written(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The last block is not written to memory when it is shorter than the others."""

    def faulty_forward(x: Array, *arrays: Array, block: int, **attributes: Any) -> tuple[Any, ...]:
        mu, l, m_blocks, q_blocks, cache = forward(x, *arrays, block=block, **attributes)
        if x.shape[1] % block:
            m_blocks[:, :, -1], q_blocks[:, :, -1] = m_blocks[:, :, -2], q_blocks[:, :, -2]
        return mu, l, m_blocks, q_blocks, cache

    return faulty_forward, backward


NUMBERS = {"e0": 0.1, "delta": 1e-2}
SPEC = OpSpec(
    name="memory_separator",
    forward=memory_separator_forward,
    backward=memory_separator_backward,
    oracle=oracle,
    outputs=("mu", "l", "m_blocks", "q_blocks"),
    differentiable=("x", "g", "a", "c", "read", "v", "b", "m0", "q0", "theta"),
    cases=(
        Case("last block short", draw(2, 5, 2, 2), {"block": 2, **NUMBERS}),
        Case("whole blocks", draw(1, 4, 2, 2), {"block": 2, **NUMBERS}),
        Case("one block", draw(1, 3, 3, 1), {"block": 8, **NUMBERS}),
        Case("block of one frame", draw(1, 3, 2, 1), {"block": 1, **NUMBERS}),
        Case("no memory", draw(1, 5, 2, 2), {"block": 2, "memory": False, **NUMBERS}, ("x", "v", "b", "m0", "q0")),
    ),
    faults=(
        Fault("gradient of the state cut at the border of a block", "differences", truncated),
        Fault("a short last block is not written", "oracle", short_block_not_written),
    ),
    bad_calls=(
        BadCall("reading", r"read has shape \(3, 6\).*, wanted", {"read": np.zeros((3, 6))}),
        BadCall("rows of v", r"v has shape \(6, 3\).*, wanted", {"v": np.zeros((6, 3)), "b": np.zeros(6)}),
        BadCall("theta length", r"theta has shape \(3,\).*, wanted K = 2 as m0 has", {"theta": np.zeros(3)}),
        BadCall("block 0", "memory_separator: block is 0, wanted an integer of at least 1", attributes={"block": 0}),
        BadCall("e0 0", r"memory_separator: e0 is 0\.0, wanted a finite number above 0", attributes={"e0": 0.0}),
        BadCall(
            "delta nan",
            "memory_separator: delta is nan, wanted a finite number above 0",
            attributes={"delta": float("nan")},
        ),
        BadCall("truncate -1", "truncate is -1, wanted an integer of at least 0", attributes={"truncate": -1}),
    ),
    tolerances=Tolerances(
        oracle64=1e-12,
        oracle32=1e-6,
        gradient32=2e-6,
        layout64=1e-13,
        layout32=5e-7,
        reason="the state is rounded once a block and every block reads what the one before wrote",
    ),
)
