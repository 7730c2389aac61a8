"""Fast twin of refbss.ops.memory_separator.

The control's share of the adaptive matrix, A g + c, does not depend on the memory: it is one matrix product for all
frames. Inside the recursion stay the memory's share, the products that mu needs, and the state. On the way back the
recursion stores the gradient at the sigmoid, and everything that does not travel with the state is summed after it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._jit import fast_kernel
from refbss._types import Array
from refbss.fast.memory_bank import FastMemoryWriteCache, memory_write_backward, memory_write_forward
from refbss.ops.memory_separator import (
    MemorySeparatorGrads,
    check_memory_separator,
    check_memory_separator_cotangents,
)


class FastMemorySeparatorCache(NamedTuple):
    """Inputs, the adaptive matrix w (B, P, T, M), the states that were read, and the caches of the writes."""

    x: Array
    g: Array
    a: Array
    read: Array
    v: Array
    w: Array
    reads: list[Array]
    writes: list[FastMemoryWriteCache]
    state: tuple[int, ...]
    block: int
    truncate: int


@fast_kernel
def _product_backward(du, x, w, start, ds, dx, through):  # type: ignore[no-untyped-def]
    """From du, the gradient of u = w x, to the sigmoid's argument and x, for the frames from ``start`` on."""
    batch, sources, frames, channels = du.shape
    one = du.dtype.type(1.0)
    for i in range(batch):
        for p in range(sources):
            for t in range(frames):
                n = start + t
                for j in range(channels):
                    g, v = du[i, p, t, j], w[i, p, n, j]
                    s = g * x[i, n, j] * v * (one - v)
                    ds[i, p, n, j] = s
                    through[i, p, j] += s
                    if p == 0:
                        dx[i, n, j] = g * v
                    else:
                        dx[i, n, j] += g * v


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
) -> tuple[Array, Array, Array, Array, FastMemorySeparatorCache]:
    """As refbss.ops.memory_separator.memory_separator_forward."""
    sizes = check_memory_separator(x, g, a, c, read, v, b, m0, q0, theta, block, e0, delta, truncate)
    batch, sources, latent = sizes["B"], sizes["P"], sizes["D"]
    w = g[:, None] @ a.transpose(0, 2, 1)
    w += c[:, None, :]
    y = np.empty((batch, sources, sizes["T"], 2 * latent), dtype=x.dtype)
    m, q = m0, q0
    states_m, states_q = [m], [q]
    x = np.ascontiguousarray(x)
    cache = FastMemorySeparatorCache(x, g, a, read, v, w, [], [], m0.shape, block, truncate)
    for start in range(0, sizes["T"], block):
        frames = slice(start, start + block)
        s = w[:, :, frames]
        if memory:
            r = np.concatenate([m.reshape(batch, sources, -1), q.reshape(batch, sources, -1)], axis=-1)
            s += (r @ read.T)[:, :, None]
            cache.reads.append(r)
        with np.errstate(over="ignore"):
            np.exp(np.negative(s, out=s), out=s)
        s += 1
        np.divide(1, s, out=s)
        np.matmul(s * x[:, None, frames], v.T, out=y[:, :, frames])
        y[:, :, frames] += b
        if memory:
            m, q, write = memory_write_forward(m, q, y[:, :, frames, :latent], theta, e0=e0, delta=delta)
            cache.writes.append(write)
        states_m.append(m)
        states_q.append(q)
    return y[..., :latent], y[..., latent:], np.stack(states_m, 2), np.stack(states_q, 2), cache


def memory_separator_backward(
    dmu: Array, dl: Array, dm_blocks: Array, dq_blocks: Array, cache: FastMemorySeparatorCache
) -> MemorySeparatorGrads:
    """As refbss.ops.memory_separator.memory_separator_backward."""
    x, g, a, read, v, w, reads, writes, state, block, truncate = cache
    batch, sources, frames_all, channels = w.shape
    latent, blocks = v.shape[0] // 2, -(-frames_all // block)
    shape, states = (batch, sources, frames_all, latent), (batch, sources, blocks + 1, *state[2:])
    check_memory_separator_cotangents(dmu, dl, dm_blocks, dq_blocks, shape, states, x.dtype)
    dy = np.concatenate([dmu, dl], axis=-1)
    ds, dx = np.empty_like(w), np.empty(x.shape, dtype=x.dtype)
    dm, dq = dm_blocks[:, :, -1], dq_blocks[:, :, -1]
    dtheta, dread = np.zeros(state[2]), np.zeros_like(read)
    for n in reversed(range(blocks)):
        frames = slice(n * block, (n + 1) * block)
        if writes:
            dm, dq, dmu_write, dtheta_n = memory_write_backward(dm, dq, writes[n])
            dy[:, :, frames, :latent] += dmu_write
            dtheta += dtheta_n
        through = np.zeros((batch, sources, channels), dtype=x.dtype)
        _product_backward(dy[:, :, frames] @ v, x, w, n * block, ds, dx, through)
        if writes:
            dread += through.reshape(-1, channels).T @ reads[n].reshape(batch * sources, -1)
            dr = (through @ read).reshape(batch, sources, 2, *state[2:])
            dm, dq = dm + dr[:, :, 0], dq + dr[:, :, 1]
        if truncate and n and n % truncate == 0:
            dm, dq = np.zeros_like(dm), np.zeros_like(dq)
        dm, dq = dm + dm_blocks[:, :, n], dq + dq_blocks[:, :, n]
    rows = dy.reshape(-1, 2 * latent)
    u = (w * x[:, None]).reshape(-1, channels)
    dv, db = rows.T @ u, rows.sum(axis=0)
    dg = (ds @ a).sum(axis=1)
    da = (ds.transpose(0, 1, 3, 2) @ g[:, None]).sum(axis=0)
    return MemorySeparatorGrads(dx, dg, da, ds.sum(axis=(0, 2)), dread, dv, db, dm, dq, dtheta.astype(x.dtype))
