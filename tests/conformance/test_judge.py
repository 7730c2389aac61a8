"""The judgement of NumPy callables: what passes, and what each failure says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from refbss._checks import InputError
from refbss.conformance.implementation import Answer, CallFailure
from refbss.conformance.judge import Verdict, compare, judge, stray
from refbss.conformance.targets import implementation
from refbss.conformance.vectors import Library

Judge = Callable[..., Verdict]


@pytest.mark.parametrize("name", ["right", "Layer", "Plain", "ready", "only_y", "both_by_name"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_ones_pass(judged: Judge, name: str, dtype: str) -> None:
    verdict = judged(f"grus:{name}", dtype=dtype)
    assert verdict.passed and verdict.problem == "" and verdict.hints == ()
    assert 0 < verdict.errors["outputs"] <= verdict.tol["outputs"] and "grads" not in verdict.errors
    assert verdict.not_given == (("h_n",) if name == "only_y" else ())
    assert str(verdict) == f"gru/plain {dtype}: passed" and verdict.seconds > 0


@pytest.mark.parametrize(("name", "vjp"), [("right", "pull"), ("right", "pull_named"), ("Layer", None)])
def test_right_gradients_pass(judged: Judge, library: Library, name: str, vjp: str | None) -> None:
    for case in ("gru/plain", "gru/zero-state"):
        verdict = judged(f"grus:{name}", case, "float64", grads=True, vjp=vjp and f"grus:{vjp}")
        assert verdict.passed and 0 < verdict.errors["grads"] <= verdict.tol["grads"]
        assert list(verdict.arrays["grads"]) == list(library.load(case).grads)


def test_the_engines_pass(library: Library) -> None:
    for name in ("reference", "fast"):
        engine = implementation(name)
        for case in ("gru/plain", "conv1d/strided-causal", "train/linear", "gru/wrong-state-size"):
            assert judge(library.load(case), engine, "float32", True).passed


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("keras", "y differs by "),
        ("float64", "y is float64 in a float32 run, wanted float32; h_n too"),
        ("time_first", "y has shape (4, 2, 2), wanted (2, 4, 2) (B T H)"),
        ("nan", "y holds nan at [0, 0, 0], wanted -0.177954"),
        ("nothing", "returned nothing; the case wants y, h_n"),
        ("words", "y is a str of <U1, wanted an array of float32"),
        ("three", "returned 3 values; the case has 2 outputs, y, h_n"),
        ("without_h0", "takes no argument 'h0'; the case has h0 of shape (2, 2)"),
        ("wants_more", "wants an argument 'hidden_size'; the case has x, h0, weight_ih_l0"),
        ("raises", "raised ValueError: first line second \x1b[31mline\x1b[0m (grus.py:"),
        ("exits", "raised SystemExit: 3 (grus.py:"),
    ],
)
def test_wrong_ones_fail_and_say_why(judged: Judge, name: str, problem: str) -> None:
    verdict = judged(f"grus:{name}")
    assert not verdict.passed and verdict.problem.startswith(problem) and "\n" not in verdict.problem


def test_the_place_and_the_values_of_the_largest_error(judged: Judge, library: Library) -> None:
    vector = library.load("gru/plain")

    def shifted(**given: Any) -> Any:
        y, h_n = vector.outputs["y"].astype(np.float32), vector.outputs["h_n"].astype(np.float32)
        y[1, 2, 0] += 0.5
        return y, h_n

    largest, wanted = np.max(np.abs(vector.outputs["y"])), vector.outputs["y"][1, 2, 0]
    got = np.float32(wanted) + np.float32(0.5)
    assert judged(shifted).problem == (
        f"y differs by {0.5 / largest:.1e}, 9.6e-07 allowed, at [1, 2, 0]: got {got:.9g}, wanted {wanted:.9g}"
    )


def test_a_state_of_zeros_need_not_be_taken(judged: Judge) -> None:
    assert judged("grus:without_h0", "gru/zero-state").passed


def test_what_an_implementation_prints_goes_to_stderr(judged: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    judged("grus:exits")
    assert capsys.readouterr() == ("", "leaving\n")


def test_an_interrupt_ends_the_check(judged: Judge) -> None:
    with pytest.raises(KeyboardInterrupt):
        judged("grus:interrupted")


def test_arguments_may_be_written_to(judged: Judge) -> None:
    for dtype in ("float32", "float64"):
        assert judged("grus:spoils_its_arguments", dtype=dtype, grads=True, vjp="grus:pull").passed


def test_calls_to_refuse(judged: Judge) -> None:
    refused = judged("grus:right", "gru/wrong-state-size")
    assert refused.passed and not refused.valid
    accepted = judged("grus:accepts_everything", "gru/wrong-state-size")
    assert accepted.problem == "was accepted, wanted it refused: h0 has 3 units, the weights have 2"


def test_attributes_that_a_callable_lacks(judged: Judge) -> None:
    assert judged("grus:conv1d_padded", "conv1d/strided-causal").passed
    assert judged("grus:conv1d_bare", "conv1d/plain").passed
    assert (
        judged("grus:conv1d", "conv1d/strided-causal").problem
        == "takes no argument 'pad_left'; the case has pad_left=2"
    )


def test_gradients_without_a_vjp_are_wrong_usage(judged: Judge) -> None:
    with pytest.raises(
        InputError, match=r"gru has no vjp, wanted one for --grads: name it with --vjp, or set the attr"
    ):
        judged("grus:right", grads=True)
    adam = judged("grus:right", "train/linear", grads=True)  # it has no gradients: nothing is missing
    assert "vjp" not in adam.problem


@pytest.mark.parametrize(
    ("name", "vjp", "problem"),
    [
        ("right", "pull_raises", "outputs agree; gradients: raised NotImplementedError: no backward pass (grus.py:"),
        ("right", "pull_five", "outputs agree; gradients: vjp returned 5 gradients, wanted 6: x, h0, weight_ih_l0"),
        ("right", "pull_without_state", "no gradient of h0"),
        ("only_y", "pull", "outputs agree; gradients: returned y; --grads wants h_n too"),
        ("keras", "pull_raises", "y differs by 6.8e-01, 9.6e-07 allowed, at [0, 0, 1]: got 0.297499627, wanted"),
        ("time_first", "pull", "y has shape (4, 2, 2), wanted (2, 4, 2) (B T H)"),
    ],
)
def test_gradients_that_do_not_come(judged: Judge, name: str, vjp: str, problem: str) -> None:
    verdict = judged(f"grus:{name}", grads=True, vjp=f"grus:{vjp}")
    assert not verdict.passed and verdict.problem.startswith(problem)


def test_wrong_gradients_are_named_worst_first(judged: Judge) -> None:
    verdict = judged("grus:right", grads=True, vjp="grus:pull_mean")
    assert verdict.problem.startswith("the gradient of ") and "differs by 5.0e-01" in verdict.problem
    assert "; wrong too: " in verdict.problem and verdict.problem.count(",") >= 4
    assert verdict.errors["outputs"] <= verdict.tol["outputs"]


def test_gradients_of_wrong_outputs_are_not_told_at_length(judged: Judge) -> None:
    verdict = judged("grus:keras", grads=True, vjp="grus:pull_mean")
    assert verdict.problem.endswith("; h_n too; gradients too")
    assert judged("grus:keras", grads=True, vjp="grus:pull").problem.endswith("; h_n too")
    assert judged("grus:time_first", grads=True, vjp="grus:pull").problem.endswith("; gradients not judged")


class Fixed:
    """Answers what it was made with."""

    name = "fixed"

    def __init__(self, **outputs: Any) -> None:
        self.outputs = outputs

    def answer(self, vector: Any, dtype: str, grads: bool) -> Answer:
        return Answer(self.outputs, {})


def test_an_empty_answer_does_not_pass(library: Library) -> None:
    vector = library.load("gru/plain")
    assert judge(vector, Fixed(), "float64", False).problem == "was answered without y"
    assert judge(vector, Fixed(y=vector.outputs["y"]), "float64", False).passed
    assert judge(vector, Fixed(y=vector.outputs["y"]), "float64", True).problem == "was answered without h_n"
    assert judge(vector, Fixed(**vector.outputs), "float64", True).problem.startswith("no gradient of x, h0, weight_ih")
    with_nothing = Fixed()
    with_nothing.answer = Mock(side_effect=CallFailure(""))  # type: ignore[method-assign]
    assert judge(vector, with_nothing, "float64", False).problem == "was not answered"


def test_a_single_number_has_no_axis_or_one(library: Library) -> None:
    vector = replace(library.load("gru/plain"), outputs={"y": np.array([2.0])}, cotangents={"y": np.ones(1)})
    assert judge(vector, Fixed(y=np.float64(2.0)), "float64", False).passed
    assert not judge(vector, Fixed(y=np.array([[2.0]])), "float64", False).passed


def test_sums_of_a_training_run_may_be_float64(library: Library) -> None:
    vector = library.load("train/linear")
    assert judge(vector, Fixed(**vector.outputs), "float32", False).passed
    norm = replace(library.load("gru/plain"), op="clip_gradients")
    one = np.ones(1)
    assert compare(norm, "norm", "norm", one, one, "float32", 0.0).problem == ""
    assert compare(norm, "a_new", "a_new", one, one, "float32", 0.0).problem == (
        "a_new is float64 in a float32 run, wanted float32"
    )


def test_integers_and_infinities_are_wrong(library: Library) -> None:
    vector = library.load("tanh/plain")
    (golden,) = vector.outputs.values()
    assert judge(vector, Fixed(y=golden.astype(int)), "float64", False).problem == (
        "y is int64 in a float64 run, wanted float64"
    )
    spoilt = golden.copy()
    spoilt.flat[-1] = -np.inf
    assert "holds -inf at" in judge(vector, Fixed(y=spoilt), "float64", False).problem


def test_layers_of_a_model_in_the_order_of_computation(library: Library) -> None:
    vector = library.load("model/no-memory")
    found = dict(vector.outputs)
    assert list(found) == ["h1", "h2", "g0", "g1", "x", "w", "mu", "l", "log_var", "z", "est"]
    for name in ("g1", "mu", "est"):
        found[name] = found[name] + 1.0
    verdict = judge(vector, Fixed(**found), "float64", False)
    assert verdict.problem.startswith("h1, h2, g0 agree, g1 is the first that differs: by ")
    assert verdict.problem.endswith("; mu, est follow from it")
    assert [hint.name for hint in verdict.hints if hint.sure] == ["offset"] and verdict.wrong == ("g1",)
    assert verdict.hints[0].text.startswith("your g1: ")
    del found["g0"], found["h2"]
    partly = judge(vector, Fixed(**found), "float64", False)
    assert partly.problem.startswith("h1 agrees, g1 is the first that differs (not given: h2, g0): by ")
    assert partly.not_given == ("h2", "g0")
    found["h1"] = found["h1"].swapaxes(1, 2)
    turned = judge(vector, Fixed(**found), "float64", False)
    assert turned.problem.startswith(
        "h1 is the first that differs: has shape (1, 10, 2), wanted (1, 2, 10) (B C N); g1,"
    )
    assert "turned round it agrees" in turned.hints[0].text


def test_a_stray_answer(tmp_path: Path) -> None:
    verdict = stray("gru/typo", tmp_path / "typo.json")
    assert not verdict.passed and verdict.op == "gru" and verdict.problem.startswith("is not a case, but there is an a")
