"""Every equation of docs/math/lstm.md, worked out again from the traced values of its right-hand side."""

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
    """Numbers of one frame: what comes in, gates, cell, and gradients of output and cell and at the gates."""

    x: float
    h: float
    before: float
    i: float
    f: float
    g: float
    o: float
    c: float
    dh: float
    dc: float
    di: float
    df: float
    dg: float
    do: float


class Rows(NamedTuple):
    """One parameter, the rows of i, f, g and o."""

    i: float
    f: float
    g: float
    o: float


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("lstm")


@pytest.fixture
def frames(run: Trace) -> list[Frame]:
    outputs = [run.inputs["h0"][0, 0], run.value("lstm.6", t=0)]
    cells = [run.inputs["c0"][0, 0], run.value("lstm.5", t=0)]
    dy = run.cotangents["y"][0, :, 0]
    arriving = [dy[0] + run.value("lstm.13", t=1), dy[1] + run.cotangents["h_n"][0, 0]]
    gates = ("lstm.1", "lstm.2", "lstm.3", "lstm.4", "lstm.5")
    grads = ("lstm.8", "lstm.9", "lstm.10", "lstm.11", "lstm.7")
    return [
        Frame(
            run.inputs["x"][0, t, 0],
            outputs[t],
            cells[t],
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


@pytest.mark.equation("lstm.1")
def test_input_gate(frames: list[Frame], w_i: Rows, w_h: Rows, b_i: Rows, b_h: Rows, same: Same) -> None:
    for f in frames:
        same(f.i, 1 / (1 + exp(-(w_i.i * f.x + b_i.i + w_h.i * f.h + b_h.i))))


@pytest.mark.equation("lstm.2")
def test_forget_gate(frames: list[Frame], w_i: Rows, w_h: Rows, b_i: Rows, b_h: Rows, same: Same) -> None:
    for f in frames:
        same(f.f, 1 / (1 + exp(-(w_i.f * f.x + b_i.f + w_h.f * f.h + b_h.f))))


@pytest.mark.equation("lstm.3")
def test_candidate(frames: list[Frame], w_i: Rows, w_h: Rows, b_i: Rows, b_h: Rows, same: Same) -> None:
    for f in frames:
        same(f.g, tanh(w_i.g * f.x + b_i.g + w_h.g * f.h + b_h.g))


@pytest.mark.equation("lstm.4")
def test_output_gate(frames: list[Frame], w_i: Rows, w_h: Rows, b_i: Rows, b_h: Rows, same: Same) -> None:
    for f in frames:
        same(f.o, 1 / (1 + exp(-(w_i.o * f.x + b_i.o + w_h.o * f.h + b_h.o))))


@pytest.mark.equation("lstm.5")
def test_new_cell(run: Trace, frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.c, f.f * f.before + f.i * f.g)
    same(run.outputs["c_n"][0, 0], run.value("lstm.5", t=1))


@pytest.mark.equation("lstm.6")
def test_output(run: Trace, frames: list[Frame], same: Same) -> None:
    for t, f in enumerate(frames):
        same(run.value("lstm.6", t=t), f.o * tanh(f.c))
        same(run.outputs["y"][0, t, 0], run.value("lstm.6", t=t))
    same(run.outputs["h_n"][0, 0], run.value("lstm.6", t=1))


@pytest.mark.equation("lstm.7")
def test_gradient_at_the_output_gate(frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.do, f.dh * tanh(f.c) * f.o * (1 - f.o))


@pytest.mark.equation("lstm.8")
def test_gradient_of_the_cell(run: Trace, frames: list[Frame], same: Same) -> None:
    sent = [run.value("lstm.12", t=1), run.cotangents["c_n"][0, 0]]
    for f, back in zip(frames, sent, strict=True):
        same(f.dc, f.dh * f.o * (1 - tanh(f.c) ** 2) + back)


@pytest.mark.equation("lstm.9")
def test_gradient_at_the_input_gate(frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.di, f.dc * f.g * f.i * (1 - f.i))


@pytest.mark.equation("lstm.10")
def test_gradient_at_the_forget_gate(frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.df, f.dc * f.before * f.f * (1 - f.f))


@pytest.mark.equation("lstm.11")
def test_gradient_at_the_candidate(frames: list[Frame], same: Same) -> None:
    for f in frames:
        same(f.dg, f.dc * f.i * (1 - f.g**2))


@pytest.mark.equation("lstm.12")
def test_gradient_of_the_cell_before(run: Trace, frames: list[Frame], same: Same) -> None:
    for t, f in enumerate(frames):
        same(run.value("lstm.12", t=t), f.dc * f.f)
    same(run.grads["c0"][0, 0], run.value("lstm.12", t=0))


@pytest.mark.equation("lstm.13")
def test_gradient_of_the_output_before(run: Trace, frames: list[Frame], w_h: Rows, same: Same) -> None:
    for t, f in enumerate(frames):
        same(run.value("lstm.13", t=t), w_h.i * f.di + w_h.f * f.df + w_h.g * f.dg + w_h.o * f.do)
    same(run.grads["h0"][0, 0], run.value("lstm.13", t=0))


@pytest.mark.equation("lstm.14")
def test_gradient_of_the_input(run: Trace, frames: list[Frame], w_i: Rows, same: Same) -> None:
    for t, f in enumerate(frames):
        same(run.value("lstm.14", t=t), w_i.i * f.di + w_i.f * f.df + w_i.g * f.dg + w_i.o * f.do)
        same(run.grads["x"][0, t, 0], run.value("lstm.14", t=t))


GATES = ("di", "df", "dg", "do")


@pytest.mark.equation("lstm.15")
def test_gradient_of_the_input_weights(run: Trace, frames: list[Frame], same: Same) -> None:
    for row, name in enumerate(GATES):
        same(run.value("lstm.15", row=row), sum(getattr(f, name) * f.x for f in frames))
        same(run.grads["w_ih"][row, 0], run.value("lstm.15", row=row))


@pytest.mark.equation("lstm.16")
def test_gradient_of_the_recurrent_weights(run: Trace, frames: list[Frame], same: Same) -> None:
    for row, name in enumerate(GATES):
        same(run.value("lstm.16", row=row), sum(getattr(f, name) * f.h for f in frames))
        same(run.grads["w_hh"][row, 0], run.value("lstm.16", row=row))


@pytest.mark.equation("lstm.17")
def test_gradient_of_both_biases(run: Trace, frames: list[Frame], same: Same) -> None:
    for row, name in enumerate(GATES):
        same(run.value("lstm.17", row=row), sum(getattr(f, name) for f in frames))
        same(run.grads["b_ih"][row], run.value("lstm.17", row=row))
        same(run.grads["b_hh"][row], run.value("lstm.17", row=row))


@pytest.fixture(scope="module")
def wide() -> Trace:
    """Two items, two frames, two inputs, three units: what one unit cannot show is which index stands where."""
    rng = np.random.default_rng(0)
    shapes = {
        "x": (2, 2, 2),
        "w_ih": (12, 2),
        "w_hh": (12, 3),
        "b_ih": (12,),
        "b_hh": (12,),
        "h0": (2, 3),
        "c0": (2, 3),
    }
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    cotangents = {"y": (2, 2, 3), "h_n": (2, 3), "c_n": (2, 3)}
    drawn = {name: rng.standard_normal(shape) for name, shape in cotangents.items()}
    return trace(Example("lstm", "lstm", "", arrays, ("y", "h_n", "c_n"), drawn))


def every(run: Trace, tag: str) -> Array:
    """(B, T, H): the last value of a tag for every item, frame and unit."""
    units = "k" if tag == "lstm.13" else "j"
    return np.array(
        [[[run.value(tag, b=b, t=t, **{units: j}) for j in range(3)] for t in FRAMES] for b in range(2)],
        dtype=np.float64,
    )


def before(run: Trace, first: str, after: Array) -> Array:
    """(B, T, H): the state before every frame."""
    return np.stack([run.inputs[first], after[:, 0]], axis=1)


@pytest.mark.equation("lstm.1", "lstm.2", "lstm.3", "lstm.4", "lstm.5", "lstm.6")
def test_forward_of_several_units(wide: Trace, same: Same) -> None:
    i, f, g, o, c, y = (every(wide, f"lstm.{number}") for number in range(1, 7))
    x, h, past = wide.inputs["x"], before(wide, "h0", y), before(wide, "c0", c)
    parts = (wide.inputs[name].reshape(4, 3, -1) for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
    s_i, s_f, s_g, s_o = (x @ w.T + h @ u.T + b[:, 0] + d[:, 0] for w, u, b, d in zip(*parts, strict=True))
    same(i, 1 / (1 + np.exp(-s_i)))
    same(f, 1 / (1 + np.exp(-s_f)))
    same(g, np.tanh(s_g))
    same(o, 1 / (1 + np.exp(-s_o)))
    same(c, f * past + i * g)
    same(y, o * np.tanh(c))
    same(wide.outputs["y"], y)
    same(wide.outputs["h_n"], y[:, 1])
    same(wide.outputs["c_n"], c[:, 1])


@pytest.mark.equation(
    "lstm.7", "lstm.8", "lstm.9", "lstm.10", "lstm.11", "lstm.12", "lstm.13", "lstm.14", "lstm.15", "lstm.16", "lstm.17"
)
def test_backward_of_several_units(wide: Trace, same: Same) -> None:
    i, f, g, o, c, y = (every(wide, f"lstm.{number}") for number in range(1, 7))
    x, h, past = wide.inputs["x"], before(wide, "h0", y), before(wide, "c0", c)
    do, dc, di, df, dg, sent, back = (every(wide, f"lstm.{number}") for number in range(7, 14))
    dh = wide.cotangents["y"] + np.stack([back[:, 1], wide.cotangents["h_n"]], axis=1)
    same(do, dh * np.tanh(c) * o * (1 - o))
    same(dc, dh * o * (1 - np.tanh(c) ** 2) + np.stack([sent[:, 1], wide.cotangents["c_n"]], axis=1))
    same(di, dc * g * i * (1 - i))
    same(df, dc * past * f * (1 - f))
    same(dg, dc * i * (1 - g**2))
    same(sent, dc * f)
    gates = np.concatenate([di, df, dg, do], axis=2)
    same(back, gates @ wide.inputs["w_hh"])
    same(wide.grads["h0"], back[:, 0])
    same(wide.grads["c0"], sent[:, 0])
    same(wide.grads["x"], gates @ wide.inputs["w_ih"])
    same(wide.grads["w_ih"], np.einsum("btr,btk->rk", gates, x))
    same(wide.grads["w_hh"], np.einsum("btr,btk->rk", gates, h))
    same(wide.grads["b_ih"], gates.sum(axis=(0, 1)))
    same(wide.grads["b_hh"], gates.sum(axis=(0, 1)))
