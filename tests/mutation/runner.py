"""Runs the tests of a module on its mutants, each in a process of its own.

The parent imports the libraries but no module of refbss. For every mutant it forks a child, which hands out the
mutant's code when the module is imported and runs the module's tests until one fails. Kernels run as the Python one
reads, BLAS keeps to one thread, and hypothesis draws the same examples in every run.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

os.environ.update(NUMBA_DISABLE_JIT="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import hypothesis
import hypothesis.extra.numpy
import mpmath  # noqa: F401
import numba  # noqa: F401
import numpy as np  # noqa: F401
import pytest
import safetensors.numpy  # noqa: F401
import scipy.optimize
import scipy.signal
import scipy.special  # noqa: F401
from targets import Target, belongs

ROOT = Path(__file__).resolve().parents[2]
SLOWER, SPARE_S = 5.0, 10.0
"""A mutant may take so many times the processor time of the sound module's tests, and so many seconds more."""
OPTIONS = (
    "-x",
    "-q",
    "--assert=plain",
    *(f"-pno:{name}" for name in ("cacheprovider", "xdist", "hypothesispytest", "refbss")),
)
"""Assertions stay as they are written: pytest would load the modules of a package that has a plugin by itself."""
READ = ("refbss", "golden", "tests", "docs")
MEMORY = 8 << 30
"""Bytes of address space that a mutant may have."""
hypothesis.settings.register_profile("mutation", derandomize=True, database=None, deadline=None)


class Outcome(NamedTuple):
    """What became of a mutant: "survived", "killed" or "timeout"; the test that killed it; processor seconds.

    ``durations``: seconds of every test that ran, by its id.
    """

    status: str
    test: str
    seconds: float
    durations: dict[str, float]


class RunnerError(Exception):
    """The tests could not be run at all."""


class _Loader(SourceFileLoader):
    """Loads a module from code that is given instead of from its file."""

    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.code


class Replaced(MetaPathFinder):
    """Finds one module and hands out other code for it."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self.module, self.path, self.code = module, path, code

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        """The module's spec, None for every other module."""
        if fullname != self.module:
            return None
        loader = _Loader(fullname, str(self.path))
        loader.code = self.code
        folders = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return spec_from_file_location(fullname, self.path, loader=loader, submodule_search_locations=folders)


class Watch:
    """A pytest plugin: keeps the tests of some operators, quick ones first, and notes the first that fails."""

    def __init__(self, operators: frozenset[str], known: dict[str, float]) -> None:
        self.operators, self.known, self.failed = operators, known, ""
        self.durations: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what concerns other operators; sort by what the tests took before, in hundredths of a second."""
        kept = [item for item in items if belongs(item.name, _parameters(item), self.operators)]
        items[:] = sorted(kept, key=lambda item: round(100.0 * self.known.get(item.nodeid, 0.0)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be imported."""
        if report.failed:
            self.failed = self.failed or f"import of {report.nodeid}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what a test takes, and that it fails."""
        self.durations[report.nodeid] = self.durations.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid


def _parameters(item: pytest.Item) -> dict[str, object]:
    called = getattr(item, "callspec", None)
    return called.params if called else {}


def run_tests(target: Target, code: CodeType | None, known: dict[str, float]) -> Outcome:
    """In a child: run the target's tests on a mutant, or without one. The status is "error" where that cannot be."""
    hypothesis.settings.load_profile("mutation")
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    if code is not None:
        sys.meta_path.insert(0, Replaced(target.module, ROOT / target.file, code))
    durations: dict[str, float] = {}
    for stage in target.stages:
        watch = Watch(target.operators, known)
        ended = pytest.main([*OPTIONS, *stage], plugins=[watch])
        if watch.failed:
            return Outcome("killed", watch.failed, 0.0, {})
        if ended not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return Outcome("error", f"pytest ended with {ended!r} in {', '.join(stage)}", 0.0, {})
        durations |= watch.durations
    if not durations:
        return Outcome("error", f"no test concerns {target.file}", 0.0, {})
    if code is not None and not isinstance(getattr(sys.modules.get(target.module), "__loader__", None), _Loader):
        return Outcome("error", f"the tests of {target.file} did not load the mutant", 0.0, {})
    return Outcome("survived", f"{len(durations)} tests", 0.0, durations if code is None else {})


