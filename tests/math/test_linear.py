"""Every equation of docs/math/linear.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
ROWS, INPUTS, OUTPUTS = range(2), range(2), range(3)


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("linear")


@pytest.mark.equation("linear.1")
def test_output(run: Trace, same: Same) -> None:
    x, w, b = run.inputs["x"], run.inputs["w"], run.inputs["b"]
    want = [[b[o] + sum(w[o, j] * x[m, j] for j in INPUTS) for o in OUTPUTS] for m in ROWS]
    same(run.value("linear.1"), want)
    same(run.outputs["y"], want)


@pytest.mark.equation("linear.2")
def test_gradient_of_the_input(run: Trace, same: Same) -> None:
    w, dy = run.inputs["w"], run.cotangents["y"]
    want = [[sum(dy[m, o] * w[o, j] for o in OUTPUTS) for j in INPUTS] for m in ROWS]
    same(run.value("linear.2"), want)
    same(run.grads["x"], want)


@pytest.mark.equation("linear.3")
def test_gradient_of_the_weights(run: Trace, same: Same) -> None:
    x, dy = run.inputs["x"], run.cotangents["y"]
    want = [[sum(dy[m, o] * x[m, j] for m in ROWS) for j in INPUTS] for o in OUTPUTS]
    same(run.value("linear.3"), want)
    same(run.grads["w"], want)


@pytest.mark.equation("linear.4")
def test_gradient_of_the_biases(run: Trace, same: Same) -> None:
    want = [sum(run.cotangents["y"][m, o] for m in ROWS) for o in OUTPUTS]
    same(run.value("linear.4"), want)
    same(run.grads["b"], want)


@pytest.fixture(scope="module")
def wide() -> Trace:
    """Two axes of rows, four inputs, five outputs."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape) for name, shape in {"x": (2, 3, 4), "w": (5, 4), "b": (5,)}.items()}
    return trace(Example("linear", "linear", "", arrays, ("y",), {"y": rng.standard_normal((2, 3, 5))}))


@pytest.mark.equation("linear.1", "linear.2", "linear.3", "linear.4")
def test_two_axes_of_rows(wide: Trace, same: Same) -> None:
    x, w, dy = wide.inputs["x"], wide.inputs["w"], wide.cotangents["y"]
    same(wide.outputs["y"], np.einsum("oj,lmj->lmo", w, x) + wide.inputs["b"])
    same(wide.grads["x"], np.einsum("lmo,oj->lmj", dy, w))
    same(wide.grads["w"], np.einsum("lmo,lmj->oj", dy, x))
    same(wide.grads["b"], np.einsum("lmo->o", dy))
