"""Sums over rows: right at every length, and the same bits wherever a row lies."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest

from refbss.fast._sums import inner, total
from refbss.verification.draw import generator


@numba.njit
def run(x: Any, y: Any) -> Any:
    return total(x), inner(x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_length_at_every_place(dtype: str) -> None:
    eps = float(np.finfo(dtype).eps)
    for count in [*range(1, 140), 1000]:
        rng = generator(count, "sums", dtype)
        x, y = (rng.standard_normal(count).astype(dtype) for _ in range(2))
        found = run(x, y)
        for got, terms in zip(found, (x.astype(np.float64), x.astype(np.float64) * y), strict=True):
            allowed = (count / 16 + 8) * eps * float(np.abs(terms).sum())
            assert abs(got - math.fsum(terms)) <= allowed, count
        room = np.full(count + 40, np.nan, dtype)
        for place in (1, 3, 17):
            moved = room.copy()
            moved[place : place + count] = x
            assert run(moved[place : place + count], y) == found, (count, place)


def test_nothing_and_trouble() -> None:
    empty = np.empty(0, np.float32)
    assert run(empty, empty) == (0.0, 0.0)
    x = np.ones(37, np.float32)
    for value in (np.inf, np.nan):
        x[20] = value
        assert np.array_equal(run(x, np.ones_like(x)), (value, value), equal_nan=True)


def test_without_compilation() -> None:
    x, y = np.arange(5.0), np.arange(5.0, 10.0)
    assert total(x) == 10 and inner(x, y) == 80
