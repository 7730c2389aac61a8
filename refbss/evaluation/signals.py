"""The door that every metric shares: signals are checked and brought to a level at which float64 is safe."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refbss._checks import InputError, check_choice
from refbss._types import Array

MOST_SOURCES = 20
ORDINARY = 100
"""Signals whose magnitude is between 2^-100 and 2^100 have squares that neither overflow nor vanish."""
SILENT = ("raise", "nan", "skip")
"""What becomes of a silent signal: an error, NaN, or NaN that means leave out."""


def checked_pair(
    op: str,
    ref: ArrayLike,
    est: ArrayLike,
    *,
    axes: tuple[str, ...] = ("P", "N"),
    scale: bool,
    zero_mean: bool = False,
    silent: str,
) -> tuple[Array, Array]:
    """References and estimates of one shape, each as :func:`checked` gives it. Raises InputError."""
    check_choice(op, SILENT, silent=silent)
    s, e = (
        checked(op, name, signal, axes=axes, scale=scale, zero_mean=zero_mean, silent=silent)
        for name, signal in (("ref", ref), ("est", est))
    )
    if s.shape != e.shape:
        raise InputError(f"{op}: est has shape {e.shape}, wanted {s.shape} as ref has")
    return s, e


def checked(
    op: str,
    name: str,
    signal: ArrayLike,
    *,
    axes: tuple[str, ...],
    scale: bool,
    zero_mean: bool,
    silent: str = "raise",
) -> Array:
    """Return a signal as float64; with ``scale`` the largest magnitude of each row (N,) is between 1/2 and 1.

    The last ``axes`` are sources P and channels C, where it has them, and samples N; a lone signal (N,) passes too,
    unless there are channels. Scaling is by a power of two and so exact; zeros stay. Raises InputError for what is no
    array of real numbers, for a masked array, for non-finite samples, for fewer than 2 samples, for no source, for more
    than MOST_SOURCES sources or channels or as many as samples (a transposed array), and for silence with
    ``silent="raise"``.
    """
    x = _real(op, name, signal)
    wanted = f"(..., {', '.join(axes)})"
    if x.ndim == 0 or x.shape[-1] < 2:
        raise InputError(f"{op}: {name} has shape {x.shape}, wanted {wanted} or (N,) with N of at least 2")
    if "C" in axes and x.ndim < 3:
        raise InputError(f"{op}: {name} has shape {x.shape}, wanted {wanted}")
    for place, axis in enumerate(reversed(axes[:-1]), start=2):
        _check_count(op, name, x, place, axis, wanted)
    if not np.isfinite(x).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise InputError(f"{op}: {name} is {x[index]} at index {index}, wanted finite samples")
    x = scaled(x) if scale else x
    x = centred(x) if zero_mean else x
    quiet = ~x.any(axis=(-2, -1) if "C" in axes else -1)
    if silent == "raise" and quiet.any():
        index = tuple(int(i) for i in np.argwhere(quiet)[0])
        place_text = f" at index {index}" if index else ""
        raise InputError(f'{op}: {name} is silent{place_text}, wanted sound (or silent="nan" or "skip")')
    return x


def _check_count(op: str, name: str, x: Array, place: int, axis: str, wanted: str) -> None:
    """Check the number of sources or channels, ``place`` axes from the end. Raises InputError."""
    if x.ndim < place:
        return
    count, samples, what = x.shape[-place], x.shape[-1], {"P": "source", "C": "channel"}[axis]
    if count == 0:
        raise InputError(f"{op}: {name} has shape {x.shape}, wanted {wanted} with at least one {what} {axis}")
    if count >= samples or count > MOST_SOURCES:
        raise InputError(
            f"{op}: {name} has shape {x.shape}, that is {count} {what}s of {samples} samples: wanted {wanted} with "
            f"fewer {what}s {axis} than samples N and {axis} at most {MOST_SOURCES}. Is it transposed?"
        )


def _real(op: str, name: str, signal: ArrayLike) -> Array:
    """The signal as float64. Raises InputError for what is no array of real numbers, and for a masked array."""
    if isinstance(signal, np.ma.MaskedArray):
        raise InputError(f"{op}: {name} is a masked array, wanted one without a mask (the mask would be ignored)")
    try:
        x = np.asarray(signal)
    except (TypeError, ValueError) as error:  # lists of unequal lengths
        raise InputError(f"{op}: {name} is no array ({error}), wanted real numbers") from None
    if x.dtype.kind not in "biuf":
        raise InputError(f"{op}: {name} has dtype {x.dtype}, wanted real numbers")
    return x.astype(np.float64, copy=False)


def scaled(x: Array) -> Array:
    """Times the power of two that brings the largest magnitude of each row (N,) between 1/2 and 1; zeros stay."""
    found: Array = np.ldexp(x, -np.frexp(largest(x))[1])
    return found


def scaled_together(s: Array, e: Array, rows: int) -> tuple[Array, Array]:
    """Two signals, of which ``rows`` axes belong together, times one power of two that keeps their squares in range.

    Signals that need none come back as they are, and nothing is copied.
    """
    axes = tuple(range(-rows, 0))
    exponent = np.frexp(np.maximum(largest(s, axes), largest(e, axes)))[1]
    if (abs(exponent) <= ORDINARY).all():
        return s, e
    return np.ldexp(s, -exponent), np.ldexp(e, -exponent)


def largest(x: Array, axes: tuple[int, ...] = (-1,)) -> Array:
    """The largest magnitude over ``axes``, which stay with length 1; no copy of x is made."""
    found: Array = np.maximum(x.max(axis=axes, keepdims=True), -x.min(axis=axes, keepdims=True))
    return found


def decibels(ratio: Array) -> Array:
    """10 log10 of a ratio of energies; 0 gives -inf and what is divided by 0 gives inf, without a warning."""
    with np.errstate(divide="ignore"):
        found: Array = 10.0 * np.log10(ratio)
    return found


def centred(x: Array) -> Array:
    """x (..., N) without its mean; what is constant but for rounding becomes zeros."""
    moved = x - np.mean(x, axis=-1, keepdims=True)
    _, exponent = np.frexp(largest(x))
    left = np.ldexp(largest(moved), -exponent)
    return np.where(left <= 4.0 * np.finfo(np.float64).eps, 0.0, moved)
