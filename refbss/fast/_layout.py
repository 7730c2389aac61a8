"""Signals with their channels last in memory, and the frames that a strided kernel sees.

A kernel of K taps at stride s reads r = ceil(K / s) whole groups of s samples. With channels last, group j of a signal
is one row of s C numbers, so that output frame t is the sum over i < r of row t + i times the i-th slice of the kernel.
"""

from __future__ import annotations

import numpy as np

from refbss._types import Array


def channels_last(x: Array) -> Array:
    """(B, C, N) to a contiguous (B, N, C); no copy when the memory is laid out so already."""
    return np.ascontiguousarray(x.transpose(0, 2, 1))


def channels_first(x: Array) -> Array:
    """(B, N, C) to a (B, C, N) view of the same memory."""
    return x.transpose(0, 2, 1)


def groups(x: Array, before: int, count: int, stride: int) -> Array:
    """Rows of ``stride`` samples: (B, count, stride C) of the (B, C, N) signal with ``before`` zeros in front.

    Samples beyond the signal are zeros, samples beyond ``count`` groups are left out.
    """
    xl = channels_last(x)
    batch, samples, channels = xl.shape
    wanted = count * stride
    if before or wanted > samples:
        padded = np.zeros((batch, wanted, channels), dtype=x.dtype)
        padded[:, before : before + samples] = xl[:, : max(0, wanted - before)]
        xl = padded
    elif wanted < samples:
        xl = np.ascontiguousarray(xl[:, :wanted])
    return xl.reshape(batch, count, stride * channels)


def slices(w: Array, stride: int) -> Array:
    """Kernel (O, C, K) to r slices (r, stride C, O): row (k, c) of slice i is w[:, c, i stride + k], 0 past K."""
    outputs, channels, taps = w.shape
    count = -(-taps // stride)
    padded = np.zeros((count * stride, channels, outputs), dtype=w.dtype)
    padded[:taps] = w.transpose(2, 1, 0)
    return padded.reshape(count, stride * channels, outputs)


def unslice(dw: Array, channels: int, taps: int) -> Array:
    """Slices (r, stride C, O) back to a kernel (O, C, K)."""
    outputs = dw.shape[2]
    return np.ascontiguousarray(dw.reshape(-1, channels, outputs)[:taps].transpose(2, 1, 0))