class Child:
    """A process that runs the tests on one mutant."""

    def __init__(self, target: Target, code: CodeType | None, limit_s: float, known: dict[str, float]) -> None:
        self.deadline = time.monotonic() + 20.0 * (limit_s + 1.0)
        self.read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.read)
            _work(target, code, limit_s, known, write)
        os.close(write)

    def outcome(self) -> Outcome:
        """Wait for the end; called when the pipe is ready or the deadline has passed. Raises RunnerError."""
        if time.monotonic() > self.deadline:
            os.kill(self.pid, signal.SIGKILL)
        parts = []
        while part := os.read(self.read, 65536):
            parts.append(part)
        os.close(self.read)
        _, state, usage = os.wait4(self.pid, 0)
        seconds = usage.ru_utime + usage.ru_stime
        if os.WIFSIGNALED(state):
            late = os.WTERMSIG(state) in (signal.SIGXCPU, signal.SIGKILL)
            return Outcome("timeout" if late else "killed", f"signal {os.WTERMSIG(state)}", seconds, {})
        found = Outcome(*json.loads(b"".join(parts)))
        if found.status not in ("survived", "killed"):
            raise RunnerError(found.test)
        return found._replace(seconds=seconds)


def _work(target: Target, code: CodeType | None, limit_s: float, known: dict[str, float], pipe: int) -> None:
    """The child's life: limits, no output, the tests, one message, the end."""
    found = Outcome("error", "the child could not start", 0.0, {})
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s) + 1, int(limit_s) + 2))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        found = run_tests(target, code, known)
    except BaseException as error:
        found = Outcome("killed", f"{type(error).__name__} outside a test", 0.0, {})
    finally:
        message = json.dumps(found).encode()
        while message:
            message = message[os.write(pipe, message) :]
        os._exit(0)


def fingerprint() -> frozenset[tuple[str, int, int]]:
    """Every file that the tests may read, with its size and the time when it was written."""
    files = [path for name in READ for path in (ROOT / name).rglob("*") if "__pycache__" not in path.parts]
    states = [(path, path.stat()) for path in files if path.is_file()]
    return frozenset((str(path), state.st_size, state.st_mtime_ns) for path, state in states)


def baseline(target: Target) -> Outcome:
    """Run the tests on the module as it is. Raises RunnerError if one fails."""
    if any(name.partition(".")[0] == "refbss" for name in sys.modules):
        raise RunnerError("refbss is imported already: a mutant would not be seen")
    found = Child(target, None, 600.0, {}).outcome()
    if found.status != "survived":
        raise RunnerError(f"{target.file}: without a mutant, {found.test} fails")
    return found


def run(target: Target, codes: Sequence[CodeType], jobs: int, sound: Outcome) -> Iterator[tuple[int, Outcome]]:
    """Judge mutants, ``jobs`` at a time; ``sound`` is the baseline.

    Yields the number of the mutant and what became of it, in the order in which they end.
    """
    limit_s = SLOWER * sound.seconds + SPARE_S
    waiting = list(enumerate(codes))[::-1]
    running: dict[int, tuple[int, Child]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, code = waiting.pop()
                child = Child(target, code, limit_s, sound.durations)
                running[child.read] = (number, child)
            ready, _, _ = select.select(list(running), [], [], 1.0)
            late = [pipe for pipe, (_, child) in running.items() if time.monotonic() > child.deadline]
            for pipe in {*ready, *late}:
                number, child = running.pop(pipe)
                yield number, child.outcome()
    finally:
        for _, child in running.values():
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
