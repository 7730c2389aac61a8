"""Fast twin of refbss.ops.linear: BLAS in the dtype of the input."""

from __future__ import annotations

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array
from refbss.ops.linear import LinearCache, LinearGrads


def linear_forward(x: Array, w: Array, b: Array) -> tuple[Array, LinearCache]:
    """As refbss.ops.linear.linear_forward."""
    check_arrays("linear", x=(x, "... I"), w=(w, "O I"), b=(b, "O"))
    y = x @ w.T
    y += b
    return y, LinearCache(x, w)


def linear_backward(dy: Array, cache: LinearCache) -> LinearGrads:
    """As refbss.ops.linear.linear_backward."""
    x, w = cache
    check_cotangents("linear", x.dtype, dy=(dy, (*x.shape[:-1], w.shape[0])))
    rows = dy.reshape(-1, dy.shape[-1])
    return LinearGrads(dy @ w, rows.T @ x.reshape(-1, x.shape[-1]), rows.sum(axis=0))
