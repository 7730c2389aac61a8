"""Every equation of docs/math/prelu.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
CHANNELS, SAMPLES = range(2), range(2)


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("prelu")


@pytest.fixture
def slopes(run: Trace) -> list[list[float]]:
    """The slope that counts for every sample of every channel: below zero and at zero that of the channel."""
    x, a = run.inputs["x"][0], run.inputs["a"]
    assert 0.0 in x
    return [[1.0 if x[c, n] > 0 else a[c] for n in SAMPLES] for c in CHANNELS]


@pytest.mark.equation("prelu.1")
def test_output(run: Trace, slopes: list[list[float]], same: Same) -> None:
    x = run.inputs["x"][0]
    want = [[[slopes[c][n] * x[c, n] for n in SAMPLES] for c in CHANNELS]]
    same(run.value("prelu.1"), want)
    same(run.outputs["y"], want)


@pytest.mark.equation("prelu.2")
def test_gradient_of_the_input(run: Trace, slopes: list[list[float]], same: Same) -> None:
    dy = run.cotangents["y"][0]
    want = [[[slopes[c][n] * dy[c, n] for n in SAMPLES] for c in CHANNELS]]
    same(run.value("prelu.2"), want)
    same(run.grads["x"], want)


@pytest.mark.equation("prelu.3")
def test_gradient_of_the_slopes(run: Trace, same: Same) -> None:
    x, dy = run.inputs["x"][0], run.cotangents["y"][0]
    want = [sum(x[c, n] * dy[c, n] for n in SAMPLES if x[c, n] <= 0) for c in CHANNELS]
    same(run.value("prelu.3"), want)
    same(run.grads["a"], want)


@pytest.fixture(scope="module", params=[3, 1])
def wide(request: pytest.FixtureRequest) -> Trace:
    """Two items, three channels, four samples of which one is zero; a slope each, or one for all channels."""
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal((2, 3, 4)), "a": rng.standard_normal(request.param)}
    arrays["x"][1, 2, 3] = 0.0
    return trace(Example("prelu", "prelu", "", arrays, ("y",), {"y": rng.standard_normal((2, 3, 4))}))


@pytest.mark.equation("prelu.1", "prelu.2", "prelu.3")
def test_several_items(wide: Trace, same: Same) -> None:
    x, a, dy = wide.inputs["x"], wide.inputs["a"], wide.cotangents["y"]
    slopes = np.broadcast_to(a[:, None], x.shape).copy()
    slopes[x > 0] = 1.0
    same(wide.outputs["y"], slopes * x)
    same(wide.grads["x"], slopes * dy)
    channels = np.einsum("icn,icn->c", np.minimum(x, 0.0), dy)
    same(wide.grads["a"], channels if len(a) == 3 else [sum(channels)])
