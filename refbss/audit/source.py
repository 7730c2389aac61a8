"""Equation tags in the code: the statements that carry them as a comment, and the docstrings that say them in words.

A comment ``# (gru.4)`` belongs to the smallest statement on whose lines it stands. An indented docstring line
``(gru.4)  n = tanh(..)`` or ``n = tanh(..)  (gru.4)`` is the plain text of the equation.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of refbss."""
TAG = re.compile(r"\(([a-z][a-z0-9_]*\.[1-9][0-9]*)\)")
SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)


@dataclass(frozen=True)
class Statement:
    """A simple statement that carries tags. Lines count from 1."""

    tags: tuple[str, ...]
    file: str
    """Relative to the folder that holds refbss, with slashes."""
    function: str
    first: int
    last: int
    text: str
    """The statement as written, on one line."""
    targets: tuple[str, ...]
    """What it sets, as written; for ``a.append(..)`` it is ``a[-1]``; nothing for a return."""
    returns: bool
    fields: tuple[int, ...] | None
    """Of ``return Name(x, y * z)`` the places of the arguments that are computed here, else None."""


@dataclass(frozen=True)
class Source:
    """What one file says about equations."""

    statements: dict[int, Statement]
    """Every line of a tagged statement."""
    loops: dict[int, tuple[str, ...]]
    """Every line inside for loops: the names that they set, outermost first."""
    equations: dict[str, tuple[int, str]]
    """Plain text of a tag and its line in the module's docstring."""
    problems: tuple[str, ...] = field(default=())

    @property
    def ordered(self) -> list[Statement]:
        """The tagged statements in the order of the file."""
        return list({statement.first: statement for _, statement in sorted(self.statements.items())}.values())


def read_source(path: Path, root: Path = PACKAGE.parent) -> Source:
    """Read one file; ``root`` is the folder that holds refbss."""
    return parse_source(path.read_text(encoding="utf-8"), path.relative_to(root).as_posix())


def parse_source(text: str, file: str) -> Source:
    """Find the tags in the text of a Python file."""
    tree = ast.parse(text)
    simple: list[tuple[ast.stmt, str]] = []
    loops: dict[int, tuple[str, ...]] = {}
    _walk(tree, "", (), simple, loops)
    tagged: dict[ast.stmt, tuple[str, list[str]]] = {}
    problems: list[str] = []
    for line, comment in _comments(text):
        tags = TAG.findall(comment)
        over = [(node, name) for node, name in simple if node.lineno <= line <= (node.end_lineno or line)]
        if tags and not over:
            problems.append(f"{file}:{line}: ({tags[0]}) stands on no statement")
        elif tags:
            node, name = over[-1]
            tagged.setdefault(node, (name, []))[1].extend(tags)
    statements: dict[int, Statement] = {}
    for node, (name, tags) in tagged.items():
        statement = _statement(node, name, tuple(tags), text, file)
        statements.update(dict.fromkeys(range(statement.first, statement.last + 1), statement))
    equations, doubled = _docstring(tree, file)
    return Source(statements, loops, equations, tuple(problems + doubled))


def _walk(
    node: ast.AST,
    function: str,
    inside: tuple[str, ...],
    simple: list[tuple[ast.stmt, str]],
    loops: dict[int, tuple[str, ...]],
) -> None:
    """Collect the simple statements, each with its function, and the names of the loops around every line."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SIMPLE):
            simple.append((child, function))
            loops.update(dict.fromkeys(range(child.lineno, (child.end_lineno or child.lineno) + 1), inside))
        elif isinstance(child, ast.FunctionDef):
            _walk(child, child.name, (), simple, loops)
        elif isinstance(child, ast.For):
            names = (name.id for name in ast.walk(child.target) if isinstance(name, ast.Name))
            _walk(child, function, (*inside, *names), simple, loops)
        else:
            _walk(child, function, inside, simple, loops)


def _comments(text: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def _statement(node: ast.stmt, function: str, tags: tuple[str, ...], text: str, file: str) -> Statement:
    segment = " ".join((ast.get_source_segment(text, node) or "").split())
    last = node.end_lineno or node.lineno
    fields = None
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
        arguments = node.value.args
        fields = tuple(place for place, value in enumerate(arguments) if not isinstance(value, ast.Name))
    returns = isinstance(node, ast.Return)
    return Statement(tags, file, function, node.lineno, last, segment, _targets(node), returns, fields)


def _targets(node: ast.stmt) -> tuple[str, ...]:
    if isinstance(node, ast.Assign):
        target = node.targets[0]
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        target = node.target
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        return (f"{ast.unparse(node.value.func.value)}[-1]",) if node.value.func.attr == "append" else ()
    else:
        return ()
    elements = target.elts if isinstance(target, ast.Tuple) else [target]
    return tuple(name for name in map(ast.unparse, elements) if name != "_")


def _docstring(tree: ast.Module, file: str) -> tuple[dict[str, tuple[int, str]], list[str]]:
    """Plain text of every tag in the module's docstring; its indented lines are the equations."""
    text = ast.get_docstring(tree, clean=False) or ""
    found: dict[str, tuple[int, str]] = {}
    problems = []
    waiting, last = "", ""  # lines without a tag yet, the tag of the line before
    for number, line in enumerate(text.splitlines(), start=1):
        tags = TAG.findall(line)
        words = TAG.sub("\0", line).strip()
        if not line.startswith("    "):
            waiting, last = "", ""
            continue
        if not tags:
            if last:  # an equation that goes on below its tag
                found[last] = (found[last][0], f"{found[last][1]} {_spaced(words)}")
            else:
                waiting = f"{waiting} {words}".strip()
            continue
        pieces = words.split("\0")
        pieces = pieces[1:] if words.startswith("\0") else [f"{waiting} {pieces[0]}".strip()]
        for tag, piece in zip(tags, pieces, strict=True):
            if tag in found:
                problems.append(f"{file}:{number}: ({tag}) is in the docstring twice")
            found[tag] = (number, _spaced(piece))
        waiting, last = "", tags[-1]
    return found, problems


def _spaced(text: str) -> str:
    """Columns apart by two spaces, as little as keeps them apart."""
    return re.sub(r" {2,}", "  ", text.strip())
