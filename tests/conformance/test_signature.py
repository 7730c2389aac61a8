"""The calling convention: what goes in, what may be left out, and how what comes back gets its names."""

from __future__ import annotations

import asyncio
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from refbss.conformance.implementation import CallFailure
from refbss.conformance.judge import judge
from refbss.conformance.signature import (
    arguments,
    call,
    grads_by_name,
    may_be_left_out,
    offer,
    outputs_by_name,
    required,
    user_code,
)
from refbss.conformance.targets import implementation
from refbss.conformance.vectors import Library


def conv(library: Library, name: str) -> tuple[Any, dict[str, Any]]:
    vector = library.load(f"conv1d/{name}")
    return vector, vector.inputs | vector.params


def test_everything_goes_in_by_name(library: Library) -> None:
    vector, arrays = conv(library, "strided-causal")
    positional, keywords = arguments(lambda **given: None, vector, offer(vector, arrays))
    assert positional == [] and set(keywords) == {"x", "weight", "bias", "stride", "pad_left"}
    assert keywords["stride"] == 4 and keywords["pad_left"] == 2 and keywords["x"] is arrays["x"]


def test_attributes_at_the_law_s_default_are_given_too(library: Library) -> None:
    vector = library.load("layer_norm/plain")
    without = type(vector)(**{**vars(vector), "attrs": {}})
    _, keywords = arguments(lambda x, weight, bias, eps: None, without, offer(without, vector.inputs | vector.params))
    assert keywords["eps"] == 1e-5


def test_what_is_at_its_default_may_be_left_out(library: Library) -> None:
    vector, arrays = conv(library, "plain")
    _, keywords = arguments(lambda x, weight, bias: None, vector, offer(vector, arrays))
    assert set(keywords) == {"x", "weight", "bias"}


def test_what_is_not_may_not(library: Library) -> None:
    vector, arrays = conv(library, "padding-beyond-kernel")
    with pytest.raises(CallFailure, match=r"takes no argument 'pad_left'; the case has pad_left=5$"):
        arguments(lambda x, weight, bias: None, vector, offer(vector, arrays))
    with pytest.raises(CallFailure, match=r"takes no argument 'bias'; the case has bias of shape \(4,\)"):
        arguments(lambda x, weight, pad_left: None, vector, offer(vector, arrays))


def test_a_state_of_zeros_may_be_left_out(library: Library) -> None:
    assert may_be_left_out(library.load("gru/zero-state"), "h0")
    assert not may_be_left_out(library.load("gru/plain"), "h0")
    assert not may_be_left_out(library.load("gru/zero-state"), "x")
    assert all(may_be_left_out(library.load("lstm/zero-state"), name) for name in ("h0", "c0"))
    assert not any(may_be_left_out(library.load("lstm/plain"), name) for name in ("h0", "c0"))
    silence = library.load("gru/silence")
    assert not np.any(silence.inputs["x"]) and not may_be_left_out(silence, "x")


def test_noise_may_be_left_out_of_a_model_that_does_not_sample(library: Library) -> None:
    vector = library.load("model/no-memory")
    assert not may_be_left_out(vector, "eps")
    config = {**vector.attrs["config"], "sample": False}
    assert may_be_left_out(type(vector)(**{**vars(vector), "attrs": {"config": config}}), "eps")


def test_a_model_without_noise_gets_none_for_it(library: Library) -> None:
    vector = library.load("model/one-frame")
    assert "eps" not in vector.inputs
    offered = offer(vector, vector.inputs | vector.params)
    assert offered["eps"] is None and set(offered) == {"params", "mix", "eps", "config"}
    assert set(offered["params"]) == set(vector.params)
    assert may_be_left_out(vector, "eps")


def test_an_argument_that_no_case_has(library: Library) -> None:
    vector, arrays = conv(library, "plain")
    with pytest.raises(CallFailure, match=r"wants an argument 'padding'; the case has x, weight, bias, stride"):
        arguments(lambda x, weight, bias, padding: None, vector, offer(vector, arrays))


