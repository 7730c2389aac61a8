"""Every equation of docs/math/gru.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, tanh
from typing import Any, NamedTuple

import numpy as np
import pytest

from refbss._types import Array
from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[Any, Any], None]
FRAMES = (0, 1)


class Frame(NamedTuple):
    """Numbers of one frame: input and state before it, gates, and gradients at the arguments of the gates."""

    x: float
    h: float
    r: float
    z: float
    a: float
    n: float
    dh: float
    dr: float
    dz: float
    dn: float
    da: float


class Rows(NamedTuple):
    """One parameter, the rows of r, z and n."""

    r: float
    z: float
    n: float


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("gru")


@pytest.fixture
def frames(run: Trace) -> list[Frame]:
    states = [run.inputs["h0"][0, 0], run.value("gru.5", t=0)]
    dy = run.cotangents["y"][0, :, 0]
    arriving = [dy[0] + run.value("gru.10", t=1), dy[1] + run.cotangents["h_n"][0, 0]]
    gates = ("gru.1", "gru.2", "gru.3", "gru.4")
    grads = ("gru.8", "gru.7", "gru.6", "gru.9")
    return [
        Frame(
            run.inputs["x"][0, t, 0],
            states[t],
            *(run.value(tag, t=t) for tag in gates),
            arriving[t],
            *(run.value(tag, t=t) for tag in grads),
        )
        for t in FRAMES
    ]


@pytest.fixture
def w_i(run: Trace) -> Rows:
    return Rows(*run.inputs["w_ih"][:, 0])


@pytest.fixture
def w_h(run: Trace) -> Rows:
    return Rows(*run.inputs["w_hh"][:, 0])


@pytest.fixture
def b_i(run: Trace) -> Rows:
    return Rows(*run.inputs["b_ih"])


@pytest.fixture
def b_h(run: Trace) -> Rows:
    return Rows(*run.inputs["b_hh"])


@pytest.mark.equation("gru.1")
def test_reset_gate(frames: list[Frame], w_i: Rows, w_h: Rows, b_i: Rows, b_h: Rows, same: Same) -> None:
    for f in frames:
        same(f.r, 1 / (1 + exp(-(w_i.r * f.x + b_i.r + w_h.r * f.h + b_h.r))))


@pytest.mark.equation("gru.2")
def test_update_gate(frames: list[Frame], w_i: Rows, w_h: Rows, b_i: Rows, b_h: Rows, same: Same) -> None:
    for f in frames:
        same(f.z, 1 / (1 + exp(-(w_i.z * f.x + b_i.z + w_h.z * f.h + b_h.z))))


@pytest.mark.equation("gru.3")
def test_what_the_reset_gate_acts_on(frames: list[Frame], w_h: Rows, b_h: Rows, same: Same) -> None:
    for f in frames:
        same(f.a, w_h.n * f.h + b_h.n)


@pytest.mark.equation("gru.4")
def test_candidate(frames: list[Frame], w_i: Rows, b_i: Rows, same: Same) -> None:
    for f in frames:
        same(f.n, tanh(w_i.n * f.x + b_i.n + f.r * f.a))


@pytest.mark.equation("gru.5")
def test_new_state(run: Trace, frames: list[Frame], same: Same) -> None:
    for t, f in enumerate(frames):
        same(run.value("gru.5", t=t), (1 - f.z) * f.n + f.z * f.h)
        same(run.outputs["y"][0, t, 0], run.value("gru.5", t=t))
    same(run.outputs["h_n"][0, 0], run.value("gru.5", t=1))


@pytest.mark.equation("gru.6")
def test_gradient_at_the_candidate(frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.dn, f.dh * (1 - f.z) * (1 - f.n**2))


@pytest.mark.equation("gru.7")
def test_gradient_at_the_update_gate(frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.dz, f.dh * (f.h - f.n) * f.z * (1 - f.z))


@pytest.mark.equation("gru.8")
def test_gradient_at_the_reset_gate(frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.dr, f.dn * f.a * f.r * (1 - f.r))


@pytest.mark.equation("gru.9")
def test_gradient_of_what_the_reset_gate_acts_on(frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.da, f.dn * f.r)


@pytest.mark.equation("gru.10")
def test_gradient_of_the_state_before(run: Trace, frames: list[Frame], w_h: Rows, same: Same) -> None:
    for t, f in enumerate(frames):
        same(run.value("gru.10", t=t), f.dh * f.z + w_h.r * f.dr + w_h.z * f.dz + w_h.n * f.da)
    same(run.grads["h0"][0, 0], run.value("gru.10", t=0))


@pytest.mark.equation("gru.11")
def test_gradient_of_the_input(run: Trace, frames: list[Frame], w_i: Rows, same: Same) -> None:
    for t, f in enumerate(frames):
        same(run.value("gru.11", t=t), w_i.r * f.dr + w_i.z * f.dz + w_i.n * f.dn)
        same(run.grads["x"][0, t, 0], run.value("gru.11", t=t))


@pytest.mark.equation("gru.12")
def test_gradients_of_the_input_parameters(run: Trace, frames: list[Frame], same: Same) -> None:
    for row, name in enumerate(("dr", "dz", "dn")):
        same(run.value("gru.12", row=row), sum(getattr(f, name) * f.x for f in frames))
        same(run.grads["w_ih"][row, 0], run.value("gru.12", row=row))
        same(run.grads["b_ih"][row], sum(getattr(f, name) for f in frames))


@pytest.mark.equation("gru.13")
def test_gradients_of_the_recurrent_parameters(run: Trace, frames: list[Frame], same: Same) -> None:
    for row, name in enumerate(("dr", "dz", "da")):
        same(run.value("gru.13", row=row), sum(getattr(f, name) * f.h for f in frames))
        same(run.grads["w_hh"][row, 0], run.value("gru.13", row=row))
        same(run.grads["b_hh"][row], sum(getattr(f, name) for f in frames))


@pytest.fixture(scope="module")
def wide() -> Trace:
    """Two items, two frames, two inputs, three units: what one unit cannot show is which index stands where."""
    rng = np.random.default_rng(0)
    shapes = {"x": (2, 2, 2), "w_ih": (9, 2), "w_hh": (9, 3), "b_ih": (9,), "b_hh": (9,), "h0": (2, 3)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    cotangents = {"y": rng.standard_normal((2, 2, 3)), "h_n": rng.standard_normal((2, 3))}
    return trace(Example("gru", "gru", "", arrays, ("y", "h_n"), cotangents))


def every(run: Trace, tag: str) -> Array:
    """(B, T, H): the last value of a tag for every item, frame and unit."""
    units = "k" if tag == "gru.10" else "j"
    return np.array(
        [[[run.value(tag, i=i, t=t, **{units: j}) for j in range(3)] for t in FRAMES] for i in range(2)],
        dtype=np.float64,
    )


def before(run: Trace) -> Array:
    """(B, T, H): the state before every frame."""
    return np.stack([run.inputs["h0"], run.outputs["y"][:, 0]], axis=1)


@pytest.mark.equation("gru.1", "gru.2", "gru.3", "gru.4", "gru.5")
def test_forward_of_several_units(wide: Trace, same: Same) -> None:
    x, h = wide.inputs["x"], before(wide)
    w_ir, w_iz, w_in = wide.inputs["w_ih"].reshape(3, 3, 2)
    w_hr, w_hz, w_hn = wide.inputs["w_hh"].reshape(3, 3, 3)
    b_ir, b_iz, b_in = wide.inputs["b_ih"].reshape(3, 3)
    b_hr, b_hz, b_hn = wide.inputs["b_hh"].reshape(3, 3)
    r, z, a, n, y = (every(wide, f"gru.{number}") for number in range(1, 6))
    same(r, 1 / (1 + np.exp(-(x @ w_ir.T + b_ir + h @ w_hr.T + b_hr))))
    same(z, 1 / (1 + np.exp(-(x @ w_iz.T + b_iz + h @ w_hz.T + b_hz))))
    same(a, h @ w_hn.T + b_hn)
    same(n, np.tanh(x @ w_in.T + b_in + r * a))
    same(y, (1 - z) * n + z * h)
    same(wide.outputs["y"], y)


@pytest.mark.equation("gru.6", "gru.7", "gru.8", "gru.9", "gru.10", "gru.11", "gru.12", "gru.13")
def test_backward_of_several_units(wide: Trace, same: Same) -> None:
    x, h = wide.inputs["x"], before(wide)
    r, z, a, n = (every(wide, f"gru.{number}") for number in range(1, 5))
    dn, dz, dr, da, back = (every(wide, f"gru.{number}") for number in range(6, 11))
    dh = wide.cotangents["y"] + np.stack([back[:, 1], wide.cotangents["h_n"]], axis=1)
    inner, outer = np.concatenate([dr, dz, dn], axis=2), np.concatenate([dr, dz, da], axis=2)
    same(dn, dh * (1 - z) * (1 - n**2))
    same(dz, dh * (h - n) * z * (1 - z))
    same(dr, dn * a * r * (1 - r))
    same(da, dn * r)
    same(back, dh * z + outer @ wide.inputs["w_hh"])
    same(wide.grads["h0"], back[:, 0])
    same(wide.grads["x"], inner @ wide.inputs["w_ih"])
    same(wide.grads["w_ih"], np.einsum("btr,btk->rk", inner, x))
    same(wide.grads["b_ih"], inner.sum(axis=(0, 1)))
    same(wide.grads["w_hh"], np.einsum("btr,btk->rk", outer, h))
    same(wide.grads["b_hh"], outer.sum(axis=(0, 1)))
