"""Callables on JAX arrays, in both dtypes whatever jax_enable_x64 is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from refbss.conformance.judge import Verdict

jax = pytest.importorskip("jax")
Judge = Callable[..., Verdict]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_dtypes(judged: Judge, dtype: str, before: bool) -> None:
    was = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", before)
    try:
        assert judged("jax_grus:gru", dtype=dtype, framework="jax", grads=True).passed
        assert jax.config.jax_enable_x64 is before
    finally:
        jax.config.update("jax_enable_x64", was)


def test_compiled_and_without_gradients(judged: Judge) -> None:
    assert judged("jax_grus:compiled", framework="jax", grads=True).passed
    assert judged("jax_grus:only_y", framework="jax").passed
    assert judged("jax_grus:gru", "gru/wrong-state-size", framework="jax", grads=True).passed
    assert judged("jax_grus:linear", "linear/plain", "float64", framework="jax", grads=True).passed


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("stopped", "the gradient of h0 differs by 1.0e+00"),
        ("only_y", "outputs agree; gradients: returned y; --grads wants h_n too"),
        ("half", "y is float16 in a float32 run, wanted float32; h_n too; gradients not judged"),
        ("raises", "raised ValueError: not today (jax_grus.py:"),
        ("linear", "wants an argument 'weight'; the case has x, h0, weight_ih_l0"),
    ],
)
def test_what_does_not_fit(judged: Judge, name: str, problem: str) -> None:
    verdict = judged(f"jax_grus:{name}", framework="jax", grads=True)
    assert not verdict.passed and verdict.problem.startswith(problem)