def test_positional_only_arguments_and_defaults_of_the_callable(library: Library) -> None:
    vector, arrays = conv(library, "strided-causal")

    def function(x: Any, weight: Any, /, bias: Any, stride: int = 1, pad_left: int = 0, groups: int = 1) -> None: ...

    positional, keywords = arguments(function, vector, offer(vector, arrays))
    assert positional[0] is arrays["x"] and positional[1] is arrays["weight"]
    assert set(keywords) == {"bias", "stride", "pad_left"} and keywords["stride"] == 4


def test_a_callable_whose_signature_is_unknown_gets_everything(library: Library) -> None:
    vector, arrays = conv(library, "plain")
    _, keywords = arguments(dict, vector, offer(vector, arrays))
    assert set(keywords) == {"x", "weight", "bias", "stride", "pad_left"}


def test_a_class_is_built_with_what_its_constructor_names(library: Library) -> None:
    class Layer:
        def __init__(self, weight: Any, stride: int, groups: int = 1) -> None:
            self.weight, self.stride, self.groups = weight, stride, groups

        def __call__(self, x: Any, bias: Any, pad_left: int) -> Any:
            return self.weight, self.stride, self.groups, pad_left

    vector, arrays = conv(library, "strided-causal")
    called = call(Layer, vector, arrays)
    assert called.returned[0] is arrays["weight"] and called.returned[1:] == (4, 1, 2)
    assert called.taken == ("weight", "stride")

    class Greedy:
        def __init__(self, units: int) -> None: ...

    with pytest.raises(CallFailure, match="the constructor wants an argument 'units'; the case has x,"):
        call(Greedy, vector, arrays)


Y, H = np.zeros(2), np.ones(3)


@pytest.mark.parametrize(
    ("returned", "given"),
    [
        (Y, {"y": Y}),
        ((Y,), {"y": Y}),
        ([Y, H], {"y": Y, "h_n": H}),
        ((Y, None), {"y": Y}),
        ({"h_n": H, "y": Y, "gates": 3}, {"y": Y, "h_n": H}),
        (namedtuple("Out", "h_n y")(H, Y), {"y": Y, "h_n": H}),
        (namedtuple("Out", "first second")(Y, H), {"y": Y, "h_n": H}),
    ],
)
def test_names_of_what_comes_back(library: Library, returned: Any, given: dict[str, Any]) -> None:
    found = outputs_by_name(library.load("gru/plain"), returned, False)
    assert list(found) == list(given) and all(found[name] is given[name] for name in given)


@pytest.mark.parametrize(
    ("case", "returned", "message"),
    [
        ("gru/plain", None, "returned nothing; the case wants y, h_n"),
        ("gru/plain", (Y, H, H), "returned 3 values; the case has 2 outputs, y, h_n"),
        ("gru/plain", {"out": Y}, "returned a mapping of out; the case wants y, h_n"),
        ("gru/plain", {"h_n": H}, "returned h_n; the case wants y too"),
        ("reparameterise/plain", (), "returned nothing; the case wants z too"),
        ("memory_separator/one-block", (Y,), "returned mu; the case wants l, m_blocks, q_blocks too"),
        ("model/bare", (Y, H), "returned 2 values in a row, wanted a mapping by name, of h1, h2, h3,"),
        ("model/bare", {"h1": Y}, "returned h1; the case wants est too"),
        ("train/linear", Y, "returned one value, wanted a mapping by name, of loss, checksum_1"),
    ],
)
def test_what_comes_back_does_not_fit(library: Library, case: str, returned: Any, message: str) -> None:
    with pytest.raises(CallFailure) as failure:
        outputs_by_name(library.load(case), returned, False)
    assert str(failure.value).startswith(message)


def test_gradients_want_every_output_with_a_cotangent(library: Library) -> None:
    vector = library.load("gru/plain")
    assert required(vector, False) == ["y"] and required(vector, True) == ["y", "h_n"]
    with pytest.raises(CallFailure, match=r"returned y; --grads wants h_n too: the golden gradients are those of y, h"):
        outputs_by_name(vector, Y, True)
    model = library.load("model/bare")
    assert required(model, False) == ["est"] and required(model, True) == ["est", "mu", "log_var"]
    assert required(library.load("train/linear"), False) == ["loss", "checksum_1", "checksum_10", "checksum_100"]


