"""Fast twin of refbss.ops.lstm: a kernel each way that works through pieces of a few frames.

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
from refbss.ops.lstm import LstmCache, LstmGrads, check_lstm, check_lstm_cotangents

PIECE = 64
"""Frames of a piece: its gates of a few batch rows stay in the cache near the core."""


@ordered_kernel
def _forward(  # type: ignore[no-untyped-def]
    x, w_ih_t, w_hh_t, bias, h, c, y, cell, gate_i, gate_f, gate_g, gate_o, inputs, sums
):
    batch, frames, hidden = y.shape
    for first in range(0, frames, PIECE):
        last = min(frames, first + PIECE)
        for b in range(batch):
            product(x[b, first:last], w_ih_t, bias, 0, inputs[b, : last - first])
        for t in range(first, last):
            product(h, w_hh_t, inputs[:, t - first], 1, sums)
            for b in range(batch):
                for j in range(hidden):
                    i = sigmoid(sums[b, j])
                    f = sigmoid(sums[b, hidden + j])
                    g = tanh(sums[b, 2 * hidden + j])
                    v = f * c[b, j] + i * g
                    c[b, j] = v
                    cell[b, t, j] = v
                    gate_i[b, t, j] = i
                    gate_f[b, t, j] = f
                    gate_g[b, t, j] = g
                for j in range(hidden):
                    o = sigmoid(sums[b, 3 * hidden + j])
                    v = o * tanh(c[b, j])
                    h[b, j] = v
                    y[b, t, j] = v
                    gate_o[b, t, j] = o


@fast_kernel
def _backward(  # type: ignore[no-untyped-def]
    dy, x, w_ih, w_hh, h0, c0, y, cell, gate_i, gate_f, gate_g, gate_o, dx, dw_ih, dw_hh, db, dh, dc, dgate, zero
):
    batch, frames, hidden = dy.shape
    one = dy.dtype.type(1.0)
    pieces = (frames + PIECE - 1) // PIECE
    for back in range(pieces):
        first = (pieces - 1 - back) * PIECE
        size = min(frames, first + PIECE) - first
        for step in range(size):
            k = size - 1 - step
            t = first + k
            for b in range(batch):
                before = cell[b, t - 1] if t > 0 else c0[b]
                for j in range(hidden):  # three short loops: the compiler finds vectors in each
                    o, s = gate_o[b, t, j], tanh(cell[b, t, j])
                    g = dh[b, j] + dy[b, t, j]
                    dc[b, j] += g * o * (one - s * s)
                    dgate[b, k, 3 * hidden + j] = g * s * o * (one - o)
                for j in range(hidden):
                    i, g = gate_i[b, t, j], gate_g[b, t, j]
                    dgate[b, k, j] = dc[b, j] * g * i * (one - i)
                    dgate[b, k, 2 * hidden + j] = dc[b, j] * i * (one - g * g)
                for j in range(hidden):
                    f = gate_f[b, t, j]
                    dgate[b, k, hidden + j] = dc[b, j] * before[j] * f * (one - f)
                    dc[b, j] *= f
            product(dgate[:, k], w_hh, zero[:, :hidden], 0, dh)
        for b in range(batch):
            xs, of_gates = x[b, first : first + size], dgate[b, :size]
            product(of_gates, w_ih, zero[:, hidden:], 0, dx[b, first : first + size])
            product(of_gates.T, xs, dw_ih, 1, dw_ih)
            if first > 0:
                product(of_gates.T, y[b, first - 1 : first - 1 + size], dw_hh, 1, dw_hh)
            else:
                product(of_gates[1:].T, y[b, : size - 1], dw_hh, 1, dw_hh)
                product(of_gates[:1].T, h0[b : b + 1], dw_hh, 1, dw_hh)
            for t in range(size):
                for j in range(4 * hidden):
                    db[j] += of_gates[t, j]


def lstm_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array, c0: Array
) -> tuple[Array, Array, Array, LstmCache]:
    """As refbss.ops.lstm.lstm_forward."""
    batch, frames, hidden = shape = check_lstm(x, w_ih, w_hh, b_ih, b_hh, h0, c0)
    dtype = x.dtype
    x, h_n, c_n = np.ascontiguousarray(x), h0.copy(), c0.copy()
    y, c, i, f, g, o = (np.empty(shape, dtype) for _ in range(6))
    transposed = [np.ascontiguousarray(w.T) for w in (w_ih, w_hh)]
    scratch = np.empty((batch, min(frames, PIECE), 4 * hidden), dtype), np.empty((batch, 4 * hidden), dtype)
    _forward(x, *transposed, (b_ih + b_hh)[None], h_n, c_n, y, c, i, f, g, o, *scratch)
    return y, h_n, c_n, LstmCache(x, w_ih, w_hh, h0, c0, y, c, i, f, g, o)


def lstm_backward(dy: Array, dh_n: Array, dc_n: Array, cache: LstmCache) -> LstmGrads:
    """As refbss.ops.lstm.lstm_backward."""
    x, w_ih, w_hh, h0, c0, y, c, i, f, g, o = cache
    check_lstm_cotangents(dy, dh_n, dc_n, y)
    dtype, (batch, frames, hidden) = y.dtype, y.shape
    dx, dw_ih, dw_hh = np.empty(x.shape, dtype), np.zeros(w_ih.shape, dtype), np.zeros(w_hh.shape, dtype)
    db, dh, dc = np.zeros(4 * hidden, dtype), dh_n.copy(), dc_n.copy()
    dgate, zero = np.empty((batch, min(frames, PIECE), 4 * hidden), dtype), np.zeros((1, hidden + x.shape[2]), dtype)
    dy, x, w_ih, w_hh, h0, c0 = (np.ascontiguousarray(array) for array in (dy, x, w_ih, w_hh, h0, c0))
    _backward(dy, x, w_ih, w_hh, h0, c0, y, c, i, f, g, o, dx, dw_ih, dw_hh, db, dh, dc, dgate, zero)
    return LstmGrads(dx, dw_ih, dw_hh, db, db.copy(), dh, dc)
