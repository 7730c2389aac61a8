"""refbss bench: what it times was checked to be the same, and what it prints is what it measured."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refbss import machine
from refbss.bench import cases, ours, scaling, suite, timing, worker
from refbss.bench.process import BenchError
from refbss.bench.worker import Job, Result
from refbss.engine import engine
from refbss.verification.compare import worst

WITH_PEERS = pytest.mark.skipif(
    not os.environ.get("REFBSS_TORCH") or not importlib.util.find_spec("torch"), reason="PyTorch is not installed"
)


def test_an_operator_alone(run: Callable[..., Any]) -> None:
    ran = run("bench", "--op", "fisher", "--threads", "1", "--seconds", 0, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    (session,) = found["sessions"]
    ways = [(result["case"], result["way"]) for result in session["results"]]
    assert ways == [("fisher, student, weighted", "forward"), ("fisher, student, weighted", "forward+backward")]
    assert all(result["ours_ms"] > 0 and result["peer_ms"] is None for result in session["results"])
    assert session["peak"]["threads"] == 1 and session["peak"]["fast"] > 1
    assert found["machine"]["refbss"] and not found["cold_starts"]


def test_the_model_alone(run: Callable[..., Any]) -> None:
    ran = run("bench", "--model", "lvbd-tiny", "--threads", "1", "--seconds", 0)
    assert ran.code == 0, ran.err
    rows = [line for line in ran.out.splitlines() if "| lvbd-tiny |" in line]
    assert [row.split(" | ")[0] for row in rows] == ["| training step", "| separation of 10 s", "| streaming, a hop"]
    assert all("%" in row for row in rows), "the share of the peak"


@WITH_PEERS
@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_against_a_peer(run: Callable[..., Any], peer: str) -> None:
    ran = run("bench", "--against", peer, "--op", "softmax_permutation", "--threads", "1", "--seconds", 0, "--json")
    assert ran.code == 0, ran.err
    (session,) = json.loads(ran.out)["sessions"]
    for result in session["results"]:
        assert result["peer"] == peer and result["peer_ms"] > 0
        assert result["ratio_low"] <= result["ratio"] <= result["ratio_high"]
        assert 0 <= result["largest_difference"] <= worker.TOLERANCE
    assert session["version"]


def test_a_peer_that_computes_something_else_is_not_timed() -> None:
    right = {"output 0": np.ones(3, np.float32), "dx": np.zeros(2, np.float32)}
    assert worker._compare("case", right, right) == 0
    wrong = right | {"output 0": np.array([1, 1, 1.001], np.float32)}
    with pytest.raises(worker.Differs, match=r"^case: output 0 differs by 1\.0e-03 of .*, allowed 1e-04$"):
        worker._compare("case", right, wrong)
    with pytest.raises(worker.Differs, match=r"has shape \(2,\) there and \(3,\) here"):
        worker._compare("case", right, right | {"output 0": np.ones(2, np.float32)})
    with pytest.raises(worker.Differs):
        worker._compare("case", right, right | {"dx": np.full(2, np.nan, np.float32)})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "tensorflow"], "--against is 'tensorflow', wanted of torch, torch-compile, jax"),
        (["--op", "fourier"], "--op is 'fourier', wanted one of conv1d, conv_transpose1d, "),
        (["--model", "large"], "--model is 'large', wanted one of lvbd-tiny, lvbd-small"),
        (["--threads", "0"], "is not a list of numbers of threads like 1,2"),
        (["--threads", "a"], "is not a list of numbers of threads like 1,2"),
        (["--threads", "4096"], "--threads is 4096, wanted at most"),
        (["--scaling", "--threads", "4096"], "--threads is 4096, wanted at most"),
        (["--cold", "--threads", "1,4096"], "--threads is 4096, wanted at most"),
        (["--op", "gru", "--cold"], "exclude each other"),
        (["--op", "", "--cold"], "exclude each other"),
        (["--model", "", "--scaling"], "exclude each other"),
        (["--op", ""], "--op is '', wanted one of conv1d, "),
        (["--model", ""], "--model is '', wanted one of lvbd-tiny, "),
        (["--against", ""], "--against is '', wanted of torch, torch-compile, jax"),
        (["--against", ","], "--against is '', wanted of torch, torch-compile, jax"),
        (["--threads", "1,"], "is not a list of numbers of threads like 1,2"),
    ],
)
def test_bad_options(run: Callable[..., Any], arguments: list[str], said: str) -> None:
    ran = run("bench", *arguments)
    assert ran.code == 2 and said in ran.err and ran.out == ""


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that would be run."""
    found: list[Job] = []

    def run_job(job: Job, _: Callable[[Result], None]) -> suite.Session:
        found.append(job)
        return suite.Session(job, {"threads": job.threads, "fast": 1.0, "blas": 1.0}, "", [])

    monkeypatch.setattr(suite, "run_job", run_job)
    monkeypatch.setattr(suite, "cold_starts", lambda _: iter(()))
    return found


