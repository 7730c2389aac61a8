"""Every equation of docs/math/sigmoid.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import exp

import pytest

from refbss.audit.trace import Trace

Same = Callable[[object, object], None]


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("sigmoid")


@pytest.mark.equation("sigmoid.1")
def test_output(run: Trace, same: Same) -> None:
    want = [1 / (1 + exp(-x)) for x in run.inputs["x"]]
    same(run.value("sigmoid.1"), want)
    same(run.outputs["y"], want)


@pytest.mark.equation("sigmoid.2")
def test_gradient_of_the_input(run: Trace, same: Same) -> None:
    want = [dy * y * (1 - y) for dy, y in zip(run.cotangents["y"], run.value("sigmoid.1"), strict=True)]
    same(run.value("sigmoid.2"), want)
    same(run.grads["x"], want)
