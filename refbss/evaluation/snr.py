"""Signal-to-noise ratio of an estimate: all that differs from the reference, level included, is noise. [std]

SNR = 10 log10(|s|^2 / |e - s|^2) in dB
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refbss._types import Array
from refbss.evaluation.signals import checked_pair, decibels, scaled_together


def snr(*, ref: ArrayLike, est: ArrayLike, silent: str = "raise") -> Array:
    """Return the SNR in dB (..., P) of estimates (..., P, N), each against the reference at its place.

    NaN where a reference or estimate is silent and ``silent="raise"`` does not refuse it. Raises InputError as si_sdr
    does.
    """
    s, e = scaled_together(*checked_pair("snr", ref, est, scale=False, silent=silent), rows=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sum(s**2, axis=-1) / np.sum((e - s) ** 2, axis=-1)
    return np.where(s.any(axis=-1) & e.any(axis=-1), decibels(ratio), np.nan)
