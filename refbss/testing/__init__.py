"""The golden vectors as pytest tests, in one line::

    from refbss.testing import vector_test

    test_gru = vector_test("gru/", "mypkg.layers:MyGRU", framework="torch", grads=True)

is a test for every case of the GRU. ``pytest --refbss mypkg.adapters`` (:mod:`refbss.testing.plugin`) needs no test
file. Importing this package loads nothing but pytest; the vectors are read when ``vector_test`` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["vector_test"]


def vector_test(
    patterns: str | Sequence[str],
    target: str | Callable[..., Any],
    *,
    framework: str | None = None,
    dtype: str = "float32",
    grads: bool = False,
    vjp: str | Callable[..., Any] | None = None,
    state_map: str | Path | None = None,
    vectors: str | Path | None = None,
) -> Callable[..., None]:
    """A test function, parametrised over the cases that match; assign it to a name that begins with ``test_``.

    ``patterns`` are operators (``gru/``), cases (``gru/plain``) or patterns (``gru/one*``). ``target``, ``framework``
    (numpy, torch, jax; None guesses), ``vjp`` and ``state_map`` (a TOML file) are those of ``refbss check``; ``dtype``
    is float32, float64 or both; with ``grads`` the gradients are judged too. ``vectors`` is a folder of vectors in
    place of those that refbss ships. The target is imported when the first test runs. A failure says what differs,
    where, and which known mistake it equals. It may stand in a class of tests, from pytest 8.4 on. Raises InputError
    where no case matches.
    """
    from refbss.testing.cases import Questions

    chosen = [patterns] if isinstance(patterns, str) else list(patterns)
    questions = Questions(
        chosen, target, framework, dtype=dtype, grads=grads, vjp=vjp, state_map=state_map, vectors=vectors
    )
    asked = questions.asked

    @pytest.mark.parametrize(("case", "dtype"), asked, ids=[f"{case}-{each}" for case, each in asked])
    def test(_self: object = None, /, *, case: str, dtype: str) -> None:
        problem = questions.problem(case, dtype)
        if problem:
            pytest.fail(problem, pytrace=False)

    return test
