"""The pytest plugin: ``pytest --refbss mypkg.adapters`` adds a test for every golden case that the module answers.

pytest loads this module in every run of an environment that has refbss, so it imports nothing of weight before
``--refbss`` is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from refbss.testing.items import Adapters


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    group = parser.getgroup("refbss", "golden vectors of refbss")
    group.addoption(
        "--refbss",
        metavar="MODULE",
        action="append",
        help="Test the callables of MODULE (or file.py) that are named after operators, or that its dict "
        "IMPLEMENTATIONS holds, by the golden vectors. Repeatable.",
    )
    group.addoption(
        "--refbss-framework",
        choices=["numpy", "torch", "jax"],
        help="Arrays that they take. Default: torch for a torch.nn.Module, else numpy.",
    )
    group.addoption(
        "--refbss-dtype", choices=["float32", "float64", "both"], default="float32", help="What to compute in."
    )
    group.addoption("--refbss-grads", action="store_true", help="Judge the gradients too.")


def pytest_configure(config: pytest.Config) -> None:
    """Every test that the plugin adds has a mark, so that ``-m refbss`` runs them alone."""
    config.addinivalue_line("markers", "refbss: a golden case of refbss, added by --refbss")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Adapters | None:
    """A module of adapters on the command line: ``adapters.py::tanh/plain-float32``, as reports name a test."""
    if not parent.config.getoption("--refbss"):
        return None
    from refbss.testing.items import named

    return named(parent, file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the tests, before other plugins choose among them; of a module on the command line they are there."""
    modules = config.getoption("--refbss")
    if modules:
        from refbss.testing.items import Adapters, collected

        there = {item.parent.module for item in items if isinstance(item.parent, Adapters)}
        for module in modules:
            if module not in there:
                items.extend(collected(session, module))
