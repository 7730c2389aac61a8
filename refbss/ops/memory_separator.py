"""The recursion over blocks: separate a block with the memory as it stood when the block began, then write the block.

Shapes: x (B, T, M), g (B, T, H), a (P, M, H), c (P, M), read (M, 2KD), v (2D, M), b (2D,), m0 and q0 (B, P, K, D),
theta (K,); out: mu and l (B, P, T, D), m_blocks and q_blocks (B, P, NB + 1, K, D) with NB = ceil(T / block): entry n is
the state that block n reads, the last entry is the final state. The last block may be shorter.

    (memory_separator.1)  r^n = read(m^n, q^n)
    (memory_separator.2)  [mu; l] of block n = separator(x, g of block n, r^n)
    (memory_separator.3)  m^{n+1}, q^{n+1} = write(m^n, q^n, mu of block n)

Backward walks the blocks in reverse; the gradient of the state travels with it:

    (memory_separator.4)  dm, dq = write backward(dm^{n+1}, dq^{n+1}), and its share is added to dmu of block n
    (memory_separator.5)  dr^n, and the gradients of everything else, from separator backward(dmu, dl of block n)
    (memory_separator.6)  dm^n, dq^n = dm, dq + read backward(dr^n)
    (memory_separator.7)  dm^n, dq^n += the cotangents of m_blocks and q_blocks at n

``memory=False`` drops C r and the state. ``truncate=n`` cuts the gradient of the state at every n-th block border,
0 never.
Feedback of the statistics: [paper]. Block-online recursion: [ours].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents, check_integer, check_number
from refbss._types import Array
from refbss.ops.adaptive_separator import (
    AdaptiveSeparatorCache,
    adaptive_separator_backward,
    adaptive_separator_forward,
)
from refbss.ops.memory_bank import (
    MemoryReadCache,
    MemoryWriteCache,
    memory_read_backward,
    memory_read_forward,
    memory_write_backward,
    memory_write_forward,
)


class MemorySeparatorCache(NamedTuple):
    """The caches of every block, the sizes and the dtype of the call."""

    reads: list[MemoryReadCache]
    separators: list[AdaptiveSeparatorCache]
    writes: list[MemoryWriteCache]
    frames: int
    block: int
    constants: int
    truncate: int
    dtype: np.dtype[Any]


class MemorySeparatorGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    dg: Array
    da: Array
    dc: Array
    dread: Array
    dv: Array
    db: Array
    dm0: Array
    dq0: Array
    dtheta: Array


def check_memory_separator(
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
    block: int,
    e0: float,
    delta: float,
    truncate: int,
) -> dict[str, int]:
    """The door of both engines: check every argument, return the sizes of the axes. Raises InputError."""
    stored = check_arrays("memory_separator", m0=(m0, "B P K D"))
    outputs, moments = 2 * stored["D"], 2 * stored["K"] * stored["D"]
    sizes = check_arrays(
        "memory_separator",
        x=(x, "B T M"),
        g=(g, "B T H"),
        a=(a, "P M H"),
        c=(c, "P M"),
        read=(read, f"M {moments}"),
        v=(v, f"{outputs} M"),
        b=(b, f"{outputs}"),
        m0=(m0, "B P K D"),
        q0=(q0, "B P K D"),
        theta=(theta, "K"),
    )
    check_integer("memory_separator", block=block)
    check_integer("memory_separator", least=0, truncate=truncate)
    check_number("memory_separator", above=0.0, e0=e0, delta=delta)
    return sizes


def check_memory_separator_cotangents(
    dmu: Array,
    dl: Array,
    dm_blocks: Array,
    dq_blocks: Array,
    shape: tuple[int, ...],
    states: tuple[int, ...],
    dtype: np.dtype[Any],
) -> None:
    """The door of both engines' backward pass. Raises InputError."""
    check_cotangents(
        "memory_separator",
        dtype,
        dmu=(dmu, shape),
        dl=(dl, shape),
        dm_blocks=(dm_blocks, states),
        dq_blocks=(dq_blocks, states),
    )


