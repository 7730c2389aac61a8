"""What modules and functions of PyTorch may return, and what is said of the rest: one case fails, never the check."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest

from refbss._checks import InputError
from refbss.conformance.judge import Verdict
from refbss.conformance.state_map import Place, StateMap
from refbss.conformance.targets import implementation, is_torch

torch = pytest.importorskip("torch")
Judge = Callable[..., Verdict]


def gru(answer: Callable[[Any, Any], Any]) -> type:
    """A GRU of PyTorch whose outputs (y, h_n) go through a function."""

    class Changed(torch.nn.GRU):  # type: ignore[misc, name-defined]
        def forward(self, x: Any, hx: Any) -> Any:
            return answer(*super().forward(x, hx))

    return Changed


def synthesis(answer: Callable[[Any], Any]) -> type:
    """The same of a transposed convolution."""

    class Changed(torch.nn.ConvTranspose1d):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return answer(super().forward(x))

    return Changed


@pytest.mark.parametrize(
    "answer",
    [
        lambda y, h: [y, h],
        lambda y, h: (y, h[0]),
        lambda y, h: {"h_n": h, "y": y},
        lambda y, h: namedtuple("Out", "y h_n")(y, h),
        lambda y, h: namedtuple("Out", "output state")(y, h),
    ],
)
def test_a_state_with_an_axis_too_many(judged: Judge, answer: Callable[[Any, Any], Any]) -> None:
    assert judged(gru(answer), grads=True).passed
    assert judged(gru(answer), "gru/wrong-state-size", grads=True).passed


def test_a_state_of_zeros_under_another_name(judged: Judge) -> None:
    assert judged(gru(lambda y, h: (y, h)), "gru/zero-state", grads=True).passed


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda y, h: (y, None), "outputs agree; gradients: returned y; --grads wants h_n too"),
        (lambda y, h: (y, (h, h)), "h_n is a tuple, wanted an array of float32"),
        (lambda y, h: (y, "h"), "h_n is a str"),
        (lambda y, h: (y, torch.zeros(2, 2, 2)), "h_n has shape (2, 2, 2), wanted (2, 2)"),
        (lambda y, h: None, "returned nothing; the case wants y, h_n"),
    ],
)
def test_a_state_that_is_none(judged: Judge, answer: Callable[[Any, Any], Any], problem: str) -> None:
    assert judged(gru(answer), grads=True).problem.startswith(problem)


@pytest.mark.parametrize("answer", [lambda y: y, lambda y: (y,), lambda y: [y], lambda y: {"y": y}])
def test_outputs_to_trim(judged: Judge, answer: Callable[[Any], Any]) -> None:
    assert judged(synthesis(answer), "conv_transpose1d/strided-causal", grads=True).passed


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda y: None, "returned nothing; the case wants y"),
        (lambda y: 3.5, "y has shape (), wanted "),
        (lambda y: "y", "y is a str"),
        (lambda y: (y, y), "returned 2 values; the case has 1 outputs, y"),
        (lambda y: y[..., :1], "returned 1 samples, of which trim_right="),
    ],
)
def test_nothing_to_trim(judged: Judge, answer: Callable[[Any], Any], problem: str) -> None:
    assert judged(synthesis(answer), "conv_transpose1d/strided-causal").problem.startswith(problem)


def test_no_output_of_a_convolution(judged: Judge) -> None:
    class Silent(torch.nn.Conv1d):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> None:
            return None

    assert judged(Silent, "conv1d/plain").problem == "returned nothing; the case wants y"


@pytest.mark.parametrize(("name", "case"), [("LazyConv1d", "conv1d/plain"), ("LazyLinear", "linear/plain")])
def test_lazy_modules_are_told_what_to_do(judged: Judge, name: str, case: str) -> None:
    problem = judged(getattr(torch.nn, name), case).problem
    assert "lazy" in problem and "wanted one that is built with its sizes" in problem and "in_" in problem


def test_an_instance_with_a_tensor_for_an_attribute(judged: Judge) -> None:
    layer = torch.nn.LayerNorm(4)
    layer.eps = torch.tensor([1e-5, 1.0])
    assert judged(layer, "layer_norm/plain").problem.startswith("was built with eps=tensor([")
    module = torch.nn.Conv1d(2, 4, 5)
    module.stride = torch.tensor([1])
    assert not judged(module, "conv1d/plain").problem.startswith("was built with")


def test_a_module_whose_parts_raise(judged: Judge) -> None:
    class Closed(torch.nn.Linear):  # type: ignore[misc, name-defined]
        def named_parameters(self, *arguments: Any, **keywords: Any) -> Any:
            raise RuntimeError("sealed")

    assert judged(Closed, "linear/plain").problem.startswith("raised RuntimeError: sealed (test_torch_returns.py:")
    assert judged(torch.nn.Linear(3, 4, device="meta"), "linear/plain").problem != ""


def test_a_module_whose_eval_returns_nothing(judged: Judge) -> None:
    class Careless(torch.nn.Linear):  # type: ignore[misc, name-defined]
        def train(self, mode: bool = True) -> None:
            super().train(mode)

    assert judged(Careless, "linear/plain").passed


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: torch.tanh(x).to_sparse(), "torch.float32 (torch.sparse_coo)"),
        (lambda x: torch.tanh(x).to("meta"), "torch.float32 (meta)"),
        (lambda x: torch.tanh(x).to(torch.float8_e4m3fn), "torch.float8_e4m3fn"),
        (lambda x: torch.tanh(x).bfloat16(), "torch.bfloat16"),
        (lambda x: torch.nested.nested_tensor([torch.tanh(x)]), "torch.float32 (nested)"),
    ],
)
def test_tensors_that_numpy_cannot_hold(judged: Judge, function: Any, kind: str) -> None:
    for grads in (False, True):
        verdict = judged(function, "tanh/plain", framework="torch", grads=grads)
        assert verdict.problem == f"y is {kind}, wanted torch.float32"


def test_lazy_bits(judged: Judge) -> None:
    def negative(x: Any) -> Any:
        return torch.conj(torch.complex(x * 0, -torch.tanh(x))).imag

    assert judged(negative, "tanh/plain", framework="torch", grads=True).passed
    complex_one = judged(lambda x: torch.conj(torch.tanh(x) + 0j), "tanh/plain", framework="torch", grads=True)
    assert complex_one.problem.startswith("y is complex64 in a float32 run, wanted float32")


def test_inputs_may_be_written_into(judged: Judge) -> None:
    class InPlace(torch.nn.Linear):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return super().forward(x.add_(1.0).sub_(1.0))

    assert judged(lambda x: x.tanh_(), "tanh/plain", framework="torch", grads=True).passed
    assert judged(InPlace, "linear/plain", dtype="float64", grads=True).passed


def test_partials_and_builders_with_open_ends(judged: Judge) -> None:
    partial = functools.partial(torch.nn.GRU, bias=True)
    assert is_torch(partial) and judged(partial, grads=True).passed
    assert is_torch(functools.partial(partial, num_layers=1))
    assert not is_torch(functools.partial(torch.tanh))

    def build(hidden_size: int, **more: Any) -> Any:
        return torch.nn.GRU(hidden_size=hidden_size, **more)

    assert judged(build, framework="torch", grads=True).passed


def test_keywords_alone_get_the_arrays(judged: Judge) -> None:
    def linear(**given: Any) -> Any:
        return given["x"] @ given["weight"].T + given["bias"]

    def build(**sizes: Any) -> Any:
        return torch.nn.GRU(**sizes)

    def blind(**sizes: Any) -> Any:
        return torch.nn.GRU(3, 2)

    def fails(**given: Any) -> Any:
        raise RuntimeError("out of memory")

    assert judged(linear, "linear/plain", framework="torch", grads=True).passed
    assert judged(fails, "linear/plain", framework="torch").problem.endswith(
        f"(test_torch_returns.py:{fails.__code__.co_firstlineno + 1})"
    )
    for builder in (build, blind):
        problem = judged(builder, framework="torch").problem
        assert problem.endswith("a builder of modules names a size, such as input_size")


def test_layers_of_a_state_map_are_for_whole_models(judged: Judge) -> None:
    with pytest.raises(InputError, match=r"state map: \[layers\] are those of whole models, wanted none for gru"):
        judged(torch.nn.GRU, state_map=StateMap(layers={"x": Place("y")}))


def test_the_name_of_a_target_that_raises() -> None:
    class Shy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __call__(self, x: Any) -> Any:
            return x

    assert implementation(Shy()).name == "Shy"
