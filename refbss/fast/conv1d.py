"""Fast twin of refbss.ops.conv1d: one matrix product per group of ``stride`` taps, channels last."""

from __future__ import annotations

import numpy as np

from refbss._types import Array
from refbss.fast._layout import channels_first, channels_last, groups, slices, unslice
from refbss.ops.conv1d import Conv1dCache, Conv1dGrads, check_conv1d, check_conv1d_cotangent


def conv1d_forward(x: Array, w: Array, b: Array, *, stride: int = 1, pad_left: int = 0) -> tuple[Array, Conv1dCache]:
    """As refbss.ops.conv1d.conv1d_forward; y is laid out channels last."""
    frames = check_conv1d(x, w, b, stride, pad_left)[2]
    kernel = slices(w, stride)
    rows = groups(x, pad_left, frames + len(kernel) - 1, stride)
    y = rows[:, :frames] @ kernel[0]
    for i in range(1, len(kernel)):
        y += rows[:, i : i + frames] @ kernel[i]
    y += b
    return channels_first(y), Conv1dCache(x, w, stride, pad_left)


def conv1d_backward(dy: Array, cache: Conv1dCache) -> Conv1dGrads:
    """As refbss.ops.conv1d.conv1d_backward; dx is laid out channels last."""
    check_conv1d_cotangent(dy, cache)
    x, w, stride, pad_left = cache
    batch, channels, samples = x.shape
    frames = dy.shape[2]
    kernel, dyl = slices(w, stride), channels_last(dy)
    rows = groups(x, pad_left, frames + len(kernel) - 1, stride)
    drows, dkernel = np.zeros_like(rows), np.empty_like(kernel)
    for i in range(len(kernel)):
        dkernel[i] = (rows[:, i : i + frames].transpose(0, 2, 1) @ dyl).sum(axis=0)
        drows[:, i : i + frames] += dyl @ kernel[i].T
    dxl = drows.reshape(batch, -1, channels)[:, pad_left : pad_left + samples]
    if dxl.shape[1] < samples:
        dxl = np.pad(dxl, ((0, 0), (0, samples - dxl.shape[1]), (0, 0)))
    return Conv1dGrads(channels_first(dxl), unslice(dkernel, channels, w.shape[2]), dyl.sum(axis=(0, 1)))
