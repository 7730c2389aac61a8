"""The ledger: for every equation its page, its lines of code, its tests and its golden vectors.

``build`` reads a checkout. What it finds is shipped as ledger.json, so that ``refbss explain`` works without one.
"""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

from refbss._checks import InputError
from refbss.audit.pages import Page, read_page
from refbss.audit.source import PACKAGE, Source, read_source

FORMAT = "refbss-ledger/1"
Symbols = Mapping[str, Mapping[str, str]]
MADE_OF = {
    "model": (
        "conv1d prelu layer_norm gru memory separator memory_separator sigmoid reparameterise conv_transpose1d".split()
    ),
    "objective": "si_sdr silent assignment kl fisher softplus softmax_permutation mixture".split(),
}
"""Operators of the golden vectors that put others together, and the pages of those; docs/lvbd.md describes them."""


@dataclass(frozen=True)
class Place:
    """A statement of the code: file and first line, the function it is in, and its text on one line."""

    file: str
    line: int
    function: str
    text: str


@dataclass(frozen=True)
class MarkedTest:
    """A test function, and the line of its name."""

    file: str
    line: int
    name: str

    @property
    def id(self) -> str:
        """What pytest takes."""
        return f"{self.file}::{self.name}"


@dataclass(frozen=True)
class Entry:
    """What is known of one equation; what is missing is empty."""

    tag: str
    page: str
    """File of docs/math, without .md."""
    plain: str
    """As the docstring says it."""
    latex: str
    origin: str
    """paper, std or ours."""
    says: str
    code: tuple[Place, ...]
    tests: tuple[MarkedTest, ...]
    golden: tuple[str, ...]
    """Ids of the valid golden cases that name the equation."""
    examples: tuple[str, ...]
    """Worked examples that execute it."""

    @property
    def home(self) -> str:
        """The page that has it, or should."""
        return self.page or self.tag.split(".")[0]


@dataclass(frozen=True)
class Ledger:
    """Every equation by its tag, and the symbols of every page by the name in the code."""

    entries: Mapping[str, Entry]
    symbols: Mapping[str, Mapping[str, str]]

    def find(self, name: str) -> list[Entry]:
        """Entries of a tag, of a page or of an operator such as ``pit``. Raises InputError on an unknown name."""
        from refbss.audit.examples import load

        wanted = name.strip("()")
        if wanted in self.entries:
            return [self.entries[wanted]]
        entries = self.entries.values()
        found = [entry for entry in entries if wanted in (entry.home, entry.tag.split(".")[0])]
        operators = {example.op: example.page for example in load().values()}
        if not found:  # what the operator executes of its own page
            found = [
                entry
                for entry in entries
                if entry.home == operators.get(wanted)
                and wanted in {example.split("/")[0] for example in entry.examples}
            ]
        if not found:  # one that has no page: what its golden vectors pin
            found = [entry for entry in entries if any(case.split("/")[0] == wanted for case in entry.golden)]
        if not found:
            homes = sorted({entry.home for entry in entries})
            near = get_close_matches(wanted, [*self.entries, *homes, *operators], n=1)
            hint = (
                f", did you mean {near[0]}?" if near else f", wanted a tag such as gru.4 or one of {', '.join(homes)}"
            )
            raise InputError(f"explain: there is no equation {name!r}{hint}")
        return found


@dataclass(frozen=True)
class Scan:
    """A checkout as it was read: the ledger, and what it was made of."""

    ledger: Ledger
    pages: Mapping[str, Page]
    problems: tuple[str, ...]
    """What is wrong with the form of a file: page, docstring or comment."""


