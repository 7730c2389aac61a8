"""Long short-term memory, the PyTorch form: a forget gate, no peepholes, two biases, rows [i; f; g; o].

Shapes: x (B, T, I), w_ih (4H, I), w_hh (4H, H), b_ih (4H,), b_hh (4H,), h0 (B, H), c0 (B, H), y (B, T, H),
h_n (B, H), c_n (B, H). Units: none. With h = h_{t-1}, c = c_{t-1}, * the element-wise product, sigm the logistic
function:

    (lstm.1)  i = sigm(W_ii x + b_ii + W_hi h + b_hi)
    (lstm.2)  f = sigm(W_if x + b_if + W_hf h + b_hf)
    (lstm.3)  g = tanh(W_ig x + b_ig + W_hg h + b_hg)
    (lstm.4)  o = sigm(W_io x + b_io + W_ho h + b_ho)
    (lstm.5)  c' = f * c + i * g
    (lstm.6)  h' = o * tanh(c')

Backward, from t = T-1 down, dh the gradient of h' (cotangent of y_t plus what step t+1 sent back); the gradients of
the gates are those at the arguments of sigm and tanh:

    (lstm.7)   do = dh * tanh(c') * o * (1 - o)
    (lstm.8)   dc' = what step t+1 sent back + dh * o * (1 - tanh(c')^2)
    (lstm.9)   di = dc' * g * i * (1 - i)
    (lstm.10)  df = dc' * c * f * (1 - f)
    (lstm.11)  dg = dc' * i * (1 - g^2)
    (lstm.12)  dc_{t-1} = dc' * f
    (lstm.13)  dh_{t-1} = W_hi' di + W_hf' df + W_hg' dg + W_ho' do
    (lstm.14)  dx = W_ii' di + W_if' df + W_ig' dg + W_io' do
    (lstm.15)  dW_ih += [di; df; dg; do] x'
    (lstm.16)  dW_hh += [di; df; dg; do] h'
    (lstm.17)  db_ih = db_hh += [di; df; dg; do]

Source: [std] Hochreiter and Schmidhuber 1997, the forget gate of Gers et al. 2000; parameters as torch.nn.LSTM. Sums
run in float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._jit import kernel
from refbss._types import Array


class LstmCache(NamedTuple):
    """Inputs, and of every frame the output y, the cell c and the gates i, f, g and o, each (B, T, H)."""

    x: Array
    w_ih: Array
    w_hh: Array
    h0: Array
    c0: Array
    y: Array
    c: Array
    i: Array
    f: Array
    g: Array
    o: Array


class LstmGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    dw_ih: Array
    dw_hh: Array
    db_ih: Array
    db_hh: Array
    dh0: Array
    dc0: Array


@kernel
def _sigmoid(x):  # type: ignore[no-untyped-def]
    small = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else small) / (1.0 + small)


@kernel
def _forward(  # type: ignore[no-untyped-def]
    x, w_ih, w_hh, b_ih, b_hh, h0, c0, y, cell, gate_i, gate_f, gate_g, gate_o
):
    batch, frames, inputs = x.shape
    hidden = h0.shape[1]
    for b in range(batch):
        for t in range(frames):
            for j in range(hidden):
                sum_i = np.float64(b_ih[j]) + b_hh[j]
                sum_f = np.float64(b_ih[hidden + j]) + b_hh[hidden + j]
                sum_g = np.float64(b_ih[2 * hidden + j]) + b_hh[2 * hidden + j]
                sum_o = np.float64(b_ih[3 * hidden + j]) + b_hh[3 * hidden + j]
                for k in range(inputs):
                    sum_i += np.float64(w_ih[j, k]) * x[b, t, k]
                    sum_f += np.float64(w_ih[hidden + j, k]) * x[b, t, k]
                    sum_g += np.float64(w_ih[2 * hidden + j, k]) * x[b, t, k]
                    sum_o += np.float64(w_ih[3 * hidden + j, k]) * x[b, t, k]
                for k in range(hidden):
                    h = y[b, t - 1, k] if t > 0 else h0[b, k]
                    sum_i += np.float64(w_hh[j, k]) * h
                    sum_f += np.float64(w_hh[hidden + j, k]) * h
                    sum_g += np.float64(w_hh[2 * hidden + j, k]) * h
                    sum_o += np.float64(w_hh[3 * hidden + j, k]) * h
                i = _sigmoid(sum_i)  # (lstm.1)
                f = _sigmoid(sum_f)  # (lstm.2)
                g = math.tanh(sum_g)  # (lstm.3)
                o = _sigmoid(sum_o)  # (lstm.4)
                c = np.float64(cell[b, t - 1, j] if t > 0 else c0[b, j])
                c = f * c + i * g  # (lstm.5)
                y[b, t, j] = o * math.tanh(c)  # (lstm.6)
                cell[b, t, j] = c
                gate_i[b, t, j] = i
                gate_f[b, t, j] = f
                gate_g[b, t, j] = g
                gate_o[b, t, j] = o


@kernel
def _backward(  # type: ignore[no-untyped-def]
    dy, dh_n, dc_n, x, w_ih, w_hh, h0, c0, y, cell, gate_i, gate_f, gate_g, gate_o, dx, dw_ih, dw_hh, db, dh, dc, dgate
):
    batch, frames, inputs = x.shape
    hidden = h0.shape[1]
    for b in range(batch):
        for j in range(hidden):
            dh[b, j] = dh_n[b, j]
            dc[b, j] = dc_n[b, j]
        for t in range(frames - 1, -1, -1):
            for j in range(hidden):
                i, f = np.float64(gate_i[b, t, j]), np.float64(gate_f[b, t, j])
                g, o = np.float64(gate_g[b, t, j]), np.float64(gate_o[b, t, j])
                c = cell[b, t - 1, j] if t > 0 else c0[b, j]
                tanh_c = math.tanh(np.float64(cell[b, t, j]))
                dh_t = dh[b, j] + dy[b, t, j]
                dc_t = dc[b, j] + dh_t * o * (1.0 - tanh_c * tanh_c)  # (lstm.8)
                dgate[j] = dc_t * g * i * (1.0 - i)  # (lstm.9)
                dgate[hidden + j] = dc_t * c * f * (1.0 - f)  # (lstm.10)
                dgate[2 * hidden + j] = dc_t * i * (1.0 - g * g)  # (lstm.11)
                dgate[3 * hidden + j] = dh_t * tanh_c * o * (1.0 - o)  # (lstm.7)
                dc[b, j] = dc_t * f  # (lstm.12)
                dh[b, j] = 0.0
            for row in range(4 * hidden):
                db[row] += dgate[row]  # (lstm.17)
                for k in range(inputs):
                    dx[b, t, k] += dgate[row] * w_ih[row, k]  # (lstm.14)
                    dw_ih[row, k] += dgate[row] * x[b, t, k]  # (lstm.15)
                for k in range(hidden):
                    h = y[b, t - 1, k] if t > 0 else h0[b, k]
                    dh[b, k] += dgate[row] * w_hh[row, k]  # (lstm.13)
                    dw_hh[row, k] += dgate[row] * h  # (lstm.16)


def check_lstm(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array, c0: Array
) -> tuple[int, int, int]:
    """The door of both engines: check the forward pass's arguments, return (B, T, H). Raises InputError."""
    hidden = check_arrays("lstm", h0=(h0, "B H"))["H"]
    rows = 4 * hidden
    sizes = check_arrays(
        "lstm",
        x=(x, "B T I"),
        w_ih=(w_ih, f"{rows} I"),
        w_hh=(w_hh, f"{rows} {hidden}"),
        b_ih=(b_ih, f"{rows}"),
        b_hh=(b_hh, f"{rows}"),
        h0=(h0, "B H"),
        c0=(c0, "B H"),
    )
    return sizes["B"], sizes["T"], hidden


