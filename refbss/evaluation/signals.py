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
    scale: bool = True,
    zero_mean: bool = False,
    silent: str = "raise",
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
    scale: bool = True,
    zero_mean: bool = False,
    silent: str = "raise",
) -> Array:
    """Return a signal as float64; with ``scale`` its largest magnitude, all channels together, is between 1/2 and 1.

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
    together = (-2, -1) if "C" in axes else (-1,)
    x = scaled(x, together) if scale else x
    if zero_mean:
        x = centred(x)
        x = scaled(x, together) if scale else x
    quiet = ~x.any(axis=together)
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


def scaled(x: Array, axes: tuple[int, ...] = (-1,)) -> Array:
    """Times the power of two that brings the largest magnitude over ``axes`` between 1/2 and 1; zeros stay."""
    _, exponent = np.frexp(largest(x, axes))
    return np.asarray(np.ldexp(x, -exponent))


def scaled_together(s: Array, e: Array) -> tuple[Array, Array]:
    """Two signals of one utterance (..., N) times one power of two, which keeps their squares far from the limits.

    Such signals come back as they are, and nothing is copied.
    """
    _, exponent = np.frexp(max(largest(s).max(), largest(e).max()))
    return (s, e) if abs(exponent) <= ORDINARY else (np.ldexp(s, -exponent), np.ldexp(e, -exponent))


def largest(x: Array, axes: tuple[int, ...] = (-1,)) -> Array:
    """The largest magnitude over ``axes``, which stay with length 1; no copy of x is made."""
    return np.maximum(x.max(axis=axes, keepdims=True), -x.min(axis=axes, keepdims=True))


def centred(x: Array) -> Array:
    """x (..., N) without its mean; what is constant but for rounding becomes zeros."""
    moved = x - np.mean(x, axis=-1, keepdims=True)
    _, exponent = np.frexp(largest(x))
    left = np.ldexp(largest(moved), -exponent)
    return np.where(left <= 4.0 * np.finfo(np.float64).eps, 0.0, moved)