def memory_separator_forward(
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
    truncate: int = 0,
) -> tuple[Array, Array, Array, Array, MemorySeparatorCache]:
    """Separate all frames. Returns mu, l, m_blocks, q_blocks and the cache. Raises InputError on any bad argument."""
    check_memory_separator(x, g, a, c, read, v, b, m0, q0, theta, block, e0, delta, truncate)
    m, q = m0, q0
    states_m, states_q, mus, ls = [m0], [q0], [], []
    cache = MemorySeparatorCache([], [], [], x.shape[1], block, theta.shape[0], truncate, x.dtype)
    for start in range(0, x.shape[1], block):
        frames = slice(start, start + block)
        r, read_cache = memory_read_forward(m, q)  # (memory_separator.1)
        if not memory:
            r = np.zeros_like(r)
        mu, l, separator = adaptive_separator_forward(
            x[:, frames], g[:, frames], r, a, c, read, v, b
        )  # (memory_separator.2)
        if memory:
            m, q, write = memory_write_forward(m, q, mu, theta, e0=e0, delta=delta)  # (memory_separator.3)
            cache.writes.append(write)
        cache.reads.append(read_cache)
        cache.separators.append(separator)
        mus.append(mu)
        ls.append(l)
        states_m.append(m)
        states_q.append(q)
    return np.concatenate(mus, 2), np.concatenate(ls, 2), np.stack(states_m, 2), np.stack(states_q, 2), cache


def memory_separator_backward(
    dmu: Array, dl: Array, dm_blocks: Array, dq_blocks: Array, cache: MemorySeparatorCache
) -> MemorySeparatorGrads:
    """Pull the cotangents of mu, l and the states back to all arrays. Raises InputError on shapes or dtypes."""
    blocks = len(cache.separators)
    first = cache.separators[0]
    batch, sources = first.r.shape[:2]
    latent = first.v.shape[0] // 2
    shape, states = (batch, sources, cache.frames, latent), (batch, sources, blocks + 1, cache.constants, latent)
    check_memory_separator_cotangents(dmu, dl, dm_blocks, dq_blocks, shape, states, cache.dtype)
    double = np.dtype(np.float64)  # gradients between the parts stay in float64
    dtheta: Array = np.zeros(cache.constants)
    sums: list[Array] = []
    dm: Array = dm_blocks[:, :, -1].astype(np.float64)
    dq: Array = dq_blocks[:, :, -1].astype(np.float64)
    dxs, dgs = [], []
    for n in reversed(range(blocks)):
        frames = slice(n * cache.block, (n + 1) * cache.block)
        dmu_n = dmu[:, :, frames].astype(np.float64)
        if cache.writes:
            write = cache.writes[n]._replace(dtype=double)
            dm, dq, dmu_write, dtheta_n = memory_write_backward(dm, dq, write)  # (memory_separator.4)
            dmu_n = dmu_n + dmu_write
            dtheta = dtheta + dtheta_n
        separator = cache.separators[n]._replace(dtype=double)
        grads = adaptive_separator_backward(
            dmu_n, dl[:, :, frames].astype(np.float64), separator
        )  # (memory_separator.5)
        if cache.writes:
            dm_read, dq_read = memory_read_backward(grads.dr, cache.reads[n]._replace(dtype=double))
            dm, dq = dm + dm_read, dq + dq_read  # (memory_separator.6)
        if cache.truncate and n and n % cache.truncate == 0:
            dm, dq = np.zeros_like(dm), np.zeros_like(dq)
        dm, dq = dm + dm_blocks[:, :, n], dq + dq_blocks[:, :, n]  # (memory_separator.7)
        dxs.append(grads.dx)
        dgs.append(grads.dg)
        shared = [grads.da, grads.dc, grads.dread, grads.dv, grads.db]
        sums = shared if not sums else [total + part for total, part in zip(sums, shared, strict=True)]
    dx, dg = np.concatenate(dxs[::-1], axis=1), np.concatenate(dgs[::-1], axis=1)
    return MemorySeparatorGrads(*(grad.astype(cache.dtype) for grad in (dx, dg, *sums, dm, dq, dtheta)))
