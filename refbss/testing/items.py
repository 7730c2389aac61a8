"""The tests that ``pytest --refbss`` adds: one for every case and dtype, below the module of the adapters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refbss._checks import InputError
from refbss.testing.cases import Questions, adapters


class CaseItem(pytest.Item):
    """One golden case in one dtype."""

    def __init__(self, *, questions: Questions, case: str, dtype: str, **more: Any) -> None:
        super().__init__(**more)
        self.questions = questions
        self.case = case
        self.dtype = dtype
        self.add_marker("refbss")

    def runtest(self) -> None:
        """Judge the case."""
        problem = self.questions.problem(self.case, self.dtype)
        if problem:
            pytest.fail(problem, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where reports say that the test is: in the module of the adapters."""
        return self.path, None, self.name


class Adapters(pytest.File):
    """A module of adapters, by the name that ``--refbss`` has for it."""

    def __init__(self, *, module: str, **more: Any) -> None:
        super().__init__(**more)
        self.module = module

    def collect(self) -> Iterator[CaseItem]:
        """A test for every case and dtype. Raises pytest.UsageError where the module will not do."""
        for questions in _questions(self.config, self.module):
            for case, dtype in questions.asked:
                yield CaseItem.from_parent(self, name=f"{case}-{dtype}", questions=questions, case=case, dtype=dtype)


def _questions(config: pytest.Config, module: str) -> list[Questions]:
    """Raises pytest.UsageError where a module cannot be imported or has nothing to test."""
    option = config.getoption
    try:
        return adapters(
            module, option("--refbss-framework"), dtype=option("--refbss-dtype"), grads=option("--refbss-grads")
        )
    except InputError as error:
        raise pytest.UsageError(f"--refbss {error}") from None


def named(parent: pytest.Collector, path: Path) -> Adapters | None:
    """The collector of a file on the command line that ``--refbss`` names too, so that it may be ``file.py::case``."""
    for module in parent.config.getoption("--refbss"):
        tail = module if module.endswith(".py") else module.replace(".", "/") + ".py"
        if parent.session.isinitpath(path) and (Path(tail).resolve() == path or path.as_posix().endswith(f"/{tail}")):
            return Adapters.from_parent(parent, path=path, module=module)
    return None


def collected(session: pytest.Session, module: str) -> list[CaseItem]:
    """The tests of one module. Raises pytest.UsageError where it cannot be imported or has nothing to test."""
    _questions(session.config, module)  # imports it, or says why not
    path = Path(module) if module.endswith(".py") else Path(str(sys.modules[module].__file__))
    node = Adapters.from_parent(session, path=path.resolve(), module=module)
    tests = list(node.collect())
    report = pytest.CollectReport(node.nodeid, "passed", None, list(tests))  # so that they are counted
    node.ihook.pytest_collectreport(report=report)
    return tests
