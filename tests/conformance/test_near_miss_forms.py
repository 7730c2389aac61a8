"""Diagnosis of a wrong answer: stored mistakes first, then forms that are worked out, each in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refbss._types import Array
from refbss.conformance.judge import Verdict
from refbss.conformance.near_miss import Hint, diagnose
from refbss.conformance.vectors import Library

Judge = Callable[..., Verdict]


def hints(library: Library, case: str, change: Callable[[Array], Array], kind: str = "outputs", name: str = "") -> Any:
    """The diagnosis where one array of the golden answer is changed."""
    vector = library.load(case)
    golden = dict(getattr(vector, kind))
    name = name or next(iter(golden))
    golden[name] = change(golden[name])
    return diagnose(vector, kind, golden, [name], "float64")


@pytest.mark.parametrize(
    ("case", "change", "name", "text"),
    [
        ("gru/plain", lambda y: -y, "factor -1", "your y: the sign is the other way (max error 0e+00)"),
        ("gru/plain", lambda y: y / 4, "factor 1/T", "your y: 0.25 times what it should be: 1/T (T = 4)"),
        ("gru/plain", lambda y: y * 2, "factor 2", "your y: 2 times what it should be: 2 or B or H (B = 2, H = 2)"),
        ("gru/square", lambda y: y * -18, "factor -T I", "your y: -18 times what it should be: -T I or -T H (T = 6,"),
        (
            "gru/plain",
            lambda y: y * 10 / np.log(10),
            "factor 10/ln 10",
            "your y: 4.34294 times what it should be: 10/ln 10",
        ),
        ("gru/square", lambda y: y * 1.2, "factor T/(T - 1)", "your y: 1.2 times what it should be: T/(T - 1) (T = 6)"),
        ("gru/plain", lambda y: y * -np.log(10), "factor -ln 10", "your y: -2.30259 times what it should be: -ln 10"),
        ("gru/plain", lambda y: y / np.log(10), "factor 1/ln 10", "your y: 0.434294 times what it should be: 1/ln 10"),
        ("gru/plain", lambda y: y * 1.37, "factor", "your y: 1.37 times what it should be (max error "),
        ("gru/plain", lambda y: y * (1 + 3e-6), "factor", "your y: 1 + 3e-06 times what it should be (max error "),
        ("gru/plain", lambda y: y * (1 - 4e-10), "factor", "your y: 1 - 4e-10 times what it should be (max error "),
        ("gru/plain", lambda y: y + 1e-7, "offset", "your y: what it should be plus 1e-07 everywhere (max error "),
        (
            "gru/plain",
            lambda y: y * (1 + 1e-7 * y),
            "single-precision",
            "your y: agrees to about single precision: something is computed in float32, or a small constant",
        ),
        ("gru/plain", lambda y: y + 0.5, "offset", "your y: what it should be plus 0.5 everywhere (max error "),
        ("gru/plain", lambda y: 0 * y, "zero", "your y: all zeros (max error 0e+00)"),
        ("gru/plain", lambda y: y[:, ::-1], "reversed T", "your y: T runs backwards (max error 0e+00)"),
        ("gru/long", lambda y: y[..., [1, 0, 2]], "permuted H", "your y: along H in the order [1, 0, 2] of what it"),
        (
            "gru/long",
            lambda y: np.roll(y, 1, axis=1),
            "late by one T",
            "your y: one step late along T (max error 0e+00)",
        ),
        ("gru/long", lambda y: np.roll(y, -1, axis=1), "early by one T", "your y: one step early along T (max error "),
        (
            "gru/plain",
            lambda y: y.astype(np.float32),
            "single-precision",
            "your y: right to float32 only, and every number fits in float32: something is",
        ),
    ],
)
def test_forms_of_the_right_shape(library: Library, case: str, change: Any, name: str, text: str) -> None:
    first = hints(library, case, change)[0]
    assert first.name == name and first.text.startswith(text) and not first.stored


def test_square_arrays_with_their_axes_swapped(library: Library) -> None:
    found = hints(library, "gru/zero-state", lambda y: y.swapaxes(1, 2))
    assert found[0].text.startswith("your y: its axes look like (B H T), wanted (B T H)")


def test_an_answer_that_is_something_else_of_the_case(library: Library) -> None:
    vector = library.load("layer_norm/plain")
    found = hints(library, vector.id, lambda y: vector.inputs["x"])
    assert found[0].name == "equals-x" and found[0].text.startswith("your y: it is the case's x")
    gru = library.load("gru/plain")
    other = hints(library, gru.id, lambda grad: gru.grads["h0"].copy(), "grads", "h0")
    assert other == ()
    swapped = hints(library, gru.id, lambda grad: gru.grads["bias_hh_l0"], "grads", "bias_ih_l0")
    assert swapped[0].text.startswith("your gradient of bias_ih_l0: it is the case's gradient of bias_hh_l0")


def test_a_gradient_of_nothing(library: Library) -> None:
    found = hints(library, "gru/plain", np.zeros_like, "grads", "h0")
    assert found[0].text.startswith("your gradient of h0: all zeros, as if nothing depended on it")


@pytest.mark.parametrize(
    ("case", "change", "name", "text"),
    [
        (
            "gru/plain",
            lambda y: y.swapaxes(0, 1),
            "axes-in-another-order",
            "its axes look like (T B H), wanted (B T H); turned round it agrees",
        ),
        (
            "gru/plain",
            lambda y: 2 * y.swapaxes(0, 1),
            "axes-in-another-order",
            "its axes look like (T B H), wanted (B T H); turned round it still differs by 1.0e+00",
        ),
        ("gru/plain", lambda y: y[None], "axis-of-size-one", "an axis of size 1 too many; otherwise it agrees"),
        (
            "gru/square",
            lambda y: -y[0],
            "axis-of-size-one",
            "an axis of size 1 too few; otherwise it still differs by",
        ),
        ("gru/plain", lambda y: y.mean(axis=1), "mean over T", "it is the mean over T of what is wanted"),
        ("gru/plain", lambda y: y.sum(), "sum over B T H", "it is the sum over B T H of what is wanted"),
        (
            "conv_transpose1d/strided-causal",
            lambda y: np.concatenate([y, y[..., :1]], axis=2),
            "too many at the end of N",
            "1 N too many at the end, the rest agrees",
        ),
        (
            "conv1d/padding-beyond-kernel",
            lambda y: y[..., 5:],
            "missing at the beginning of T",
            "5 T (pad_left) missing at the beginning, the rest agrees",
        ),
    ],
)
def test_forms_of_another_shape(library: Library, case: str, change: Any, name: str, text: str) -> None:
    axes = library.load(case).axes["y"].split()
    name = name.replace("of T", f"of {axes[-1]}").replace("of N", f"of {axes[-1]}")
    text = text.replace("5 T", f"5 {axes[-1]}").replace("1 N", f"1 {axes[-1]}")
    found = {hint.name: hint.text for hint in hints(library, case, change)}
    assert name in found and found[name].startswith(f"your y: {text}")


def test_what_is_not_recognised_has_no_hint(library: Library) -> None:
    rng = np.random.default_rng(0)
    assert hints(library, "gru/plain", lambda y: rng.standard_normal(y.shape)) == ()
    assert hints(library, "gru/plain", lambda y: rng.standard_normal((5, 7))) == ()
    assert hints(library, "gru/plain", lambda y: y * np.nan) == ()


@pytest.mark.parametrize(
    ("name", "mistake"),
    [("keras", "gates-zrn"), ("reset_before", "reset-before-matmul"), ("other_way", "update-other-way")],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stored_mistakes_win(judged: Judge, library: Library, name: str, mistake: str, dtype: str) -> None:
    verdict = judged(f"grus:{name}", dtype=dtype)
    stored = {wrong.name: wrong.says for wrong in library.load("gru/plain").mistakes}
    first: Hint = verdict.hints[0]
    assert first.name == mistake and first.stored and first.says == stored[mistake]
    assert first.text.startswith(f"your y, h_n equal mistake '{mistake}' (max error ") and first.text.endswith(
        first.says
    )
    assert first.error <= 4 * verdict.tol["outputs"] + 2.0**-24 and mistake in verdict.stored


def test_stored_mistakes_of_gradients(judged: Judge) -> None:
    verdict = judged("grus:right", grads=True, vjp="grus:pull_one_bias")
    assert verdict.hints[0].name == "recurrent-bias-gradient" and verdict.stored == ("recurrent-bias-gradient",)
    assert verdict.hints[0].text.startswith("your gradient of bias_hh_l0 equals mistake 'recurrent-bias-gradient'")


def test_one_form_of_several_gradients_is_said_once(judged: Judge) -> None:
    verdict = judged("grus:right", grads=True, vjp="grus:pull_mean")
    assert len({hint.text for hint in verdict.hints}) == 1
    assert verdict.hints[0].text.startswith(
        "your gradients of x, h0, weight_ih_l0, weight_hh_l0 and 2 more: 0.5 times wh"
    )
    assert "factor 1/B" in {hint.name for hint in verdict.hints}


def test_a_right_answer_of_the_wrong_dtype_has_no_hint(judged: Judge) -> None:
    assert judged("grus:float64").hints == ()
    found = judged("grus:in_float32", dtype="float64").hints
    assert [hint.name for hint in found if hint.sure] == ["single-precision"]
