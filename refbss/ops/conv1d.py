"""One-dimensional convolution, a cross-correlation as every framework's Conv1d.

Shapes: x (B, C, N), w (O, C, K), b (O,), y (B, O, T) with T = floor((N + pad_left - K) / stride) + 1. The input is
padded with ``pad_left`` zeros on the left and none on the right, so pad_left = K - stride makes the layer causal:
output frame t sees input samples up to (t + 1) stride - 1 [ours]. LVBD puts the K - stride samples that it remembers in
front instead, zeros at the start. With p = pad_left, s = stride:

    (conv1d.1)  y[b,o,t] = b[o] + sum_c sum_k w[o,c,k] x[b,c, t s + k - p]
    (conv1d.2)  dx[b,c, t s + k - p] += w[o,c,k] dy[b,o,t]
    (conv1d.3)  dw[o,c,k] = sum_b sum_t dy[b,o,t] x[b,c, t s + k - p]
    (conv1d.4)  db[o] = sum_b sum_t dy[b,o,t]

Source: [std] the definition of cross-correlation; parameters as torch.nn.Conv1d. Sums run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import InputError, check_arrays, check_cotangents, check_integer
from refbss._jit import kernel
from refbss._types import Array


class Conv1dCache(NamedTuple):
    """What the backward pass needs."""

    x: Array
    w: Array
    stride: int
    pad_left: int


class Conv1dGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    dw: Array
    db: Array


@kernel
def _forward(x, w, b, stride, pad_left, y):  # type: ignore[no-untyped-def]
    batch, channels, _ = x.shape
    outputs, _, taps = w.shape
    for i in range(batch):
        for o in range(outputs):
            for t in range(y.shape[2]):
                acc = np.float64(b[o])
                for c in range(channels):
                    for k in range(taps):
                        n = t * stride + k - pad_left
                        if n >= 0:
                            acc += np.float64(w[o, c, k]) * x[i, c, n]
                y[i, o, t] = acc  # (conv1d.1)


@kernel
def _backward(dy, x, w, stride, pad_left, dx, dw, db):  # type: ignore[no-untyped-def]
    batch, channels, _ = x.shape
    outputs, _, taps = w.shape
    for i in range(batch):
        for o in range(outputs):
            for t in range(dy.shape[2]):
                g = np.float64(dy[i, o, t])
                db[o] += g  # (conv1d.4)
                for c in range(channels):
                    for k in range(taps):
                        n = t * stride + k - pad_left
                        if n >= 0:
                            dx[i, c, n] += g * w[o, c, k]  # (conv1d.2)
                            dw[o, c, k] += g * x[i, c, n]  # (conv1d.3)


def output_length(samples: int, taps: int, stride: int, pad_left: int) -> int:
    """Frames that a convolution makes of ``samples`` samples; below 1 when the input is too short."""
    return (samples + pad_left - taps) // stride + 1


def check_conv1d(x: Array, w: Array, b: Array, stride: int, pad_left: int) -> tuple[int, int, int]:
    """The door of both engines: check every argument of the forward pass, return the shape of y. Raises InputError."""
    sizes = check_arrays("conv1d", x=(x, "B C N"), w=(w, "O C K"), b=(b, "O"))
    check_integer("conv1d", stride=stride)
    check_integer("conv1d", least=0, pad_left=pad_left)
    frames = output_length(sizes["N"], sizes["K"], stride, pad_left)
    if frames < 1:
        raise InputError(
            f"conv1d: x has N = {sizes['N']} samples, wanted at least K - pad_left = {sizes['K'] - pad_left}"
        )
    return sizes["B"], sizes["O"], frames


def check_conv1d_cotangent(dy: Array, cache: Conv1dCache) -> None:
    """The door of both engines' backward pass. Raises InputError."""
    batch, _, samples = cache.x.shape
    outputs, _, taps = cache.w.shape
    frames = output_length(samples, taps, cache.stride, cache.pad_left)
    check_cotangents("conv1d", cache.x.dtype, dy=(dy, (batch, outputs, frames)))


def conv1d_forward(x: Array, w: Array, b: Array, *, stride: int = 1, pad_left: int = 0) -> tuple[Array, Conv1dCache]:
    """Convolve. Returns y (B, O, T) and the cache. Raises InputError on shapes, dtypes, stride or padding."""
    y = np.empty(check_conv1d(x, w, b, stride, pad_left), dtype=x.dtype)
    _forward(x, w, b, stride, pad_left, y)
    return y, Conv1dCache(x, w, stride, pad_left)


def conv1d_backward(dy: Array, cache: Conv1dCache) -> Conv1dGrads:
    """Pull the cotangent dy (B, O, T) back to x, w and b. Raises InputError on shape or dtype."""
    check_conv1d_cotangent(dy, cache)
    x, w, stride, pad_left = cache
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[0])
    _backward(dy, x, w, stride, pad_left, dx, dw, db)
    return Conv1dGrads(dx.astype(x.dtype), dw.astype(w.dtype), db.astype(w.dtype))