def check_lstm_cotangents(dy: Array, dh_n: Array, dc_n: Array, y: Array) -> None:
    """The door of both engines' backward pass. Raises InputError."""
    state = (y.shape[0], y.shape[2])
    check_cotangents("lstm", y.dtype, dy=(dy, y.shape), dh_n=(dh_n, state), dc_n=(dc_n, state))


def lstm_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array, c0: Array
) -> tuple[Array, Array, Array, LstmCache]:
    """Run over all frames. Returns y (B, T, H), the last state h_n, c_n (B, H) and the cache. Raises InputError."""
    shape = check_lstm(x, w_ih, w_hh, b_ih, b_hh, h0, c0)
    y, c, i, f, g, o = (np.empty(shape, dtype=x.dtype) for _ in range(6))
    _forward(x, w_ih, w_hh, b_ih, b_hh, h0, c0, y, c, i, f, g, o)
    return y, y[:, -1].copy(), c[:, -1].copy(), LstmCache(x, w_ih, w_hh, h0, c0, y, c, i, f, g, o)


def lstm_backward(dy: Array, dh_n: Array, dc_n: Array, cache: LstmCache) -> LstmGrads:
    """Pull dy (B, T, H), dh_n and dc_n (B, H) back to inputs, parameters, h0 and c0. Raises InputError."""
    x, w_ih, w_hh, h0, c0, y, c, i, f, g, o = cache
    check_lstm_cotangents(dy, dh_n, dc_n, y)
    dx, dw_ih, dw_hh = np.zeros(x.shape), np.zeros(w_ih.shape), np.zeros(w_hh.shape)
    db, dgate = np.zeros(len(w_hh)), np.empty(len(w_hh))
    dh, dc = np.empty(h0.shape), np.empty(h0.shape)
    _backward(dy, dh_n, dc_n, x, w_ih, w_hh, h0, c0, y, c, i, f, g, o, dx, dw_ih, dw_hh, db, dh, dc, dgate)
    return LstmGrads(*(grad.astype(x.dtype) for grad in (dx, dw_ih, dw_hh, db, db, dh, dc)))
