"""Fast twin of refbss.ops.linear: the products of refbss.fast in the dtype of the input."""

from __future__ import annotations

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array
from refbss.fast._products import rows_times, sum_of_products
from refbss.ops.linear import LinearCache, LinearGrads


def _rows(x: Array) -> Array:
    """(..., C) as one batch of rows (1, R, C)."""
    return x.reshape(1, -1, x.shape[-1])


def linear_forward(x: Array, w: Array, b: Array) -> tuple[Array, LinearCache]:
    """As refbss.ops.linear.linear_forward."""
    check_arrays("linear", x=(x, "... I"), w=(w, "O I"), b=(b, "O"))
    return rows_times(_rows(x), w.T, b).reshape(*x.shape[:-1], -1), LinearCache(x, w)


def linear_backward(dy: Array, cache: LinearCache) -> LinearGrads:
    """As refbss.ops.linear.linear_backward."""
    x, w = cache
    check_cotangents("linear", x.dtype, dy=(dy, (*x.shape[:-1], w.shape[0])))
    rows = np.ascontiguousarray(_rows(dy))
    dw = sum_of_products(rows, np.ascontiguousarray(_rows(x)))
    return LinearGrads(rows_times(rows, w).reshape(x.shape), np.ascontiguousarray(dw), rows.sum(axis=(0, 1)))
