"""BSS Eval: how far an estimate is off, and whether by filtering, by the other sources, or by something new.

[std] Vincent, Gribonval, Fevotte 2006 and Vincent et al. 2012 (version 3); Stoter, Liutkus, Ito 2018 (version 4). Every
signal is followed by taps - 1 zeros. With P_j e the projection of an estimate e on the span of reference j delayed by
0 .. taps - 1 samples, and P e that on all references so delayed, an estimate is

    e = s_j + (P_j e - s_j) + (P e - P_j e) + (e - P e)

the true source, a spatial or filter error, interference, artifacts.

                 SDR                         ISR                      SIR                          SAR
    sources      |P_j e|^2 / |e - P_j e|^2                            |P_j e|^2 / |P e - P_j e|^2  |P e|^2 / |e - P e|^2
    images       |s_j|^2 / |e - s_j|^2       |s_j|^2 / |P_j e - s_j|^2  the same                   the same

each as 10 log10 in dB. Version 3 finds the filters of a projection anew in every window; version 4 finds them once, for
the whole signal. ``sources`` forgives any filter of ``taps`` taps, 64 ms at 8 kHz with 512: a muffled source scores as
well as a true one. A signal (P, N) is an image with one channel.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refbss._checks import InputError, check_integer, check_number
from refbss._types import Array
from refbss.evaluation.permutation import best_permutation
from refbss.evaluation.projection import Energies, Filters, energies, filters
from refbss.evaluation.signals import checked_pair, decibels, scaled_together

TAPS = 512


class BssEval(NamedTuple):
    """Ratios in dB of the references: (..., P), and (..., P, windows) where windows were asked for.

    ``isr_db`` is NaN where signals have no channels. ``sir_db`` of a single source is NaN: nothing can interfere. A
    window in which a signal is silent is NaN throughout.
    """

    sdr_db: Array
    isr_db: Array
    sir_db: Array
    sar_db: Array
    permutation: NDArray[np.int64]
    """The estimate of every reference: (..., P), or (..., P, windows) where every window chooses for itself."""
    condition: float
    """Of the worst system of equations that was solved, an estimate, infinite where it is singular."""
    singular: int
    """Systems that had no unique solution; the shortest of their solutions was taken."""

    def medians(self) -> BssEval:
        """The same with the median over the windows that have a value in place of the windows, (..., P)."""
        sdr, isr, sir, sar = (_median(values) for values in self[:4])
        return self._replace(sdr_db=sdr, isr_db=isr, sir_db=sir, sar_db=sar)


def bss_eval_v3_sources(
    *,
    ref: ArrayLike,
    est: ArrayLike,
    rate_hz: int | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    taps: int = TAPS,
    permute: bool = True,
    silent: str = "raise",
) -> BssEval:
    """Version 3 on sources: ``ref`` and ``est`` (..., P, N).

    With ``window_s`` and ``hop_s`` (half a window where left out) at ``rate_hz`` every window is scored by itself.
    ``permute`` chooses the permutation with the highest mean SIR, else estimate j belongs to reference j. ``silent``:
    "raise" refuses a signal that is silent throughout, "nan" and "skip" give NaN for its utterance. Raises InputError.
    """
    return _score("bss_eval_v3_sources", ref, est, rate_hz, window_s, hop_s, taps, permute, silent, anew=True)


def bss_eval_v3_images(
    *,
    ref: ArrayLike,
    est: ArrayLike,
    rate_hz: int | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    taps: int = TAPS,
    permute: bool = True,
    silent: str = "raise",
) -> BssEval:
    """Version 3 on images: ``ref`` and ``est`` (..., P, C, N), else as :func:`bss_eval_v3_sources`."""
    return _score("bss_eval_v3_images", ref, est, rate_hz, window_s, hop_s, taps, permute, silent, anew=True)


def bss_eval_v4(
    *,
    ref: ArrayLike,
    est: ArrayLike,
    rate_hz: int,
    window_s: float = 1.0,
    hop_s: float | None = None,
    taps: int = TAPS,
    permute: bool = True,
    silent: str = "raise",
) -> BssEval:
    """Version 4: ``ref`` and ``est`` (..., P, C, N), filters of the whole signal, windows of 1 s that do not overlap.

    ``medians()`` of the result is what version 4 is reported by. One permutation holds for all windows. Else as
    :func:`bss_eval_v3_sources`.
    """
    hop_s = window_s if hop_s is None else hop_s
    return _score("bss_eval_v4", ref, est, rate_hz, window_s, hop_s, taps, permute, silent, anew=False)


def _score(
    op: str, ref: ArrayLike, est: ArrayLike, rate_hz: int | None, window_s: float | None, hop_s: float | None,
    taps: int, permute: bool, silent: str, *, anew: bool,
) -> BssEval:  # fmt: skip
    """Every utterance by itself, with filters for each window (``anew``) or for all of them together."""
    check_integer(op, taps=taps)
    images = op != "bss_eval_v3_sources"
    s, e = checked_pair(op, ref, est, axes=("P", "C", "N") if images else ("P", "N"), scale=False, silent=silent)
    if s.ndim < 2:
        raise InputError(f"{op}: ref has shape {s.shape}, wanted (..., P, N)")
    windows = _windows(op, s.shape[-1], rate_hz, window_s, hop_s)
    s, e = (s, e) if images else (s[..., np.newaxis, :], e[..., np.newaxis, :])
    shape = (math.prod(s.shape[:-3]), *s.shape[-3:])
    found = [
        _utterance(*scaled_together(a, b, rows=3), windows, taps, images=images, permute=permute, anew=anew)
        for a, b in zip(s.reshape(shape), e.reshape(shape), strict=True)
    ]

    def together(values: list[Any], windowed: bool) -> Any:
        stacked = np.stack(values).reshape(*s.shape[:-2], values[0].shape[1])
        return stacked if windowed else stacked[..., 0]

    sdr, isr, sir, sar = (together([one[i] for one in found], window_s is not None) for i in range(4))
    permutation = together([one.permutation for one in found], window_s is not None and anew)
    return BssEval(
        sdr, isr, sir, sar, permutation, max(one.condition for one in found), sum(one.singular for one in found)
    )


def _windows(op: str, samples: int, rate_hz: int | None, window_s: float | None, hop_s: float | None) -> list[slice]:
    """The windows of a signal of so many samples; one of all of it where none are asked for. Raises InputError."""
    if window_s is None:
        if hop_s is not None:
            raise InputError(f"{op}: hop_s is {hop_s:g} and window_s None, wanted a window too")
        return [slice(0, samples)]
    if rate_hz is None:
        raise InputError(f"{op}: rate_hz is None, wanted the sample rate: window_s is in seconds")
    check_integer(op, rate_hz=rate_hz)
    check_number(op, window_s=window_s)
    hop_s = window_s / 2 if hop_s is None else hop_s
    check_number(op, hop_s=hop_s)
    window, hop = round(window_s * rate_hz), round(hop_s * rate_hz)
    if min(window, hop) < 1:
        raise InputError(f"{op}: window and hop are {window} and {hop} samples at {rate_hz} Hz, wanted at least 1")
    return [slice(first, first + window) for first in range(0, samples - window + 1, hop)] or [slice(0, samples)]


def _utterance(
    ref: Array, est: Array, windows: list[slice], taps: int, *, images: bool, permute: bool, anew: bool
) -> BssEval:
    """Ratios (P, windows) of ref and est (P, C, N), estimates in the order of the permutation (P, windows or 1)."""
    sources = len(ref)
    table = np.full((4, sources, sources, len(windows)), np.nan)  # of reference j and estimate k
    condition, singular = 0.0, 0
    found: Filters | None = None
    for place, window in enumerate(windows):
        s, e = ref[..., window], est[..., window]
        if not (s.any(axis=(1, 2)).all() and e.any(axis=(1, 2)).all()):
            continue
        if found is None or anew:
            found = filters(s, e, taps, s.shape[-1]) if anew else filters(ref, est, taps, s.shape[-1])
            condition, singular = max(condition, found.condition), singular + found.singular
        table[..., place] = _ratios(energies(s, e, found), images=images)
    choices = table[2] if anew else _mean_over_windows(table[2])
    order = np.arange(sources)[:, np.newaxis].repeat(choices.shape[2], axis=1)
    if permute:
        order = best_permutation(choices.transpose(2, 0, 1)).T
    sdr, isr, sir, sar = np.take_along_axis(table, order[np.newaxis, :, np.newaxis], axis=2)[:, :, 0]
    return BssEval(sdr, isr, sir, sar, order, condition, singular)


def _ratios(found: Energies, *, images: bool) -> Array:
    """SDR, ISR, SIR, SAR in dB, of reference j and estimate k: (4, P, P)."""
    several = np.where(len(found.true) > 1, 1.0, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        if images:
            sdr, isr = found.true / found.distortion, found.true / found.spatial
        else:
            sdr, isr = found.alone / found.unexplained, np.full_like(found.alone, np.nan)
        rows = (sdr, isr, several * found.alone / found.interference, found.joint / found.artifacts)
        return decibels(np.stack(rows))


def _mean_over_windows(sir_db: Array) -> Array:
    """The mean (P, P, 1) over windows that have a value; NaN where none has."""
    kept = ~np.isnan(sir_db)
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(kept, sir_db, 0.0).sum(axis=2, keepdims=True) / kept.sum(axis=2, keepdims=True)
    return mean


def _median(values: Array) -> Array:
    """The median (..., P) over the last axis of the values that are not NaN; NaN where there is none."""
    ordered = np.sort(values, axis=-1)  # NaN comes last
    count = (~np.isnan(values)).sum(axis=-1, keepdims=True)
    low, high = (np.take_along_axis(ordered, np.maximum(i, 0), axis=-1) for i in ((count - 1) // 2, count // 2))
    found: Array = 0.5 * (low + high)[..., 0]
    return found
