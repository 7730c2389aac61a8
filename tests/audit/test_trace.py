"""Tracing: the law runs as it stands, and every tagged statement is recorded with what it gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.audit.examples import Example, find, load
from refbss.audit.pages import read_page
from refbss.audit.trace import Trace, as_python, trace
from refbss.engine import engine
from refbss.ops import gru
from refbss.verification.registry import SPECS

EXAMPLES = load()


@pytest.fixture(scope="module")
def traced() -> Callable[[str], Trace]:
    kept = {name: trace(example) for name, example in EXAMPLES.items()}
    return kept.__getitem__


def test_there_is_an_example_for_everything() -> None:
    families = ("gaussian", "student", "power", "laplace")
    wanted = {*SPECS, *(f"prior_{family}" for family in families), "adam"}
    assert {example.op for example in EXAMPLES.values()} == wanted
    assert {example.attributes["form"] for example in EXAMPLES.values() if example.op == "fisher"} == {
        "weighted",
        "explicit",
        "implicit",
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_two_numbers_of_an_array_are_equal(name: str) -> None:
    example = EXAMPLES[name]
    for key, array in (*example.inputs().items(), *example.pulled().items()):
        assert np.unique(array).size == array.size, key


@pytest.mark.parametrize("name", SPECS)
def test_the_example_is_a_call_of_the_operator(name: str) -> None:
    spec, example = SPECS[name], EXAMPLES[name]
    assert example.outputs == spec.outputs and tuple(example.cotangents) == spec.pulled
    assert list(example.arrays) == list(spec.draw(spec.cases[0], 0, "float64"))


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.op in SPECS])
def test_tracing_changes_nothing(name: str, traced: Callable[[str], Trace]) -> None:
    spec, example = SPECS[EXAMPLES[name].op], EXAMPLES[name]
    outputs, cache = spec.run(example.inputs(), example.attributes)
    grads = spec.pull(example.pulled(), cache)
    ran = traced(name)
    assert outputs.keys() == ran.outputs.keys() and grads.keys() == ran.grads.keys()
    for key, wanted in (*outputs.items(), *grads.items()):
        got = (ran.outputs | ran.grads)[key]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-15 * np.max(np.abs(wanted)), err_msg=key)


def test_kernels_are_compiled_again_afterwards() -> None:
    before = gru._forward, engine("reference").gru_forward
    with as_python():
        assert gru._forward is getattr(before[0], "py_func", before[0])
    assert (gru._forward, engine("reference").gru_forward) == before
    with pytest.raises(InputError, match="w_ih"):
        trace(replace(find("gru"), arrays={**find("gru").arrays, "w_ih": [[1.0]]}))
    assert gru._forward is before[0]


def test_the_trace_function_of_a_debugger_comes_back() -> None:
    def mine(frame: FrameType, event: str, argument: Any) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(mine)
    try:
        trace(find("tanh"))
        found = sys.gettrace()
    finally:
        sys.settrace(before)
    assert found is mine


def test_the_same_without_a_compiler(traced: Callable[[str], Trace]) -> None:
    code = (
        "import json\nfrom refbss.audit.examples import load\nfrom refbss.audit.trace import trace\n"
        "steps = [step for example in load().values() for step in trace(example).steps]\n"
        "print(json.dumps([[step.tag, step.target, dict(step.loops), step.value.tolist() if hasattr(step.value, "
        "'tolist') else step.value] for step in steps]))"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    here = [step for name in EXAMPLES for step in traced(name).steps]
    wanted = [[step.tag, step.target, dict(step.loops), np.asarray(step.value).tolist()] for step in here]
    assert json.loads(done.stdout) == wanted


def _targets(ran: Trace, tag: str) -> list[str]:
    return [step.target for step in ran.find(tag)]


def test_an_assignment_in_loops(traced: Callable[[str], Trace]) -> None:
    steps = traced("gru").find("gru.5")
    assert [step.target for step in steps] == ["y[i, t, j]"] * 2
    assert [dict(step.loops) for step in steps] == [{"i": 0, "t": t, "j": 0} for t in (0, 1)]
    assert [step.value for step in steps] == traced("gru").outputs["y"].ravel().tolist()
    assert all(step.file == "refbss/ops/gru.py" and step.function == "_forward" for step in steps)


def test_a_sum_that_grows(traced: Callable[[str], Trace]) -> None:
    ran = traced("conv1d")
    dy = ran.cotangents["y"].ravel()
    assert [step.value for step in ran.find("conv1d.4")] == [dy[0], dy[0] + dy[1]]
    assert ran.value("conv1d.4") == ran.grads["b"][0]


def test_several_targets(traced: Callable[[str], Trace]) -> None:
    ran = traced("layer_norm")
    assert _targets(ran, "layer_norm.5") == ["dbeta", "dgamma"]
    np.testing.assert_array_equal(ran.value("layer_norm.5", "dgamma"), ran.grads["gamma"])
    np.testing.assert_array_equal(ran.value("layer_norm.5", "dbeta"), ran.grads["beta"])


def test_several_targets_of_one_value(traced: Callable[[str], Trace]) -> None:
    ran = traced("adam")
    assert _targets(ran, "adam.2") == ["m", "m"]
    assert [dict(step.loops) for step in ran.find("adam.2")] == [{"name": "w"}, {"name": "b"}]
    assert ran.value("adam.2", name="b").tolist() == ran.outputs["m_new"][1:].tolist()


def test_a_return(traced: Callable[[str], Trace]) -> None:
    ran = traced("prior_student")
    assert _targets(ran, "student.5") == ["phi_shape"]
    np.testing.assert_array_equal(ran.value("student.5"), ran.outputs["phi_shape"])


def test_a_return_of_a_record(traced: Callable[[str], Trace]) -> None:
    assert _targets(traced("fisher/implicit"), "fisher.18") == ["dpsi", "dsig"]


def test_a_list_that_grows(traced: Callable[[str], Trace]) -> None:
    ran = traced("prior_laplace")
    assert set(_targets(ran, "laplace.2")) == {"ratios[0]"} and set(_targets(ran, "laplace.3")) == {"ratios[-1]"}
    np.testing.assert_allclose(ran.value("laplace.3"), 1.0 + 1.0 / np.sqrt(2.0 * (ran.inputs["u"] + 0.5)), rtol=1e-15)


def test_a_statement_of_several_lines_and_calls_inside(traced: Callable[[str], Trace]) -> None:
    ran = traced("memory_separator")
    steps = ran.find("memory_separator.2")
    assert [step.target for step in steps] == ["mu", "l", "mu", "l"]  # caches are no numbers
    np.testing.assert_array_equal(np.concatenate([steps[0].value, steps[2].value], 2), ran.outputs["mu"])
    inner = [step for step in ran.find("separator.2") if step.phase == "forward"]
    assert [dict(step.loops) for step in inner] == [{"start": 0}, {"start": 2}]  # the loop of the caller
    assert ran.steps.index(inner[0]) < ran.steps.index(steps[0]) < ran.steps.index(inner[1])
    fields = {step.target for step in ran.find("memory_separator.5")}
    assert fields == {f"grads.{name}" for name in ("dx", "dg", "dr", "da", "dc", "dread", "dv", "db")}


def test_each_statement_is_recorded_once(traced: Callable[[str], Trace]) -> None:
    """Nothing here stands in a loop, so no comprehension and no jump between lines may show twice."""
    for name in ("adaptive_separator", "layer_norm", "si_sdr", "fisher/explicit", "gaussian_kl"):
        keys = [(step.tag, step.target, step.line) for step in traced(name).steps]
        assert len(keys) == len(set(keys)), name


def test_phases(traced: Callable[[str], Trace]) -> None:
    phases = [step.phase for step in traced("gru").steps]
    assert phases == ["forward"] * 10 + ["backward"] * 32


def test_values_are_copies() -> None:
    """conv1d.2 adds to one array in place; a step keeps what stood there then."""
    ran = trace(find("sinkhorn_assignment"))
    plans = [step.value for step in ran.find("assignment.11")]
    assert not np.array_equal(plans[0], plans[1])
    assert all(isinstance(step.value, float) or step.value.base is None for step in ran.steps)


def test_symbols(root: Path) -> None:
    symbols = read_page(root / "docs" / "math" / "gru.md").symbols
    ran = trace(find("gru"), {f"gru.{number}": symbols for number in range(1, 12)})
    assert ran.find("gru.4")[0].symbol == "n_t" and ran.find("gru.8")[0].symbol == r"\mathrm{d}r_t"
    assert ran.find("gru.11")[0].symbol == r"\mathrm{d}x_t" and ran.find("gru.12")[0].symbol is None


def test_no_such_step(traced: Callable[[str], Trace]) -> None:
    with pytest.raises(LookupError, match=r"gru: no step \(gru.4\)  with {'t': 2}"):
        traced("gru").value("gru.4", t=2)


def test_no_such_example() -> None:
    with pytest.raises(InputError, match=r"no example is called 'grue', did you mean gru\?"):
        find("grue")
    with pytest.raises(InputError, match="wanted one of conv1d, "):
        find("quux")


def test_an_example_is_small() -> None:
    assert max(array.size for example in EXAMPLES.values() for array in _arrays(example)) <= 16


def _arrays(example: Example) -> list[Any]:
    return [*example.inputs().values(), *example.pulled().values()]
