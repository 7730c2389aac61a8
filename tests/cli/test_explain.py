"""refbss explain: tags, operators, and names that do not exist."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from refbss.audit.ledger import MADE_OF, shipped
from refbss.conformance.vectors import Library

Run = Callable[..., Any]


def test_an_equation(run: Run) -> None:
    ran = run("explain", "gru.4")
    assert ran.code == 0 and ran.err == ""
    lines = ran.out.splitlines()
    assert lines[0] == "(gru.4)  n = tanh(W_in x + b_in + r * a)"
    assert lines[1] == r"LaTeX   n_t = \tanh(W_{in} x_t + b_{in} + r_t \odot a_t)"
    assert lines[2].startswith("from    [std] ") and lines[3] == "page    docs/math/gru.md"
    assert lines[4].startswith("code    refbss/ops/gru.py:") and lines[5].strip() == "n = math.tanh(in_ + r * a)"
    tests = [line for line in lines if line.startswith("test")]
    assert re.fullmatch(r"test    tests/math/test_gru.py:\d+ test_candidate", tests[0])
    assert any(line.startswith("golden  ") and " vectors: gru/" in line and "more (--json)" in line for line in lines)
    assert lines[-1] == "trace   refbss trace gru"


def test_json(run: Run) -> None:
    result = json.loads(run("explain", "(gru.4)", "--json").out)
    (equation,) = result["equations"]
    assert equation["tag"] == "gru.4" and equation["origin"] == "std" and equation["examples"] == ["gru"]
    assert equation["code"][0]["text"] == "n = math.tanh(in_ + r * a)" and equation["code"][0]["function"] == "_forward"
    assert len(equation["golden"]) > 4
    assert ("tests/math/test_gru.py", "test_candidate") in [(test["file"], test["name"]) for test in equation["tests"]]


def test_an_equation_on_several_lines_of_code(run: Run) -> None:
    assert run("explain", "memory.6").out.count("code    refbss/ops/memory_bank.py:") == 2


def test_an_operator(run: Run) -> None:
    lines = run("explain", "gru").out.splitlines()
    assert [line.split()[0] for line in lines] == [f"(gru.{number})" for number in range(1, 14)]
    assert all(" refbss/ops/gru.py:" in line for line in lines)
    assert [line.split()[0] for line in run("explain", "pit").out.splitlines()] == [
        "(assignment.1)",
        "(assignment.2)",
        "(assignment.3)",
    ]


def test_operators_that_have_no_page(run: Run) -> None:
    assert [line.split()[0] for line in run("explain", "clip_gradients").out.splitlines()] == ["(adam.1)"]
    assert [line.split()[0] for line in run("explain", "train").out.splitlines()] == [
        "(adam.1)",
        "(adam.2)",
        "(adam.3)",
        "(adam.4)",
    ]


def test_what_puts_operators_together_names_them(run: Run) -> None:
    pages = {entry.page for entry in shipped().entries.values()}
    for name in MADE_OF:
        ran = run("explain", name)
        assert ran.code == 0 and ran.out.startswith(f"{name} has no equation of its own: docs/lvbd.md describes it")
        result = json.loads(run("explain", name, "--json").out)
        assert result["equations"] == [] and set(result["made_of"]) <= pages


def test_every_operator_is_explained(run: Run) -> None:
    for op in Library().ops:
        assert run("explain", op).code == 0, op


def test_no_such_equation(run: Run) -> None:
    for name, hint in (("gru.44", "did you mean gru.4?"), ("grru", "did you mean gru?"), ("?", "wanted a tag such as")):
        ran = run("explain", name)
        assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1
        assert ran.err.startswith("refbss: error: explain: there is no equation") and hint in ran.err


def test_no_name(run: Run) -> None:
    assert run("explain").code == 2
