"""Implementations that are wrong on purpose: each is told by name what its mistake is."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refbss.conformance.judge import judge
from refbss.conformance.report import explained
from refbss.conformance.targets import implementation
from refbss.conformance.vectors import Library

SAMPLES = Path(__file__).parent / "samples"
GRADIENTS = {
    "softmax_assignment__assignment_held_constant",
    "lstm__gradient_not_through_gates",
    "lstm__gradient_not_through_cells",
}
"""Mistakes that show in the gradients alone."""


def mistaken(framework: str) -> dict[str, Callable[..., Any]]:
    """The functions of one file of samples, by name. Empty where the framework is not there."""
    if importlib.util.find_spec(framework) is None:
        return {}
    path = SAMPLES / f"mistaken_{framework}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: found for name, found in inspect.getmembers(module, inspect.isfunction) if "__" in name}


WRONG = [
    pytest.param(framework, name, function, id=f"{framework}-{name}")
    for framework in ("numpy", "torch")
    for name, function in mistaken(framework).items()
]


@pytest.mark.parametrize(("framework", "name", "function"), WRONG)
def test_the_mistake_is_named(
    framework: str, name: str, function: Callable[..., Any], library: Library, figures: dict[str, str]
) -> None:
    op, _, mistake = name.partition("__")
    mistake = mistake.replace("_", "-")
    grads = name in GRADIENTS
    found = implementation(function, framework, ops=[op])
    verdicts = [judge(library.load(case), found, "float32", grads) for case in library.find(f"{op}/")]
    failing = [verdict for verdict in verdicts if verdict.valid and not verdict.passed]
    seen = [verdict for verdict in failing if mistake in verdict.stored]
    named = [verdict.case for verdict in seen if mistake in {hint.name for hint in verdict.hints}]
    assert seen and named == [verdict.case for verdict in seen], [str(verdict) for verdict in failing]
    reasons = {reason.name: reason for reason in explained(verdicts)}
    first = {hint.name for verdict in failing for hint in verdict.hints[:1]}
    assert mistake in reasons or (len(seen) == 1 and mistake in first), reasons
    figures[f"mistake named, {op}"] = ", ".join(
        filter(None, [figures.get(f"mistake named, {op}", ""), f"{mistake} ({len(named)} of {len(failing)} cases)"])
    )


def test_there_are_enough_and_each_is_a_mistake_that_is_stored(library: Library) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(SAMPLES.glob("mistaken_*.py"))]
    found = [match for text in texts for match in re.findall(r"^def (\w+?)__(\w+)\(", text, re.MULTILINE)]
    stored = {(vector.op, wrong.name) for vector in library.load_all() for wrong in vector.mistakes}
    assert len(found) >= 24
    assert {(op, mistake.replace("_", "-")) for op, mistake in found} <= stored
