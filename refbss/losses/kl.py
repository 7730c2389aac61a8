"""Kullback-Leibler divergence of two diagonal Gaussians, in nats, the second with mean zero.

Shapes: mu, log_var (..., D); log_r broadcasts against mu; KL (...,), summed over D.

    KL(N(mu, diag e^log_var) || N(0, diag e^log_r))
        = 1/2 sum_d [log_r - log_var - 1 + (e^log_var + mu^2) e^-log_r]        (kl.1)
    dmu = dKL mu e^-log_r                                                      (kl.2)
    dlog_var = dKL (e^(log_var - log_r) - 1) / 2                               (kl.3)
    dlog_r = dKL (1 - (e^log_var + mu^2) e^-log_r) / 2, summed over the axes along which log_r was repeated   (kl.4)

Source: [std], e.g. Kingma & Welling 2014, appendix B, with a diagonal R. Sums run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array
from refbss.losses._broadcast import axes_of, check_broadcast, sum_to_shape


class GaussianKlCache(NamedTuple):
    """The inputs of the forward pass."""

    mu: Array
    log_var: Array
    log_r: Array


class GaussianKlGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dmu: Array
    dlog_var: Array
    dlog_r: Array


def gaussian_kl_forward(mu: Array, log_var: Array, log_r: Array) -> tuple[Array, GaussianKlCache]:
    """Return the divergence (...,) and the cache. Raises InputError on shapes or dtypes."""
    check_arrays("gaussian_kl", mu=(mu, "... D"))
    check_arrays("gaussian_kl", mu=(mu, "... D"), log_var=(log_var, axes_of(mu)), log_r=(log_r, "..."))
    check_broadcast("gaussian_kl", "log_r", log_r, mu.shape)
    m, lv, lr = mu.astype(np.float64), log_var.astype(np.float64), log_r.astype(np.float64)
    kl = 0.5 * np.sum(lr - lv - 1.0 + np.exp(lv - lr) + m**2 * np.exp(-lr), axis=-1)  # (kl.1)
    return np.asarray(kl, dtype=mu.dtype), GaussianKlCache(mu, log_var, log_r)


def gaussian_kl_backward(dkl: Array, cache: GaussianKlCache) -> GaussianKlGrads:
    """Pull the cotangent dkl (...,) back to mu, log_var and log_r. Raises InputError on shapes or dtypes."""
    mu, log_var, log_r = cache
    check_cotangents("gaussian_kl", mu.dtype, dkl=(dkl, mu.shape[:-1]))
    m, lv, lr = mu.astype(np.float64), log_var.astype(np.float64), log_r.astype(np.float64)
    d = dkl.astype(np.float64)[..., None]
    dmu = d * m * np.exp(-lr)  # (kl.2)
    dlog_var = 0.5 * d * (np.exp(lv - lr) - 1.0)  # (kl.3)
    dlog_r = 0.5 * d * (1.0 - np.exp(lv - lr) - m**2 * np.exp(-lr))  # (kl.4)
    dlog_r_sum = sum_to_shape(dlog_r, log_r.shape)
    return GaussianKlGrads(dmu.astype(mu.dtype), dlog_var.astype(mu.dtype), dlog_r_sum.astype(mu.dtype))
