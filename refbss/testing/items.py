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
    """A module of adapters."""

    def __init__(self, *, questions: list[Questions], **more: Any) -> None:
        super().__init__(**more)
        self.questions = questions

    def collect(self) -> Iterator[CaseItem]:
        """A test for every case and dtype."""
        for questions in self.questions:
            for case, dtype in questions.asked:
                yield CaseItem.from_parent(self, name=f"{case}-{dtype}", questions=questions, case=case, dtype=dtype)


def collected(session: pytest.Session, module: str) -> list[CaseItem]:
    """The tests of one module. Raises pytest.UsageError where it cannot be imported or has nothing to test."""
    option = session.config.getoption
    try:
        questions = adapters(
            module, option("--refbss-framework"), dtype=option("--refbss-dtype"), grads=option("--refbss-grads")
        )
    except InputError as error:
        raise pytest.UsageError(f"--refbss {error}") from None
    path = Path(module) if module.endswith(".py") else Path(str(sys.modules[module].__file__))
    node = Adapters.from_parent(session, path=path.resolve(), questions=questions)
    tests = list(node.collect())
    report = pytest.CollectReport(node.nodeid, "passed", None, list(tests))  # so that they are counted
    node.ihook.pytest_collectreport(report=report)
    return tests