def test_a_single_array_of_a_whole_model_is_its_main_output(library: Library) -> None:
    assert list(outputs_by_name(library.load("model/bare"), Y, False)) == ["est"]
    assert list(outputs_by_name(library.load("objective/all-terms"), Y, False)) == ["loss"]


def test_whatever_comes_back_from_a_case_to_refuse_is_nothing(library: Library) -> None:
    vector = library.load("gru/wrong-state-size")
    assert outputs_by_name(vector, (Y, H, H), True) == {} == outputs_by_name(vector, None, True)


def test_names_of_gradients(library: Library) -> None:
    vector = library.load("linear/plain")
    assert list(vector.grads) == ["x", "weight", "bias"]
    grads = {"x": Y, "weight": H, "bias": Y}
    assert grads_by_name(vector, (Y, H, Y)) == grads == grads_by_name(vector, grads)
    assert grads_by_name(vector, [Y, None, Y]) == {"x": Y, "bias": Y}
    assert grads_by_name(vector, namedtuple("Grads", "dx dw db")(Y, H, Y)) == grads
    assert grads_by_name(vector, namedtuple("Grads", "bias weight x")(Y, H, Y)) == grads
    assert grads_by_name(library.load("tanh/plain"), Y) == {"x": Y}
    for returned, message in (
        ((Y, H), "vjp returned 2 gradients, wanted 3: x, weight, bias"),
        (None, "vjp returned nothing; the case wants gradients of x, weight, bias"),
        ({"dx": Y}, "vjp returned a mapping of dx; the case wants x, weight, bias"),
    ):
        with pytest.raises(CallFailure, match=message):
            grads_by_name(vector, returned)


class Dumb(Exception):
    """It cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Shy:
    """Raises whatever attribute it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")

    def __call__(self, **given: Any) -> Any:
        return list(given)


def test_an_object_that_raises_when_it_is_asked(library: Library) -> None:
    vector, arrays = conv(library, "plain")
    assert call(Shy(), vector, arrays).returned == ["x", "weight", "bias", "stride", "pad_left"]
    with pytest.raises(CallFailure, match=r"^raised RuntimeError: no _fields"):
        outputs_by_name(library.load("gru/plain"), Shy(), False)


def test_a_termination_passes() -> None:
    with pytest.raises(BaseException) as error, user_code():
        exec("raise BaseException('terminated')", {"__package__": "refbss_cli"})
    assert type(error.value) is BaseException


@pytest.mark.parametrize("kind", ["int64", "bool", "float32", "float64"])
def test_an_assignment_may_be_of_integers(library: Library, kind: str) -> None:
    def pit(cost: Any) -> Any:
        return vector.outputs["loss"].astype(cost.dtype), vector.outputs["assignment"].astype(kind)

    vector = library.load("pit/plain")
    for dtype in ("float32", "float64"):
        verdict = judge(vector, implementation(pit), dtype, False)
        assert verdict.passed == (kind in ("int64", "bool", dtype)), verdict
    vector.outputs["assignment"][...] = vector.outputs["assignment"][..., ::-1].copy()
    assert not judge(library.load("pit/plain"), implementation(pit), "float32", False).passed


def test_what_somebody_else_s_code_prints_and_raises(capsys: pytest.CaptureFixture[str]) -> None:
    with user_code():
        print("noise")
    assert capsys.readouterr() == ("", "noise\n")
    with (
        pytest.raises(CallFailure, match=r"^raised ZeroDivisionError: .* by zero \(test_signature\.py:\d+\)$"),
        user_code(),
    ):
        _ = 1 / len("")
    with pytest.raises(CallFailure, match=r"^raised SystemExit: 3"), user_code():
        raise SystemExit(3)
    for kind in (GeneratorExit, asyncio.CancelledError, pytest.skip.Exception):
        with pytest.raises(CallFailure, match=rf"^raised {kind.__name__}"), user_code():
            raise kind("why")
    with pytest.raises(KeyboardInterrupt), user_code():
        raise KeyboardInterrupt
    with pytest.raises(CallFailure, match=r"^raised Dumb \("), user_code():
        raise Dumb
    with pytest.raises(CallFailure) as failure, user_code():
        raise ValueError("two\nlines " + "x" * 1000)
    assert "two lines xxx" in str(failure.value) and len(str(failure.value)) < 400