def checkout() -> Path | None:
    """The root of the checkout that this package runs from, or None where it is installed without one."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "docs" / "math").is_dir() else None


def build(root: Path) -> Scan:
    """Read docs/math, refbss, tests and golden below ``root``; run every worked example."""
    pages = read_pages(root)
    sources = [read_source(path, root) for path in sorted((root / "refbss").rglob("*.py"))]
    problems = [problem for page in pages.values() for problem in page.problems]
    problems += [problem for source in sources for problem in source.problems]
    equations = {equation.tag: (page, equation) for page in pages.values() for equation in page.equations}
    problems += [
        f"docs/math/{page.name}.md:{equation.line}: ({equation.tag}) is on page {equations[equation.tag][0].name} too"
        for page in pages.values()
        for equation in page.equations
        if equations[equation.tag][0] is not page
    ]
    code, plain = _code(sources), {tag: text for source in sources for tag, (_, text) in source.equations.items()}
    tests, golden, examples = _tests(root), _golden(root), _examples()
    entries = {}
    for tag in sorted({*equations, *code, *plain, *tests, *golden}, key=_order):
        page, equation = equations.get(tag, (None, None))
        entries[tag] = Entry(
            tag,
            page.name if page else "",
            plain.get(tag, ""),
            equation.latex if equation else "",
            equation.origin if equation else "",
            equation.says if equation else "",
            tuple(code.get(tag, ())),
            tuple(tests.get(tag, ())),
            tuple(golden.get(tag, ())),
            tuple(examples.get(tag, ())),
        )
    symbols = {name: dict(page.symbols) for name, page in pages.items()}
    return Scan(Ledger(entries, symbols), pages, tuple(problems))


def read_pages(root: Path) -> dict[str, Page]:
    """Every page of docs/math by its name."""
    return {path.stem: read_page(path) for path in sorted((root / "docs" / "math").glob("*.md"))}


WANTED = {
    "display in docs/math": "latex",
    "line of a docstring": "plain",
    "statement in refbss": "code",
    "test with its marker": "tests",
    "valid golden vector": "golden",
    "worked example that executes it": "examples",
}
"""What every equation has, and where its entry says so."""


def lacks(entry: Entry) -> list[str]:
    """What is missing of an equation."""
    return [f"({entry.tag}) has no {what}" for what, name in WANTED.items() if not getattr(entry, name)]


def symbols() -> tuple[Symbols, Symbols]:
    """For every tag and for every page the symbols: from docs/math in a checkout, else from the shipped ledger."""
    root = checkout()
    if root is None:
        ledger = shipped()
        return {tag: ledger.symbols.get(entry.page, {}) for tag, entry in ledger.entries.items()}, ledger.symbols
    pages = read_pages(root)
    return by_tag(pages), {name: page.symbols for name, page in pages.items()}


def by_tag(pages: Mapping[str, Page]) -> Symbols:
    """For every tag the symbols of its page."""
    return {equation.tag: page.symbols for page in pages.values() for equation in page.equations}


@cache
def shipped() -> Ledger:
    """The ledger that is part of the package."""
    return from_json(files("refbss.audit").joinpath("ledger.json").read_text(encoding="utf-8"))


def to_json(ledger: Ledger) -> str:
    """The text of ledger.json."""
    document = {
        "format": FORMAT,
        "equations": {tag: asdict(entry) for tag, entry in ledger.entries.items()},
        "symbols": ledger.symbols,
    }
    return json.dumps(document, indent=1) + "\n"


def from_json(text: str) -> Ledger:
    """Read the text of ledger.json."""
    document = json.loads(text)
    entries = {}
    for tag, found in document["equations"].items():
        parts = {name: tuple(found[name]) for name in ("golden", "examples")}
        code, tests = (Place(**place) for place in found["code"]), (MarkedTest(**test) for test in found["tests"])
        entries[tag] = Entry(**{**found, **parts, "code": tuple(code), "tests": tuple(tests)})
    return Ledger(entries, document["symbols"])


def _order(tag: str) -> tuple[str, int]:
    family, _, number = tag.partition(".")
    return family, int(number)


def _code(sources: list[Source]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = defaultdict(list)
    for source in sources:
        for statement in source.ordered:
            for tag in statement.tags:
                found[tag].append(Place(statement.file, statement.first, statement.function, statement.text))
    return found


def _tests(root: Path) -> dict[str, list[MarkedTest]]:
    """Test functions by the tags in their marker ``@pytest.mark.equation("gru.4", ..)``."""
    found: dict[str, list[MarkedTest]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        functions = ast.parse(text).body if "mark.equation" in text else []
        for function in functions:
            if isinstance(function, ast.FunctionDef):
                test = MarkedTest(path.relative_to(root).as_posix(), function.lineno, function.name)
                for mark in function.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
                        for tag in mark.args:
                            found[ast.literal_eval(tag)].append(test)
    return found


def _golden(root: Path) -> dict[str, list[str]]:
    """Ids of the valid golden cases by the equations that they name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "golden").glob("*/*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        if case.get("result") == "valid":
            for tag in case["equations"]:
                found[tag].append(case["id"])
    return found


def _examples() -> dict[str, list[str]]:
    from refbss.audit.examples import load
    from refbss.audit.trace import trace

    found: dict[str, list[str]] = defaultdict(list)
    for name, example in load().items():
        for tag in dict.fromkeys(step.tag for step in trace(example).steps):
            found[tag].append(name)
    return found
