"""What lstm must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from refbss._types import Array
from refbss.ops.lstm import lstm_backward, lstm_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec, Tolerances


def oracle(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array, c0: Array
) -> tuple[Array, Array, Array]:
    """The PyTorch equations, one matrix product for input and state of a gate and frame."""
    gates = [np.concatenate(parts, axis=1) for parts in zip(np.split(w_ih, 4), np.split(w_hh, 4), strict=True)]
    biases = np.split(b_ih + b_hh, 4)
    states, h, c = [], h0, c0
    for t in range(x.shape[1]):
        both = np.concatenate([x[:, t], h], axis=1)
        enter, forget, fresh, leave = (both @ w.T + b for w, b in zip(gates, biases, strict=True))
        c = expit(forget) * c + expit(enter) * np.tanh(fresh)
        h = expit(leave) * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=1), h, c


def draw(batch: int, frames: int, inputs: int, hidden: int) -> Any:
    """Return the function that draws arrays of these sizes."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {
            "x": normal(rng, batch, frames, inputs),
            "w_ih": normal(rng, 4 * hidden, inputs, scale=0.6),
            "w_hh": normal(rng, 4 * hidden, hidden, scale=0.6),
            "b_ih": normal(rng, 4 * hidden, scale=0.5),
            "b_hh": normal(rng, 4 * hidden, scale=0.5),
            "h0": normal(rng, batch, hidden),
            "c0": normal(rng, batch, hidden),
        }

    return arrays


def swapped_gates(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """Rows [f; i; g; o] read as [i; f; g; o]; the gradients follow."""

    def swap(rows: Array) -> Array:
        first, second, *others = np.split(rows, 4)
        return np.concatenate([second, first, *others])

    def faulty_forward(
        x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array, c0: Array
    ) -> tuple[Any, ...]:
        return forward(x, swap(w_ih), swap(w_hh), swap(b_ih), swap(b_hh), h0, c0)

    def faulty_backward(dy: Array, dh_n: Array, dc_n: Array, cache: Any) -> Any:
        grads = backward(dy, dh_n, dc_n, cache)
        names = ("dw_ih", "dw_hh", "db_ih", "db_hh")
        return grads._replace(**{name: swap(getattr(grads, name)) for name in names})

    return faulty_forward, faulty_backward


def cell_cotangent_ignored(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The last cell is taken for a by-product: its cotangent does not count."""

    def faulty_backward(dy: Array, dh_n: Array, dc_n: Array, cache: Any) -> Any:
        return backward(dy, dh_n, np.zeros_like(dc_n), cache)

    return forward, faulty_backward


SPEC = OpSpec(
    name="lstm",
    forward=lstm_forward,
    backward=lstm_backward,
    oracle=oracle,
    outputs=("y", "h_n", "c_n"),
    differentiable=("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0", "c0"),
    cases=(
        Case("plain", draw(2, 4, 3, 2)),
        Case("one frame", draw(1, 1, 2, 3)),
        Case("square", draw(1, 6, 2, 2)),
        Case("one unit", draw(2, 3, 1, 1)),
    ),
    faults=(
        Fault("gates i and f swapped, forward and backward alike", "oracle", swapped_gates),
        Fault("cotangent of the last cell left out", "differences", cell_cotangent_ignored),
    ),
    bad_calls=(
        BadCall("rows", r"w_ih has shape \(6, 3\).*, wanted .*8", {"w_ih": np.zeros((6, 3))}),
        BadCall("recurrent columns", r"w_hh has shape \(8, 3\).*, wanted .*2", {"w_hh": np.zeros((8, 3))}),
        BadCall("input size", r"w_ih has shape \(8, 4\).*, wanted I = 3 as x has", {"w_ih": np.zeros((8, 4))}),
        BadCall("bias", r"b_hh has shape \(2,\).*, wanted 8", {"b_hh": np.zeros(2)}),
        BadCall("state batch", r"h0 has shape \(3, 2\).*, wanted B = 2 as x has", {"h0": np.zeros((3, 2))}),
        BadCall("cell batch", r"c0 has shape \(3, 2\).*, wanted B = 2 as x has", {"c0": np.zeros((3, 2))}),
        BadCall("cell size", r"c0 has shape \(2, 3\).*, wanted H = 2 as h0 has", {"c0": np.zeros((2, 3))}),
    ),
    tolerances=Tolerances(
        oracle32=5e-7,
        gradient32=1e-6,
        jit_ulps=4,
        reason="float32 states and gates are rounded once a frame and feed the next; exp and tanh of the compiled "
        "kernel and of Python's math may differ in the last bit",
    ),
)
