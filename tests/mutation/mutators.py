"""Mutants of a module: its source with one small fault each, as a programmer's slip would leave it.

Mutated are operators, comparisons, constants, conditions, slices, calls and single statements. Left alone are
docstrings, annotations, decorators, imports, ``raise`` statements with their messages, other strings, and
``strict=`` of zip, which guards against slips of our own. Strings that are axes of ``check_arrays`` are conditions of a
door and are mutated; a condition whose body raises becomes False only, because True would refuse every call.

A mutant is known by its file, its function, the statement and what the statement becomes: not by a line number, so
that it keeps its name when lines move. Mutants that spell the same source are one mutant.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NamedTuple

OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
PAIRS = (
    ("sum", "mean"),
    ("max", "min"),
    ("maximum", "minimum"),
    ("any", "all"),
    ("exp", "expm1"),
    ("log", "log1p"),
    ("argmax", "argmin"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("k0e", "k1e"),
)
SWAPPED = {name: other for pair in PAIRS for name, other in (pair, pair[::-1])}
"""Functions and methods for which the other one is written; among plain names only max, min, any, all, k0e and k1e."""
PLAIN = {"max", "min", "any", "all", "k0e", "k1e"}
UNWRAPPED = {"abs", "square", "sqrt", "exp", "log", "tanh", "asarray", "float64", "reversed", "cumsum"}
"""Functions of one argument that are left out."""
DROPPED = {"copy", "astype", "reshape"}
"""Methods that are left out."""
ALIKE = {"maximum", "minimum", "max", "min", "swapaxes", "isinstance"}
"""Calls whose first two arguments are not exchanged: the same result, or no call that runs."""


class Mutant(NamedTuple):
    """One fault: where it is, what it changes, and the module with it, compiled with the lines that the file has."""

    file: str
    function: str
    statement: str
    becomes: str
    kind: str
    line: int
    code: CodeType

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the mutant is known by."""
        return self.file, self.function, self.statement, self.becomes

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function} [{self.kind}]\n    - {self.statement}\n    + {self.becomes}"


class Place(NamedTuple):
    """A place in the tree that holds a node."""

    owner: ast.AST
    field: str
    at: int | None = None

    def get(self) -> Any:
        """The node here."""
        found = getattr(self.owner, self.field)
        return found if self.at is None else found[self.at]

    def put(self, node: object) -> None:
        """Set the node here."""
        if self.at is None:
            setattr(self.owner, self.field, node)
        else:
            getattr(self.owner, self.field)[self.at] = node


def mutants(text: str, file: str) -> list[Mutant]:
    """Return all mutants of a module's source, in the order of its lines."""
    tree = ast.parse(text)
    seen = {ast.unparse(tree)}
    found: list[Mutant] = []
    times: Counter[tuple[str, str]] = Counter()
    for place, statement, function in list(_statements(tree, "")):
        head = _head(statement)
        times[function, head] += 1
        repeat = f"  # number {times[function, head]}" if times[function, head] > 1 else ""
        for here, kind, new in _changes(place, statement):
            old = here.get()
            here.put(new)
            source = ast.unparse(tree)
            if source not in seen:
                seen.add(source)
                becomes = _head(new if here == place else statement)
                code = compile(_located(tree, new, statement), file, "exec", dont_inherit=True)
                found.append(Mutant(file, function or "module", head + repeat, becomes, kind, statement.lineno, code))
            here.put(old)
    return found


def _located(tree: ast.Module, new: object, statement: ast.stmt) -> ast.Module:
    """The tree, its new node in the lines of the statement."""
    if isinstance(new, ast.AST):
        ast.copy_location(new, statement)
    return ast.fix_missing_locations(tree)


def _statements(owner: ast.AST, function: str) -> Iterator[tuple[Place, ast.stmt, str]]:
    """Every statement below ``owner``, a function's before those of its body, with the name of its function."""
    for field in ("body", "orelse", "finalbody", "handlers"):
        for index, node in enumerate(getattr(owner, field, [])):
            inside = function
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                inside = f"{function}.{node.name}".lstrip(".")
            if isinstance(node, ast.stmt):
                yield Place(owner, field, index), node, inside
            yield from _statements(node, inside)


def _head(statement: ast.AST) -> str:
    """The statement as text; of a compound one the line that opens it, of a function its arguments."""
    if isinstance(statement, ast.FunctionDef):
        return f"def {statement.name}({ast.unparse(statement.args)})"
    if isinstance(statement, ast.ClassDef):
        return f"class {statement.name}"
    lines = ast.unparse(statement).splitlines()
    return lines[0] if isinstance(statement, ast.If | ast.For | ast.While | ast.With | ast.Try) else "\n".join(lines)


