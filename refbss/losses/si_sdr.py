"""Negative SI-SDR in dB of every pair of estimate and reference, for training.

Shapes: est (B, P, N), ref (B, J, N), loss (B, P, J). With the inner product over the N samples:

    G = <e, s>^2,  Q = |e|^2 |s|^2                                (si_sdr.1)
    A = G + eps Q + tiny,  R = max(Q - G, 0) + eps Q + tiny       (si_sdr.2)
    loss = -10 log10(A / R)                                       (si_sdr.3)
    dG = -(10 / ln 10) dloss (1/A + 1/R)                          (si_sdr.4)
    dQ = -(10 / ln 10) dloss (eps/A - (1 + eps)/R)                (si_sdr.5)
    de = sum_j 2 dG <e, s> s + 2 dQ |s|^2 e                       (si_sdr.6)

G / (Q - G) is the SI-SDR of Le Roux et al. 2019 [std]. eps is relative, so the loss does not depend on the scale of
e or s and stays within +-10 log10(1 + 1/eps) [ours]. tiny = 1e-30 makes value and gradient finite (both zero) where
e or s is zero [ours]. This is a loss, not the metric: see refbss.evaluation for the metric without eps.
Sums run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents, check_number
from refbss._types import Array
from refbss.losses._constants import DB, TINY


class SiSdrCache(NamedTuple):
    """The inputs and, in float64 (B, P, J), their inner products and the two sides of the ratio."""

    est: Array
    ref: Array
    eps: float
    inner: Array
    ref_energy: Array
    signal: Array
    residual: Array


class SiSdrGrads(NamedTuple):
    """Gradient of the shape and dtype of est."""

    dest: Array


def si_sdr_forward(est: Array, ref: Array, *, eps: float = 1e-8) -> tuple[Array, SiSdrCache]:
    """Return the loss (B, P, J) in dB, lower is better, and the cache. Raises InputError on shapes, dtypes or eps."""
    check_arrays("si_sdr", est=(est, "B P N"), ref=(ref, "B J N"))
    check_number("si_sdr", above=0.0, eps=eps)
    e, s = est.astype(np.float64), ref.astype(np.float64)
    inner = e @ s.swapaxes(1, 2)  # <e, s>, (B, P, J)
    est_energy = np.sum(e * e, axis=2)[:, :, None]
    ref_energy = np.sum(s * s, axis=2)[:, None, :]
    g, q = inner**2, est_energy * ref_energy  # (si_sdr.1)
    signal = g + eps * q + TINY  # (si_sdr.2)
    residual = np.maximum(q - g, 0.0) + eps * q + TINY  # (si_sdr.2); q >= g but for rounding
    loss = -DB * np.log(signal / residual)  # (si_sdr.3)
    return loss.astype(est.dtype), SiSdrCache(est, ref, eps, inner, ref_energy, signal, residual)


def si_sdr_backward(dloss: Array, cache: SiSdrCache) -> SiSdrGrads:
    """Pull the cotangent dloss (B, P, J) back to est. Raises InputError on shapes or dtypes."""
    est, ref, eps, inner, ref_energy, signal, residual = cache
    check_cotangents("si_sdr", est.dtype, dloss=(dloss, (*est.shape[:2], ref.shape[1])))
    e, s, d = est.astype(np.float64), ref.astype(np.float64), dloss.astype(np.float64)
    dg = -DB * d * (1.0 / signal + 1.0 / residual)  # (si_sdr.4)
    dq = -DB * d * (eps / signal - (1.0 + eps) / residual)  # (si_sdr.5)
    dest = (2.0 * dg * inner) @ s + 2.0 * np.sum(dq * ref_energy, axis=2)[:, :, None] * e  # (si_sdr.6)
    return SiSdrGrads(dest.astype(est.dtype))
