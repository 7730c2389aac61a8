"""Fast twin of refbss.ops.conv_transpose1d: the convolution's twin with forward and backward exchanged."""

from __future__ import annotations

import numpy as np

from refbss._types import Array
from refbss.fast._layout import channels_first, channels_last, frames_of, kernel_rows, kernel_slices
from refbss.fast._products import overlap_add, rows_times, sum_of_products
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
    groups = overlap_add(channels_last(x), kernel_slices(w, stride), np.tile(b, stride))
    y = groups.reshape(batch, -1, outputs)[:, :samples]
    return channels_first(y), ConvTranspose1dCache(x, w, stride, trim_right)


def conv_transpose1d_backward(dy: Array, cache: ConvTranspose1dCache) -> ConvTranspose1dGrads:
    """As refbss.ops.conv_transpose1d.conv_transpose1d_backward; dx is laid out channels last."""
    check_conv_transpose1d_cotangent(dy, cache)
    x, w, stride, trim_right = cache
    xl, (channels, outputs, taps) = channels_last(x), w.shape
    rows = frames_of(channels_last(dy, 0, trim_right), xl.shape[1], taps, stride)
    dxl = rows_times(rows, kernel_rows(w))
    dw = sum_of_products(rows, xl).reshape(taps, outputs, channels).transpose(2, 1, 0)
    return ConvTranspose1dGrads(channels_first(dxl), np.ascontiguousarray(dw), dy.sum(axis=(0, 2)))
