"""The products of the fast engine at sizes where tiles have remainders, from and into strided memory."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refbss.fast._products import add_rows_times, rows_times, sum_of_products
from refbss.fast._tiles import INNER, OUTER, product
from refbss.verification.compare import worst
from refbss.verification.draw import generator

ALLOWED = {"float32": 4e-6, "float64": 1e-14}
"""For sums of at most 800 terms, relative to the sum of their magnitudes or to the largest result."""


@numba.njit(error_model="numpy")
def run(a: Any, b: Any, start: Any, step: int, out: Any) -> None:
    product(a, b, start, step, out)


def draw(rng: np.random.Generator, dtype: str, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 2 * OUTER + 3),
    inner=st.one_of(st.integers(1, 40), st.integers(INNER - 2, 2 * INNER + 3)),
    columns=st.integers(1, 100),
    step=st.sampled_from([0, 1]),
    turned=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_product(rows: int, inner: int, columns: int, step: int, turned: bool, dtype: str) -> None:
    rng = generator(rows, "product", str(inner), str(columns))
    a = draw(rng, dtype, inner, rows).T if turned else draw(rng, dtype, rows, inner)
    b, start = draw(rng, dtype, inner, columns + 5)[:, 2 : columns + 2], draw(rng, dtype, rows, columns)
    terms = a.astype(np.float64) @ b.astype(np.float64)
    begun = start if step else np.broadcast_to(start[:1], start.shape)
    allowed = ALLOWED[dtype] * (np.abs(begun) + np.abs(a).astype(np.float64) @ np.abs(b))
    around = np.full((rows + 2, columns + 40), 7, dtype)
    out = around[1:-1, 3 : columns + 3]
    run(a, b, start, step, out)
    assert (np.abs(out - (begun + terms)) <= allowed).all()
    out[:] = 7
    assert (around == 7).all(), "written beyond the result"
    added = start.copy()
    run(a, b, added, 1, added)
    assert (np.abs(added - (start + terms)) <= allowed + ALLOWED[dtype] * np.abs(start)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_element_does_not_depend_on_its_neighbours(dtype: str) -> None:
    """Bit for bit: alone, among other rows, among other columns, whatever tile it falls into."""
    rng = generator(0, "neighbours")
    a, b, bias = draw(rng, dtype, 1, 77, 600), draw(rng, dtype, 600, 101), draw(rng, dtype, 101)
    together = rows_times(a, b, bias)[0]
    for row in (0, 7, 8, 63, 64, 70, 75, 76):
        assert np.array_equal(rows_times(a[:, row : row + 1], b, bias)[0, 0], together[row])
    for column in (0, 31, 32, 96, 100):
        alone = rows_times(a, b[:, column : column + 1], bias[column : column + 1])[0, :, 0]
        assert np.array_equal(alone, together[:, column])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_of_rows(dtype: str) -> None:
    rng = generator(0, "batches")
    a, b, bias = draw(rng, dtype, 3, 150, 40), draw(rng, dtype, 40, 35), draw(rng, dtype, 35)
    wanted = a.astype(np.float64) @ b
    assert worst(rows_times(a, b, bias), wanted + bias).error <= ALLOWED[dtype]
    assert worst(rows_times(a, b), wanted).error <= ALLOWED[dtype]
    assert worst(rows_times(a[:, ::2], np.asfortranarray(b)), wanted[:, ::2]).error <= ALLOWED[dtype]
    out = draw(rng, dtype, 3, 152, 35)
    before = out.copy()
    add_rows_times(a, b, out[:, 1:151])
    assert worst(out[:, 1:151], before[:, 1:151] + wanted).error <= ALLOWED[dtype]
    assert np.array_equal(out[:, [0, 151]], before[:, [0, 151]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("left", "right"), [(5, 70), (70, 5), (40, 40)])
def test_sum_of_outer_products(left: int, right: int, dtype: str) -> None:
    rng = generator(0, "outer")
    a, b = draw(rng, dtype, 3, 261, left), draw(rng, dtype, 3, 261, right)
    wanted = np.einsum("itm,itn->mn", a.astype(np.float64), b.astype(np.float64))
    assert worst(sum_of_products(a, b), wanted).error <= ALLOWED[dtype]
