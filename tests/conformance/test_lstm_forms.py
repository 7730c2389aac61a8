"""An LSTM has two states: the ways in which modules of PyTorch take them and give them back."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest

from refbss.conformance.judge import Verdict
from refbss.conformance.signature import required
from refbss.conformance.state_map import Place, StateMap
from refbss.conformance.vectors import Library

torch = pytest.importorskip("torch")
Judge = Callable[..., Verdict]

NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
INSIDE = StateMap({f"rnn.{name}": Place(name) for name in NAMES})


def lstm(answer: Callable[[Any, Any, Any], Any]) -> type:
    """An LSTM of PyTorch whose outputs y, h_n and c_n go through a function."""

    class Changed(torch.nn.LSTM):  # type: ignore[misc, name-defined]
        def forward(self, x: Any, hx: Any) -> Any:
            y, states = super().forward(x, hx)
            return answer(y, *states)

    return Changed


def holding(forward: Callable[..., Any]) -> type:
    """A module that holds an LSTM of PyTorch and calls it in this way."""

    class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__()
            self.rnn = torch.nn.LSTM(input_size, hidden_size, batch_first=True)

    Module.forward = forward
    return Module


@pytest.mark.parametrize(
    "answer",
    [
        lambda y, h, c: (y, (h, c)),
        lambda y, h, c: [y, [h, c]],
        lambda y, h, c: (y, (h[0], c)),
        lambda y, h, c: (y, h, c[0]),
        lambda y, h, c: {"c_n": c, "h_n": h, "y": y},
        lambda y, h, c: namedtuple("Out", "output states")(y, (h, c)),
        lambda y, h, c: namedtuple("Out", "c_n h_n y")(c, h, y),
    ],
)
def test_states_that_come_back(judged: Judge, answer: Callable[[Any, Any, Any], Any]) -> None:
    assert judged(lstm(answer), "lstm/plain", grads=True).passed
    assert judged(lstm(answer), "lstm/wrong-cell-size", grads=True).passed


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, *given: self.rnn(*given),
        lambda self, input, states: self.rnn(input, states),
        lambda self, x, h, c: self.rnn(x, (h, c)),
        lambda self, x, h0, c0: self.rnn(x, (h0[None], c0[None])),
        lambda self, **given: self.rnn(given["x"], (given["h0"][None], given["c0"][None])),
    ],
)
def test_states_that_are_given(judged: Judge, forward: Callable[..., Any]) -> None:
    for case in ("lstm/plain", "lstm/zero-state"):
        assert judged(holding(forward), case, "float64", grads=True, state_map=INSIDE).passed


def test_states_that_are_not_taken(judged: Judge) -> None:
    alone = holding(lambda self, x: self.rnn(x)[0])
    assert judged(alone, "lstm/zero-state", state_map=INSIDE).passed
    assert judged(alone, "lstm/plain", state_map=INSIDE).problem == (
        "its forward takes 1 inputs, no 'h0'; the case has h0 of shape (2, 2)"
    )


def test_states_that_need_not_come_back(judged: Judge, library: Library) -> None:
    vector = library.load("lstm/plain")
    assert required(vector, False) == ["y"] and required(vector, True) == ["y", "h_n", "c_n"]
    assert judged(lstm(lambda y, h, c: y), "lstm/plain").not_given == ("h_n", "c_n")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda y, h, c: (y, (h, None)), "outputs agree; gradients: returned y, h_n; --grads wants c_n too"),
        (lambda y, h, c: (y, (h, c, c)), "returned 4 values; the case has 3 outputs, y, h_n, c_n"),
        (lambda y, h, c: (y, (h, "c")), "c_n is a str"),
        (lambda y, h, c: (y, (h, torch.zeros(2, 2, 2))), "c_n has shape (2, 2, 2), wanted (2, 2)"),
    ],
)
def test_states_that_do_not_fit(judged: Judge, answer: Callable[[Any, Any, Any], Any], problem: str) -> None:
    assert judged(lstm(answer), "lstm/plain", grads=True).problem.startswith(problem)


def test_a_builder_and_time_first(judged: Judge) -> None:
    def build(hidden_size: int, **more: Any) -> Any:
        return torch.nn.LSTM(hidden_size=hidden_size, **more)

    def time_first(input_size: int, hidden_size: int) -> Any:
        return torch.nn.LSTM(input_size, hidden_size)

    def projected(input_size: int, hidden_size: int) -> Any:
        return torch.nn.LSTM(input_size, hidden_size, proj_size=1, batch_first=True)

    assert judged(build, "lstm/plain", framework="torch", grads=True).passed
    problem = judged(time_first, "lstm/plain", framework="torch").problem
    assert problem == "was built with batch_first=False; the case is batch first"
    problem = judged(projected, "lstm/plain", framework="torch").problem
    assert (
        problem
        == "parameters do not match by name: has weight_hr_l0, which the case has not; a state map can rename them"
    )
