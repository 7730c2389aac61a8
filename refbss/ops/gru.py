"""Gated recurrent unit, the PyTorch and cuDNN form: reset after the matrix product, two biases, rows [r; z; n].

Shapes: x (B, T, I), w_ih (3H, I), w_hh (3H, H), b_ih (3H,), b_hh (3H,), h0 (B, H), y (B, T, H), h_n (B, H).
Units: none. With h = h_{t-1}, * the element-wise product, sigm the logistic function:

    (gru.1)  r = sigm(W_ir x + b_ir + W_hr h + b_hr)
    (gru.2)  z = sigm(W_iz x + b_iz + W_hz h + b_hz)
    (gru.3)  a = W_hn h + b_hn
    (gru.4)  n = tanh(W_in x + b_in + r * a)
    (gru.5)  h' = (1 - z) * n + z * h

Backward, from t = T-1 down, dh the gradient of h' (cotangent of y_t plus what step t+1 sent back):

    (gru.6)   dn = dh * (1 - z) * (1 - n^2)        gradient at the argument of tanh
    (gru.7)   dz = dh * (h - n) * z * (1 - z)      at the argument of sigm
    (gru.8)   dr = dn * a * r * (1 - r)            at the argument of sigm
    (gru.9)   da = dn * r
    (gru.10)  dh_{t-1} = dh * z + W_hr' dr + W_hz' dz + W_hn' da
    (gru.11)  dx = W_ir' dr + W_iz' dz + W_in' dn
    (gru.12)  dW_ih += [dr; dz; dn] x',  db_ih += [dr; dz; dn]
    (gru.13)  dW_hh += [dr; dz; da] h',  db_hh += [dr; dz; da]

Source: [std] Cho et al. 2014 with the cuDNN arrangement; parameters as torch.nn.GRU. Sums run in float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._jit import kernel
from refbss._types import Array


class GruCache(NamedTuple):
    """Inputs, and the gates of every frame: r, z, n and a, each (B, T, H)."""

    x: Array
    w_ih: Array
    w_hh: Array
    h0: Array
    y: Array
    r: Array
    z: Array
    n: Array
    a: Array


class GruGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    dw_ih: Array
    dw_hh: Array
    db_ih: Array
    db_hh: Array
    dh0: Array


@kernel
def _sigmoid(x):  # type: ignore[no-untyped-def]
    small = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else small) / (1.0 + small)


@kernel
def _forward(x, w_ih, w_hh, b_ih, b_hh, h0, y, gate_r, gate_z, gate_n, gate_a):  # type: ignore[no-untyped-def]
    batch, frames, inputs = x.shape
    hidden = h0.shape[1]
    for i in range(batch):
        for t in range(frames):
            for j in range(hidden):
                ir = np.float64(b_ih[j])
                iz = np.float64(b_ih[hidden + j])
                in_ = np.float64(b_ih[2 * hidden + j])
                hr = np.float64(b_hh[j])
                hz = np.float64(b_hh[hidden + j])
                a = np.float64(b_hh[2 * hidden + j])
                for k in range(inputs):
                    ir += np.float64(w_ih[j, k]) * x[i, t, k]
                    iz += np.float64(w_ih[hidden + j, k]) * x[i, t, k]
                    in_ += np.float64(w_ih[2 * hidden + j, k]) * x[i, t, k]
                for k in range(hidden):
                    h = y[i, t - 1, k] if t > 0 else h0[i, k]
                    hr += np.float64(w_hh[j, k]) * h
                    hz += np.float64(w_hh[hidden + j, k]) * h
                    a += np.float64(w_hh[2 * hidden + j, k]) * h  # (gru.3)
                r = _sigmoid(ir + hr)  # (gru.1)
                z = _sigmoid(iz + hz)  # (gru.2)
                n = math.tanh(in_ + r * a)  # (gru.4)
                h = np.float64(y[i, t - 1, j] if t > 0 else h0[i, j])
                y[i, t, j] = (1.0 - z) * n + z * h  # (gru.5)
                gate_r[i, t, j] = r
                gate_z[i, t, j] = z
                gate_n[i, t, j] = n
                gate_a[i, t, j] = a


@kernel
def _backward(  # type: ignore[no-untyped-def]
    dy, dh_n, x, w_ih, w_hh, h0, y, gate_r, gate_z, gate_n, gate_a, dx, dw_ih, dw_hh, db_ih, db_hh, dh, dgate, dnext
):
    batch, frames, inputs = x.shape
    hidden = h0.shape[1]
    for i in range(batch):
        for j in range(hidden):
            dh[i, j] = dh_n[i, j]
        for t in range(frames - 1, -1, -1):
            for j in range(hidden):
                r, z = np.float64(gate_r[i, t, j]), np.float64(gate_z[i, t, j])
                n, a = np.float64(gate_n[i, t, j]), np.float64(gate_a[i, t, j])
                h = np.float64(y[i, t - 1, j] if t > 0 else h0[i, j])
                g = dh[i, j] + dy[i, t, j]
                dn = g * (1.0 - z) * (1.0 - n * n)  # (gru.6)
                dgate[j] = dn * a * r * (1.0 - r)  # (gru.8)
                dgate[hidden + j] = g * (h - n) * z * (1.0 - z)  # (gru.7)
                dgate[2 * hidden + j] = dn
                dgate[3 * hidden + j] = dn * r  # (gru.9)
                dnext[j] = g * z
            for row in range(3 * hidden):
                d_in = dgate[row]
                d_rec = dgate[row + hidden] if row >= 2 * hidden else dgate[row]
                db_ih[row] += d_in
                db_hh[row] += d_rec
                for k in range(inputs):
                    dx[i, t, k] += d_in * w_ih[row, k]  # (gru.11)
                    dw_ih[row, k] += d_in * x[i, t, k]  # (gru.12)
                for k in range(hidden):
                    h = np.float64(y[i, t - 1, k] if t > 0 else h0[i, k])
                    dnext[k] += d_rec * w_hh[row, k]  # (gru.10)
                    dw_hh[row, k] += d_rec * h  # (gru.13)
            for j in range(hidden):
                dh[i, j] = dnext[j]


def check_gru(x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array) -> tuple[int, int, int]:
    """The door of both engines: check the forward pass's arguments, return (B, T, H). Raises InputError."""
    hidden = check_arrays("gru", h0=(h0, "B H"))["H"]
    rows = 3 * hidden
    sizes = check_arrays(
        "gru",
        x=(x, "B T I"),
        w_ih=(w_ih, f"{rows} I"),
        w_hh=(w_hh, f"{rows} {hidden}"),
        b_ih=(b_ih, f"{rows}"),
        b_hh=(b_hh, f"{rows}"),
        h0=(h0, "B H"),
    )
    return sizes["B"], sizes["T"], hidden


