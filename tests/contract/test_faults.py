"""The ladder catches what is planted, at the rung that was foreseen, and every rung catches something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refbss.verification.ladder import climb
from refbss.verification.registry import SPECS
from refbss.verification.spec import Fault, OpSpec

PLANTED = [
    pytest.param(spec, fault, id=f"{name}-{fault.description}".replace(" ", "_"))
    for name, spec in SPECS.items()
    for fault in spec.faults
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("spec", "fault"), PLANTED)
def test_planted_fault_is_caught(spec: OpSpec, fault: Fault) -> None:
    failures = climb(spec.planted(fault))
    assert failures, f"{spec.name}: {fault.description!r} passed every rung"
    first = next(iter(failures))
    assert first == fault.caught_by, f"{spec.name}: {fault.description!r} caught by {first!r}: {failures[first]}"
    assert spec.name in failures[first] and "seed 0" in failures[first]


def memory_order(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
    """Reads the input in the order in which it lies in memory: wrong for a transposed view."""
    return SPECS["linear"].forward(x.ravel(order="K").reshape(x.shape), w, b)


def rounded_sum(dy: np.ndarray, cache: Any) -> Any:
    """Adds the bias gradient in float16 when the arguments are float32."""
    grads = SPECS["linear"].backward(dy, cache)
    return grads._replace(db=grads.db.astype(np.float16).astype(dy.dtype)) if dy.dtype == np.float32 else grads


def unchecked(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
    """Converts whatever comes to an array instead of refusing it."""
    return SPECS["linear"].forward(np.asarray(x, dtype=np.float64) if isinstance(x, list) else x, w, b)


def scaled_in_place(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
    """Leaves its input changed in the last bit."""
    result = SPECS["linear"].forward(x, w, b)
    x *= 1.0 + np.finfo(x.dtype).eps
    return result


RUNG_FAULTS = {
    "layouts": replace(SPECS["linear"], forward=memory_order),
    "single precision": replace(SPECS["linear"], backward=rounded_sum),
    "errors": replace(SPECS["linear"], forward=unchecked),
    "purity": replace(SPECS["linear"], forward=scaled_in_place),
}


@pytest.mark.parametrize("rung", RUNG_FAULTS)
def test_every_other_rung_catches_a_fault(rung: str) -> None:
    sound = climb(SPECS["linear"])
    failures = climb(RUNG_FAULTS[rung])
    assert rung in failures
    assert failures[rung] != sound.get(rung)


def test_every_rung_is_proven() -> None:
    planted = {fault.caught_by for spec in SPECS.values() for fault in spec.faults}
    assert planted | set(RUNG_FAULTS) == {
        "shapes",
        "oracle",
        "adjoint",
        "purity",
        "differences",
        "single precision",
        "layouts",
        "errors",
    }
