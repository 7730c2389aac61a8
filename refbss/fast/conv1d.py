"""Fast twin of refbss.ops.conv1d: channels last, a frame is K C numbers in a row and a convolution one product."""

from __future__ import annotations

import numpy as np

from refbss._types import Array
from refbss.fast._layout import channels_first, channels_last, frames_of, kernel_rows, kernel_slices
from refbss.fast._products import overlap_add, rows_times, sum_of_products
from refbss.ops.conv1d import Conv1dCache, Conv1dGrads, check_conv1d, check_conv1d_cotangent


def conv1d_forward(x: Array, w: Array, b: Array, *, stride: int = 1, pad_left: int = 0) -> tuple[Array, Conv1dCache]:
    """As refbss.ops.conv1d.conv1d_forward; y is laid out channels last."""
    frames = check_conv1d(x, w, b, stride, pad_left)[2]
    rows = frames_of(channels_last(x, pad_left), frames, w.shape[2], stride)
    return channels_first(rows_times(rows, kernel_rows(w), b)), Conv1dCache(x, w, stride, pad_left)


def conv1d_backward(dy: Array, cache: Conv1dCache) -> Conv1dGrads:
    """As refbss.ops.conv1d.conv1d_backward; dx is laid out channels last."""
    check_conv1d_cotangent(dy, cache)
    x, w, stride, pad_left = cache
    batch, channels, samples = x.shape
    outputs, _, taps = w.shape
    frames, dyl = dy.shape[2], channels_last(dy)
    rows = frames_of(channels_last(x, pad_left), frames, taps, stride)
    dw = sum_of_products(rows, dyl).reshape(taps, channels, outputs).transpose(2, 1, 0)
    reached = overlap_add(dyl, kernel_slices(w, stride)).reshape(batch, -1, channels)[:, pad_left:]
    dxl = reached[:, :samples]
    if dxl.shape[1] < samples:  # the last samples reach no frame
        dxl = np.concatenate([dxl, np.zeros((batch, samples - dxl.shape[1], channels), dxl.dtype)], axis=1)
    return Conv1dGrads(channels_first(dxl), np.ascontiguousarray(dw), dyl.sum(axis=(0, 1)))