@pytest.mark.parametrize(("processors", "wanted"), [(1, [1]), (2, [1, 2]), (64, [1, 2])])
def test_threads_by_default_are_those_that_there_are(
    run: Callable[..., Any], jobs: list[Job], processors: int, wanted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cpus", lambda: processors)
    assert run("bench").code == 0
    assert [job.threads for job in jobs] == wanted


def test_what_is_given_twice_is_run_once(
    run: Callable[..., Any], jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: "installed")
    assert run("bench", "--op", "gru", "--threads", "1,1", "--against", "torch, jax,torch").code == 0
    assert [(job.peer, job.threads) for job in jobs] == [("torch", 1), ("jax", 1)]


def test_a_worker_that_stops_is_an_error() -> None:
    with pytest.raises(BenchError, match="the worker for refbss stopped: KeyError: 'no preset'"):
        suite.run_job(Job("", 1, (), ("training step",), "no preset", 0.0, 0), lambda _: None)


@pytest.mark.parametrize("case", cases.op_cases(), ids=lambda case: case.name)
def test_shards_come_to_the_whole(case: cases.OpCase) -> None:
    """A case on three shards gives the outputs and gradients of the law, or of itself in one where that is slow."""
    rng = np.random.Generator(np.random.Philox(1))
    arrays = {name: a if name in case.shared else a[:3, ..., -320:] for name, a in case.draw(rng).items()}
    if case.op in ("gru", "lstm", "memory_separator", "fisher"):
        arrays = {name: a for name, a in case.draw(rng).items()}
        arrays = {name: a if name in case.shared else a[:3] for name, a in arrays.items()}

    def serial(work: Callable[[Any], Any], shards: Any) -> list[Any]:
        return [work(shard) for shard in shards]

    outputs, _ = ours.OpRun(case, arrays, serial, 1, []).arrays_of(ours.OpRun(case, arrays, serial, 1, [])())
    cotangents = [rng.standard_normal(out.shape).astype(np.float32) for out in outputs]
    runs = [ours.OpRun(case, arrays, serial, shards, cotangents) for shards in (1, 3)]
    (whole, whole_grads), (parts, part_grads) = (each.arrays_of(each()) for each in runs)
    assert set(part_grads) == set(case.differentiate)
    for one, other in zip(whole, parts, strict=True):
        assert worst(other, one).error < 1e-5
    for name, grad in whole_grads.items():
        assert worst(part_grads[name], grad).error < 1e-5, name
    *law, _ = getattr(engine("reference"), f"{case.op}_forward")(
        *(a if name in case.shared else a[:1] for name, a in arrays.items()), **case.attributes
    )
    for one, other in zip(law, whole, strict=True):
        assert worst(other[:1], one).error < 1e-4


def test_goals_and_misses_in_the_table() -> None:
    met = Result("gru", "forward", 2, "jax", 1.0, 2.0, 2.0, 1.9, 2.1, 100.0, 0.5, 1.3, 9, 1e-7)
    missed = Result("gru", "forward", 2, "jax", 10.0, 11.0, 1.1, 1.0, 1.2, None, None, 1.3, 9, 1e-7)
    lines = suite.table([met, missed])
    assert lines[2] == "| gru | forward | 2 | 1.00 | 100 | 50 % | jax | 2.00 | 2.00 | 1.90 to 2.10 | 1.3 |"
    assert lines[3].endswith("| 1.10 | 1.00 to 1.20 | 1.3, missed |")
    alone = Result("gru", "forward", 1, "", 0.5, None, None, None, None, None, None, None, 9, None)
    assert suite.table([alone])[2] == "| gru | forward | 1 | 0.500 |  |  |"


def test_turns_and_ratios() -> None:
    calls: list[str] = []
    timed = timing.in_turns(lambda: calls.append("ours"), lambda: calls.append("peer"), 0.0)
    assert len(timed.ours) == len(timed.peer) == timing.LEAST_ROUNDS
    assert {"ours", "peer"} == set(calls)
    found = timing.ratio(timing.Timed([1.0, 2.0, 1.0], [3.0, 4.0, 1.0]))
    assert (found.median, found.low < 2.0, found.high > 2.0) == (2.0, True, True)
    assert timing.exponent([1.0, 2.0, 4.0], [3.0, 6.0, 12.0]) == pytest.approx(1.0)
    assert timing.exponent([1.0, 2.0, 4.0], [3.0, 12.0, 48.0]) == pytest.approx(2.0)


def test_a_size_of_the_scaling_is_measured_in_a_process_of_its_own() -> None:
    found = scaling._step(0.1, 4, 2, 1, 0)
    assert found["seconds"] > 0 and found["memory_mb"] >= 0
    sweep = scaling.Sweep("sources", (2.0, 4.0), (0.1, 0.3), (10.0, 20.0), 1.58, 1.0)
    assert sweep.lines()[-1] == "| exponent (goal: at most 1.05, missed) | 1.58 | 1.00 |"
