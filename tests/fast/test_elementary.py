"""The fast exp, sigmoid and tanh against float64, over all of float32: its bit patterns, in steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from refbss.fast._elementary import exp, sigmoid, tanh

STEP = 509
"""Every 509th of the 2^32 bit patterns: 8.4 million numbers, as many below 1 as above."""


@numba.njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def exp_of(x: Any, y: Any) -> None:
    for i in range(len(x)):
        y[i] = exp(x[i])


@numba.njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def sigmoid_of(x: Any, y: Any) -> None:
    for i in range(len(x)):
        y[i] = sigmoid(x[i])


@numba.njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def tanh_of(x: Any, y: Any) -> None:
    for i in range(len(x)):
        y[i] = tanh(x[i])


def exact_sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


FUNCTIONS = [("exp", exp_of, np.exp, 1.1), ("sigmoid", sigmoid_of, exact_sigmoid, 2.7), ("tanh", tanh_of, np.tanh, 1.4)]


def numbers() -> np.ndarray:
    """Bit patterns of float32 in even steps, and a finer look at where results are neither 0 nor 1 nor infinite."""
    patterns = np.arange(0, 2**32, STEP, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return np.concatenate([patterns, np.linspace(-110, 110, 2_000_001, dtype=np.float32)])


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the polynomials exist as compiled code only")
@pytest.mark.parametrize(("name", "fast", "exact", "allowed"), FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_error_in_units_of_the_last_place(
    name: str, fast: Callable[..., None], exact: Callable[..., np.ndarray], allowed: float, figures: dict[str, str]
) -> None:
    x = numbers()
    y = np.empty_like(x)
    fast(x, y)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        wanted = exact(x.astype(np.float64))
        rounded = wanted.astype(np.float32)
    assert np.array_equal(np.isnan(y), np.isnan(x)), "NaN where x is NaN, and nowhere else"
    infinite = np.isinf(rounded)
    assert np.array_equal(y[infinite], rounded[infinite])
    finite = np.isfinite(rounded)
    with np.errstate(invalid="ignore"):
        error = np.abs(y[finite].astype(np.float64) - wanted[finite]) / np.spacing(np.abs(rounded[finite]))
    worst = int(np.argmax(error))
    figures[f"float32 {name} of the fast engine"] = f"{error[worst]:.2f} ulp at x = {x[finite][worst]:g}"
    assert error[worst] <= allowed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "fast", "exact", "allowed"), FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_at_the_edges(
    name: str, fast: Callable[..., None], exact: Callable[..., np.ndarray], allowed: float, dtype: str
) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, 1e30, -1e30, 750, -750, 0.5, -3], dtype)
    y = np.empty_like(x)
    fast(x, y)
    with np.errstate(over="ignore"):
        wanted = exact(x.astype(np.float64)).astype(dtype)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, wanted, rtol=4 * np.finfo(dtype).eps, atol=0)
    if name == "tanh":
        assert np.array_equal(np.signbit(y[1:]), np.signbit(x[1:])), "tanh is odd, zeros included"
