"""Forms of any answer at all: none may raise, and what they claim is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from refbss._types import Array
from refbss.conformance.forms import Form, forms_of
from refbss.conformance.implementation import Answer
from refbss.conformance.judge import judge
from refbss.conformance.report import as_dict, junit, text_lines
from refbss.conformance.vectors import Library, Vector

CASES = ["tanh/one-number", "tanh/one-axis", "gru/plain", "gru/one-frame", "pit/one-source", "linear/silence"]
NEAR = {"float32": 4e-6, "float64": 1e-14}


def answers(wanted: Array, rng: np.random.Generator) -> Iterator[Any]:
    """Whatever an implementation may return in place of an array."""
    shapes: list[tuple[int, ...]] = [(), (0,), (1,), (1, 0), (3, 0, 2), (2, 3), (*wanted.shape, 0), (1, *wanted.shape)]
    for dtype in ("f2", "f4", "f8", "g", "i8", "u1", "c8", "?", "O"):
        for shape in [*shapes, wanted.shape, wanted.shape[::-1], wanted.shape[1:]]:
            yield rng.integers(0, 3, shape).astype(dtype)
    with np.errstate(all="ignore"):
        for factor in (np.nan, np.inf, -np.inf, 0.0, 1e308, 5e-324, 1 + 1e-12, 1 + 1e-7, -1.0, 1e5):
            yield wanted * factor
            yield (wanted + factor).astype(np.float16)
            yield (wanted + factor)[..., None][..., :0]
    yield np.where(np.arange(wanted.size).reshape(wanted.shape) == 0, np.nan, wanted)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_answer_is_too_odd(library: Library, case: str, dtype: str) -> None:
    vector, rng = library.load(case), np.random.default_rng(0)
    asked = 0
    for kind, arrays in (("outputs", vector.outputs), ("grads", vector.grads)):
        for name, wanted in arrays.items():
            for got in answers(wanted, rng):
                found = forms_of(vector, kind, name, got, NEAR[dtype], dtype)
                assert all(isinstance(form, Form) and not np.isnan(form.error) for form in found)
                asked += 1
    assert asked > 100


class Odd:
    """Answers with one odd array after the other."""

    name = "odd"

    def __init__(self, odd: Any) -> None:
        self.odd = odd

    def answer(self, vector: Vector, dtype: str, grads: bool) -> Answer:
        return Answer({name: self.odd for name in vector.outputs}, {name: self.odd for name in vector.grads})


@pytest.mark.parametrize("case", ["linear/plain", "gru/one-frame"])
def test_every_answer_has_a_report(library: Library, case: str) -> None:
    vector = library.load(case)
    wanted = next(iter(vector.outputs.values()))
    for got in answers(wanted, np.random.default_rng(1)):
        if got.dtype.kind != "O":  # the adapters refuse it
            verdict = judge(vector, Odd(got), "float64", True)
            assert text_lines([verdict]) and junit([verdict]) and as_dict("odd", [verdict], grads=True)


def test_an_empty_array(library: Library) -> None:
    vector = library.load("linear/plain")
    empty = vector.outputs["y"][..., None][..., :0]
    assert forms_of(vector, "outputs", "y", empty, 1e-6, "float32") == []


def sure(vector: Vector, name: str, got: Array, dtype: str = "float64") -> list[str]:
    return [form.name for form in forms_of(vector, "outputs", name, got, NEAR[dtype], dtype) if form.sure]


def test_another_array_of_the_case_is_known_in_any_shape(library: Library) -> None:
    for case in ("gru/plain", "gru/one-frame"):
        vector = library.load(case)
        y, h_n = vector.outputs["y"], vector.outputs["h_n"]
        assert sure(vector, "y", h_n) == ["equals-h_n"] and sure(vector, "h_n", y) == ["equals-y"]


def test_a_mean_over_an_axis_of_size_one_is_no_mean(library: Library) -> None:
    vector = library.load("gru/one-frame")
    found = forms_of(vector, "outputs", "y", vector.outputs["y"].mean(axis=1) + 0.0, 1e-14, "float64")
    assert not any(form.name.startswith(("mean", "sum")) for form in found)
    assert sure(library.load("gru/plain"), "y", library.load("gru/plain").outputs["y"].mean(axis=1)) == ["mean over T"]


def test_single_precision_needs_evidence(library: Library) -> None:
    vector = library.load("gru/plain")
    y = vector.outputs["y"]
    kept, changed = (
        forms_of(vector, "outputs", "y", got, 1e-14, "float64") for got in (y.astype(np.float32), y + 1e-7 * y**2)
    )
    assert [form.says for form in kept if form.sure] != [form.says for form in changed if form.sure]
    assert "is computed or kept in it" in next(form.says for form in kept if form.sure)
    assert "or a small constant (eps) differs" in next(form.says for form in changed if form.sure)
    assert sure(vector, "y", y.astype(np.float32), "float32") == []


def test_simple_numbers_are_no_evidence_of_single_precision(library: Library) -> None:
    vector = library.load("tanh/one-number")
    vector.outputs["y"][:] = 0.5 + 1e-7
    (says,) = [f.says for f in forms_of(vector, "outputs", "y", np.full(1, 0.5), 1e-14, "float64") if f.sure]
    assert "every number fits in float32" not in says


def test_a_form_must_explain_most_of_the_error(library: Library) -> None:
    vector = library.load("gru/plain")
    y = vector.outputs["y"]
    noise = 5e-6 * np.random.default_rng(0).uniform(-1, 1, y.shape)
    assert sure(vector, "y", y + noise, "float32") == []


@pytest.mark.parametrize("factor", [1.37, -0.7, 1.5])
def test_one_number_is_no_evidence_of_a_factor(library: Library, factor: float) -> None:
    vector = library.load("tanh/one-number")
    found = forms_of(vector, "outputs", "y", factor * vector.outputs["y"], 1e-14, "float64")
    assert {form.name for form in found} >= {"factor", "offset"} and not any(form.sure for form in found)
