"""What the tests of the check share: the vectors, callables to judge, and one way to judge them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refbss.conformance.judge import Verdict, judge
from refbss.conformance.targets import implementation, load_target
from refbss.conformance.vectors import Library

SAMPLES = Path(__file__).parent / "samples"

Judge = Callable[..., Verdict]


@pytest.fixture(scope="session")
def library() -> Library:
    """The vectors that refbss ships."""
    return Library()


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Any]:
    """A callable to judge, by ``file:attribute`` below samples."""
    return lambda name: load_target(f"{SAMPLES / name.split(':')[0]}.py:{name.split(':')[1]}")


@pytest.fixture(scope="session")
def judged(library: Library, sample: Callable[[str], Any]) -> Judge:
    """Judge a callable, or the name of a sample, on a case."""

    def call(
        target: Any, case: str = "gru/plain", dtype: str = "float32", *, grads: bool = False, **options: Any
    ) -> Verdict:
        target = sample(target) if isinstance(target, str) else target
        if isinstance(options.get("vjp"), str):
            options["vjp"] = sample(options["vjp"])
        found = implementation(target, options.pop("framework", None), ops=[case.split("/")[0]], **options)
        return judge(library.load(case), found, dtype, grads)

    return call
