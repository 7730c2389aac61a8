"""The registry is complete, and no oracle calls what it judges."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import refbss.losses
import refbss.ops
from refbss.verification.registry import MODULES, SPECS


def public_functions(suffix: str) -> dict[str, object]:
    """Functions of refbss.ops and refbss.losses whose name ends so, by the name before the ending."""
    found: dict[str, object] = {}
    for package in (refbss.ops, refbss.losses):
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name, value in vars(module).items():
                own = getattr(value, "__module__", "") == module.__name__
                if own and name.endswith(suffix) and not name.startswith("_"):
                    found[name.removesuffix(suffix)] = value
    return found


def test_every_function_has_a_spec() -> None:
    assert set(public_functions("_forward")) == set(SPECS)
    assert set(public_functions("_backward")) == set(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_spec_judges_the_function_of_its_name(name: str) -> None:
    spec = SPECS[name]
    assert spec.forward is public_functions("_forward")[name]
    assert spec.backward is public_functions("_backward")[name]
    parameters = inspect.signature(spec.forward).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert list(spec.draw(spec.cases[0], 0, "float64")) == positional
    assert set(spec.differentiable) <= set(positional)
    assert len(inspect.signature(spec.backward).parameters) == len(spec.pulled) + 1
    assert spec.faults and spec.cases
    assert len({case.name for case in spec.cases}) == len(spec.cases)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.SPEC.name)
def test_oracle_shares_no_line_with_the_code_under_test(module: object) -> None:
    tree = ast.parse(Path(str(inspect.getfile(module))).read_text(encoding="utf-8"))  # type: ignore[arg-type]
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module is not None]
    judged = {
        alias.asname or alias.name
        for node in imported
        if str(node.module).startswith(("refbss.ops", "refbss.losses", "refbss.priors"))
        for alias in node.names
    }
    assert len(judged) == 2, judged
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        assert not used & judged, f"{function.name} uses {used & judged}"
