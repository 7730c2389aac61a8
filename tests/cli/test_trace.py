"""refbss trace: every number of a worked example, in the order in which it arises."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]


def test_an_operator(run: Run) -> None:
    ran = run("trace", "gru")
    assert ran.code == 0 and ran.err == ""
    lines = ran.out.splitlines()
    titles = [line for line in lines[1:] if not line.startswith(" ")]
    assert titles == ["inputs", "cotangents", "forward", "backward", "outputs", "gradients"]
    assert lines[2].split() == ["x_t", "x", "=", "[[[0.5],", "[-1.0]]]"]
    first = lines[lines.index("forward") + 1].split()
    assert first == ["(gru.3)", "a_t", "a", "i=0", "t=0", "j=0", "k=0", repr(1.0 * 0.4 - 0.1)]
    assert any(line.split()[:3] == ["(gru.8)", "dr_t", "dgate[j]"] for line in lines)
    assert lines[-1].startswith("  dh_-1  dh0 = [[")


def test_json_has_every_digit(run: Run) -> None:
    result = json.loads(run("trace", "gru", "--json").out)
    assert result["inputs"]["x"] == [[[0.5], [-1.0]]] and result["symbols"]["w_hh"] == "W_h"
    steps = [step for step in result["steps"] if step["tag"] in ("gru.2", "gru.4", "gru.5") and step["loops"]["t"] == 0]
    z, n, y = (step["value"] for step in steps)
    assert y == (1.0 - z) * n + z * 0.4 == result["outputs"]["y"][0][0][0]
    assert steps[1]["symbol"] == steps[1]["latex"] == "n_t" and steps[1]["phase"] == "forward"
    assert steps[1]["file"] == "refbss/ops/gru.py" and steps[1]["line"] > 0 and steps[1]["target"] == "n"
    assert math.isfinite(result["grads"]["h0"][0][0])


def test_attributes_and_arrays(run: Run) -> None:
    out = run("trace", "layer_norm").out
    assert "attributes\n" in out and "eps = 0.25\n" in out
    (line,) = [line for line in out.splitlines() if "(layer_norm.1)" in line]
    assert line.endswith("[[3.0], [0.8333333333333334]]")


def test_the_list(run: Run) -> None:
    lines = run("trace").out.splitlines()
    names = [line.split()[0] for line in lines]
    assert {"gru", "pit", "fisher/implicit", "prior_laplace", "adam"} <= set(names) and len(names) == len(set(names))
    assert json.loads(run("trace", "--json").out)["examples"]["gru"] == "one input, one unit, two frames"


def test_no_such_operator(run: Run) -> None:
    ran = run("trace", "grru")
    assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1
    assert ran.err == "refbss: error: trace: no example is called 'grru', did you mean gru?\n"
