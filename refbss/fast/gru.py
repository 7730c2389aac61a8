"""Fast twin of refbss.ops.gru: one matrix product for all frames' inputs, a fused kernel for the recursion.

The recursion multiplies eight columns of the recurrent weights at a time and two batch rows at once, so that each
weight that is loaded from the cache serves two rows. In float32 the logistic function and tanh are polynomials that the
compiler vectorises; in float64 they are the mathematical library's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from refbss._jit import fast_kernel
from refbss._types import Array
from refbss.ops.gru import GruCache, GruGrads, check_gru, check_gru_cotangent


def _exp_minus(x: Any) -> Any:
    """exp(-x), held at the edge of the range."""
    return math.exp(-x if x > -700.0 else 700.0) if x == x else x


@overload(_exp_minus)
def _exp_minus_overload(x: Any) -> Any:

    def library(x: Any) -> Any:
        return math.exp(-x if x > -700.0 else 700.0) if x == x else x

    def polynomial(x: Any) -> Any:
        """2^k times a polynomial for 2^f, k the integer nearest to -x / log 2; x is held within +-87, NaN stays."""
        v = np.float32(87.0) if x > np.float32(87.0) else x
        v = np.float32(-87.0) if v < np.float32(-87.0) else v
        t = np.float64(v) * -1.4426950408889634  # float64: the product's rounding would be most of the error
        k = np.int32(np.int32(t + 128.5) - np.int32(128))
        f = np.float32(t - np.float64(k))
        p = np.float32(1.535336188319500e-4)
        p = p * f + np.float32(1.339887440266574e-3)
        p = p * f + np.float32(9.618437357674640e-3)
        p = p * f + np.float32(5.550332471162809e-2)
        p = p * f + np.float32(2.402264791363012e-1)
        p = p * f + np.float32(6.931472028550421e-1)
        p = p * f + np.float32(1.0)
        power = np.int32(np.float32(p).view(np.int32) + np.int32(k << np.int32(23))).view(np.float32)
        return power if v == v else v

    return polynomial if x == types.float32 else library


@fast_kernel
def _multiply(h, w, out):  # type: ignore[no-untyped-def]
    """out[i, :] += sum_k h[i, k] w[k, :], two rows and eight k at a time."""
    rows, inner = h.shape
    outer = w.shape[1]
    i = 0
    while i < rows:
        two = i + 1 < rows
        second = i + 1 if two else i
        k = 0
        while k + 8 <= inner:
            a0, a1, a2, a3 = h[i, k], h[i, k + 1], h[i, k + 2], h[i, k + 3]
            a4, a5, a6, a7 = h[i, k + 4], h[i, k + 5], h[i, k + 6], h[i, k + 7]
            if two:
                b0, b1, b2, b3 = h[second, k], h[second, k + 1], h[second, k + 2], h[second, k + 3]
                b4, b5, b6, b7 = h[second, k + 4], h[second, k + 5], h[second, k + 6], h[second, k + 7]
                for j in range(outer):
                    w0, w1, w2, w3 = w[k, j], w[k + 1, j], w[k + 2, j], w[k + 3, j]
                    w4, w5, w6, w7 = w[k + 4, j], w[k + 5, j], w[k + 6, j], w[k + 7, j]
                    out[i, j] += a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3 + a4 * w4 + a5 * w5 + a6 * w6 + a7 * w7
                    out[second, j] += b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3 + b4 * w4 + b5 * w5 + b6 * w6 + b7 * w7
            else:
                for j in range(outer):
                    out[i, j] += (
                        a0 * w[k, j] + a1 * w[k + 1, j] + a2 * w[k + 2, j] + a3 * w[k + 3, j]
                        + a4 * w[k + 4, j] + a5 * w[k + 5, j] + a6 * w[k + 6, j] + a7 * w[k + 7, j]
                    )  # fmt: skip
            k += 8
        while k < inner:
            for j in range(outer):
                out[i, j] += h[i, k] * w[k, j]
            if two:
                for j in range(outer):
                    out[second, j] += h[second, k] * w[k, j]
            k += 1
        i += 2


@fast_kernel
def _forward(inputs, w_t, b_hh, h, y, gate_r, gate_z, gate_n, gate_a, sums):  # type: ignore[no-untyped-def]
    batch, frames, hidden = y.shape
    one, two = y.dtype.type(1.0), y.dtype.type(2.0)
    for t in range(frames):
        for i in range(batch):
            for j in range(3 * hidden):
                sums[i, j] = b_hh[j]
        _multiply(h, w_t, sums)
        for i in range(batch):
            for j in range(hidden):
                r = one / (one + _exp_minus(inputs[i, t, j] + sums[i, j]))
                z = one / (one + _exp_minus(inputs[i, t, hidden + j] + sums[i, hidden + j]))
                a = sums[i, 2 * hidden + j]
                n = two / (one + _exp_minus(two * (inputs[i, t, 2 * hidden + j] + r * a))) - one
                v = n + z * (h[i, j] - n)
                h[i, j] = v
                y[i, t, j] = v
                gate_r[i, t, j] = r
                gate_z[i, t, j] = z
                gate_n[i, t, j] = n
                gate_a[i, t, j] = a


@fast_kernel
def _backward(dy, dh_n, w_hh, previous, gate_r, gate_z, gate_n, gate_a, d_in, d_rec, dh, drow):  # type: ignore[no-untyped-def]
    batch, frames, hidden = dy.shape
    one = dy.dtype.type(1.0)
    for i in range(batch):
        for j in range(hidden):
            dh[i, j] = dh_n[i, j]
    for step in range(frames):
        t = frames - 1 - step
        for i in range(batch):
            for j in range(hidden):
                r, z, n, a = gate_r[i, t, j], gate_z[i, t, j], gate_n[i, t, j], gate_a[i, t, j]
                g = dh[i, j] + dy[i, t, j]
                dn = g * (one - z) * (one - n * n)
                dz = g * (previous[i, t, j] - n) * z * (one - z)
                dr = dn * a * r * (one - r)
                da = dn * r
                d_in[i, t, j] = dr
                d_in[i, t, hidden + j] = dz
                d_in[i, t, 2 * hidden + j] = dn
                d_rec[i, t, 2 * hidden + j] = da
                d_rec[i, t, j] = dr
                d_rec[i, t, hidden + j] = dz
                drow[i, j] = dr
                drow[i, hidden + j] = dz
                drow[i, 2 * hidden + j] = da
                dh[i, j] = g * z
        _multiply(drow, w_hh, dh)


def gru_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array
) -> tuple[Array, Array, GruCache]:
    """As refbss.ops.gru.gru_forward."""
    batch, frames, hidden = shape = check_gru(x, w_ih, w_hh, b_ih, b_hh, h0)
    inputs = np.ascontiguousarray(x).reshape(batch * frames, -1) @ w_ih.T
    inputs += b_ih
    y, r, z, n, a = (np.empty(shape, dtype=x.dtype) for _ in range(5))
    sums = np.empty((batch, 3 * hidden), dtype=x.dtype)
    w_t, bias, state = np.ascontiguousarray(w_hh.T), np.ascontiguousarray(b_hh), h0.copy()
    _forward(inputs.reshape(batch, frames, -1), w_t, bias, state, y, r, z, n, a, sums)
    return y, y[:, -1].copy(), GruCache(x, w_ih, w_hh, h0, y, r, z, n, a)


def gru_backward(dy: Array, dh_n: Array, cache: GruCache) -> GruGrads:
    """As refbss.ops.gru.gru_backward."""
    x, w_ih, w_hh, h0, y, r, z, n, a = cache
    check_gru_cotangent(dy, dh_n, y)
    batch, frames, hidden = y.shape
    previous = np.concatenate([h0[:, None], y[:, :-1]], axis=1)
    d_in, d_rec = (np.empty((batch, frames, 3 * hidden), dtype=y.dtype) for _ in range(2))
    dh, drow = np.empty((batch, hidden), dtype=y.dtype), np.empty((batch, 3 * hidden), dtype=y.dtype)
    _backward(
        np.ascontiguousarray(dy), np.ascontiguousarray(dh_n), np.ascontiguousarray(w_hh), previous, r, z, n, a,
        d_in, d_rec, dh, drow,
    )  # fmt: skip
    flat_in, flat_rec = d_in.reshape(-1, 3 * hidden), d_rec.reshape(-1, 3 * hidden)
    dw_ih = flat_in.T @ np.ascontiguousarray(x).reshape(batch * frames, -1)
    dw_hh = flat_rec.T @ previous.reshape(batch * frames, hidden)
    dx = (flat_in @ w_ih).reshape(x.shape)
    return GruGrads(dx, dw_ih, dw_hh, flat_in.sum(axis=0), flat_rec.sum(axis=0), dh)
