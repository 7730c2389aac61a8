"""Fast twin of refbss.ops.prelu: one pass over the memory, channels last."""

from __future__ import annotations

import numpy as np

from refbss._checks import check_cotangents
from refbss._jit import fast_kernel, ordered_kernel
from refbss._types import Array
from refbss.fast._layout import channels_first, channels_last
from refbss.ops.prelu import PreluCache, PreluGrads, check_prelu


@ordered_kernel
def _forward(x, a, y):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            v = x[i, c]
            y[i, c] = v if v > 0 else a[c] * v


@fast_kernel
def _backward(dy, x, a, dx, da):  # type: ignore[no-untyped-def]
    zero = x.dtype.type(0.0)
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            v, g = x[i, c], dy[i, c]
            dx[i, c] = g if v > 0 else a[c] * g
            da[c] += zero if v > 0 else v * g


def _slopes(a: Array, channels: int) -> Array:
    return np.ascontiguousarray(np.broadcast_to(a, (channels,)))


def prelu_forward(x: Array, a: Array) -> tuple[Array, PreluCache]:
    """As refbss.ops.prelu.prelu_forward; y is laid out channels last."""
    check_prelu(x, a)
    xl, channels = channels_last(x), x.shape[1]
    y = np.empty_like(xl)
    _forward(xl.reshape(-1, channels), _slopes(a, channels), y.reshape(-1, channels))
    return channels_first(y), PreluCache(x, a)


def prelu_backward(dy: Array, cache: PreluCache) -> PreluGrads:
    """As refbss.ops.prelu.prelu_backward; dx is laid out channels last."""
    x, a = cache
    check_cotangents("prelu", x.dtype, dy=(dy, x.shape))
    xl, dyl, channels = channels_last(x), channels_last(dy), x.shape[1]
    dx, da = np.empty_like(xl), np.zeros(channels, dtype=x.dtype)
    flat = (-1, channels)
    _backward(dyl.reshape(flat), xl.reshape(flat), _slopes(a, channels), dx.reshape(flat), da)
    return PreluGrads(channels_first(dx), da if a.shape != (1,) else da.sum().reshape(1))
