"""Fast twin of refbss.ops.layer_norm: every frame is read once from memory."""

from __future__ import annotations

import numpy as np

from refbss._checks import check_arrays, check_cotangents, check_number
from refbss._jit import fast_kernel, ordered_kernel
from refbss._types import Array
from refbss.fast._norm import normalise
from refbss.ops.layer_norm import LayerNormCache, LayerNormGrads


@ordered_kernel
def _forward(x, gamma, beta, eps, y, xhat, inverse):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        inverse[i] = normalise(x[i], gamma, beta, eps, xhat[i], y[i])


@fast_kernel
def _backward(dy, xhat, inverse, gamma, dx, dgamma, dbeta):  # type: ignore[no-untyped-def]
    rows, channels = dy.shape
    share = dy.dtype.type(1.0 / channels)
    for i in range(rows):
        total = dy.dtype.type(0.0)
        along = dy.dtype.type(0.0)
        for c in range(channels):
            g = dy[i, c]
            v = xhat[i, c]
            dgamma[c] += g * v
            dbeta[c] += g
            total += g * gamma[c]
            along += g * gamma[c] * v
        total *= share
        along *= share
        inv = inverse[i]
        for c in range(channels):
            dx[i, c] = (dy[i, c] * gamma[c] - total - xhat[i, c] * along) * inv


def layer_norm_forward(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, LayerNormCache]:
    """As refbss.ops.layer_norm.layer_norm_forward; the cache keeps the dtype of x."""
    channels = check_arrays("layer_norm", x=(x, "... C"), gamma=(gamma, "C"), beta=(beta, "C"))["C"]
    check_number("layer_norm", above=0.0, eps=eps)
    rows = np.ascontiguousarray(x).reshape(-1, channels)
    y, xhat, inverse = np.empty_like(rows), np.empty_like(rows), np.empty(len(rows), dtype=x.dtype)
    gamma = np.ascontiguousarray(gamma)
    _forward(rows, gamma, np.ascontiguousarray(beta), x.dtype.type(eps), y, xhat, inverse)
    cache = LayerNormCache(xhat.reshape(x.shape), inverse.reshape(*x.shape[:-1], 1), gamma)
    return y.reshape(x.shape), cache


def layer_norm_backward(dy: Array, cache: LayerNormCache) -> LayerNormGrads:
    """As refbss.ops.layer_norm.layer_norm_backward."""
    xhat, inverse, gamma = cache
    check_cotangents("layer_norm", gamma.dtype, dy=(dy, xhat.shape))
    flat = (-1, dy.shape[-1])
    rows = np.ascontiguousarray(dy).reshape(flat)
    dx, dgamma, dbeta = np.empty_like(rows), np.zeros_like(gamma), np.zeros_like(gamma)
    _backward(rows, xhat.reshape(flat), inverse.reshape(-1), gamma, dx, dgamma, dbeta)
    return LayerNormGrads(dx.reshape(dy.shape), dgamma, dbeta)
