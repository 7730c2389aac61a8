"""The processes of a benchmark: where they import from, how they answer, and what is told of their end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import refbss
from refbss.bench import process, scaling, suite
from refbss.bench.process import BenchError, answer, cause, environment
from refbss.bench.worker import Job

HOME = Path(refbss.__file__).resolve().parents[1]
FISHER = Job("", 1, ("fisher, student, weighted",), (), "lvbd-tiny", 0.0, 0)


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory whose modules have the names of ours and of what we use."""
    for name in ("numba.py", "z3.py", "json.py", "refbss/__init__.py", "refbss_cli/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('imported from the current directory')\n", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_worker_imports_nothing_of_the_current_directory(strange: Path) -> None:
    session = suite.run_job(FISHER, lambda _: None)
    assert len(session.results) == 2


def test_nor_does_the_scaling(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SWEEPS", {"seconds of a mixture": (0.1, 0.2)})
    (sweep,) = scaling.scale(1, 0, lambda _: None)
    assert len(sweep.seconds) == 2 and min(sweep.seconds) > 0


def test_nor_does_a_cold_start(strange: Path) -> None:
    starts = suite.cold_starts(["json", "json-compiled"])
    assert [next(starts).name for _ in range(2)] == ["import refbss", "import json"]
    assert next(starts).name == "refbss separate of 10 s, the first ever", "a module is imported once"
    starts.close()


def test_a_tree_that_is_not_installed_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(HOME), "somewhere"])
    around = environment()
    assert around["PYTHONPATH"].split(os.pathsep) == [str(HOME), str(tmp_path)]
    code = "import refbss, sys; print(refbss.__file__); print('' in sys.path, sys.path[0])"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, env=around, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [refbss.__file__, f"False {HOME}"]
    monkeypatch.setattr(sys, "path", ["somewhere"])
    assert environment(MORE="x")["PYTHONPATH"] == str(tmp_path) and environment(MORE="x")["MORE"] == "x"
    monkeypatch.setattr(sys, "path", [str(HOME)])
    monkeypatch.setattr(process.site, "getsitepackages", lambda: [str(HOME)])
    assert environment()["PYTHONPATH"] == str(tmp_path), "what is installed is found anyway"


def test_what_else_is_printed_does_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DEBUG_CACHE", "1")
    assert len(suite.run_job(FISHER, lambda _: None).results) == 2


SHOUTS = """
import os, sys
from refbss.bench.process import results_stream
out = results_stream()
print("from Python")
os.system("echo from a process")
os.write(1, b"from C\\n")
print("result", file=out, flush=True)
"""


def test_stdout_is_for_results_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SHOUTS], capture_output=True, text=True, check=True)
    assert done.stdout == "result\n"
    assert sorted(done.stderr.splitlines()) == ["from C", "from Python", "from a process"]


@pytest.mark.parametrize("line", ["hello", "3", "{", "", "{'peak': 1}", "x" * 1000])
def test_a_line_that_is_no_result(line: str) -> None:
    with pytest.raises(BenchError, match=r"^the worker wrote ['\"].*, wanted a line of results$") as caught:
        answer(line, "the worker")
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("print('hello')", "the worker for refbss wrote 'hello', wanted a line of results"),
        ("print('{}')", "the worker for refbss wrote '{}', wanted a line of results"),
        ("import sys; sys.exit(3)", "the worker for refbss stopped: it said nothing, exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "the worker for refbss stopped: signal 9 ended it"),
        (
            "import os; os.close(0); import no_such_module",
            "stopped: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ('print(\'{"peak": {}, "peer": ""}\'); 1 / 0', "stopped: ZeroDivisionError: division by zero"),
        ("", "the worker for refbss stopped: it said nothing, exit code 0"),
    ],
)
def test_a_worker_that_answers_otherwise(written: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "command", lambda module: [sys.executable, "-c", written])
    with pytest.raises(BenchError) as caught:
        suite.run_job(FISHER, lambda _: None)
    assert str(caught.value).endswith(said) and "\n" not in str(caught.value)


TORCH = """Traceback (most recent call last):
  File "worker.py", line 1, in <module>
    raise Exception("x")
torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++ compiler found

Set TORCHDYNAMO_VERBOSE=1 for the internal stack trace

"""


@pytest.mark.parametrize(
    ("errors", "code", "said"),
    [
        (TORCH, 1, "torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++ compiler found"),
        ("ValueError: first\n\nDuring handling\n\nKeyError: 'second'\n", 1, "KeyError: 'second'"),
        ("MemoryError\nbye\n", 1, "MemoryError"),
        ("refbss: error: mix.wav: No such file or directory\n", 1, "refbss: error: mix.wav: No such file or directory"),
        ("SomeErrors: no\nlast\n", 1, "last"),
        ("", -11, "signal 11 ended it"),
    ],
)
def test_what_a_process_died_of(errors: str, code: int, said: str) -> None:
    assert cause(errors, code) == said


def test_a_cold_start_that_fails_is_told_in_a_line() -> None:
    starts = suite.cold_starts(["no_such_module"])
    next(starts)
    with pytest.raises(BenchError) as caught:
        next(starts)
    assert str(caught.value) == "import no_such_module: ModuleNotFoundError: No module named 'no_such_module'"


def test_a_size_of_the_scaling_that_fails_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SWEEPS", {"seconds of a mixture": (-1.0,)})
    with pytest.raises(BenchError, match=r"^a step with seconds of a mixture = -1: [a-zA-Z._]*Error: .*wanted"):
        list(scaling.scale(1, 0, lambda _: None))


def test_results_are_plain_json() -> None:
    assert answer(json.dumps({"peak": 1.0}), "the worker") == {"peak": 1.0}
