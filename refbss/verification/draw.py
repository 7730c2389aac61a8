"""Random inputs that replay from a seed and a label, and awkward memory layouts of an array."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from refbss._types import Array


def generator(seed: int, *labels: str) -> np.random.Generator:
    """Return a Philox generator whose key is the hash of the seed and the labels: equal on every machine."""
    text = "/".join([str(seed), *labels])
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Array:
    """Draw a float64 array of independent normal numbers."""
    return mean + scale * rng.standard_normal(shape)


def off_zero(rng: np.random.Generator, *shape: int, least: float = 0.05) -> Array:
    """Draw normal numbers moved away from zero by ``least``: differences never step over a kink at zero."""
    values = rng.standard_normal(shape)
    return values + np.where(values < 0, -least, least)


def fortran_order(array: Array) -> Array:
    """Return equal values with the first axis contiguous: a transposed view."""
    return np.array(array, order="F")


def every_other(array: Array) -> Array:
    """Return equal values as a view of every other element of a buffer filled with NaN."""
    buffer = np.full(tuple(2 * size for size in array.shape), np.nan, dtype=array.dtype)
    odd: Any = (..., *(slice(None, None, 2) for _ in array.shape))
    view: Array = buffer[odd]
    view[...] = array
    return view


def backwards(array: Array) -> Array:
    """Return equal values as a view with a negative stride on every axis."""
    turn: Any = (..., *(slice(None, None, -1) for _ in array.shape))
    turned: Array = array[turn].copy()[turn]
    return turned


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "transposed": fortran_order,
    "strided": every_other,
    "negative stride": backwards,
}
"""Ways to hold the same numbers in memory. Every function must give the same result for each."""
