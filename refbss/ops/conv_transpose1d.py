"""Transposed one-dimensional convolution, written from its own definition: every input frame adds a scaled kernel.

Shapes: x (B, C, T), w (C, O, K), b (O,), y (B, O, N) with N = (T - 1) stride + K - trim_right. Output sample n
depends on no input frame after floor(n / stride), whatever is trimmed on the right; trimming K - stride samples leaves
stride samples a frame [ours]. With s = stride:

    (conv_transpose1d.1)  y[b,o,n] = b[o] + sum over k, t with t s + k = n of sum_c w[c,o,k] x[b,c,t],   n < N
    (conv_transpose1d.2)  dx[b,c,t] = sum_o sum_k w[c,o,k] dy[b,o, t s + k]
    (conv_transpose1d.3)  dw[c,o,k] = sum_b sum_t x[b,c,t] dy[b,o, t s + k]
    (conv_transpose1d.4)  db[o] = sum_b sum_n dy[b,o,n]

Source: [std] the adjoint of strided cross-correlation; parameters as torch.nn.ConvTranspose1d. Sums run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import InputError, check_arrays, check_cotangents, check_integer
from refbss._jit import kernel
from refbss._types import Array


class ConvTranspose1dCache(NamedTuple):
    """What the backward pass needs."""

    x: Array
    w: Array
    stride: int
    trim_right: int


class ConvTranspose1dGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    dw: Array
    db: Array


@kernel
def _forward(x, w, b, stride, y):  # type: ignore[no-untyped-def]
    batch, channels, frames = x.shape
    _, outputs, taps = w.shape
    for i in range(batch):
        for o in range(outputs):
            for n in range(y.shape[2]):
                acc = np.float64(b[o])
                for k in range(n % stride, taps, stride):
                    t = (n - k) // stride
                    if 0 <= t < frames:
                        for c in range(channels):
                            acc += np.float64(w[c, o, k]) * x[i, c, t]
                y[i, o, n] = acc  # (conv_transpose1d.1)


@kernel
def _backward(dy, x, w, stride, dx, dw, db):  # type: ignore[no-untyped-def]
    batch, channels, frames = x.shape
    _, outputs, taps = w.shape
    samples = dy.shape[2]
    for i in range(batch):
        for o in range(outputs):
            for n in range(samples):
                db[o] += dy[i, o, n]  # (conv_transpose1d.4)
            for t in range(frames):
                for k in range(taps):
                    n = t * stride + k
                    if n < samples:
                        g = np.float64(dy[i, o, n])
                        for c in range(channels):
                            dx[i, c, t] += g * w[c, o, k]  # (conv_transpose1d.2)
                            dw[c, o, k] += g * x[i, c, t]  # (conv_transpose1d.3)


def output_length(frames: int, taps: int, stride: int, trim_right: int) -> int:
    """Samples that a transposed convolution makes of ``frames`` frames."""
    return (frames - 1) * stride + taps - trim_right


def check_conv_transpose1d(x: Array, w: Array, b: Array, stride: int, trim_right: int) -> tuple[int, int, int]:
    """The door of both engines: check every argument of the forward pass, return the shape of y. Raises InputError."""
    sizes = check_arrays("conv_transpose1d", x=(x, "B C T"), w=(w, "C O K"), b=(b, "O"))
    check_integer("conv_transpose1d", stride=stride)
    check_integer("conv_transpose1d", least=0, trim_right=trim_right)
    samples = output_length(sizes["T"], sizes["K"], stride, trim_right)
    if samples < 1:
        raise InputError(
            f"conv_transpose1d: trim_right is {trim_right}, wanted less than {samples + trim_right} samples"
        )
    return sizes["B"], sizes["O"], samples


def check_conv_transpose1d_cotangent(dy: Array, cache: ConvTranspose1dCache) -> None:
    """The door of both engines' backward pass. Raises InputError."""
    batch, _, frames = cache.x.shape
    _, outputs, taps = cache.w.shape
    samples = output_length(frames, taps, cache.stride, cache.trim_right)
    check_cotangents("conv_transpose1d", cache.x.dtype, dy=(dy, (batch, outputs, samples)))


def conv_transpose1d_forward(
    x: Array, w: Array, b: Array, *, stride: int = 1, trim_right: int = 0
) -> tuple[Array, ConvTranspose1dCache]:
    """Upsample. Returns y (B, O, N) and the cache. Raises InputError on shapes, dtypes, stride or trimming."""
    y = np.empty(check_conv_transpose1d(x, w, b, stride, trim_right), dtype=x.dtype)
    _forward(x, w, b, stride, y)
    return y, ConvTranspose1dCache(x, w, stride, trim_right)


def conv_transpose1d_backward(dy: Array, cache: ConvTranspose1dCache) -> ConvTranspose1dGrads:
    """Pull the cotangent dy (B, O, N) back to x, w and b. Raises InputError on shape or dtype."""
    check_conv_transpose1d_cotangent(dy, cache)
    x, w, stride, _ = cache
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[1])
    _backward(dy, x, w, stride, dx, dw, db)
    return ConvTranspose1dGrads(dx.astype(x.dtype), dw.astype(w.dtype), db.astype(w.dtype))
