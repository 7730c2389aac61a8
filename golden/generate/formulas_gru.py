"""Golden cases of the GRU: the PyTorch equations, one scalar at a time, and the ways in which others differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from book import BadCase, Book, Case, Mistake, draw
from number import Named

Gates = tuple[Any, Any, Any]


def sigmoid(x: Any) -> Any:
    """The logistic function of an array of Numbers."""
    return 1 / (1 + np.exp(-x))


def rows(w: np.ndarray, order: str = "rzn") -> list[np.ndarray]:
    """The blocks of stacked rows as [r, z, n], read in ``order``."""
    blocks = dict(zip(order, np.split(w, 3), strict=True))
    return [blocks["r"], blocks["z"], blocks["n"]]


def step(x: Any, h: Any, w: list[Any], u: list[Any], b: list[Any], c: list[Any]) -> Any:
    """The next state of every item: x (B, I), h (B, H); w, u input and recurrent rows, b, c their biases."""
    r = sigmoid(x @ w[0].T + b[0] + h @ u[0].T + c[0])
    z = sigmoid(x @ w[1].T + b[1] + h @ u[1].T + c[1])
    n = np.tanh(x @ w[2].T + b[2] + r * (h @ u[2].T + c[2]))
    return (1 - z) * n + z * h


def gru(
    x: Any,
    h0: Any,
    weight_ih_l0: Any,
    weight_hh_l0: Any,
    bias_ih_l0: Any,
    bias_hh_l0: Any,
    *,
    cell: Any = step,
    order: str = "rzn",
) -> dict[str, Any]:
    """x (B, T, I), h0 (B, H) -> y (B, T, H), h_n (B, H)."""
    blocks = [rows(array, order) for array in (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0)]
    states, h = [], h0
    for t in range(x.shape[1]):
        h = cell(x[:, t], h, *blocks)
        states.append(h)
    return {"y": np.stack(states, axis=1), "h_n": h}


def reset_before_product(x: Any, h: Any, w: list[Any], u: list[Any], b: list[Any], c: list[Any]) -> Any:
    """The reset gate multiplies the state before the matrix product."""
    r = sigmoid(x @ w[0].T + b[0] + h @ u[0].T + c[0])
    z = sigmoid(x @ w[1].T + b[1] + h @ u[1].T + c[1])
    n = np.tanh(x @ w[2].T + b[2] + (r * h) @ u[2].T + c[2])
    return (1 - z) * n + z * h


def bias_outside_reset(x: Any, h: Any, w: list[Any], u: list[Any], b: list[Any], c: list[Any]) -> Any:
    """The recurrent bias of the candidate is not reset."""
    r = sigmoid(x @ w[0].T + b[0] + h @ u[0].T + c[0])
    z = sigmoid(x @ w[1].T + b[1] + h @ u[1].T + c[1])
    n = np.tanh(x @ w[2].T + b[2] + r * (h @ u[2].T) + c[2])
    return (1 - z) * n + z * h


def update_the_other_way(x: Any, h: Any, w: list[Any], u: list[Any], b: list[Any], c: list[Any]) -> Any:
    """h' = z n + (1 - z) h, as in the paper of 2014."""
    r = sigmoid(x @ w[0].T + b[0] + h @ u[0].T + c[0])
    z = sigmoid(x @ w[1].T + b[1] + h @ u[1].T + c[1])
    n = np.tanh(x @ w[2].T + b[2] + r * (h @ u[2].T + c[2]))
    return z * n + (1 - z) * h


def hard_sigmoid_gates(x: Any, h: Any, w: list[Any], u: list[Any], b: list[Any], c: list[Any]) -> Any:
    """Gates 0.2 s + 0.5 cut to [0, 1], the default of early Keras."""

    def gate(s: Any) -> Any:
        line = s / 5 + 0.5
        return np.where(line < 0, 0, np.where(line > 1, 1, line))

    r = gate(x @ w[0].T + b[0] + h @ u[0].T + c[0])
    z = gate(x @ w[1].T + b[1] + h @ u[1].T + c[1])
    n = np.tanh(x @ w[2].T + b[2] + r * (h @ u[2].T + c[2]))
    return (1 - z) * n + z * h


def single_bias(x: Any, h0: Any, weight_ih_l0: Any, weight_hh_l0: Any, bias_ih_l0: Any, bias_hh_l0: Any) -> Any:
    """The recurrent bias is left out."""
    return gru(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 * 0)


