"""Fast twin of refbss.ops.gru: a kernel each way that works through pieces of a few frames.

The inputs' share of the gates is a product for all frames of a piece, made just before the recursion needs it. A step
of the recursion is a product of the state with the recurrent weights and one pass over the gates. On the way back the
recursion leaves the gradients at the gates of a piece, and what does not travel with the state is summed from those.
"""

from __future__ import annotations

import numpy as np

from refbss._jit import fast_kernel, ordered_kernel
from refbss._types import Array
from refbss.fast._elementary import sigmoid, tanh
from refbss.fast._tiles import product
from refbss.ops.gru import GruCache, GruGrads, check_gru, check_gru_cotangent

PIECE = 64
"""Frames of a piece: its gates of a few batch rows stay in the cache near the core."""


@ordered_kernel
def _forward(x, w_ih_t, w_hh_t, b_ih, b_hh, h, y, gate_r, gate_z, gate_n, gate_a, inputs, sums):  # type: ignore[no-untyped-def]
    batch, frames, hidden = y.shape
    for first in range(0, frames, PIECE):
        last = min(frames, first + PIECE)
        for i in range(batch):
            product(x[i, first:last], w_ih_t, b_ih, 0, inputs[i, : last - first])
        for t in range(first, last):
            product(h, w_hh_t, b_hh, 0, sums)
            for i in range(batch):
                for j in range(hidden):
                    r = sigmoid(inputs[i, t - first, j] + sums[i, j])
                    z = sigmoid(inputs[i, t - first, hidden + j] + sums[i, hidden + j])
                    a = sums[i, 2 * hidden + j]
                    n = tanh(inputs[i, t - first, 2 * hidden + j] + r * a)
                    v = n + z * (h[i, j] - n)
                    h[i, j] = v
                    y[i, t, j] = v
                    gate_r[i, t, j] = r
                    gate_z[i, t, j] = z
                    gate_n[i, t, j] = n
                    gate_a[i, t, j] = a


@fast_kernel
def _backward(  # type: ignore[no-untyped-def]
    dy, x, w_ih, w_hh, h0, y, gate_r, gate_z, gate_n, gate_a, dx, dw_ih, dw_hh, db_ih, db_hh, dh, d_rec, d_n, zero
):
    """d_rec holds the gradients at the recurrent shares of r, z and n, d_n that at the inputs' share of n."""
    batch, frames, hidden = dy.shape
    one = dy.dtype.type(1.0)
    two = 2 * hidden
    pieces = (frames + PIECE - 1) // PIECE
    for back in range(pieces):
        first = (pieces - 1 - back) * PIECE
        size = min(frames, first + PIECE) - first
        for step in range(size):
            k = size - 1 - step
            t = first + k
            for i in range(batch):
                before = y[i, t - 1] if t > 0 else h0[i]
                for j in range(hidden):  # three short loops: the compiler finds vectors in each
                    r, z, n = gate_r[i, t, j], gate_z[i, t, j], gate_n[i, t, j]
                    dn = (dh[i, j] + dy[i, t, j]) * (one - z) * (one - n * n)
                    d_n[i, k, j] = dn
                    d_rec[i, k, j] = dn * gate_a[i, t, j] * r * (one - r)
                for j in range(hidden):
                    z, n = gate_z[i, t, j], gate_n[i, t, j]
                    g = dh[i, j] + dy[i, t, j]
                    d_rec[i, k, hidden + j] = g * (before[j] - n) * z * (one - z)
                    dh[i, j] = g * z
                for j in range(hidden):
                    d_rec[i, k, two + j] = d_n[i, k, j] * gate_r[i, t, j]
            product(d_rec[:, k], w_hh, dh, 1, dh)
        for i in range(batch):
            xs, dxs, of_n, of_rec = (
                x[i, first : first + size],
                dx[i, first : first + size],
                d_n[i, :size],
                d_rec[i, :size],
            )
            product(of_rec[:, :two], w_ih[:two], zero, 0, dxs)
            product(of_n, w_ih[two:], dxs, 1, dxs)
            product(of_rec[:, :two].T, xs, dw_ih[:two], 1, dw_ih[:two])
            product(of_n.T, xs, dw_ih[two:], 1, dw_ih[two:])
            if first > 0:
                product(of_rec.T, y[i, first - 1 : first - 1 + size], dw_hh, 1, dw_hh)
            else:
                product(of_rec[1:].T, y[i, : size - 1], dw_hh, 1, dw_hh)
                product(of_rec[:1].T, h0[i : i + 1], dw_hh, 1, dw_hh)
            for t in range(size):
                for j in range(hidden):
                    db_ih[two + j] += of_n[t, j]
                for j in range(3 * hidden):
                    db_hh[j] += of_rec[t, j]


def gru_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array
) -> tuple[Array, Array, GruCache]:
    """As refbss.ops.gru.gru_forward."""
    batch, frames, hidden = shape = check_gru(x, w_ih, w_hh, b_ih, b_hh, h0)
    dtype, piece = x.dtype, min(frames, PIECE)
    x, state = np.ascontiguousarray(x), h0.copy()
    y, r, z, n, a = (np.empty(shape, dtype) for _ in range(5))
    transposed = [np.ascontiguousarray(w.T) for w in (w_ih, w_hh)]
    biases = [np.ascontiguousarray(b)[None] for b in (b_ih, b_hh)]
    scratch = np.empty((batch, piece, 3 * hidden), dtype), np.empty((batch, 3 * hidden), dtype)
    _forward(x, *transposed, *biases, state, y, r, z, n, a, *scratch)
    return y, state, GruCache(x, w_ih, w_hh, h0, y, r, z, n, a)


def gru_backward(dy: Array, dh_n: Array, cache: GruCache) -> GruGrads:
    """As refbss.ops.gru.gru_backward."""
    x, w_ih, w_hh, h0, y, r, z, n, a = cache
    check_gru_cotangent(dy, dh_n, y)
    dtype, (batch, frames, hidden) = y.dtype, y.shape
    piece = min(frames, PIECE)
    dx, dw_ih, dw_hh = np.empty(x.shape, dtype), np.zeros(w_ih.shape, dtype), np.zeros(w_hh.shape, dtype)
    dh, db_ih, db_hh = dh_n.copy(), np.zeros(3 * hidden, dtype), np.zeros(3 * hidden, dtype)
    d_rec, d_n = np.empty((batch, piece, 3 * hidden), dtype), np.empty((batch, piece, hidden), dtype)
    _backward(
        np.ascontiguousarray(dy), x, np.ascontiguousarray(w_ih), np.ascontiguousarray(w_hh), np.ascontiguousarray(h0),
        y, r, z, n, a, dx, dw_ih, dw_hh, db_ih, db_hh, dh, d_rec, d_n, np.zeros((1, x.shape[2]), dtype),
    )  # fmt: skip
    db_ih[: 2 * hidden] = db_hh[: 2 * hidden]
    return GruGrads(dx, dw_ih, dw_hh, db_ih, db_hh, dh)
