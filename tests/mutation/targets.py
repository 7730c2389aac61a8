"""Which modules are mutated, and which tests judge each of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

LADDER = tuple(f"tests/contract/test_{name}.py" for name in ("ladder", "doors", "rounding", "truncation", "edges"))
METRIC_TESTS = (
    "test_si_sdr",
    "test_si_sdr_edges",
    "test_conventions",
    "test_si_sir",
    "test_snr",
    "test_bss_eval",
    "test_bss_eval_parts",
    "test_signals",
    "test_permutation",
    "test_permutation_errors",
)
FOLDERS = ("refbss/ops", "refbss/losses", "refbss/priors")
METRICS = tuple(
    f"refbss/evaluation/{name}.py"
    for name in ("signals", "si_sdr", "conventions", "si_sir", "snr", "projection", "bss_eval", "permutation")
)
SHARED = {
    "refbss/losses/fisher.py": ("fisher", "gaussian", "laplace", "power", "student"),
    "refbss/losses/_broadcast.py": ("gaussian_kl", "fisher"),
    "refbss/losses/_constants.py": (
        "si_sdr",
        "silent",
        "mixture_consistency",
        "softmax_permutation",
        "utterance_similarity",
    ),
}
"""Helpers, and the operators that are judged instead; what a module is judged by beside its own operator."""
LEFT_OUT = ("test_worst_gradient_errors", "test_no_gradients_unless_asked_for")
"""Tests that go through all operators: others judge the same of each."""


class Target(NamedTuple):
    """A module, the operators that it makes, and what judges it: files or folders of tests, in stages.

    A mutant climbs the next stage only if it survived the one before: most die in the first.
    """

    file: str
    operators: frozenset[str]
    stages: tuple[tuple[str, ...], ...]

    @property
    def module(self) -> str:
        """The dotted name."""
        return self.file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def targets(root: Path) -> list[Target]:
    """Every module of the law and the metrics."""
    files = [path.relative_to(root).as_posix() for name in FOLDERS for path in sorted((root / name).glob("*.py"))]
    return [target(root, file) for file in (*files, *METRICS)]


def target(root: Path, file: str) -> Target:
    """One module and its judges."""
    stem, folder = Path(file).stem, Path(file).parent.name
    operators = set(SHARED.get(file, ())) or _operators(root / file)
    first, later = list(LADDER), ["tests/golden/test_agreement.py"]
    if folder == "priors":
        operators = {"fisher", stem, f"prior_{stem}"}
        later.append("tests/priors")
    elif folder == "losses":
        later.append("tests/losses")
    elif folder == "evaluation":
        first, later = [f"tests/evaluation/{name}.py" for name in METRIC_TESTS], []
    later += _of_the_same_equations(root, root / file)
    stages = (tuple(name for name in stage if (root / name).exists()) for stage in (first, later))
    return Target(file, frozenset(operators), tuple(stage for stage in stages if stage))


def _of_the_same_equations(root: Path, path: Path) -> list[str]:
    """Files of tests/math that work out equations which the module has, by the part of a tag before the dot."""
    families = set(re.findall(r"\((\w+)\.\d+\)", path.read_text("utf-8")))
    tests = sorted((root / "tests/math").glob("test_*.py"))
    named = {test: set(re.findall(r"\"(\w+)\.\d+\"", test.read_text("utf-8"))) for test in tests}
    return [test.relative_to(root).as_posix() for test in tests if named[test] & families]


def _operators(path: Path) -> set[str]:
    """Names of the operators whose forward pass a module defines."""
    names = [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    return {name.removesuffix("_forward") for name in names if name.endswith("_forward") and name[0] != "_"}


def belongs(name: str, parameters: dict[str, object], operators: frozenset[str]) -> bool:
    """Whether a test concerns one of the operators: it is not parametrised by operator, or by one of these.

    A parameter names an operator if it is the name, has it as ``name``, or is a vector of it. The fast engine is judged
    elsewhere.
    """
    texts = {value for value in parameters.values() if isinstance(value, str)}
    if name.partition("[")[0] in LEFT_OUT or "fast" in texts:
        return False
    named = {text for value in parameters.values() for text in _names(value)}
    return not named or bool(named & operators)


def _names(value: object) -> list[str]:
    texts = [text for text in (value, getattr(value, "name", None)) if isinstance(text, str) and text in KNOWN]
    return [*texts, *([value.op] if hasattr(value, "op") else [])]


KNOWN: set[str] = set()
"""Names of all operators and families, filled by ``learn``."""


def learn(found: list[Target]) -> None:
    """Take note of all operators, so that a parameter can be told from another text."""
    KNOWN.update(name for one in found for name in one.operators)