Change = tuple[Place, str, Any]
Simple = ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return | ast.Expr


def _changes(place: Place, statement: ast.stmt) -> Iterator[Change]:
    """Every change of one statement, those of the statements inside it left out: (place, kind, new node)."""
    if isinstance(statement, ast.FunctionDef):
        for field in ("defaults", "kw_defaults"):
            for index, default in enumerate(getattr(statement.args, field)):
                if default is not None:
                    yield from _expression(Place(statement.args, field, index), default)
    elif isinstance(statement, ast.If):
        door = isinstance(statement.body[-1], ast.Raise)
        yield from _condition(Place(statement, "test"), "door" if door else "condition")
        yield from _expression(Place(statement, "test"), statement.test)
    elif isinstance(statement, ast.For):
        yield from _expression(Place(statement, "iter"), statement.iter)
    elif isinstance(statement, Simple):
        yield from _simple(place, statement)


def _simple(place: Place, statement: Simple) -> Iterator[Change]:
    value = statement.value
    if value is None or (isinstance(statement, ast.Expr) and isinstance(value, ast.Constant)):
        return
    if _removable(statement):
        yield place, "deletion", ast.Pass()
    if isinstance(statement, ast.AugAssign):
        for other in OPERATORS.get(type(statement.op), ()):
            yield place, "operator", ast.AugAssign(statement.target, other(), value)
        yield place, "operator", ast.Assign([statement.target], value, lineno=0)
    for target in _targets(statement):
        if isinstance(target, ast.Subscript):
            yield from _expression(Place(target, "slice"), target.slice)
    yield from _expression(Place(statement, "value"), value)


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign | ast.AugAssign) else []


def _removable(statement: ast.stmt) -> bool:
    """Whether the module still runs without the statement: a call, an update, an element set."""
    if isinstance(statement, ast.Expr | ast.AugAssign):
        return True
    if not isinstance(statement, ast.Assign):
        return False
    (target,) = statement.targets
    if isinstance(target, ast.Subscript):
        return True
    set_here = {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
    return bool(set_here & {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)})


def _condition(place: Place, kind: str) -> Iterator[Change]:
    if kind != "door":
        yield place, kind, ast.Constant(True)
    yield place, kind, ast.Constant(False)


def _expression(place: Place, node: ast.AST, axis: bool = False) -> Iterator[Change]:
    """Every change of an expression and of what it is made of. ``axis``: the constants are numbers of axes."""
    yield from HANDLERS.get(type(node), _nothing)(place, node)
    if isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes) and node.value is not None:
        yield from _constant(place, node, axis)
    if isinstance(node, ast.Call) and _name(node).startswith("check_"):
        yield from _check(node)
        return
    if isinstance(node, ast.JoinedStr):
        return
    for field, value in ast.iter_fields(node):
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            here = Place(node, field, index if isinstance(value, list) else None)
            if isinstance(child, ast.keyword):
                if child.arg != "strict":
                    yield from _expression(Place(child, "value"), child.value, child.arg in ("axis", "axes"))
            elif isinstance(child, ast.comprehension):
                yield from _expression(Place(child, "iter"), child.iter)
                for number, test in enumerate(child.ifs):
                    yield from _condition(Place(child, "ifs", number), "condition")
                    yield from _expression(Place(child, "ifs", number), test)
            elif isinstance(child, ast.expr):
                yield from _expression(here, child, axis)


def _nothing(place: Place, node: ast.AST) -> Iterator[Change]:
    yield from ()


def _constant(place: Place, node: ast.Constant, axis: bool) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield place, "constant", ast.Constant(not value)
    elif isinstance(value, int | float):
        yield place, "constant", ast.Constant(value + 1)
        if isinstance(value, int) and value > 0:
            yield place, "constant", ast.Constant(value - 1)
        number = isinstance(value, float) or isinstance(place.owner, ast.BinOp)
        if value and number and not axis and not _added(place):
            yield place, "sign", ast.UnaryOp(ast.USub(), node)


def _added(place: Place) -> bool:
    """Whether the node is added or subtracted, so that another sign is the other operator."""
    owner = place.owner
    return isinstance(owner, ast.BinOp) and isinstance(owner.op, ast.Add | ast.Sub) and place.field == "right"


def _binary(place: Place, node: ast.BinOp) -> Iterator[Change]:
    for other in OPERATORS.get(type(node.op), ()):
        yield place, "operator", ast.BinOp(node.left, other(), node.right)
    if isinstance(node.op, ast.MatMult):
        yield place, "exchange", ast.BinOp(node.right, ast.MatMult(), node.left)


