"""Comparison of arrays, with messages from which a failure replays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._types import Array

Index = tuple[int, ...]


class Worst(NamedTuple):
    """The largest error of an array, relative to the array's largest magnitude, and where it is."""

    error: float
    place: Index
    got: float
    wanted: float

    def __str__(self) -> str:
        return f"max relative error {self.error:.3e} at index {self.place}: got {self.got!r}, wanted {self.wanted!r}"


def worst(got: Array, wanted: Array, least: float = 0.0) -> Worst:
    """Return max |got - wanted| / max(max |wanted|, least) and its place; absolute where that divisor is zero.

    A NaN, an infinity that is not in both or a different shape counts as an infinite error.
    """
    got64, wanted64 = np.asarray(got, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    if got64.shape != wanted64.shape:
        raise AssertionError(f"shape {got64.shape}, wanted {wanted64.shape}")
    if got64.size == 0:
        return Worst(0.0, (), 0.0, 0.0)
    same = got64 == wanted64
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(got64 - wanted64))
    gap = np.where(np.isfinite(gap), gap, np.inf)
    finite = np.abs(wanted64[np.isfinite(wanted64)])
    scale = max(float(finite.max()) if finite.size else 0.0, least)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(gap)), gap.shape))
    error = float(gap[index]) / scale if scale > 0.0 else float(gap[index])
    return Worst(error, index, float(got64[index]), float(wanted64[index]))


def ulps(got: Array, wanted: Array) -> Worst:
    """Return the largest difference in units of the last place of the array's largest magnitude."""
    found = worst(got, wanted)
    return found._replace(error=found.error / float(np.finfo(wanted.dtype).eps))
