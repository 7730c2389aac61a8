"""Fast twins of refbss.ops.activations: NumPy's vector loops in the dtype of the input."""

from __future__ import annotations

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array
from refbss.ops.activations import ActivationCache, ActivationGrads


def sigmoid_forward(x: Array) -> tuple[Array, ActivationCache]:
    """As refbss.ops.activations.sigmoid_forward; exp overflows to infinity where the sigmoid is 0, silently."""
    check_arrays("sigmoid", x=(x, "..."))
    with np.errstate(over="ignore"):
        y = np.exp(-x)
    y += 1
    y = np.divide(1, y, out=y) if y.ndim else np.asarray(1 / y, dtype=x.dtype)
    return y, ActivationCache(y, x.dtype)


def sigmoid_backward(dy: Array, cache: ActivationCache) -> ActivationGrads:
    """As refbss.ops.activations.sigmoid_backward."""
    check_cotangents("sigmoid", cache.dtype, dy=(dy, cache.y.shape))
    return ActivationGrads(dy * (cache.y * (1 - cache.y)))