def _unary(place: Place, node: ast.UnaryOp) -> Iterator[Change]:
    yield place, "sign" if isinstance(node.op, ast.USub) else "condition", node.operand


def _compare(place: Place, node: ast.Compare) -> Iterator[Change]:
    for index, operator in enumerate(node.ops):
        operators = [*node.ops[:index], COMPARISONS[type(operator)](), *node.ops[index + 1 :]]
        yield place, "comparison", ast.Compare(node.left, operators, node.comparators)


def _boolean(place: Place, node: ast.BoolOp) -> Iterator[Change]:
    yield place, "condition", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for index in range(len(node.values)):
        rest = [*node.values[:index], *node.values[index + 1 :]]
        yield place, "condition", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _choice(place: Place, node: ast.IfExp) -> Iterator[Change]:
    yield from _condition(Place(node, "test"), "condition")


def _slice(place: Place, node: ast.Slice) -> Iterator[Change]:
    parts = (node.lower, node.upper, node.step)
    for index, part in enumerate(parts):
        if part is not None:
            yield place, "slice", ast.Slice(*(None if i == index else old for i, old in enumerate(parts)))


def _attribute(place: Place, node: ast.Attribute) -> Iterator[Change]:
    if node.attr == "T":
        yield place, "call", node.value


def _sequence(place: Place, node: ast.List | ast.Tuple) -> Iterator[Change]:
    """Exchange the first two of a list, or of a tuple that is assigned or returned."""
    listed = isinstance(node, ast.List) or isinstance(place.owner, ast.Assign | ast.Return)
    if listed and len(node.elts) > 1:
        yield place, "exchange", type(node)([node.elts[1], node.elts[0], *node.elts[2:]], node.ctx)


def _name(node: ast.Call) -> str:
    """The last part of a call's name."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _call(place: Place, node: ast.Call) -> Iterator[Change]:
    name, method = _name(node), isinstance(node.func, ast.Attribute)
    if name.startswith("check_"):
        return
    if name in SWAPPED and (method or name in PLAIN):
        other: ast.expr = ast.Name(SWAPPED[name], ast.Load())
        if isinstance(node.func, ast.Attribute):
            other = ast.Attribute(node.func.value, SWAPPED[name], ast.Load())
        yield place, "call", ast.Call(other, node.args, node.keywords)
    if name in UNWRAPPED and len(node.args) == 1:
        yield place, "call", node.args[0]
    if name in DROPPED and isinstance(node.func, ast.Attribute):
        yield place, "call", node.func.value
    for index, word in enumerate(node.keywords):
        if word.arg in ("dtype", "default"):
            rest = [*node.keywords[:index], *node.keywords[index + 1 :]]
            yield place, "call", ast.Call(node.func, node.args, rest)
    a, b = (1, 2) if name == "where" else (0, 1)
    texts = any(isinstance(argument, ast.Constant) and isinstance(argument.value, str) for argument in node.args)
    if len(node.args) > b and name not in ALIKE and not texts:
        order = list(node.args)
        order[a], order[b] = order[b], order[a]
        yield place, "exchange", ast.Call(node.func, order, node.keywords)


def _check(node: ast.Call) -> Iterator[Change]:
    """A door: leave one argument out, untie one axis from its namesakes, change the numbers."""
    for index, word in enumerate(node.keywords):
        if len(node.keywords) > 1:
            kept = [*node.keywords[:index], *node.keywords[index + 1 :]]
            yield Place(node, "keywords"), "door", kept
        if not isinstance(word.value, ast.Tuple):
            yield from _expression(Place(word, "value"), word.value)
        elif not isinstance(word.value.elts[1], ast.Constant):
            yield from _expression(Place(word.value, "elts", 1), word.value.elts[1])
    texts = [part.value for word in node.keywords for part in _texts(word)]
    axes = Counter(axis for text in texts for axis in text.split())
    for word in node.keywords:
        for part in ast.walk(word):
            if isinstance(part, ast.FormattedValue):
                yield from _expression(Place(part, "value"), part.value)
        for part in _texts(word):
            for axis in part.value.split():
                if axis.isalpha() and axes[axis] > 1:
                    text = " ".join("FREE" if one == axis else one for one in part.value.split(" "))
                    yield Place(part, "value"), "door", text


def _texts(node: ast.AST) -> list[Any]:
    """The string constants below a node."""
    return [part for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


HANDLERS: dict[type[ast.AST], Callable[..., Iterator[Change]]] = {
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.BoolOp: _boolean,
    ast.IfExp: _choice,
    ast.Slice: _slice,
    ast.Attribute: _attribute,
    ast.List: _sequence,
    ast.Tuple: _sequence,
    ast.Call: _call,
}
