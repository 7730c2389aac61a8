"""Log-MSE of an estimate whose reference is silent, in dB of the mixture's energy.

Shapes: est (B, P, N), mix (B, N), loss (B, P). With energies summed over the N samples:

    loss = 10 log10((|e|^2 + floor |x|^2 + tiny) / (|x|^2 + tiny))       (silent.1)
    de = dloss (20 / ln 10) e / (|e|^2 + floor |x|^2 + tiny)             (silent.2)

The log-MSE against a zero reference with a floor relative to the mixture is [std], Wisdom et al. 2021; the division by
the mixture's energy, the value of the floor and tiny = 1e-30 are [ours]. Where the mixture is not silent the best value
is 10 log10(floor), -30 dB by default; an estimate as loud as the mixture scores about 0 dB.
Value and gradient are finite at a zero estimate and at a zero mixture. Sums run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents, check_number
from refbss._types import Array
from refbss.losses._constants import DB, TINY


class SilentCache(NamedTuple):
    """The estimate and the floored energy (B, P), float64."""

    est: Array
    floored: Array


class SilentGrads(NamedTuple):
    """Gradient of the shape and dtype of est."""

    dest: Array


def silent_forward(est: Array, mix: Array, *, floor: float = 1e-3) -> tuple[Array, SilentCache]:
    """Return the loss (B, P) in dB, lower is better, and the cache. Raises InputError on shapes, dtypes or floor."""
    check_arrays("silent", est=(est, "B P N"), mix=(mix, "B N"))
    check_number("silent", above=0.0, floor=floor)
    e, x = est.astype(np.float64), mix.astype(np.float64)
    mix_energy = np.sum(x * x, axis=1)[:, None]
    floored = np.sum(e * e, axis=2) + floor * mix_energy + TINY
    loss = DB * np.log(floored / (mix_energy + TINY))  # (silent.1)
    return loss.astype(est.dtype), SilentCache(est, floored)


def silent_backward(dloss: Array, cache: SilentCache) -> SilentGrads:
    """Pull the cotangent dloss (B, P) back to est. Raises InputError on shapes or dtypes."""
    est, floored = cache
    check_cotangents("silent", est.dtype, dloss=(dloss, est.shape[:2]))
    dest = (2.0 * DB * dloss.astype(np.float64) / floored)[:, :, None] * est.astype(np.float64)  # (silent.2)
    return SilentGrads(dest.astype(est.dtype))
