"""Every equation of docs/math/gaussian.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from refbss.audit.trace import Trace

Same = Callable[[Any, Any], None]


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("prior_gaussian")


@pytest.mark.equation("gaussian.1")
def test_log_density(run: Trace, same: Same) -> None:
    want = [-u / 2 for u in run.inputs["u"]]
    same(run.value("gaussian.1"), want)
    same(run.outputs["log_f"], want)


@pytest.mark.equation("gaussian.2")
def test_phi_is_one(run: Trace, same: Same) -> None:
    same(run.value("gaussian.2"), [1.0, 1.0])
    same(run.outputs["phi"], [1.0, 1.0])


@pytest.mark.equation("gaussian.2")
def test_phi_has_no_slope(run: Trace, same: Same) -> None:
    same(run.outputs["phi_1"], [0.0, 0.0])
    same(run.outputs["phi_2"], [0.0, 0.0])


@pytest.mark.equation("gaussian.1", "gaussian.2")
def test_phi_is_minus_twice_the_slope_of_the_log_density(run: Trace, same: Same) -> None:
    (u, v), (log_u, log_v) = run.inputs["u"], run.value("gaussian.1")
    same(run.value("gaussian.2")[0], -2 * (log_v - log_u) / (v - u))
