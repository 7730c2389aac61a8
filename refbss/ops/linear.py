"""Linear layer over the last axis.

Shapes: x (..., I), w (O, I), b (O,), y (..., O). Parameters as torch.nn.Linear's ``weight`` and ``bias``.

    (linear.1)  y = x w' + b
    (linear.2)  dx = dy w
    (linear.3)  dw = sum over rows of dy' x
    (linear.4)  db = sum over rows of dy

Source: [std], any textbook. Sums run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array


class LinearCache(NamedTuple):
    """What the backward pass needs: the inputs of the forward pass."""

    x: Array
    w: Array


class LinearGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    dw: Array
    db: Array


def linear_forward(x: Array, w: Array, b: Array) -> tuple[Array, LinearCache]:
    """Apply the layer to every row. Returns y (..., O) and the cache. Raises InputError on shapes or dtypes."""
    check_arrays("linear", x=(x, "... I"), w=(w, "O I"), b=(b, "O"))
    x64, w64, b64 = x.astype(np.float64), w.astype(np.float64), b.astype(np.float64)
    y = x64 @ w64.T + b64  # (linear.1)
    return y.astype(x.dtype), LinearCache(x, w)


def linear_backward(dy: Array, cache: LinearCache) -> LinearGrads:
    """Pull the cotangent dy (..., O) back to x, w and b. Raises InputError on shapes or dtypes."""
    x, w = cache
    check_cotangents("linear", x.dtype, dy=(dy, (*x.shape[:-1], w.shape[0])))
    dy64, x64, w64 = dy.astype(np.float64), x.astype(np.float64), w.astype(np.float64)
    rows = tuple(range(dy.ndim - 1))
    dx = dy64 @ w64  # (linear.2)
    dw = np.tensordot(dy64, x64, axes=(rows, rows))  # (linear.3)
    db = dy64.sum(axis=rows)  # (linear.4)
    return LinearGrads(dx.astype(x.dtype), dw.astype(w.dtype), db.astype(w.dtype))
