"""Fast twin of refbss.ops.memory_separator: one kernel each way that runs through the blocks.

A block's rows of the adaptive matrix, their product with the virtual array and the fully connected layer follow each
other while they are in the caches; on the way back so do the gradient at the sigmoid and what is made of it. Only the
gradient of the shared feedback matrix waits for the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._jit import fast_kernel, ordered_kernel
from refbss._types import Array
from refbss.fast._elementary import sigmoid
from refbss.fast._memory import write_block, write_block_backward
from refbss.fast._products import sum_of_products
from refbss.fast._tiles import product
from refbss.ops.memory_separator import (
    MemorySeparatorGrads,
    check_memory_separator,
    check_memory_separator_cotangents,
)


class FastMemorySeparatorCache(NamedTuple):
    """Inputs and attributes; the adaptive matrix w (B, P, T, M), mu and l in y (B, P, T, 2D), the states and writes.

    states (2, B, P, NB + 1, K, D); of the writes: e and active (B, P, T), total (B, P, NB), mean (B, P, NB, 2, D).
    """

    x: Array
    g: Array
    a: Array
    read: Array
    v: Array
    w: Array
    y: Array
    states: Array
    eta: Array
    e: Array
    active: Array
    total: Array
    mean: Array
    block: int
    e0: float
    memory: bool
    truncate: int


@ordered_kernel
def _forward(  # type: ignore[no-untyped-def]
    x, g, a, c, read, v, b, eta, block, e0, delta, memory, w, y, states, e, active, total, mean, r, s, u
):
    batch, sources, frames, channels = w.shape
    constants, latent = states.shape[4:]
    for n in range(states.shape[3] - 1):
        first, last = n * block, min(frames, (n + 1) * block)
        for i in range(batch):
            for p in range(sources):
                row = i * sources + p
                for k in range(constants):
                    for d in range(latent):
                        r[row, k * latent + d] = states[0, i, p, n, k, d]
                        r[row, (constants + k) * latent + d] = states[1, i, p, n, k, d]
                for j in range(channels):
                    s[row, j] = c[p, j]
        if memory:
            product(r, read, s, 1, s)
        for i in range(batch):
            for p in range(sources):
                row = i * sources + p
                xn, wn, yn = x[i, first:last], w[i, p, first:last], y[i, p, first:last]
                product(g[i, first:last], a[p], s[row : row + 1], 0, wn)
                for t in range(last - first):
                    for j in range(channels):
                        value = sigmoid(wn[t, j])
                        wn[t, j] = value
                        u[t, j] = value * xn[t, j]
                product(u[: last - first], v, b, 0, yn)
                if memory:
                    total[i, p, n] = write_block(
                        states[0, i, p, n], states[1, i, p, n], yn, eta, e0, delta, states[0, i, p, n + 1],
                        states[1, i, p, n + 1], e[i, p, first:last], active[i, p, first:last], mean[i, p, n],
                    )  # fmt: skip
                else:
                    for k in range(constants):
                        for d in range(latent):
                            states[0, i, p, n + 1, k, d] = states[0, i, p, n, k, d]
                            states[1, i, p, n + 1, k, d] = states[1, i, p, n, k, d]


@fast_kernel
def _backward(  # type: ignore[no-untyped-def]
    x, g, a, read, v, w, y, states, eta, e, active, total, mean, block, e0, memory, truncate, dstates, dy,
    dx, dg, da, dc, dv, db, dstate, deta, through, r, dr, du, ds, u, dmean, dmu, dbefore,
):  # fmt: skip
    batch, sources, frames, channels = w.shape
    constants, latent = states.shape[4:]
    zero, one = dy.dtype.type(0.0), dy.dtype.type(1.0)
    blocks = states.shape[3] - 1
    for back in range(blocks):
        n = blocks - 1 - back
        first, last = n * block, min(frames, (n + 1) * block)
        size = last - first
        for i in range(batch):
            for p in range(sources):
                row = i * sources + p
                xn, wn, dyn, dxn = x[i, first:last], w[i, p, first:last], dy[i, p, first:last], dx[i, first:last]
                of_block = through[n, row]
                if memory:
                    write_block_backward(
                        dstate[0, i, p], dstate[1, i, p], states[0, i, p, n], states[1, i, p, n],
                        y[i, p, first:last], eta, e0, e[i, p, first:last], active[i, p, first:last],
                        total[i, p, n], mean[i, p, n], dbefore[0, i, p], dbefore[1, i, p], dmu, deta, dmean,
                    )  # fmt: skip
                    for t in range(size):
                        for d in range(latent):
                            dyn[t, d] += dmu[t, d]
                    for k in range(constants):
                        for d in range(latent):
                            r[n, row, k * latent + d] = states[0, i, p, n, k, d]
                            r[n, row, (constants + k) * latent + d] = states[1, i, p, n, k, d]
                for t in range(size):
                    for d in range(2 * latent):
                        db[d] += dyn[t, d]
                    for j in range(channels):
                        du[t, j] = zero
                product(dyn, v, du[:size], 1, du[:size])
                for t in range(size):
                    for j in range(channels):
                        grad, value = du[t, j], wn[t, j]
                        demixed = value * xn[t, j]
                        slope = grad * demixed * (one - value)
                        u[t, j] = demixed
                        ds[t, j] = slope
                        of_block[j] += slope
                        dxn[t, j] += grad * value
                for j in range(channels):
                    dc[p, j] += of_block[j]
                product(dyn.T, u[:size], dv, 1, dv)
                product(ds[:size].T, g[i, first:last], da[p], 1, da[p])
                product(ds[:size], a[p], dg[i, first:last], 1, dg[i, first:last])
        if memory:
            for row in range(batch * sources):
                for j in range(dr.shape[1]):
                    dr[row, j] = zero
            product(through[n], read, dr, 1, dr)
        cut = truncate > 0 and n > 0 and n % truncate == 0
        for i in range(batch):
            for p in range(sources):
                row = i * sources + p
                for h in range(2):
                    for k in range(constants):
                        for d in range(latent):
                            carried = dstate[h, i, p, k, d]
                            if memory:
                                carried = dbefore[h, i, p, k, d] + dr[row, (h * constants + k) * latent + d]
                            if cut:
                                carried = zero
                            dstate[h, i, p, k, d] = carried + dstates[h, i, p, n, k, d]


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
    batch, sources, frames, channels = (sizes[axis] for axis in "BPTM")
    latent, blocks, dtype = sizes["D"], -(-frames // block), x.dtype
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    states = np.empty((2, batch, sources, blocks + 1, *m0.shape[2:]), dtype)
    states[0, :, :, 0], states[1, :, :, 0] = m0, q0
    w, y = np.empty((batch, sources, frames, channels), dtype), np.empty((batch, sources, frames, 2 * latent), dtype)
    e, active = np.empty(w.shape[:3], dtype), np.empty(w.shape[:3], dtype)
    total = np.empty((batch, sources, blocks), dtype)
    mean = np.empty((batch, sources, blocks, 2, latent), dtype)
    rows = batch * sources
    scratch = [np.empty(shape, dtype) for shape in ((rows, read.shape[1]), (rows, channels), (block, channels))]
    eta = 1 / (1 + np.exp(-theta))
    _forward(
        x, g, np.ascontiguousarray(a.transpose(0, 2, 1)), np.ascontiguousarray(c), np.ascontiguousarray(read.T),
        np.ascontiguousarray(v.T), np.ascontiguousarray(b)[None], eta, block, dtype.type(e0), dtype.type(delta), memory,
        w, y, states, e, active, total, mean, *scratch,
    )  # fmt: skip
    cache = FastMemorySeparatorCache(
        x, g, a, read, v, w, y, states, eta, e, active, total, mean, block, e0, memory, truncate
    )
    return y[..., :latent], y[..., latent:], states[0], states[1], cache


def memory_separator_backward(
    dmu: Array, dl: Array, dm_blocks: Array, dq_blocks: Array, cache: FastMemorySeparatorCache
) -> MemorySeparatorGrads:
    """As refbss.ops.memory_separator.memory_separator_backward."""
    x, g, a, read, v, w, y, states, eta, e, active, total, mean, block, e0, memory, truncate = cache
    batch, sources, frames, channels = w.shape
    latent, dtype = v.shape[0] // 2, x.dtype
    check_memory_separator_cotangents(
        dmu, dl, dm_blocks, dq_blocks, (batch, sources, frames, latent), states.shape[1:], dtype
    )
    dy = np.empty(y.shape, dtype)
    dy[..., :latent], dy[..., latent:] = dmu, dl
    dx, dg, dv, deta = np.zeros_like(x), np.zeros_like(g), np.zeros(v.shape, dtype), np.zeros_like(eta)
    da, dc, db = np.zeros(a.shape, dtype), np.zeros((sources, channels), dtype), np.zeros(2 * latent, dtype)
    dstates = np.empty_like(states)
    dstates[0], dstates[1] = dm_blocks, dq_blocks
    dstate = dstates[:, :, :, -1].copy()
    rows, moments, blocks = batch * sources, read.shape[1], states.shape[3] - 1
    through, r = np.zeros((blocks, rows, channels), dtype), np.zeros((blocks, rows, moments), dtype)
    dr, (du, ds, u) = np.empty((rows, moments), dtype), np.empty((3, block, channels), dtype)
    dmean, dmu_write = np.empty((4, latent), dtype), np.empty((block, latent), dtype)
    _backward(
        x, g, np.ascontiguousarray(a), np.ascontiguousarray(read), np.ascontiguousarray(v), w, y, states, eta, e,
        active, total, mean, block, dtype.type(e0), memory, truncate, dstates, dy, dx, dg, da, dc, dv, db, dstate,
        deta, through, r, dr, du, ds, u, dmean, dmu_write, np.empty_like(dstate),
    )  # fmt: skip
    dread = np.ascontiguousarray(sum_of_products(through.reshape(1, -1, channels), r.reshape(1, -1, moments)))
    dtheta = eta * (1 - eta) * deta
    return MemorySeparatorGrads(dx, dg, da, dc, dread, dv, db, dstate[0], dstate[1], dtheta)
