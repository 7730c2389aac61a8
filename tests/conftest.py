"""Figures that tests measure, printed after the run: the numbers that go into reports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

FIGURES = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the figures."""
    config.stash[FIGURES] = {}


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """A dict of name -> text; whatever a test stores is printed in the summary."""
    yield request.config.stash[FIGURES]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures, one line each."""
    measured = config.stash[FIGURES]
    if measured:
        terminalreporter.section("measured figures")
        for name, text in measured.items():
            terminalreporter.write_line(f"{name}: {text}")
