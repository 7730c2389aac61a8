"""What gru must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from refbss._types import Array
from refbss.ops.gru import gru_backward, gru_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec, Tolerances


def oracle(x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array) -> tuple[Array, ...]:
    """The PyTorch equations, one matrix product a gate and frame."""
    w_ir, w_iz, w_in = np.split(w_ih, 3)
    w_hr, w_hz, w_hn = np.split(w_hh, 3)
    b_ir, b_iz, b_in = np.split(b_ih, 3)
    b_hr, b_hz, b_hn = np.split(b_hh, 3)
    states, h = [], h0
    for t in range(x.shape[1]):
        reset = expit(x[:, t] @ w_ir.T + b_ir + h @ w_hr.T + b_hr)
        update = expit(x[:, t] @ w_iz.T + b_iz + h @ w_hz.T + b_hz)
        fresh = np.tanh(x[:, t] @ w_in.T + b_in + reset * (h @ w_hn.T + b_hn))
        h = fresh + update * (h - fresh)
        states.append(h)
    return np.stack(states, axis=1), h


def draw(batch: int, frames: int, inputs: int, hidden: int) -> Any:
    """Return the function that draws arrays of these sizes."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {
            "x": normal(rng, batch, frames, inputs),
            "w_ih": normal(rng, 3 * hidden, inputs, scale=0.6),
            "w_hh": normal(rng, 3 * hidden, hidden, scale=0.6),
            "b_ih": normal(rng, 3 * hidden, scale=0.5),
            "b_hh": normal(rng, 3 * hidden, scale=0.5),
            "h0": normal(rng, batch, hidden),
        }

    return arrays


def swapped_gates(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """Rows [z; r; n], the order of Keras, read as [r; z; n]; the gradients follow."""

    def swap(rows: Array) -> Array:
        first, second, third = np.split(rows, 3)
        return np.concatenate([second, first, third])

    def faulty_forward(x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, h0: Array) -> tuple[Any, ...]:
        return forward(x, swap(w_ih), swap(w_hh), swap(b_ih), swap(b_hh), h0)

    def faulty_backward(dy: Array, dh_n: Array, cache: Any) -> Any:
        grads = backward(dy, dh_n, cache)
        names = ("dw_ih", "dw_hh", "db_ih", "db_hh")
        return grads._replace(**{name: swap(getattr(grads, name)) for name in names})

    return faulty_forward, faulty_backward


def one_bias_gradient(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """Both biases get the gradient of the input's: true for r and z, false for n, whose second bias is reset."""

    def faulty_backward(dy: Array, dh_n: Array, cache: Any) -> Any:
        grads = backward(dy, dh_n, cache)
        return grads._replace(db_hh=grads.db_ih.copy())

    return forward, faulty_backward


SPEC = OpSpec(
    name="gru",
    forward=gru_forward,
    backward=gru_backward,
    oracle=oracle,
    outputs=("y", "h_n"),
    differentiable=("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0"),
    cases=(
        Case("plain", draw(2, 4, 3, 2)),
        Case("one frame", draw(1, 1, 2, 3)),
        Case("square", draw(1, 6, 2, 2)),
        Case("one unit", draw(2, 3, 1, 1)),
    ),
    faults=(
        Fault("gates r and z swapped, forward and backward alike", "oracle", swapped_gates),
        Fault("recurrent bias gradient without the reset gate", "differences", one_bias_gradient),
    ),
    bad_calls=(
        BadCall("rows", r"w_ih has shape \(4, 3\).*, wanted .*6", {"w_ih": np.zeros((4, 3))}),
        BadCall("recurrent columns", r"w_hh has shape \(6, 3\).*, wanted .*2", {"w_hh": np.zeros((6, 3))}),
        BadCall("input size", r"w_ih has shape \(6, 4\).*, wanted I = 3 as x has", {"w_ih": np.zeros((6, 4))}),
        BadCall("bias", r"b_hh has shape \(2,\).*, wanted 6", {"b_hh": np.zeros(2)}),
        BadCall("state batch", r"h0 has shape \(3, 2\).*, wanted B = 2 as x has", {"h0": np.zeros((3, 2))}),
    ),
    tolerances=Tolerances(
        oracle32=5e-7,
        gradient32=1e-6,
        jit_ulps=4,
        reason="float32 states and gates are rounded once a frame and feed the next; exp and tanh of the compiled "
        "kernel and of Python's math may differ in the last bit",
    ),
)
