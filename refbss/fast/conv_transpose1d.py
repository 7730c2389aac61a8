"""Fast twin of refbss.ops.conv_transpose1d: one matrix product per group of ``stride`` taps, channels last."""

from __future__ import annotations

import numpy as np

from refbss._types import Array
from refbss.fast._layout import channels_first, channels_last, groups, slices, unslice
from refbss.ops.conv_transpose1d import (
    ConvTranspose1dCache,
    ConvTranspose1dGrads,
    check_conv_transpose1d,
    check_conv_transpose1d_cotangent,
)


def conv_transpose1d_forward(
    x: Array, w: Array, b: Array, *, stride: int = 1, trim_right: int = 0
) -> tuple[Array, ConvTranspose1dCache]:
    """As refbss.ops.conv_transpose1d.conv_transpose1d_forward; y is laid out channels last."""
    batch, outputs, samples = check_conv_transpose1d(x, w, b, stride, trim_right)
    xl, kernel = channels_last(x), slices(w, stride).transpose(0, 2, 1)
    frames, count = xl.shape[1], -(-samples // stride)
    rows = np.zeros((batch, count, kernel.shape[2]), dtype=x.dtype)
    for i in range(len(kernel)):
        last = min(frames, count - i)
        rows[:, i : i + last] += xl[:, :last] @ kernel[i]
    y = rows.reshape(batch, count * stride, outputs)[:, :samples]
    y += b
    return channels_first(y), ConvTranspose1dCache(x, w, stride, trim_right)


def conv_transpose1d_backward(dy: Array, cache: ConvTranspose1dCache) -> ConvTranspose1dGrads:
    """As refbss.ops.conv_transpose1d.conv_transpose1d_backward; dx is laid out channels last."""
    check_conv_transpose1d_cotangent(dy, cache)
    x, w, stride, _ = cache
    xl, kernel = channels_last(x), slices(w, stride).transpose(0, 2, 1)
    frames, taps = xl.shape[1], w.shape[2]
    rows = groups(dy, 0, frames + len(kernel) - 1, stride)
    dxl, dkernel = np.zeros_like(xl), np.empty_like(kernel)
    for i in range(len(kernel)):
        dxl += rows[:, i : i + frames] @ kernel[i].T
        dkernel[i] = (xl.transpose(0, 2, 1) @ rows[:, i : i + frames]).sum(axis=0)
    dw = unslice(dkernel.transpose(0, 2, 1), w.shape[1], taps)
    return ConvTranspose1dGrads(channels_first(dxl), dw, dy.sum(axis=(0, 2)))
