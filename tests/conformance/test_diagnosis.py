"""What the author of a wrong implementation reads: no reason that another case contradicts, and every number."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from refbss.conformance.judge import Verdict, judge
from refbss.conformance.report import Reading, as_dict, explained, junit, text_lines
from refbss.conformance.targets import implementation
from refbss.conformance.vectors import Library
from refbss.losses.softmax_permutation import softmax_permutation_forward
from refbss.ops.gru import gru_forward

Judged = Callable[..., list[Verdict]]


@pytest.fixture
def all_of(library: Library) -> Judged:
    """Judge a callable on every case of an operator."""

    def call(op: str, function: Callable[..., Any], *dtypes: str, grads: bool = False, vjp: Any = None) -> Any:
        found = implementation(function, "numpy", ops=[op], vjp=vjp)
        return [
            judge(library.load(case), found, dtype, grads)
            for case in library.find(op)
            for dtype in dtypes or ["float32"]
        ]

    return call


def tops(verdicts: list[Verdict]) -> list[tuple[str, int, int]]:
    return [(reason.name, len(reason.cases), reason.failing) for reason in explained(verdicts)]


def of(verdicts: list[Verdict], case: str, dtype: str = "float32") -> list[str]:
    """What is said of one case."""
    (verdict,) = [v for v in verdicts if v.case.endswith(f"/{case}") and v.dtype == dtype]
    return Reading(verdicts).lines(verdict, short=True)


def clip_gradients(a: Any, b: Any, clip: float) -> Any:
    """PyTorch's: eps beside the norm."""
    norm = np.sqrt(np.sum(np.float64(a) ** 2) + np.sum(np.float64(b) ** 2))
    scale = min(1.0, clip / (norm + 1e-6))
    return (scale * a).astype(a.dtype), (scale * b).astype(b.dtype), norm


def test_a_small_constant_is_not_single_precision(all_of: Judged) -> None:
    wrong = all_of("clip_gradients", clip_gradients, "float64")
    assert tops(wrong) == []
    (named,) = of(wrong, "amplitude-1e-4", "float64")
    assert "mistake 'eps-beside-the-norm'" in named
    assert of(wrong, "above", "float64")[0].startswith("your a_new, b_new: 1 - 4.463e-07 times what it should be (")
    assert tops(all_of("clip_gradients", clip_gradients, "float32", "float64")) == [("eps-beside-the-norm", 2, 6)]


def layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    """eps that is not the case's."""
    if weight.shape != x.shape[-1:] or bias.shape != x.shape[-1:]:
        raise ValueError
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return (y * weight + bias).astype(x.dtype)


def test_forms_that_differ_are_not_one_reason(all_of: Judged) -> None:
    wrong = all_of("layer_norm", layer_norm, "float32", "float64")
    assert tops(wrong) == []
    assert not any(": 1 times" in line or "should be: 1 (" in line for line in text_lines(wrong))


def halved(est: Any, ref: Any, frame: int, temp: float, weights: Any, floor: float) -> Any:
    return 0.5 * softmax_permutation_forward(est, ref, frame=frame, temp=temp, weights=weights, floor=floor)[0]


def test_a_form_that_fits_everywhere_wins_over_a_refuted_mistake(all_of: Judged) -> None:
    wrong = all_of("softmax_permutation", halved)
    assert tops(wrong) == [("factor 1/2", 11, 11)]
    assert "mean-over-outputs" not in "\n".join(text_lines(wrong))
    assert all(hint["stored"] is False for case in as_dict("", wrong, grads=False)["cases"] for hint in case["hints"])