def check_gru_cotangent(dy: Array, dh_n: Array, y: Array) -> None:
    """The door of both engines' backward pass. Raises InputError."""
    check_cotangents("gru", y.dtype, dy=(dy, y.shape), dh_n=(dh_n, (y.shape[0], y.shape[2])))


def gru_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array
) -> tuple[Array, Array, GruCache]:
    """Run over all frames. Returns y (B, T, H), the last state h_n (B, H) and the cache. Raises InputError."""
    shape = check_gru(x, w_ih, w_hh, b_ih, b_hh, h0)
    y, r, z, n, a = (np.empty(shape, dtype=x.dtype) for _ in range(5))
    _forward(x, w_ih, w_hh, b_ih, b_hh, h0, y, r, z, n, a)
    return y, y[:, -1].copy(), GruCache(x, w_ih, w_hh, h0, y, r, z, n, a)


def gru_backward(dy: Array, dh_n: Array, cache: GruCache) -> GruGrads:
    """Pull the cotangents dy (B, T, H) and dh_n (B, H) back to inputs, parameters and h0. Raises InputError."""
    x, w_ih, w_hh, h0, y, r, z, n, a = cache
    check_gru_cotangent(dy, dh_n, y)
    hidden = h0.shape[1]
    dx, dw_ih, dw_hh = np.zeros(x.shape), np.zeros(w_ih.shape), np.zeros(w_hh.shape)
    db_ih, db_hh, dh = np.zeros(3 * hidden), np.zeros(3 * hidden), np.empty(h0.shape)
    dgate, dnext = np.empty(4 * hidden), np.empty(hidden)
    _backward(dy, dh_n, x, w_ih, w_hh, h0, y, r, z, n, a, dx, dw_ih, dw_hh, db_ih, db_hh, dh, dgate, dnext)
    return GruGrads(*(grad.astype(x.dtype) for grad in (dx, dw_ih, dw_hh, db_ih, db_hh, dh)))
