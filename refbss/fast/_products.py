"""Matrix products of batches of rows, in kernels that hold neither Python's lock nor BLAS's threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._jit import ordered_kernel
from refbss._types import Array
from refbss.fast._layout import frames_of
from refbss.fast._tiles import VECTOR, product

_TERMS = 128
"""Rows of a sum over rows that are worked through at a time."""


@ordered_kernel
def _rows(a, b, bias, keep, out):  # type: ignore[no-untyped-def]
    for i in range(a.shape[0]):
        if keep:
            product(a[i], b, out[i], 1, out[i])
        else:
            product(a[i], b, bias, 0, out[i])


@ordered_kernel
def _sums(a, b, out):  # type: ignore[no-untyped-def]
    rows = a.shape[1]
    for i in range(a.shape[0]):
        for first in range(0, rows, _TERMS):
            last = min(rows, first + _TERMS)
            product(a[i, first:last].T, b[i, first:last], out, 1, out)


@ordered_kernel
def _add_parts(parts, groups):  # type: ignore[no-untyped-def]
    width = groups.shape[2]
    for item in range(parts.shape[0]):
        for i in range(parts.shape[2] // width):
            for t in range(parts.shape[1]):
                row, group = parts[item, t, i * width : (i + 1) * width], groups[item, t + i]
                for n in range(width):
                    group[n] += row[n]


def rows_times(a: Array, b: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """a (B, M, K) of any strides @ b (K, N) + bias (N,), row for row: (B, M, N), in ``out`` where it is given.

    The last axis of ``out`` is contiguous.
    """
    if out is None:
        out = np.empty((*a.shape[:2], b.shape[1]), dtype=a.dtype)
    start = np.zeros((1, b.shape[1]), dtype=a.dtype) if bias is None else np.ascontiguousarray(bias)[None]
    _rows(a, np.ascontiguousarray(b), start, False, out)
    return out


def add_rows_times(a: Array, b: Array, out: Array) -> None:
    """out (B, M, N) += a (B, M, K) of any strides @ b (K, N); the last axis of ``out`` is contiguous."""
    _rows(a, np.ascontiguousarray(b), out[0], True, out)


def sum_of_products(a: Array, b: Array) -> Array:
    """Sum over i and m of the outer products of the rows a[i, m] (M,) and b[i, m] (N,): (M, N).

    The last axis of both must be contiguous.
    """
    if b.shape[2] < a.shape[2]:
        return sum_of_products(b, a).T
    out = np.zeros((a.shape[2], b.shape[2]), dtype=a.dtype)
    _sums(a, b, out)
    return out


def is_narrow(reach: int, width: int, dtype: Any) -> bool:
    """Whether all slices of a kernel fit into one vector of columns."""
    return reach * width * int(np.dtype(dtype).itemsize) <= VECTOR


def stacked(slices: Array) -> Array:
    """Slices (r, N, C) as one matrix (r C, N) for r frames that lie side by side, the earliest first."""
    reach, width, channels = slices.shape
    return np.ascontiguousarray(slices[::-1].transpose(0, 2, 1)).reshape(reach * channels, width)


def overlap_add(frames: Array, slices: Array, bias: Array | None = None) -> Array:
    """Groups (B, T + r - 1, N): frame t of (B, T, C) adds its product with slice i of (r, N, C) to group t + i.

    Where all r frames that reach a group exist, they lie side by side and the group is one product.
    """
    batch, count, channels = frames.shape
    reach, width, _ = slices.shape
    groups = np.empty((batch, count + reach - 1, width), dtype=frames.dtype)
    if is_narrow(reach, width, frames.dtype):
        parts = rows_times(frames, slices.reshape(reach * width, channels).T)
        groups[:] = 0 if bias is None else bias
        _add_parts(parts, groups)
        return groups
    inside = slice(0, 0)
    if count >= reach:
        rows_times(frames_of(frames, count - reach + 1, reach, 1), stacked(slices), bias, groups[:, reach - 1 : count])
        inside = slice(reach - 1, count)
    for edge in (slice(0, inside.start), slice(inside.stop, count + reach - 1)):
        groups[:, edge] = 0 if bias is None else bias
        for i, part in enumerate(slices):
            first, last = max(edge.start - i, 0), min(edge.stop - i, count)
            if first < last:
                add_rows_times(frames[:, first:last], part.T, groups[:, first + i : last + i])
    return groups
