"""PyTorch's own layers agree with the vectors; modules and functions of others are told where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from refbss._checks import InputError
from refbss.conformance.judge import Verdict, judge
from refbss.conformance.state_map import Place, StateMap
from refbss.conformance.targets import implementation
from refbss.conformance.vectors import Library

torch = pytest.importorskip("torch")
Judge = Callable[..., Verdict]

LAYERS = {
    "GRU": "gru",
    "LSTM": "lstm",
    "Conv1d": "conv1d",
    "ConvTranspose1d": "conv_transpose1d",
    "Linear": "linear",
    "LayerNorm": "layer_norm",
    "PReLU": "prelu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_layers_of_pytorch(library: Library, name: str, dtype: str) -> None:
    layer = implementation(f"torch.nn:{name}")
    for case in library.find(LAYERS[name]):
        verdict = judge(library.load(case), layer, dtype, True)
        assert verdict.passed, verdict
        assert not verdict.valid or "grads" in verdict.errors


@pytest.mark.parametrize("name", ["gru", "factory", "Flat", "one_size"])
def test_ways_to_give_a_gru(judged: Judge, name: str) -> None:
    for dtype in ("float32", "float64"):
        assert judged(f"torch_grus:{name}", dtype=dtype, framework="torch", grads=True).passed
    assert judged(f"torch_grus:{name}", "gru/wrong-state-size", framework="torch").passed


def test_a_state_map_renames_parameters(judged: Judge) -> None:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    state_map = StateMap({f"cell.{name}": Place(name) for name in names})
    assert judged("torch_grus:Cell", grads=True, state_map=state_map).passed
    with pytest.raises(
        InputError, match=r"state map: the module has no parameter 'rnn\.weight'; it has cell\.weight_ih"
    ):
        judged("torch_grus:Cell", state_map=StateMap({"rnn.weight": Place("weight_ih_l0")}))
    with pytest.raises(
        InputError, match=r"a state map is for a torch\.nn\.Module, wanted none: gru is given the arrays"
    ):
        judged("torch_grus:gru", framework="torch", state_map=state_map)


def test_a_transposed_parameter_has_a_transposed_gradient(judged: Judge) -> None:
    class Columns(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, in_features: int, out_features: int) -> None:
            super().__init__()
            self.kernel = torch.nn.Parameter(torch.zeros(in_features, out_features))
            self.bias = torch.nn.Parameter(torch.zeros(out_features))

        def forward(self, x: Any) -> Any:
            return x @ self.kernel + self.bias

    state_map = StateMap({"kernel": Place("weight", True)})
    assert judged(Columns, "linear/plain", grads=True, state_map=state_map).passed
    assert judged(Columns, "linear/plain", state_map=StateMap({"kernel": Place("weight")})).problem == (
        "parameter kernel has shape (3, 4), wanted (4, 3)"
    )


@pytest.mark.parametrize(
    ("name", "case", "problem"),
    [
        (
            "Cell",
            "gru/plain",
            "parameters do not match by name: it lacks weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh",
        ),
        (
            "two_layers",
            "gru/plain",
            "parameters do not match by name: has weight_ih_l1, weight_hh_l1, bias_ih_l1, bias_",
        ),
        ("one_size", "gru/square", "parameter weight_ih_l0 has shape (6, 3), wanted (9, 3)"),
        ("time_first", "gru/plain", "was built with batch_first=False; the case is batch first"),
        (
            "wants_layers",
            "gru/plain",
            "the constructor wants an argument 'num_layers'; it can be given input_size, hidden",
        ),
        ("no_module", "gru/plain", "returned a int, wanted a torch.nn.Module, or arguments named as the case's arrays"),
        ("fails", "gru/plain", "raised RuntimeError: out of licences (torch_grus.py:"),
        ("in_bfloat16", "gru/plain", "y is torch.bfloat16, wanted torch.float32"),
        ("stride_two", "conv1d/plain", "was built with stride=(2,); the case has stride=1"),
        ("backwards_weight", "linear/plain", "the gradient of bias differs by 1.0e+00"),
        ("detached", "gru/plain", "the gradient of h0 differs by 1.0e+00"),
        ("without_graph", "gru/plain", "the gradient of x differs by 1.0e+00"),
    ],
)
def test_what_does_not_fit(judged: Judge, name: str, case: str, problem: str) -> None:
    verdict = judged(f"torch_grus:{name}", case, framework="torch", grads=True)
    assert not verdict.passed and verdict.problem.startswith(problem)


def test_hints_of_gradients(judged: Judge) -> None:
    cut = judged("torch_grus:detached", framework="torch", grads=True)
    assert cut.hints[0].text.startswith("your gradient of h0: all zeros, as if nothing depended on it")
    twice = judged("torch_grus:backwards_weight", "linear/plain", framework="torch", grads=True)
    assert twice.hints[0].text.startswith("your gradient of bias: 2 times what it should be")


def test_an_input_that_a_module_does_not_take(judged: Judge) -> None:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    state_map = StateMap({f"rnn.{name}": Place(name) for name in names})
    assert judged("torch_grus:OneInput", "gru/zero-state", state_map=state_map).passed
    assert judged("torch_grus:OneInput", state_map=state_map).problem == (
        "its forward takes 1 inputs, no 'h0'; the case has h0 of shape (2, 2)"
    )


def test_padding_and_trimming_is_done_for_modules_that_lack_it(judged: Judge) -> None:
    for case in ("conv1d/strided-causal", "conv1d/padding-beyond-kernel"):
        assert judged("torch_grus:Causal", case, grads=True).passed
        assert judged(torch.nn.Conv1d, case, grads=True).passed
    assert judged(torch.nn.ConvTranspose1d, "conv_transpose1d/strided-causal", grads=True).passed


def test_a_loss_as_a_module(judged: Judge) -> None:
    assert judged("torch_grus:Sharp", "softmax_assignment/plain", grads=True).passed


def test_the_module_that_was_given_is_not_changed(sample: Callable[[str], Any], judged: Judge) -> None:
    module = sample("torch_grus:one_size")
    before = module.weight_ih_l0.detach().clone()
    assert judged(module, dtype="float64").passed
    assert module.weight_ih_l0.dtype == torch.float32 and torch.equal(module.weight_ih_l0, before)
