"""Scale-invariant signal-to-distortion ratio, the metric (the training loss is ``refbss.losses.si_sdr``).

For a reference s and an estimate e of N samples [std] (Le Roux et al., SDR: half-baked or well done?, 2019):

    alpha = <e, s> / <s, s>,    SI-SDR = 10 log10(|alpha s|^2 / |e - alpha s|^2) in dB

Sums run in float64. There is no epsilon: a perfect estimate scores +inf, an orthogonal one -inf, and the level of
the signals does not matter. The mean is not removed unless asked. A silent signal has no SI-SDR (0/0): ``silent``
says whether that is an error ("raise") or NaN; "nan" and "skip" differ in :func:`mean_db`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refbss._checks import InputError, check_choice
from refbss._types import Array
from refbss.evaluation.conventions import CONVENTIONS, Convention
from refbss.evaluation.permutation import best_permutation
from refbss.evaluation.signals import SILENT, checked, checked_pair

CONVENTION = (
    "SI-SDR after Le Roux et al. 2019: a = <e,s>/<s,s>, 10 log10(|a s|^2/|e - a s|^2) in dB, no epsilon, mean not "
    "removed; permutation chosen on the estimates; mean over sources, then over utterances"
)
"""What the numbers mean, in a line to print beside them."""


class Improvement(NamedTuple):
    """SI-SDR of every reference (..., P), its gain over the mixture (..., P), both in dB, and the permutation."""

    si_sdr_db: Array
    si_sdr_i_db: Array
    permutation: NDArray[np.int64]


def si_sdr(
    *,
    ref: ArrayLike,
    est: ArrayLike,
    zero_mean: bool = False,
    convention: str = "leroux",
    silent: str = "raise",
) -> Array:
    """Return the SI-SDR in dB of each estimate against the reference at the same place.

    ``ref`` and ``est`` have one shape, (..., P, N) or (N,); the result has that shape without N. ``convention`` is a
    name of refbss.evaluation.conventions; each says itself whether the mean is removed, ``zero_mean`` does so with the
    first. Raises InputError for what is no array of real numbers, for masked arrays, for non-finite samples, for P = 0,
    for P >= N or P > 20 (as a transposed array has), and for silence when ``silent="raise"``.
    """
    chosen = _convention("si_sdr", convention, zero_mean)
    s, e = checked_pair("si_sdr", ref, est, scale=not chosen.level, zero_mean=chosen.zero_mean, silent=silent)
    return _valued(chosen.ratio_db(s, e), s, e)


def si_sdr_i(
    *,
    ref: ArrayLike,
    est: ArrayLike,
    mix: ArrayLike,
    zero_mean: bool = False,
    convention: str = "leroux",
    silent: str = "raise",
) -> Improvement:
    """Return SI-SDR and SI-SDR improvement per reference, the permutation chosen on the estimates.

    ``ref`` and ``est`` are (..., P, N), ``mix`` is (..., N). The permutation maximises the mean SI-SDR of the
    estimates (``best_permutation``); the improvement subtracts the SI-SDR of the mixture taken as an estimate. Raises
    InputError as :func:`si_sdr` does, and for a silent mixture.
    """
    chosen = _convention("si_sdr_i", convention, zero_mean)
    s, e = checked_pair("si_sdr_i", ref, est, scale=not chosen.level, zero_mean=chosen.zero_mean, silent=silent)
    x = checked("si_sdr_i", "mix", mix, axes=("N",), scale=not chosen.level, zero_mean=chosen.zero_mean)
    if s.ndim < 2:
        raise InputError(f"si_sdr_i: ref has shape {s.shape} and est {e.shape}, wanted (..., P, N) for both")
    if x.shape != (*s.shape[:-2], s.shape[-1]):
        raise InputError(f"si_sdr_i: mix has shape {x.shape}, wanted {(*s.shape[:-2], s.shape[-1])} with ref {s.shape}")

    def ratio_db(s: Array, e: Array) -> Array:
        return _valued(chosen.ratio_db(s, e), s, e)

    score = np.stack([ratio_db(row, e) for row in np.split(s, s.shape[-2], axis=-2)], axis=-2)
    permutation = best_permutation(score)
    separated = np.take_along_axis(score, permutation[..., np.newaxis], axis=-1)[..., 0]
    with np.errstate(invalid="ignore"):  # a perfect mixture: inf - inf is NaN
        return Improvement(separated, separated - ratio_db(s, x[..., np.newaxis, :]), permutation)


def mean_db(values: ArrayLike, *, silent: str = "raise") -> tuple[float, int]:
    """Return the mean over sources (last axis), then over utterances, and how many values were left out.

    "skip" leaves NaNs out and counts them, an utterance with nothing left too; otherwise a NaN makes the mean NaN.
    """
    check_choice("mean_db", SILENT, silent=silent)
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    rows = table.reshape(-1, table.shape[-1])
    kept = ~np.isnan(rows) if silent == "skip" else np.ones(rows.shape, dtype=bool)
    means = [row[keep].mean() for row, keep in zip(rows, kept, strict=True) if keep.any()]
    return (float(np.mean(means)) if means else float("nan")), int(rows.size - kept.sum())


def _convention(op: str, name: str, zero_mean: bool) -> Convention:
    """The convention of that name, the first with the mean removed if asked. Raises InputError."""
    check_choice(op, tuple(CONVENTIONS), convention=name)
    if zero_mean and name != "leroux":
        raise InputError(f"{op}: zero_mean is True and convention {name!r}, wanted zero_mean with 'leroux' alone")
    return CONVENTIONS["tasnet" if zero_mean else name]


def _valued(ratio_db: Array, s: Array, e: Array) -> Array:
    """The ratios, NaN where a signal is silent: what is added to its energy would make a number of it."""
    return np.where(s.any(axis=-1) & e.any(axis=-1), ratio_db, np.nan)