def no_initial_state(x: Any, h0: Any, **params: Any) -> dict[str, Any]:
    """The state before the first frame is zero, whatever h0 is."""
    return gru(x, h0 * 0, **params)


def one_bias_gradient(arrays: Named, cotangents: Named, grads: Named, attrs: Any) -> Named:
    """Both biases get the gradient of the input's."""
    return {"bias_hh_l0": grads["bias_ih_l0"]}


def case(name: str, batch: int, frames: int, inputs: int, hidden: int, scale: float = 1.0, **more: Any) -> Case:
    """A case of these sizes; x times ``scale``."""
    label = f"gru/{name}"
    arrays = {
        "x": draw(f"{label}/x", batch, frames, inputs, scale=2.0) * scale,
        "h0": draw(f"{label}/h0", batch, hidden),
        "weight_ih_l0": draw(f"{label}/weight_ih_l0", 3 * hidden, inputs, scale=1.25),
        "weight_hh_l0": draw(f"{label}/weight_hh_l0", 3 * hidden, hidden, scale=1.25),
        "bias_ih_l0": draw(f"{label}/bias_ih_l0", 3 * hidden),
        "bias_hh_l0": draw(f"{label}/bias_hh_l0", 3 * hidden),
    }
    return Case(name, arrays | more.pop("arrays", {}), **more)


BOOK = Book(
    op="gru",
    inputs=("x", "h0"),
    params=("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
    outputs=("y", "h_n"),
    differentiable=("x", "h0", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
    equations=tuple(f"gru.{i}" for i in range(1, 14)),
    formula=gru,
    cases=(
        case("plain", 2, 4, 3, 2),
        case("square", 1, 6, 3, 3),
        case("one-unit", 3, 3, 2, 1),
        case("long", 1, 24, 2, 3),
        case("one-frame", 2, 1, 3, 2, flags=("edge",)),
        case("silence", 1, 5, 2, 3, scale=0.0, flags=("edge",)),
        case("zero-state", 2, 3, 2, 3, arrays={"h0": np.zeros((2, 3))}, flags=("edge",)),
        case("amplitude-1e-4", 2, 4, 2, 3, scale=2.0**-13, flags=("edge",)),
        case("constant-input", 1, 6, 2, 3, arrays={"x": np.ones((1, 6, 2))}, flags=("edge",)),
    ),
    mistakes=(
        Mistake(
            "gates-zrn",
            "you read the rows as [z; r; n], the order of Keras and ONNX; the case stacks them [r; z; n]",
            lambda **a: gru(**a, order="zrn"),
        ),
        Mistake(
            "reset-before-matmul",
            "you compute W_hn(r*h); the case wants r*(W_hn h + b_hn) (Keras: reset_after=True, ONNX: "
            "linear_before_reset=1)",
            lambda **a: gru(**a, cell=reset_before_product),
        ),
        Mistake(
            "bias-outside-reset",
            "you add b_hn outside of the reset gate; the case wants r*(W_hn h + b_hn)",
            lambda **a: gru(**a, cell=bias_outside_reset),
        ),
        Mistake(
            "update-other-way",
            "you compute h' = z*n + (1-z)*h; the case wants h' = (1-z)*n + z*h",
            lambda **a: gru(**a, cell=update_the_other_way),
        ),
        Mistake(
            "hard-sigmoid-gates",
            "your gates are 0.2 s + 0.5 cut to [0, 1] (early Keras); the case wants 1/(1 + exp(-s))",
            lambda **a: gru(**a, cell=hard_sigmoid_gates),
        ),
        Mistake("single-bias", "you leave out bias_hh_l0; the case has two biases", single_bias),
        Mistake("h0-ignored", "you start from a state of zeros; the case starts from h0", no_initial_state),
        Mistake(
            "recurrent-bias-gradient",
            "your gradient of bias_hh_l0 equals that of bias_ih_l0; the rows of n have to be multiplied by r",
            gradient=one_bias_gradient,
        ),
    ),
    bad_cases=(
        BadCase("wrong-input-size", "x has 4 channels, the weights want 3", {"x": draw("gru/bad/x", 2, 4, 4)}),
        BadCase("wrong-state-size", "h0 has 3 units, the weights have 2", {"h0": draw("gru/bad/h0", 2, 3)}),
    ),
    generator="golden/generate/formulas_gru.py",
    axes={
        "x": "B T I",
        "h0": "B H",
        "weight_ih_l0": "3H I",
        "weight_hh_l0": "3H H",
        "bias_ih_l0": "3H",
        "bias_hh_l0": "3H",
        "y": "B T H",
        "h_n": "B H",
    },
)
