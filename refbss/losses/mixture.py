"""Mixture consistency: the energy that the estimates fail to explain, relative to the mixture's.

Shapes: est (B, P, N), mix (B, N), loss (B,). With energies summed over the N samples:

    e = x - sum_p y_p                                        (mixture.1)
    loss = |e|^2 / (|x|^2 + tiny)                            (mixture.2)
    dy_p = -2 dloss e / (|x|^2 + tiny), the same for all p   (mixture.3)

That estimates should add up to the mixture is [std], Wisdom et al. 2019, who project; the penalty in its place, for
clean mixtures, with tiny = 1e-30, is [ours].
Sums run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array
from refbss.losses._constants import TINY


class MixtureConsistencyCache(NamedTuple):
    """The estimate (for shape and dtype), the unexplained signal (B, N) and the mixture's energy (B,), float64."""

    est: Array
    unexplained: Array
    mix_energy: Array


class MixtureConsistencyGrads(NamedTuple):
    """Gradient of the shape and dtype of est."""

    dest: Array


def mixture_consistency_forward(est: Array, mix: Array) -> tuple[Array, MixtureConsistencyCache]:
    """Return the loss (B,), a ratio of energies, and the cache. Raises InputError on shapes or dtypes."""
    check_arrays("mixture_consistency", est=(est, "B P N"), mix=(mix, "B N"))
    x = mix.astype(np.float64)
    unexplained = x - np.sum(est, axis=1, dtype=np.float64)  # (mixture.1)
    mix_energy = np.sum(x * x, axis=1) + TINY
    loss = np.sum(unexplained**2, axis=1) / mix_energy  # (mixture.2)
    return loss.astype(est.dtype), MixtureConsistencyCache(est, unexplained, mix_energy)


def mixture_consistency_backward(dloss: Array, cache: MixtureConsistencyCache) -> MixtureConsistencyGrads:
    """Pull the cotangent dloss (B,) back to est. Raises InputError on shapes or dtypes."""
    est, unexplained, mix_energy = cache
    check_cotangents("mixture_consistency", est.dtype, dloss=(dloss, est.shape[:1]))
    dsum = -2.0 * (dloss.astype(np.float64) / mix_energy)[:, None] * unexplained  # (mixture.3)
    dest = np.repeat(dsum[:, None, :], est.shape[1], axis=1)
    return MixtureConsistencyGrads(dest.astype(est.dtype))
