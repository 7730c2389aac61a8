"""Every equation of docs/math/adam.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import pytest

from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[Any, Any], None]
TENSORS = ("w", "b")
"""Of every array the first number is the tensor w, the others are the tensor b."""


def example(g: list[float], clip: float) -> Trace:
    """One step, the fifth, of one and three numbers."""
    arrays = {"theta": [0.5, -1.0, 2.0, 0.25], "g": g, "m": [0.1, -0.2, 0.3, 0.05], "v": [0.5, 0.25, 0.75, 0.125]}
    attributes = {"clip": clip, "t": 4, "learning_rate": 0.125, "beta1": 0.75, "beta2": 0.875, "eps": 0.02}
    return trace(Example("adam", "adam", "", arrays, ("theta_new", "m_new", "v_new"), {}, attributes))


@pytest.fixture(scope="module")
def wide() -> Trace:
    return example([1.0, -2.0, 4.0, 0.5], 2.5)


@pytest.fixture
def runs(traced: Callable[[str], Trace], wide: Trace) -> list[Trace]:
    return [traced("adam"), wide]


def clipped(run: Trace) -> Any:
    """The gradient after clipping."""
    return run.value("adam.1") * run.inputs["g"]


def both(run: Trace, tag: str) -> Any:
    """The value of a tag for both tensors, one after the other."""
    return np.concatenate([run.value(tag, name=name) for name in TENSORS])


@pytest.mark.equation("adam.1")
def test_clipping(runs: list[Trace], same: Same) -> None:
    for run in runs:
        norm, clip = sqrt(sum(g**2 for g in run.inputs["g"])), run.example.attributes["clip"]
        assert norm > clip
        same(run.value("adam.1"), clip / norm)
        same(sqrt(sum(clipped(run) ** 2)), clip)


@pytest.mark.equation("adam.1")
@pytest.mark.parametrize(
    ("g", "clip", "scale"),
    [
        ([0.48, -0.64, 0.0, 0.0], 0.5, 0.625),
        ([3.0, -4.0, 0.0, 0.0], 5.0, 1.0),
        ([3.0, -4.0, 0.0, 0.0], 20.0, 1.0),
        ([0.0, 0.0, 0.0, 0.0], 0.5, 1.0),
    ],
    ids=["norm-below-one", "at-the-clip", "far-below-the-clip", "zero"],
)
def test_clipping_at_the_edges(g: list[float], clip: float, scale: float, same: Same) -> None:
    run = example(g, clip)
    same(run.value("adam.1"), scale)
    same(run.outputs["m_new"], [0.75 * m + 0.25 * scale * g for m, g in zip(run.inputs["m"], g, strict=True)])


@pytest.mark.equation("adam.2")
def test_first_moment(runs: list[Trace], same: Same) -> None:
    for run in runs:
        beta1 = run.example.attributes["beta1"]
        pairs = zip(run.inputs["m"], clipped(run), strict=True)
        same(both(run, "adam.2"), [beta1 * m + (1 - beta1) * g for m, g in pairs])
        same(run.outputs["m_new"], both(run, "adam.2"))


@pytest.mark.equation("adam.3")
def test_second_moment(runs: list[Trace], same: Same) -> None:
    for run in runs:
        beta2 = run.example.attributes["beta2"]
        pairs = zip(run.inputs["v"], clipped(run), strict=True)
        same(both(run, "adam.3"), [beta2 * v + (1 - beta2) * g**2 for v, g in pairs])
        same(run.outputs["v_new"], both(run, "adam.3"))


@pytest.mark.equation("adam.4")
def test_step(runs: list[Trace], same: Same) -> None:
    for run in runs:
        rate, beta1, beta2, eps = (run.example.attributes[key] for key in ("learning_rate", "beta1", "beta2", "eps"))
        t = run.example.attributes["t"] + 1
        want = []
        for theta, m, v in zip(run.inputs["theta"], both(run, "adam.2"), both(run, "adam.3"), strict=True):
            want.append(theta - rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps))
        same(both(run, "adam.4"), want)
        same(run.outputs["theta_new"], want)