def two_mistakes(x: Any, h0: Any, **p: Any) -> Any:
    """The gates in the order of Keras, and no first state."""
    order = (1, 0, 2)
    p = {name: np.concatenate([np.split(array, 3)[gate] for gate in order]) for name, array in p.items()}
    given = [p[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    gru_forward(x, *given, h0)  # refuses what must be refused
    return gru_forward(x, *given, np.zeros_like(h0))[:2]


def test_a_mistake_that_another_case_contradicts_is_said_so(all_of: Judged) -> None:
    wrong = all_of("gru", two_mistakes)
    assert tops(wrong) == []
    (line,) = of(wrong, "zero-state")
    assert "mistake 'gates-zrn'" in line and "; but not in gru/" in line and "or not the only one" in line
    (case,) = [case for case in as_dict("", wrong, grads=False)["cases"] if case["case"] == "gru/zero-state"]
    assert [hint["name"] for hint in case["hints"]] == ["gates-zrn"] and case["hints"][0]["refuted_by"]
    assert "; but not in gru/" in junit(wrong).decode()


def test_what_is_no_number_contradicts_nothing(all_of: Judged) -> None:
    def keras(x: Any, h0: Any, **p: Any) -> Any:
        p = {name: np.concatenate([np.split(array, 3)[gate] for gate in (1, 0, 2)]) for name, array in p.items()}
        y, h_n = gru_forward(x, *(p[f"{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), h0)[:2]
        if x.shape[0] == 1:
            y = np.full_like(y, np.nan)
        return (y[:, 1:] if y.shape[1] > 5 else y), h_n

    wrong = all_of("gru", keras)
    assert any("holds nan" in v.problem for v in wrong) and any("has shape" in v.problem for v in wrong)
    assert [(name, count == failing) for name, count, failing in tops(wrong)] == [("gates-zrn", True)]


def test_the_number_of_a_common_form_is_said(all_of: Judged) -> None:
    def si_sdr(est: Any, ref: Any, eps: float) -> Any:
        e, s = est[:, :, None].astype(np.float64), ref[:, None].astype(np.float64)
        both = np.sum(e * e, -1) * np.sum(s * s, -1)
        along = np.sum(e * s, -1) ** 2
        ratio = (along + eps * both + 1e-30) / (both - along + eps * both + 1e-30)
        return (10 * np.log(ratio)).astype(est.dtype)

    wrong = all_of("si_sdr", si_sdr)
    assert tops(wrong) == [("factor -ln 10", 10, 10)]
    for line in text_lines(wrong):
        if line.startswith("     "):
            assert line.startswith("     your loss: -2.30259 times what it should be: -ln 10 (max error ")


def test_each_array_has_its_own_form(all_of: Judged) -> None:
    def vjp(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
        rows = dy.reshape(-1, dy.shape[-1])
        return {"x": dy @ weight, "weight": -(rows.T @ x.reshape(-1, x.shape[-1])), "bias": 3.7 * rows.sum(0)}

    wrong = all_of("linear", lambda x, weight, bias: x @ weight.T + bias, grads=True, vjp=vjp)
    assert {reason.says: len(reason.cases) for reason in explained(wrong)} == {
        "your gradient of bias: 3.7 times what it should be": 9,
        "your gradient of weight: the sign is the other way": 8,
    }
    for case in ("plain", "one-output"):  # there the bias is one number
        assert sorted(line.split(" (max")[0] for line in of(wrong, case)) == [
            "your gradient of bias: 3.7 times what it should be",
            "your gradient of weight: the sign is the other way",
        ]
    assert of(wrong, "silence")[0].startswith("your gradient of bias: 3.7 times")


def test_one_array_without_a_form_leaves_the_top_empty(all_of: Judged) -> None:
    def vjp(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
        rows = dy.reshape(-1, dy.shape[-1])
        return {"x": dy @ weight, "weight": rows.T @ x.reshape(-1, x.shape[-1]) ** 2, "bias": 3.7 * rows.sum(0)}

    wrong = all_of("linear", lambda x, weight, bias: x @ weight.T + bias, grads=True, vjp=vjp)
    assert tops(wrong) == [] and of(wrong, "plain")[0].startswith("your gradient of bias: 3.7 times")


@pytest.mark.parametrize("more", [0.5, 1e-7])
def test_an_offset_where_one_case_is_constant_and_one_a_number(all_of: Judged, more: float) -> None:
    wrong = all_of("tanh", lambda x: np.tanh(x) + x.dtype.type(more), "float64")
    assert [(name, count == failing) for name, count, failing in tops(wrong)] == [("offset", True)]
    for case in ("one-number", "constant-input", "plain"):
        assert of(wrong, case, "float64")[0].startswith(f"your y: what it should be plus {more:g} everywhere")


def test_an_offset_that_changes_is_not_common(all_of: Judged) -> None:
    assert tops(all_of("tanh", lambda x: (np.tanh(x) + x.size).astype(x.dtype))) == []


def test_late_by_one_step_in_sequences_of_any_length(all_of: Judged) -> None:
    def late(x: Any, h0: Any, **p: Any) -> Any:
        y, h_n = gru_forward(x, *(p[f"{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), h0)[:2]
        return np.concatenate([h0[:, None], y[:, :-1]], axis=1), h_n

    assert tops(all_of("gru", late)) == [("late by one T", 9, 9)]


def test_the_outputs_in_the_wrong_order(all_of: Judged) -> None:
    def swapped(x: Any, h0: Any, **p: Any) -> Any:
        y, h_n = gru_forward(x, *(p[f"{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), h0)[:2]
        return h_n, y

    wrong = all_of("gru", swapped)
    assert tops(wrong) == [("equals-h_n", 9, 9), ("equals-y", 9, 9)]
    assert [line.split(" (")[0] for line in of(wrong, "one-frame")] == [
        "your y: it is the case's h_n",
        "your h_n: it is the case's y",
    ]


def test_too_much_here_and_too_little_there_is_no_common_reason(all_of: Judged) -> None:
    def trimmed(x: Any, weight: Any, bias: Any, stride: int, trim_right: int = 0) -> Any:
        kernel = weight.shape[2]
        y = np.zeros((x.shape[0], weight.shape[1], (x.shape[2] - 1) * stride + kernel), x.dtype)
        for t in range(x.shape[2]):
            y[:, :, t * stride : t * stride + kernel] += np.einsum("bc,cok->bok", x[:, :, t], weight)
        y += bias[:, None]
        return y[..., : y.shape[2] - max(kernel - stride, 0)]

    wrong = all_of("conv_transpose1d", trimmed)
    said = [hint.name for v in wrong for hint in v.hints]
    assert {"missing at the end of N", "too many at the end of N"} <= set(said) and tops(wrong) == []


def test_no_hint_is_said_twice(all_of: Judged) -> None:
    def twice(x: Any, weight: Any, bias: Any, stride: int = 1, pad_left: int = 0) -> Any:
        x = np.pad(x, ((0, 0), (0, 0), (max(pad_left, 0), 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], 2)[:, :, ::stride]
        return (np.einsum("bctk,ock->bot", windows, weight) + 2 * bias[:, None]).astype(x.dtype)

    wrong = [v for v in all_of("conv1d", twice) if v.case == "conv1d/silence"]
    (hint,) = as_dict("", wrong, grads=False)["cases"][0]["hints"]
    assert hint["text"].startswith("your y: 2 times what it should be: 2 or ")
    assert [line.startswith("your y: 2 times") for line in Reading(wrong).lines(wrong[0])] == [True]


def test_a_form_is_never_above_a_mistake_that_stands(all_of: Judged) -> None:
    def summed(cost: Any) -> Any:
        sources = cost.shape[1]
        if cost.ndim != 3 or sources != cost.shape[2]:
            raise ValueError
        sums = [sum(cost[:, i, j] for i, j in enumerate(order)) for order in permutations(range(sources))]
        return np.min(np.stack(sums), axis=0)

    wrong = all_of("pit", summed)
    assert tops(wrong) == [("sum-for-mean", 7, 7)]
    for verdict in wrong:
        if not verdict.passed and verdict.valid:
            assert any(not hint.stored for hint in verdict.hints)  # it is P times what it should be, too
            assert of(wrong, verdict.case.split("/")[1]) == ["'sum-for-mean' (max error 0e+00)"]
