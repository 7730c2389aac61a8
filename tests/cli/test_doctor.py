"""refbss doctor: what it prints is what the machine has, and it names what costs speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refbss import machine

GOOD: dict[str, Any] = {
    "compiled": True,
    "optimization": 3,
    "kernels": {"folder": Path("/k"), "count": 9, "writable": True, "refused": ""},
    "vector_bits": 512,
    "processors": 4,
    "processors_of_the_machine": 4,
    "memory_gb": 8.0,
    "blas": [{"name": "openblas", "version": "1", "kernels": "SkylakeX", "threads": 4}],
}
HASWELL = [{"name": "openblas", "version": "1", "kernels": "Haswell", "threads": 4}]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        monkeypatch.delenv(name, raising=False)


def test_as_json(run: Callable[..., Any]) -> None:
    ran = run("doctor", "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert found["processors"] == machine.cpus() <= (os.cpu_count() or 1)
    assert found["vector_bits"] in (128, 256, 512)
    assert {peak["threads"] for peak in found["peaks"]} == {1, machine.cpus()}
    assert all(peak["fast"] > 1 and peak["blas"] > 1 for peak in found["peaks"])
    assert found["blas"] and all(library["threads"] >= 1 for library in found["blas"])
    assert Path(found["kernels"]["folder"]).name.startswith("shared-")
    assert found["kernels"]["count"] >= 1, "the peak has just compiled its kernel"


def test_as_lines(run: Callable[..., Any]) -> None:
    ran = run("doctor")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("refbss ") and "Numba" in lines[0]
    assert any(line.startswith("compiled kernels: ") for line in lines)
    assert any(line.startswith("peak on 1 thread: fast engine ") and "GFLOP/s" in line for line in lines)
    assert lines[-1].startswith("warning: ") or lines[-1] == "Nothing here costs speed."


def test_nothing_costs_speed() -> None:
    assert machine.costs(GOOD, machine.Peak(1, 200.0, 190.0)) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"compiled": False}, "NUMBA_DISABLE_JIT is set"),
        ({"optimization": 0}, "NUMBA_OPT is 0: kernels are compiled to run several times slower; unset it"),
        (
            {"kernels": {"folder": Path("/k"), "count": 0, "writable": False, "refused": "Not a directory"}},
            "/k cannot be written (Not a directory): kernels are compiled in every process; set NUMBA_CACHE_DIR",
        ),
        ({"kernels": {"folder": Path("/k"), "count": 0, "writable": True, "refused": ""}}, "no kernel is compiled yet"),
        ({"vector_bits": 128}, "no AVX"),
        ({"processors": 2}, "only 2 of 4 processors"),
        ({"memory_gb": 1.5}, "1.5 GB of memory are free"),
    ],
)
def test_what_costs_speed(changed: dict[str, Any], said: str) -> None:
    (warning,) = machine.costs(GOOD | changed)
    assert said in warning


def test_a_blas_with_old_kernels() -> None:
    slow = machine.Peak(1, 240.0, 100.0)
    (warning,) = machine.costs(GOOD | {"blas": HASWELL}, slow)
    assert "100 GFLOP/s" in warning and "OPENBLAS_CORETYPE=SKYLAKEX" in warning
    (warning,) = machine.costs(GOOD | {"blas": HASWELL, "vector_bits": 256}, slow)
    assert "CORETYPE" not in warning, "there are no wider vectors to use"
    assert machine.costs(GOOD | {"blas": HASWELL}, machine.Peak(1, 120.0, 100.0)) == []


def test_a_fast_engine_that_is_slow() -> None:
    (warning,) = machine.costs(GOOD, machine.Peak(1, 30.0, 190.0))
    assert "the fast engine multiplies at 30 GFLOP/s where NumPy's BLAS has 190" in warning and "remove /k" in warning
    assert machine.costs(GOOD, machine.Peak(1, 140.0, 190.0)) == []


def test_less_optimisation_is_seen_and_kept_apart(tmp_path: Path) -> None:
    code = "from refbss.machine import describe; d = describe(); print(d['optimization'], d['kernels']['folder'])"
    found = {}
    for level in ("0", "3"):
        around = {**os.environ, "NUMBA_OPT": level, "NUMBA_CACHE_DIR": str(tmp_path)}
        said = subprocess.run([sys.executable, "-c", code], env=around, capture_output=True, text=True, check=True)
        seen, found[level] = said.stdout.split()
        assert seen == level
    assert found["0"] == found["3"] + "-opt0", "what is compiled with less must not be loaded without NUMBA_OPT"


@pytest.mark.parametrize(("place", "said"), [("file", "Not a directory"), ("/dev/null/x", "Not a directory")])
def test_kernels_that_cannot_be_kept(place: str, said: str, tmp_path: Path) -> None:
    """The command goes on, and says that every process compiles, and why."""
    (tmp_path / "file").write_text("", encoding="ascii")
    around = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / place)}
    command = [sys.executable, "-m", "refbss_cli.main", "doctor"]
    done = subprocess.run(command, env=around, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f", which cannot be written ({said})\n" in done.stdout
    assert f"cannot be written ({said}): kernels are compiled in every process; set NUMBA_CACHE_DIR" in done.stdout
    assert "GFLOP/s" in done.stdout, "kernels run all the same"


def test_another_processor_for_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    (warning,) = machine.costs(GOOD)
    assert "NUMBA_CPU_NAME" in warning


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes have no affinity here")
def test_processors_are_those_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert machine.cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)
