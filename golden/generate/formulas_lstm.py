"""Golden cases of the LSTM: the PyTorch equations, one scalar at a time, and the ways in which others differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from book import BadCase, Book, Case, Mistake, draw
from pieces import gradient_of, sigmoid, stopped

Cell = Callable[[list[Any], Any], tuple[Any, Any]]
"""Maps what the gates are functions of, [i, f, g, o], and the cell before to the output and the cell after."""


def rows(w: np.ndarray, order: str = "ifgo") -> list[np.ndarray]:
    """The blocks of stacked rows as [i, f, g, o], read in ``order``."""
    blocks = dict(zip(order, np.split(w, 4), strict=True))
    return [blocks[gate] for gate in "ifgo"]


def step(s: list[Any], c: Any) -> tuple[Any, Any]:
    """The equations."""
    i, f, g, o = sigmoid(s[0]), sigmoid(s[1]), np.tanh(s[2]), sigmoid(s[3])
    after = f * c + i * g
    return o * np.tanh(after), after


def lstm(
    x: Any,
    h0: Any,
    c0: Any,
    weight_ih_l0: Any,
    weight_hh_l0: Any,
    bias_ih_l0: Any,
    bias_hh_l0: Any,
    *,
    cell: Cell = step,
    order: str = "ifgo",
    before: Callable[[Any, Any], tuple[Any, Any]] = lambda h, c: (h, c),
) -> dict[str, Any]:
    """x (B, T, I), h0, c0 (B, H) -> y (B, T, H), h_n, c_n (B, H). A frame starts from ``before(h, c)``."""
    w, u, b, d = (rows(array, order) for array in (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0))
    outputs, h, c = [], h0, c0
    for t in range(x.shape[1]):
        h, c = before(h, c)
        h, c = cell([x[:, t] @ w[k].T + b[k] + h @ u[k].T + d[k] for k in range(4)], c)
        outputs.append(h)
    return {"y": np.stack(outputs, axis=1), "h_n": h, "c_n": c}


def forget_bias(s: list[Any], c: Any) -> tuple[Any, Any]:
    """One is added to the argument of the forget gate."""
    return step([s[0], s[1] + 1, s[2], s[3]], c)


def output_without_tanh(s: list[Any], c: Any) -> tuple[Any, Any]:
    """The cell goes out as it is."""
    i, f, g, o = sigmoid(s[0]), sigmoid(s[1]), np.tanh(s[2]), sigmoid(s[3])
    after = f * c + i * g
    return o * after, after


def coupled_gates(s: list[Any], c: Any) -> tuple[Any, Any]:
    """What is forgotten makes room for what enters; the rows of f are not used."""
    i, g, o = sigmoid(s[0]), np.tanh(s[2]), sigmoid(s[3])
    after = (1 - i) * c + i * g
    return o * np.tanh(after), after


def hard_sigmoid_gates(s: list[Any], c: Any) -> tuple[Any, Any]:
    """Gates 0.2 s + 0.5 cut to [0, 1], the default of early Keras."""

    def gate(s: Any) -> Any:
        line = s / 5 + 0.5
        return np.where(line < 0, 0, np.where(line > 1, 1, line))

    i, f, g, o = gate(s[0]), gate(s[1]), np.tanh(s[2]), gate(s[3])
    after = f * c + i * g
    return o * np.tanh(after), after


def cells_for_outputs(**arrays: Any) -> dict[str, Any]:
    """y holds the cell of every frame; the recursion is right."""
    cells = []

    def noted(s: list[Any], c: Any) -> tuple[Any, Any]:
        h, after = step(s, c)
        cells.append(after)
        return h, after

    right = lstm(**arrays, cell=noted)
    return {**right, "y": np.stack(cells, axis=1)}


def states_swapped(h0: Any, c0: Any, **others: Any) -> dict[str, Any]:
    """The state is (c, h), on its way in and out."""
    made = lstm(h0=c0, c0=h0, **others)
    return {"y": made["y"], "h_n": made["c_n"], "c_n": made["h_n"]}


def no_initial_state(h0: Any, c0: Any, **others: Any) -> dict[str, Any]:
    """Both states before the first frame are zero, whatever was given."""
    return lstm(h0=h0 * 0, c0=c0 * 0, **others)


def single_bias(bias_hh_l0: Any, **others: Any) -> dict[str, Any]:
    """The recurrent bias is left out."""
    return lstm(bias_hh_l0=bias_hh_l0 * 0, **others)


def gradient_not_through_gates(**arrays: Any) -> dict[str, Any]:
    """Of the state before, the cell alone is differentiated: the truncated gradient of 1997."""
    return lstm(**arrays, before=lambda h, c: (stopped(h), c))


def gradient_not_through_cells(**arrays: Any) -> dict[str, Any]:
    """Of the state before, the output alone is differentiated: no gradient is carried from cell to cell."""
    return lstm(**arrays, before=lambda h, c: (h, stopped(c)))


def gates(order: str, whose: str) -> Mistake:
    """Rows read in another order."""
    named = "; ".join(order)
    return Mistake(
        f"gates-{order}",
        f"you read the rows as [{named}], the order of {whose}; the case stacks them [i; f; g; o]",
        lambda **a: lstm(**a, order=order),
        known_by=("y",),
    )


def case(name: str, batch: int, frames: int, inputs: int, hidden: int, scale: float = 1.0, **more: Any) -> Case:
    """A case of these sizes; x times ``scale``."""
    label = f"lstm/{name}"
    arrays = {
        "x": draw(f"{label}/x", batch, frames, inputs, scale=2.0) * scale,
        "h0": draw(f"{label}/h0", batch, hidden),
        "c0": draw(f"{label}/c0", batch, hidden, scale=1.5),
        "weight_ih_l0": draw(f"{label}/weight_ih_l0", 4 * hidden, inputs, scale=1.25),
        "weight_hh_l0": draw(f"{label}/weight_hh_l0", 4 * hidden, hidden, scale=1.25),
        "bias_ih_l0": draw(f"{label}/bias_ih_l0", 4 * hidden),
        "bias_hh_l0": draw(f"{label}/bias_hh_l0", 4 * hidden),
    }
    return Case(name, arrays | more.pop("arrays", {}), **more)


BOOK = Book(
    op="lstm",
    inputs=("x", "h0", "c0"),
    params=("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
    outputs=("y", "h_n", "c_n"),
    differentiable=("x", "h0", "c0", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
    equations=tuple(f"lstm.{i}" for i in range(1, 18)),
    formula=lstm,
    cases=(
        case("plain", 2, 3, 3, 2),
        case("square", 1, 4, 2, 2),
        case("long", 1, 16, 1, 2),
        case("one-frame", 2, 1, 2, 1, flags=("edge",)),
        case("silence", 1, 4, 1, 2, scale=0.0, flags=("edge",)),
        case("zero-state", 1, 3, 2, 2, arrays={"h0": np.zeros((1, 2)), "c0": np.zeros((1, 2))}, flags=("edge",)),
    ),
    mistakes=(
        gates("iofg", "ONNX"),
        gates("igfo", "TensorFlow 1 and Haiku"),
        gates("ifog", "Core ML"),
        gates("figo", "OpenVINO"),
        Mistake(
            "forget-bias",
            "you add 1 to the argument of the forget gate (TensorFlow 1, Haiku); the case does not",
            lambda **a: lstm(**a, cell=forget_bias),
            known_by=("y",),
        ),
        Mistake(
            "coupled-gates",
            "your forget gate is 1 - i (ONNX: input_forget=1); the case has rows for it",
            lambda **a: lstm(**a, cell=coupled_gates),
            known_by=("y",),
        ),
        Mistake(
            "hard-sigmoid-gates",
            "your gates are 0.2 s + 0.5 cut to [0, 1] (early Keras); the case wants 1/(1 + exp(-s))",
            lambda **a: lstm(**a, cell=hard_sigmoid_gates),
            known_by=("y",),
        ),
        Mistake(
            "output-without-tanh",
            "you compute h' = o*c'; the case wants h' = o*tanh(c')",
            lambda **a: lstm(**a, cell=output_without_tanh),
            known_by=("y",),
        ),
        Mistake("cells-for-outputs", "your y holds the cells c; the case wants the outputs h", cells_for_outputs),
        Mistake(
            "states-swapped",
            "your state is (c, h), the order of TensorFlow 1 and Flax; the case has h0, c0 and returns h_n, c_n",
            states_swapped,
        ),
        Mistake(
            "states-ignored",
            "you start from zeros; the case starts from h0 and c0",
            no_initial_state,
            known_by=("y",),
        ),
        Mistake(
            "single-bias",
            "you leave out bias_hh_l0; the case has two biases",
            single_bias,
            known_by=("y",),
        ),
        Mistake(
            "gradient-not-through-gates",
            "your gradient stops at h before the gates (the truncated one of 1997); the case wants W_hh' times the "
            "gradients at the gates in the gradient of h",
            gradient=gradient_of(gradient_not_through_gates, "c0", "bias_ih_l0"),
        ),
        Mistake(
            "gradient-not-through-cells",
            "you carry no gradient from cell to cell; the case wants f times the gradient of c' in the gradient of c",
            gradient=gradient_of(gradient_not_through_cells, "h0", "bias_ih_l0"),
        ),
    ),
    bad_cases=(
        BadCase("wrong-input-size", "x has 4 channels, the weights want 3", {"x": draw("lstm/bad/x", 2, 3, 4)}),
        BadCase("wrong-cell-size", "c0 has 3 units, the weights have 2", {"c0": draw("lstm/bad/c0", 2, 3)}),
    ),
    generator="golden/generate/formulas_lstm.py",
    axes={
        "x": "B T I",
        "h0": "B H",
        "c0": "B H",
        "weight_ih_l0": "4H I",
        "weight_hh_l0": "4H H",
        "bias_ih_l0": "4H",
        "bias_hh_l0": "4H",
        "y": "B T H",
        "h_n": "B H",
        "c_n": "B H",
    },
)
