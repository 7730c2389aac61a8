"""Every equation of docs/math/tanh.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import exp

import pytest

from refbss.audit.trace import Trace

Same = Callable[[object, object], None]


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("tanh")


@pytest.mark.equation("tanh.1")
def test_output(run: Trace, same: Same) -> None:
    want = [(exp(x) - exp(-x)) / (exp(x) + exp(-x)) for x in run.inputs["x"]]
    same(run.value("tanh.1"), want)
    same(run.outputs["y"], want)


@pytest.mark.equation("tanh.2")
def test_gradient_of_the_input(run: Trace, same: Same) -> None:
    want = [dy * (1 - y * y) for dy, y in zip(run.cotangents["y"], run.value("tanh.1"), strict=True)]
    same(run.value("tanh.2"), want)
    same(run.grads["x"], want)
