"""Every equation of docs/math/reparameterise.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import exp

import pytest

from refbss.audit.trace import Trace

Same = Callable[[object, object], None]
NUMBERS = range(2)


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("reparameterise")


@pytest.mark.equation("reparameterise.1")
def test_sample(run: Trace, same: Same) -> None:
    mu, log_var, eps = run.inputs["mu"], run.inputs["log_var"], run.inputs["eps"]
    want = [mu[i] + exp(log_var[i] / 2) * eps[i] for i in NUMBERS]
    same(run.value("reparameterise.1"), want)
    same(run.outputs["z"], want)


@pytest.mark.equation("reparameterise.2")
def test_gradient_of_the_mean(run: Trace, same: Same) -> None:
    same(run.value("reparameterise.2"), run.cotangents["z"])
    same(run.grads["mu"], run.cotangents["z"])


@pytest.mark.equation("reparameterise.3")
def test_gradient_of_the_log_variance(run: Trace, same: Same) -> None:
    log_var, eps, dz = run.inputs["log_var"], run.inputs["eps"], run.cotangents["z"]
    want = [dz[i] * exp(log_var[i] / 2) * eps[i] / 2 for i in NUMBERS]
    same(run.value("reparameterise.3"), want)
    same(run.grads["log_var"], want)
