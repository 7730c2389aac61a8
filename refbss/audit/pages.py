"""Equation tags in docs/math: displays, where each statement comes from, symbols, and the worked examples.

The form of a page, which :func:`read_page` checks:

- A tagged equation is a display of its own, a code block marked ``math``, with one ``\\tag{gru.4}`` and no line break;
  an underscore of a tag is written ``\\_``. The next line that is not blank begins with ``[paper]``, ``[std]`` or
  ``[ours]`` and says where the equation is from.
- ``| symbol | code | shape | unit | meaning |`` begins a table of symbols. The first ``$..$`` of a row is the symbol;
  the code cell holds the names of the code in backticks: a variable, a target as written such as ``dgate[j]``, a
  function for what it returns, or ``function.variable`` where a name means different things in two functions;
  ``gru.x`` holds in gru_forward, in gru_backward and for the operator's arguments.
- ``<!-- example: gru -->`` and ``<!-- end of example -->`` enclose what the program writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HEADINGS = ("Symbols", "Forward", "Backward", "Conventions", "Source", "Worked example")
OPTIONAL = ("Backward",)
"""Adam and the priors have none."""
ORIGINS = ("paper", "std", "ours")
DISPLAY = "```math"
"""Begins a display. GitHub hands it to MathJax as it is, where it would take a backslash out of ``$$``."""
END = "<!-- end of example -->"
_BEGIN = re.compile(r"<!-- example: (\S+) -->")
_TAG = re.compile(r"\\tag\{([^}]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*\.[1-9][0-9]*")
_ORIGIN = re.compile(r"\[(\w+)\] (.*)")
_TABLE = ["symbol", "code", "shape", "unit", "meaning"]


@dataclass(frozen=True)
class Equation:
    """One tagged display."""

    tag: str
    line: int
    latex: str
    origin: str
    """paper, std or ours."""
    says: str
    """The sentence behind it."""


@dataclass(frozen=True)
class Page:
    """One page of docs/math."""

    name: str
    equations: tuple[Equation, ...]
    symbols: Mapping[str, str]
    """Name in the code: symbol, LaTeX without dollars."""
    examples: Mapping[str, str]
    """Worked example: the text between its markers."""
    problems: tuple[str, ...]


def read_page(path: Path) -> Page:
    """Read one page; what is wrong with its form is in ``problems``, with file and line."""
    return parse_page(path.read_text(encoding="utf-8"), path.stem, f"docs/math/{path.name}")


def parse_page(text: str, name: str, file: str) -> Page:
    """Read the text of a page."""
    reader = _Reader(text, file)
    reader.read()
    return Page(name, tuple(reader.equations), reader.symbols, reader.examples, tuple(reader.problems))


class _Reader:
    """Goes through a page line by line."""

    def __init__(self, text: str, file: str) -> None:
        self.lines = text.splitlines()
        self.file = file
        self.equations: list[Equation] = []
        self.symbols: dict[str, str] = {}
        self.examples: dict[str, str] = {}
        self.problems: list[str] = []

    def say(self, line: int, text: str) -> None:
        self.problems.append(f"{self.file}:{line + 1}: {text}")

    def read(self) -> None:
        headings = []
        at = 0
        while at < len(self.lines):
            line = self.lines[at]
            begin = _BEGIN.fullmatch(line.strip())
            if line.strip() == DISPLAY:
                at = self.display(at)
            elif line.startswith("```"):
                at = self.until(at, "```", "code block")
            elif "$$" in line:
                self.say(at, f"$$ is no display here, wanted {DISPLAY}")
            elif "\\tag" in line:
                self.say(at, "\\tag outside of a display")
            elif begin:
                end = self.until(at, END, "example")
                self.examples[begin[1]] = "\n".join(self.lines[at + 1 : end])
                at = end
            elif line.startswith("## "):
                headings.append(line.removeprefix("## ").strip())
            elif _cells(line) == _TABLE:
                at = self.table(at)
            at += 1
        self.outline(headings)

    def outline(self, headings: list[str]) -> None:
        if not self.lines or not self.lines[0].startswith("# "):
            self.say(0, "the first line is not the title (# ..)")
        for wanted in HEADINGS:
            if wanted not in headings and wanted not in OPTIONAL:
                self.say(0, f"no section '## {wanted}'")
        known = [heading for heading in headings if heading in HEADINGS]
        if known != sorted(known, key=HEADINGS.index):
            self.say(0, f"sections in the order {', '.join(known)}, wanted {', '.join(HEADINGS)}")

    def until(self, start: int, mark: str, what: str) -> int:
        for at in range(start + 1, len(self.lines)):
            if self.lines[at].strip() == mark:
                return at
        self.say(start, f"this {what} has no end")
        return len(self.lines)

    def display(self, start: int) -> int:
        end = self.until(start, "```", "display")
        content = " ".join(" ".join(self.lines[start + 1 : end]).split())
        tags = [tag.replace("\\_", "_") for tag in _TAG.findall(content)]
        if any("_" in tag.replace("\\_", "") for tag in _TAG.findall(content)):
            self.say(start, "an underscore of a tag has to be written \\_")
        if len(tags) > 1:
            self.say(start, f"{len(tags)} tags in one display, wanted a display for each")
        if len(tags) != 1:
            return end
        (tag,) = tags
        if not _NAME.fullmatch(tag):
            self.say(start, f"{tag!r} is no tag, wanted the form gru.4")
        if "\\\\" in content:
            self.say(start, f"({tag}) has a line break, wanted one line")
        if any(equation.tag == tag for equation in self.equations):
            self.say(start, f"({tag}) is on this page twice")
        following = [line for line in self.lines[end + 1 :] if line.strip()]
        match = _ORIGIN.match(following[0]) if following else None
        if match is None or match[1] not in ORIGINS:
            self.say(start, f"({tag}) is not followed by a line that begins with [paper], [std] or [ours]")
            return end
        latex = _TAG.sub("", content).strip()
        self.equations.append(Equation(tag, start + 1, latex, match[1], self.paragraph(end + 1)))
        return end

    def paragraph(self, at: int) -> str:
        while not self.lines[at].strip():
            at += 1
        end = at
        while end < len(self.lines) and self.lines[end].strip() and self.lines[end].strip() != DISPLAY:
            end += 1
        match = _ORIGIN.match(" ".join(self.lines[at:end]))
        return match[2].strip() if match else ""

    def table(self, start: int) -> int:
        at = start + 2
        while at < len(self.lines) and self.lines[at].startswith("|"):
            cells = _cells(self.lines[at])
            whole = len(cells) == len(_TABLE) and all(cells)
            symbol = re.search(r"\$([^$]+)\$", cells[0]) if whole else None
            names = re.findall(r"`([^`]+)`", cells[1]) if whole else []
            if symbol is None or not names:
                self.say(at, "a row of symbols wants: $symbol$, `name`, shape, unit, meaning ('-' for none)")
            for name in names:
                if name in self.symbols:
                    self.say(at, f"`{name}` is in the symbols twice: write `function.{name}`")
                self.symbols[name] = symbol[1] if symbol else ""
            at += 1
        return at - 1


def _cells(line: str) -> list[str]:
    if not line.startswith("|"):
        return []
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def symbol_of(symbols: Mapping[str, str], function: str, name: str) -> str | None:
    """The symbol of a name in the code, or None. A gradient ``dq`` that has no row is d and the symbol of ``q``."""
    bare = name.split("[")[0].rpartition(".")[2]
    owners = (f"{function}.", f"{function.removesuffix('_forward').removesuffix('_backward')}.", "")
    for key in (f"{owner}{part}" for owner in owners for part in (name, bare)):
        if key in symbols:
            return symbols[key]
    if bare.startswith("d"):
        for key in (f"{owner}{bare[1:]}" for owner in owners):
            if key in symbols:
                return rf"\mathrm{{d}}{symbols[key]}"
    return None


_WORDS = re.compile(r"\\(?:mathrm|mathbf|mathit|operatorname|text|mathcal)\s*\{([^{}]*)\}")
_ACCENTS = re.compile(r"\\(bar|hat|tilde|dot)\s*(?:\{([^{}]*)\}|(\\?[A-Za-z]+))")
_SPACES = re.compile(r"\\[,;:! ]")


def plain(latex: str) -> str:
    r"""A symbol for the terminal: ``\hat{x}_{t}`` is ``xhat_t``, ``\mathrm{d} \mu`` is ``dmu``."""
    text = _SPACES.sub("", _WORDS.sub(r"\1", latex))
    text = _ACCENTS.sub(lambda match: f"{match[2] or match[3]}{match[1]}", text)
    text = text.replace("^\\prime", "'").replace("\\prime", "'")
    return re.sub(r"[\\{}\s]", "", text)
