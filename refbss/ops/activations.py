"""Element-wise activations of any shape: logistic sigmoid, hyperbolic tangent, softplus.

    (sigmoid.1)   y = 1 / (1 + exp(-x))          (sigmoid.2)   dx = dy y (1 - y)
    (tanh.1)      y = tanh x                     (tanh.2)      dx = dy (1 - y^2)
    (softplus.1)  y = log(1 + exp x)             (softplus.2)  dx = dy / (1 + exp(-x)) = dy (1 - exp(-y))

Nothing overflows: exponentials are taken of numbers that are not above zero. Source: [std]. float64 inside.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array


class ActivationCache(NamedTuple):
    """The output of the forward pass in float64, which is all that the derivatives need, and the dtype of the call."""

    y: Array
    dtype: np.dtype[Any]


class ActivationGrads(NamedTuple):
    """Gradient of the input."""

    dx: Array


def _stable_sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def sigmoid_forward(x: Array) -> tuple[Array, ActivationCache]:
    """Logistic sigmoid. Returns y of the shape of x and the cache. Raises InputError on the dtype."""
    check_arrays("sigmoid", x=(x, "..."))
    y = _stable_sigmoid(x.astype(np.float64))  # (sigmoid.1)
    return y.astype(x.dtype), ActivationCache(y, x.dtype)


def sigmoid_backward(dy: Array, cache: ActivationCache) -> ActivationGrads:
    """Pull the cotangent dy back to x. Raises InputError on shape or dtype."""
    check_cotangents("sigmoid", cache.dtype, dy=(dy, cache.y.shape))
    dx = dy * cache.y * (1.0 - cache.y)  # (sigmoid.2)
    return ActivationGrads(dx.astype(dy.dtype))


def tanh_forward(x: Array) -> tuple[Array, ActivationCache]:
    """Hyperbolic tangent. Returns y of the shape of x and the cache. Raises InputError on the dtype."""
    check_arrays("tanh", x=(x, "..."))
    y = np.tanh(x.astype(np.float64))  # (tanh.1)
    return y.astype(x.dtype), ActivationCache(y, x.dtype)


def tanh_backward(dy: Array, cache: ActivationCache) -> ActivationGrads:
    """Pull the cotangent dy back to x. Raises InputError on shape or dtype."""
    check_cotangents("tanh", cache.dtype, dy=(dy, cache.y.shape))
    dx = dy * (1.0 - cache.y**2)  # (tanh.2)
    return ActivationGrads(dx.astype(dy.dtype))


def softplus_forward(x: Array) -> tuple[Array, ActivationCache]:
    """Softplus. Returns y of the shape of x and the cache. Raises InputError on the dtype."""
    check_arrays("softplus", x=(x, "..."))
    x64 = x.astype(np.float64)
    y = np.maximum(x64, 0.0) + np.log1p(np.exp(-np.abs(x64)))  # (softplus.1)
    return y.astype(x.dtype), ActivationCache(y, x.dtype)


def softplus_backward(dy: Array, cache: ActivationCache) -> ActivationGrads:
    """Pull the cotangent dy back to x. Raises InputError on shape or dtype."""
    check_cotangents("softplus", cache.dtype, dy=(dy, cache.y.shape))
    dx = dy * -np.expm1(-cache.y)  # (softplus.2)
    return ActivationGrads(dx.astype(dy.dtype))
