"""Signals with their channels last in memory, and the frames that a strided kernel sees.

With channels last the K samples of a frame are K C numbers in a row, and the next frame begins stride C numbers later:
a frame is a row of a matrix whose rows overlap. In the other direction, the frames' contributions to a signal are added
in groups of ``stride`` samples, which do not overlap: frame t adds slice i of the kernel to group t + i.
"""

from __future__ import annotations

import numpy as np

from refbss._types import Array


def channels_last(x: Array, left: int = 0, right: int = 0) -> Array:
    """(B, C, N) to a contiguous (B, left + N + right, C), zeros around; no copy when x is laid out so already."""
    xl = x.transpose(0, 2, 1)
    if not (left or right):
        return np.ascontiguousarray(xl)
    padded = np.zeros((xl.shape[0], left + xl.shape[1] + right, xl.shape[2]), dtype=x.dtype)
    padded[:, left : left + xl.shape[1]] = xl
    return padded


def channels_first(x: Array) -> Array:
    """(B, N, C) to a (B, C, N) view of the same memory."""
    return x.transpose(0, 2, 1)


def frames_of(xl: Array, count: int, taps: int, stride: int) -> Array:
    """The first ``count`` frames (B, count, taps C) of a contiguous (B, N, C): a view, its rows overlap."""
    batch, _, channels = xl.shape
    step = xl.strides[1]
    return np.lib.stride_tricks.as_strided(
        xl, (batch, count, taps * channels), (xl.strides[0], stride * step, xl.itemsize)
    )


def kernel_rows(w: Array) -> Array:
    """Kernel (O, C, K) as a matrix (K C, O) whose rows are in the order of a frame's numbers."""
    outputs, channels, taps = w.shape
    return np.ascontiguousarray(w.transpose(2, 1, 0)).reshape(taps * channels, outputs)


def kernel_slices(w: Array, stride: int) -> Array:
    """Kernel (O, C, K) as slices (ceil(K / stride), stride C, O) of stride taps each, zeros past K."""
    outputs, channels, taps = w.shape
    count = -(-taps // stride)
    padded = np.zeros((count * stride, channels, outputs), dtype=w.dtype)
    padded[:taps] = w.transpose(2, 1, 0)
    return padded.reshape(count, stride * channels, outputs)
