"""Scale-invariant signal-to-interference and signal-to-artifacts ratios.

With alpha s_j the projection of an estimate e on its reference and P e that on the span of all references, none of them
delayed, [std] (Le Roux et al. 2019)

    SI-SIR = |alpha s_j|^2 / |P e - alpha s_j|^2        SI-SAR = |alpha s_j|^2 / |e - P e|^2

so that 10^(-SI-SDR/10) = 10^(-SI-SIR/10) + 10^(-SI-SAR/10) exactly. BSS Eval with filters of one tap has the same SIR
but compares the artifacts with all that is no artifact, SAR = |P e|^2 / |e - P e|^2: convention ``bss_eval_l1``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refbss._checks import InputError, check_choice
from refbss._types import Array
from refbss.evaluation.signals import checked_pair, decibels

CONVENTIONS = ("leroux", "bss_eval_l1")


def si_sir(*, ref: ArrayLike, est: ArrayLike, convention: str = "leroux", silent: str = "raise") -> Array:
    """Return the SI-SIR in dB (..., P) of estimates (..., P, N), each that of the reference at its place.

    Both conventions agree. NaN for a single source, which nothing interferes with, and for silence that
    ``silent="raise"`` does not refuse. Raises InputError as si_sdr does.
    """
    target, joint, _ = _decomposed("si_sir", ref, est, convention, silent)
    if target.shape[-2] == 1:
        return np.full(target.shape[:-1], np.nan)
    return _ratio_db(target, joint - target)


def si_sar(*, ref: ArrayLike, est: ArrayLike, convention: str = "leroux", silent: str = "raise") -> Array:
    """Return the SI-SAR in dB (..., P) of estimates (..., P, N), each that of the reference at its place.

    NaN for silence that ``silent="raise"`` does not refuse. Raises InputError as si_sdr does.
    """
    target, joint, e = _decomposed("si_sar", ref, est, convention, silent)
    return _ratio_db(joint if convention == "bss_eval_l1" else target, e - joint)


def _decomposed(op: str, ref: ArrayLike, est: ArrayLike, convention: str, silent: str) -> tuple[Array, Array, Array]:
    """alpha s, P e and e, all (..., P, N), NaN in an utterance with a silent signal. Raises InputError."""
    check_choice(op, CONVENTIONS, convention=convention)
    s, e = checked_pair(op, ref, est, scale=True, silent=silent)
    if s.ndim < 2:
        raise InputError(f"{op}: ref has shape {s.shape}, wanted (..., P, N)")
    target, joint = np.full_like(s, np.nan), np.full_like(s, np.nan)
    for place in np.ndindex(s.shape[:-2]):
        refs, ests = s[place], e[place]
        if refs.any(axis=-1).all() and ests.any(axis=-1).all():
            alpha = np.sum(refs * ests, axis=-1, keepdims=True) / np.sum(refs * refs, axis=-1, keepdims=True)
            target[place] = alpha * refs
            joint[place] = (refs.T @ np.linalg.lstsq(refs.T, ests.T, rcond=None)[0]).T
    return target, joint, e


def _ratio_db(of: Array, over: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return decibels(np.sum(of**2, axis=-1) / np.sum(over**2, axis=-1))
