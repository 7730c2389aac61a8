"""Fast twin of refbss.ops.gru: one matrix product for all frames' inputs, a fused kernel for the recursion.

A step of the recursion is a product of the state with the recurrent weights and one pass over the gates. On the way
back the recursion leaves the gradients at the gates, and what does not travel with the state is summed after it.
"""

from __future__ import annotations

import numpy as np

from refbss._jit import fast_kernel
from refbss._types import Array
from refbss.fast._elementary import sigmoid, tanh
from refbss.fast._products import rows_times, sum_of_products
from refbss.fast._tiles import product
from refbss.ops.gru import GruCache, GruGrads, check_gru, check_gru_cotangent


@fast_kernel
def _forward(inputs, w_t, b_hh, h, y, gate_r, gate_z, gate_n, gate_a, sums):  # type: ignore[no-untyped-def]
    batch, frames, hidden = y.shape
    for t in range(frames):
        product(h, w_t, b_hh, 0, sums)
        for i in range(batch):
            for j in range(hidden):
                r = sigmoid(inputs[i, t, j] + sums[i, j])
                z = sigmoid(inputs[i, t, hidden + j] + sums[i, hidden + j])
                a = sums[i, 2 * hidden + j]
                n = tanh(inputs[i, t, 2 * hidden + j] + r * a)
                v = n + z * (h[i, j] - n)
                h[i, j] = v
                y[i, t, j] = v
                gate_r[i, t, j] = r
                gate_z[i, t, j] = z
                gate_n[i, t, j] = n
                gate_a[i, t, j] = a


@fast_kernel
def _backward(dy, w_hh, h0, y, gate_r, gate_z, gate_n, gate_a, d_in, d_a, dh, drow):  # type: ignore[no-untyped-def]
    batch, frames, hidden = dy.shape
    one = dy.dtype.type(1.0)
    for step in range(frames):
        t = frames - 1 - step
        for i in range(batch):
            previous = y[i, t - 1] if t > 0 else h0[i]
            for j in range(hidden):
                r, z, n, a = gate_r[i, t, j], gate_z[i, t, j], gate_n[i, t, j], gate_a[i, t, j]
                g = dh[i, j] + dy[i, t, j]
                dn = g * (one - z) * (one - n * n)
                dz = g * (previous[j] - n) * z * (one - z)
                dr = dn * a * r * (one - r)
                da = dn * r
                d_in[i, t, j] = dr
                d_in[i, t, hidden + j] = dz
                d_in[i, t, 2 * hidden + j] = dn
                d_a[i, t, j] = da
                drow[i, j] = dr
                drow[i, hidden + j] = dz
                drow[i, 2 * hidden + j] = da
                dh[i, j] = g * z
        product(drow, w_hh, dh, 1, dh)


def gru_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array
) -> tuple[Array, Array, GruCache]:
    """As refbss.ops.gru.gru_forward."""
    batch, _, hidden = shape = check_gru(x, w_ih, w_hh, b_ih, b_hh, h0)
    inputs = rows_times(np.ascontiguousarray(x), w_ih.T, b_ih)
    y, r, z, n, a = (np.empty(shape, dtype=x.dtype) for _ in range(5))
    sums = np.empty((batch, 3 * hidden), dtype=x.dtype)
    w_t, bias, state = np.ascontiguousarray(w_hh.T), np.ascontiguousarray(b_hh)[None], h0.copy()
    _forward(inputs, w_t, bias, state, y, r, z, n, a, sums)
    return y, state, GruCache(x, w_ih, w_hh, h0, y, r, z, n, a)


def gru_backward(dy: Array, dh_n: Array, cache: GruCache) -> GruGrads:
    """As refbss.ops.gru.gru_backward."""
    x, w_ih, w_hh, h0, y, r, z, n, a = cache
    check_gru_cotangent(dy, dh_n, y)
    batch, frames, hidden = y.shape
    d_in, d_a = np.empty((batch, frames, 3 * hidden), dtype=y.dtype), np.empty(y.shape, dtype=y.dtype)
    dh, drow = dh_n.copy(), np.empty((batch, 3 * hidden), dtype=y.dtype)
    h0 = np.ascontiguousarray(h0)
    _backward(np.ascontiguousarray(dy), np.ascontiguousarray(w_hh), h0, y, r, z, n, a, d_in, d_a, dh, drow)
    dw_ih = np.ascontiguousarray(sum_of_products(d_in, np.ascontiguousarray(x)))
    of_gates = [sum_of_products(d[:, 1:], y[:, :-1]) for d in (d_in[:, :, : 2 * hidden], d_a)]
    dw_hh = np.concatenate(of_gates)
    first = np.concatenate([d_in[:, :1, : 2 * hidden], d_a[:, :1]], axis=2)
    dw_hh += sum_of_products(first.transpose(1, 0, 2), h0[None])
    db_ih = d_in.sum(axis=(0, 1))
    db_hh = np.concatenate([db_ih[: 2 * hidden], d_a.sum(axis=(0, 1))])
    return GruGrads(rows_times(d_in, w_ih), dw_ih, dw_hh, db_ih, db_hh, dh)
