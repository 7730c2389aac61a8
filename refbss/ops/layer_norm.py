"""Layer normalisation over the channels of one frame (causal: no statistics over time).

Shapes: x (..., C), gamma (C,), beta (C,), y (..., C). Variance is the population's (divided by C), eps inside the root:

    (layer_norm.1)  mean = (1/C) sum_c x_c
    (layer_norm.2)  var  = (1/C) sum_c (x_c - mean)^2
    (layer_norm.3)  xhat = (x - mean) / sqrt(var + eps)
    (layer_norm.4)  y    = gamma xhat + beta
    (layer_norm.5)  dbeta = sum dy,  dgamma = sum dy xhat        over all frames
    (layer_norm.6)  dxhat = gamma dy
    (layer_norm.7)  dx = (dxhat - mean_c(dxhat) - xhat mean_c(dxhat xhat)) / sqrt(var + eps)

Source: [std] Ba, Kiros, Hinton 2016; parameters as torch.nn.LayerNorm. float64 inside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents, check_number
from refbss._types import Array


class LayerNormCache(NamedTuple):
    """Normalised input xhat (..., C), 1 / sqrt(var + eps) (..., 1), both float64, and gamma."""

    xhat: Array
    inverse: Array
    gamma: Array


class LayerNormGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    dgamma: Array
    dbeta: Array


def layer_norm_forward(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, LayerNormCache]:
    """Normalise every frame. Returns y (..., C) and the cache. Raises InputError on shapes, dtypes or eps."""
    check_arrays("layer_norm", x=(x, "... C"), gamma=(gamma, "C"), beta=(beta, "C"))
    check_number("layer_norm", above=0.0, eps=eps)
    x64 = x.astype(np.float64)
    mean = x64.mean(axis=-1, keepdims=True)  # (layer_norm.1)
    var = np.square(x64 - mean).mean(axis=-1, keepdims=True)  # (layer_norm.2)
    inverse = 1.0 / np.sqrt(var + eps)
    xhat = (x64 - mean) * inverse  # (layer_norm.3)
    y = gamma.astype(np.float64) * xhat + beta.astype(np.float64)  # (layer_norm.4)
    return y.astype(x.dtype), LayerNormCache(xhat, inverse, gamma)


def layer_norm_backward(dy: Array, cache: LayerNormCache) -> LayerNormGrads:
    """Pull the cotangent dy (..., C) back to x, gamma and beta. Raises InputError on shape or dtype."""
    xhat, inverse, gamma = cache
    check_cotangents("layer_norm", gamma.dtype, dy=(dy, xhat.shape))
    dy64 = dy.astype(np.float64)
    frames = tuple(range(dy.ndim - 1))
    dbeta, dgamma = dy64.sum(axis=frames), (dy64 * xhat).sum(axis=frames)  # (layer_norm.5)
    dxhat = gamma.astype(np.float64) * dy64  # (layer_norm.6)
    projection = (dxhat * xhat).mean(axis=-1, keepdims=True)
    dx = (dxhat - dxhat.mean(axis=-1, keepdims=True) - xhat * projection) * inverse  # (layer_norm.7)
    return LayerNormGrads(dx.astype(dy.dtype), dgamma.astype(gamma.dtype), dbeta.astype(gamma.dtype))
