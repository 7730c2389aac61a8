"""What is printed and written: one reason for many failures, a line a case, a summary, JSON and JUnit."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from refbss.conformance.judge import Verdict
from refbss.conformance.near_miss import Hint
from refbss.conformance.report import as_dict, explained, junit, summary_lines, text_lines
from refbss.conformance.vectors import Library

Judge = Callable[..., Verdict]


@pytest.fixture(scope="module")
def keras(judged: Judge, library: Library) -> list[Verdict]:
    """A GRU with rows in Keras's order, on every case."""
    return [judged("grus:keras", case) for case in library.find("gru")]


def failure(case: str, *hints: str, stored: tuple[str, ...] = (), op: str = "gru") -> Verdict:
    """A case in which y equals the mistakes named; it would show those in ``stored`` too."""
    made = tuple(
        Hint(name, f"your y: {name}", f"because of {name}", 1e-7, stored=True, arrays=("y",)) for name in hints
    )
    return Verdict(f"{op}/{case}", op, "float32", True, False, "y differs", made, (*hints, *stored), ("y",))


def test_one_reason_for_every_failure(keras: list[Verdict]) -> None:
    (reason,) = explained(keras)
    assert (reason.op, reason.name, reason.failing, len(reason.cases)) == ("gru", "gates-zrn", 9, 9)
    lines = text_lines(keras)
    assert lines[0] == (
        "gru: all 9 failing cases are explained by 'gates-zrn': you read the rows as [z; r; n], the order of Keras and "
        "ONNX; the case stacks them [r; z; n]"
    )
    assert sum(line.startswith("FAIL gru/") for line in lines) == 9
    assert sum(line.startswith("     'gates-zrn' (max error ") for line in lines) == 9
    assert lines[-1] == "gru float32: 0 of 9 cases agree, 2 refused as they must be" and len(lines) == 20


def test_a_reason_must_fit_wherever_it_could_be_seen() -> None:
    both = ("a", "b")
    some = [failure("1", "a", stored=both), failure("2", "a", "b", stored=both), failure("3", "b", stored=both)]
    assert explained(some) == []
    assert [reason.name for reason in explained([*some[:2], failure("4", stored=("b",))])] == ["a"]
    assert str(explained([*some[:2], failure("4")])[0]) == (
        "gru: 2 of 3 failing cases are explained by 'a': because of a"
    )


def test_the_fewest_reasons() -> None:
    verdicts = [failure("1", "a", "b"), failure("2", "a", "b"), failure("3", "a"), failure("4", "c"), failure("5", "c")]
    assert [(reason.name, len(reason.cases)) for reason in explained(verdicts)] == [("a", 3), ("c", 2)]


def test_one_failure_needs_no_headline() -> None:
    verdict = failure("1", "a", "b")
    assert explained([verdict]) == []
    assert text_lines([verdict])[:3] == ["FAIL gru/1 float32: y differs", "     your y: a", "     your y: b"]
    assert len(text_lines([failure("1", *"abcdef")])) == 5


def test_operators_are_explained_apart() -> None:
    verdicts = [failure(case, "a", op=op) for op in ("gru", "linear") for case in "12"]
    assert [reason.op for reason in explained(verdicts)] == ["gru", "linear"]


def test_the_summary(judged: Judge, library: Library) -> None:
    verdicts = [judged("grus:right", case, grads=True, vjp="grus:pull") for case in library.find("gru")]
    (line,) = summary_lines(verdicts)
    shares = [(v.errors[kind] / v.tol[kind], v.errors[kind], v.tol[kind]) for v in verdicts for kind in v.errors]
    _, error, tol = max(shares)
    assert line == (
        f"gru float32: 9 of 9 cases agree, gradients too (worst error {error:.1e} of {tol:.1e} allowed), 2 refused as "
        "they must be"
    )
    assert text_lines(verdicts) == [line]
    accepted = [replace(v, passed=v.case != "gru/wrong-state-size") for v in verdicts]
    assert summary_lines(accepted)[0].endswith(" allowed), 1 of 2 refused as they must be")
    assert summary_lines([verdicts[0], replace(verdicts[1], dtype="float64")])[1].startswith("gru float64: 1 of 1 ")


def test_verbose_lists_what_passes(judged: Judge) -> None:
    verdicts = [judged("grus:only_y"), judged("grus:only_y", "gru/wrong-state-size")]
    first, second, _ = text_lines(verdicts, verbose=True)
    assert first.startswith("ok   gru/plain float32: outputs ") and first.endswith(" of 9.6e-07; not given: h_n")
    assert second == "ok   gru/wrong-state-size float32: refused as it must be"


def test_json(keras: list[Verdict]) -> None:
    from refbss_cli.options import plain

    result = json.loads(json.dumps(plain(as_dict("grus:keras", keras, grads=False)), allow_nan=False))
    assert result["passed"] is False and result["target"] == "grus:keras" and len(result["cases"]) == 11
    case = next(case for case in result["cases"] if case["case"] == "gru/plain")
    assert case["hints"][0]["name"] == "gates-zrn" and case["errors"]["outputs"] == case["arrays"]["outputs"]["y"]
    assert result["explained"][0]["name"] == "gates-zrn" and result["summary"] == summary_lines(keras)


def test_junit(keras: list[Verdict], judged: Judge) -> None:
    verdicts: list[Any] = [*keras, judged("grus:raises"), judged("grus:conv1d_padded", "conv1d/plain", "float64")]
    root = ElementTree.fromstring(junit(verdicts))
    assert root.tag == "testsuites" and root.attrib["tests"] == "13" and root.attrib["failures"] == "10"
    suites = {suite.attrib["name"]: suite for suite in root}
    assert list(suites) == ["gru", "conv1d"] and suites["conv1d"].attrib["failures"] == "0"
    (case,) = suites["conv1d"]
    assert case.attrib["classname"] == "refbss.conv1d" and case.attrib["name"] == "plain[float64]"
    assert float(case.attrib["time"]) >= 0 and len(case) == 0
    failures = {case.attrib["name"]: case[0] for case in suites["gru"] if len(case)}
    assert "mistake 'gates-zrn'" in str(failures["long[float32]"].text)
    assert failures["long[float32]"].attrib["message"].startswith("y differs by ")
    last = suites["gru"][-1][0]
    assert "second ?[31mline?[0m" in last.attrib["message"]  # an escape sequence has no place in XML
