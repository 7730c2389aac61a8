"""The reparameterised sample of a Gaussian posterior.

Shapes: mu, log_var, eps and z all alike. eps is drawn by the caller from N(0, I); log_var is the natural logarithm
of the variance (not of the standard deviation).

    (reparameterise.1)  z = mu + exp(log_var / 2) eps
    (reparameterise.2)  dmu = dz
    (reparameterise.3)  dlog_var = dz eps exp(log_var / 2) / 2

Source: [std] Kingma and Welling 2014. float64 inside.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array


class ReparameteriseCache(NamedTuple):
    """exp(log_var / 2) * eps in float64, and the dtype of the call."""

    deviation: Array
    dtype: np.dtype[Any]


class ReparameteriseGrads(NamedTuple):
    """Gradients; the noise is no parameter."""

    dmu: Array
    dlog_var: Array


def reparameterise_forward(mu: Array, log_var: Array, eps: Array) -> tuple[Array, ReparameteriseCache]:
    """Draw z with the noise given. Returns z and the cache. Raises InputError on shapes or dtypes."""
    axes = " ".join(map(str, np.shape(mu)))
    check_arrays("reparameterise", mu=(mu, axes), log_var=(log_var, axes), eps=(eps, axes))
    deviation = np.exp(log_var.astype(np.float64) / 2.0) * eps
    z = mu + deviation  # (reparameterise.1)
    return z.astype(mu.dtype), ReparameteriseCache(deviation, mu.dtype)


def reparameterise_backward(dz: Array, cache: ReparameteriseCache) -> ReparameteriseGrads:
    """Pull the cotangent dz back to mu and log_var. Raises InputError on shape or dtype."""
    check_cotangents("reparameterise", cache.dtype, dz=(dz, cache.deviation.shape))
    dmu = dz.copy()  # (reparameterise.2)
    dlog_var = dz * cache.deviation / 2.0  # (reparameterise.3)
    return ReparameteriseGrads(dmu, dlog_var.astype(dz.dtype))
