"""Every equation of docs/math/softplus.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import pytest

from refbss.audit.trace import Trace

Same = Callable[[object, object], None]


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("softplus")


@pytest.mark.equation("softplus.1")
def test_output(run: Trace, same: Same) -> None:
    want = [log(1 + exp(x)) for x in run.inputs["x"]]
    same(run.value("softplus.1"), want)
    same(run.outputs["y"], want)


@pytest.mark.equation("softplus.2")
def test_gradient_of_the_input(run: Trace, same: Same) -> None:
    want = [dy * (1 - exp(-y)) for dy, y in zip(run.cotangents["y"], run.value("softplus.1"), strict=True)]
    same(run.value("softplus.2"), want)
    same(run.grads["x"], want)


@pytest.mark.equation("softplus.2")
def test_the_derivative_is_the_logistic_function_of_the_input(run: Trace, same: Same) -> None:
    same(run.grads["x"], [dy / (1 + exp(-x)) for dy, x in zip(run.cotangents["y"], run.inputs["x"], strict=True)])
