"""Every equation of docs/math/separator.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import exp

import numpy as np
import pytest

from refbss.audit.trace import Trace

Same = Callable[[object, object], None]
SOURCES, FRAMES, CHANNELS, OUTPUTS = range(2), range(2), range(2), range(2)
"""There is one item, one unit, one latent, and a reading of one number. Outputs are mu and l."""


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("adaptive_separator")


@pytest.fixture
def dy(run: Trace) -> np.ndarray:
    """The cotangents of mu and l side by side: source, frame, output."""
    pulled = run.cotangents["mu"][0, :, :, 0], run.cotangents["l"][0, :, :, 0]
    return np.array([[[half[p, t] for half in pulled] for t in FRAMES] for p in SOURCES])


@pytest.fixture
def ds(run: Trace) -> np.ndarray:
    """Source, frame, channel."""
    return run.value("separator.6")[0]


@pytest.mark.equation("separator.1")
def test_adaptive_matrix(run: Trace, same: Same) -> None:
    control, bias, reading = run.inputs["a"][..., 0], run.inputs["c"], run.inputs["read"][:, 0]
    g, r = run.inputs["g"][0, :, 0], run.inputs["r"][0, :, 0]

    def gain(p: int, t: int, m: int) -> float:
        return 1 / (1 + exp(-(control[p, m] * g[t] + bias[p, m] + reading[m] * r[p])))

    same(run.value("separator.1"), [[[[gain(p, t, m) for m in CHANNELS] for t in FRAMES] for p in SOURCES]])


@pytest.mark.equation("separator.2")
def test_array_after_the_adaptive_matrix(run: Trace, same: Same) -> None:
    w, x = run.value("separator.1")[0], run.inputs["x"][0]
    want = [[[[w[p, t, m] * x[t, m] for m in CHANNELS] for t in FRAMES] for p in SOURCES]]
    same(run.value("separator.2"), want)


@pytest.mark.equation("separator.3")
def test_fully_connected_layer(run: Trace, same: Same) -> None:
    u, v, b = run.value("separator.2")[0], run.inputs["v"], run.inputs["b"]
    want = [[[b[i] + sum(v[i, m] * u[p, t, m] for m in CHANNELS) for i in OUTPUTS] for t in FRAMES] for p in SOURCES]
    same(run.value("separator.3"), [want])
    same(run.outputs["mu"], [[[[row[0]] for row in rows] for rows in want]])
    same(run.outputs["l"], [[[[row[1]] for row in rows] for rows in want]])


@pytest.mark.equation("separator.3")
def test_mean_is_the_demixing_matrix_times_the_array(run: Trace, same: Same) -> None:
    w, v_mu, b_mu = run.value("separator.1")[0], run.inputs["v"][0], run.inputs["b"][0]
    for p in SOURCES:
        for t in FRAMES:
            demixing = np.array([v_mu]) @ np.diag(w[p, t])
            same(run.outputs["mu"][0, p, t], demixing @ run.inputs["x"][0, t] + b_mu)


@pytest.mark.equation("separator.4")
def test_gradients_of_the_fully_connected_layer(run: Trace, dy: np.ndarray, same: Same) -> None:
    v, u = run.inputs["v"], run.value("separator.2")[0]
    frames = [(p, t) for p in SOURCES for t in FRAMES]
    du = [[[sum(v[i, m] * dy[p, t, i] for i in OUTPUTS) for m in CHANNELS] for t in FRAMES] for p in SOURCES]
    same(run.value("separator.4", "du"), [du])
    dv = [[sum(dy[p, t, i] * u[p, t, m] for p, t in frames) for m in CHANNELS] for i in OUTPUTS]
    same(run.value("separator.4", "dv"), dv)
    same(run.grads["v"], dv)
    db = [sum(dy[p, t, i] for p, t in frames) for i in OUTPUTS]
    same(run.value("separator.4", "db"), db)
    same(run.grads["b"], db)


@pytest.mark.equation("separator.5")
def test_gradients_of_array_and_adaptive_matrix(run: Trace, same: Same) -> None:
    w, x, du = run.value("separator.1")[0], run.inputs["x"][0], run.value("separator.4", "du")[0]
    dx = [[sum(w[p, t, m] * du[p, t, m] for p in SOURCES) for m in CHANNELS] for t in FRAMES]
    same(run.value("separator.5", "dx"), [dx])
    same(run.grads["x"], [dx])
    dw = [[[x[t, m] * du[p, t, m] for m in CHANNELS] for t in FRAMES] for p in SOURCES]
    same(run.value("separator.5", "dw"), [dw])


@pytest.mark.equation("separator.6")
def test_gradient_at_the_argument_of_the_sigmoid(run: Trace, ds: np.ndarray, same: Same) -> None:
    w, dw = run.value("separator.1")[0], run.value("separator.5", "dw")[0]
    same(ds, [[[dw[p, t, m] * w[p, t, m] * (1 - w[p, t, m]) for m in CHANNELS] for t in FRAMES] for p in SOURCES])


@pytest.mark.equation("separator.7")
def test_gradients_of_the_control(run: Trace, ds: np.ndarray, same: Same) -> None:
    control, g = run.inputs["a"][..., 0], run.inputs["g"][0, :, 0]
    dg = [[sum(control[p, m] * ds[p, t, m] for p in SOURCES for m in CHANNELS)] for t in FRAMES]
    same(run.value("separator.7", "dg"), [dg])
    same(run.grads["g"], [dg])
    da = [[[sum(ds[p, t, m] * g[t] for t in FRAMES)] for m in CHANNELS] for p in SOURCES]
    same(run.value("separator.7", "da"), da)
    same(run.grads["a"], da)
    dc = [[sum(ds[p, t, m] for t in FRAMES) for m in CHANNELS] for p in SOURCES]
    same(run.value("separator.7", "dc"), dc)
    same(run.grads["c"], dc)


@pytest.mark.equation("separator.8")
def test_gradients_of_the_reading(run: Trace, ds: np.ndarray, same: Same) -> None:
    reading, r = run.inputs["read"][:, 0], run.inputs["r"][0, :, 0]
    summed = [[sum(ds[p, t, m] for t in FRAMES) for m in CHANNELS] for p in SOURCES]
    dr = [[sum(reading[m] * summed[p][m] for m in CHANNELS)] for p in SOURCES]
    same(run.value("separator.8", "dr"), [dr])
    same(run.grads["r"], [dr])
    dread = [[sum(summed[p][m] * r[p] for p in SOURCES)] for m in CHANNELS]
    same(run.value("separator.8", "dread"), dread)
    same(run.grads["read"], dread)
