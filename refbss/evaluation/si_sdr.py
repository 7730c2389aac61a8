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
from refbss.evaluation.permutation import best_permutation

CONVENTION = (
    "SI-SDR after Le Roux et al. 2019: a = <e,s>/<s,s>, 10 log10(|a s|^2/|e - a s|^2) in dB, no epsilon, mean not "
    "removed; permutation chosen on the estimates; mean over sources, then over utterances"
)
"""What the numbers mean, in a line to print beside them."""
MOST_SOURCES = 20
SILENT = ("raise", "nan", "skip")


class Improvement(NamedTuple):
    """SI-SDR of every reference (..., P), its gain over the mixture (..., P), both in dB, and the permutation."""

    si_sdr_db: Array
    si_sdri_db: Array
    permutation: NDArray[np.int64]


def si_sdr(*, ref: ArrayLike, est: ArrayLike, zero_mean: bool = False, silent: str = "raise") -> Array:
    """Return the SI-SDR in dB of each estimate against the reference at the same place.

    ``ref`` and ``est`` have one shape, (..., P, N) or (N,); the result has that shape without N. Raises InputError for
    what is no array of real numbers, for masked arrays, for non-finite samples, for P = 0, for P >= N or P > 20 (as a
    transposed array has), and for silence when ``silent="raise"``.
    """
    check_choice("si_sdr", SILENT, silent=silent)
    s = _signals("ref", ref, zero_mean=zero_mean, silent=silent)
    e = _signals("est", est, zero_mean=zero_mean, silent=silent)
    if s.shape != e.shape:
        raise InputError(f"si_sdr: est has shape {e.shape}, wanted {s.shape} as ref has")
    return _pairs(s, e)


def si_sdri(
    *, ref: ArrayLike, est: ArrayLike, mix: ArrayLike, zero_mean: bool = False, silent: str = "raise"
) -> Improvement:
    """Return SI-SDR and SI-SDR improvement per reference, the permutation chosen on the estimates.

    ``ref`` and ``est`` are (..., P, N), ``mix`` is (..., N). The permutation maximises the mean SI-SDR of the
    estimates (``best_permutation``); the improvement subtracts the SI-SDR of the mixture taken as an estimate. Raises
    InputError as :func:`si_sdr` does, and for a silent mixture.
    """
    check_choice("si_sdri", SILENT, silent=silent)
    s = _signals("ref", ref, zero_mean=zero_mean, silent=silent)
    e = _signals("est", est, zero_mean=zero_mean, silent=silent)
    x = _signals("mix", mix, zero_mean=zero_mean, silent="raise", sources=False)
    if s.shape != e.shape or s.ndim < 2:
        raise InputError(f"si_sdri: ref has shape {s.shape} and est {e.shape}, wanted (..., P, N) for both")
    if x.shape != (*s.shape[:-2], s.shape[-1]):
        raise InputError(f"si_sdri: mix has shape {x.shape}, wanted {(*s.shape[:-2], s.shape[-1])} with ref {s.shape}")
    score = np.stack([_pairs(s[..., j : j + 1, :], e) for j in range(s.shape[-2])], axis=-2)
    permutation = best_permutation(score)
    separated = np.take_along_axis(score, permutation[..., np.newaxis], axis=-1)[..., 0]
    with np.errstate(invalid="ignore"):  # a perfect mixture: inf - inf is NaN
        return Improvement(separated, separated - _pairs(s, x[..., np.newaxis, :]), permutation)


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


def _pairs(s: Array, e: Array) -> Array:
    """SI-SDR over the last axis. Products are summed by ``np.sum`` so that e = s gives alpha = 1 exactly."""
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.sum(e * s, axis=-1) / np.sum(s * s, axis=-1)
        target = alpha[..., np.newaxis] * s
        ratio = np.sum(target**2, axis=-1) / np.sum((e - target) ** 2, axis=-1)
        return np.asarray(10.0 * np.log10(ratio))


def _signals(name: str, signal: ArrayLike, *, zero_mean: bool, silent: str, sources: bool = True) -> Array:
    """Check a signal; return it as float64 with a peak between 1/2 and 1 (an exact scaling), or all zeros."""
    x = _real(name, signal)
    if x.ndim == 0 or x.shape[-1] < 2:
        raise InputError(f"si_sdr: {name} has shape {x.shape}, wanted (..., P, N) or (N,) with N of at least 2")
    if sources and x.ndim > 1 and x.shape[-2] == 0:
        raise InputError(f"si_sdr: {name} has shape {x.shape}, wanted (..., P, N) with at least one source P")
    if sources and x.ndim > 1 and (x.shape[-2] >= x.shape[-1] or x.shape[-2] > MOST_SOURCES):
        raise InputError(
            f"si_sdr: {name} has shape {x.shape}, that is {x.shape[-2]} sources of {x.shape[-1]} samples: wanted "
            f"(..., P, N) with fewer sources P than samples N and P at most {MOST_SOURCES}. Is it transposed?"
        )
    if not np.isfinite(x).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise InputError(f"si_sdr: {name} is {x[index]} at index {index}, wanted finite samples")
    x = _scaled(x)
    if zero_mean:
        centred = x - np.mean(x, axis=-1, keepdims=True)
        rounding = np.max(np.abs(centred), axis=-1, keepdims=True) <= 4.0 * np.finfo(np.float64).eps
        x = _scaled(np.where(rounding, 0.0, centred))
    quiet = ~x.any(axis=-1)
    if silent == "raise" and quiet.any():
        index = tuple(int(i) for i in np.argwhere(quiet)[0])
        place = f" at index {index}" if index else ""
        raise InputError(f'si_sdr: {name} is silent{place}, wanted sound (or silent="nan" or "skip")')
    return x


def _real(name: str, signal: ArrayLike) -> Array:
    """The signal as float64. Raises InputError for what is no array of real numbers, and for a masked array."""
    if isinstance(signal, np.ma.MaskedArray):
        raise InputError(f"si_sdr: {name} is a masked array, wanted one without a mask (the mask would be ignored)")
    try:
        x = np.asarray(signal)
    except (TypeError, ValueError) as error:  # lists of unequal lengths
        raise InputError(f"si_sdr: {name} is no array ({error}), wanted real numbers") from None
    if x.dtype.kind not in "biuf":
        raise InputError(f"si_sdr: {name} has dtype {x.dtype}, wanted real numbers")
    return x.astype(np.float64, copy=False)


def _scaled(x: Array) -> Array:
    _, exponent = np.frexp(np.max(np.abs(x), axis=-1, keepdims=True))
    return np.asarray(np.ldexp(x, -exponent))
