"""The state map: which parameter and which layer of somebody else's module is which of the case's.

    [parameters]
    "net.front.kernel" = "encoder.conv.0.weight"
    "net.fc.kernel" = { name = "separator.fc.weight", transpose = true }

    [layers]
    "net.front" = "h1"
    "net.rnn" = { name = "g1", transpose = true }

A parameter that is not named keeps its name. ``transpose``: true swaps the last two axes; a list of axes is what
numpy.transpose takes to make theirs of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from refbss._checks import InputError
from refbss._files import parse_toml, read_text
from refbss.conformance.vectors import Library, Vector


@dataclass(frozen=True)
class Place:
    """Where theirs belongs: a name of the case, and how the axes lie."""

    name: str
    transpose: bool | tuple[int, ...] = False

    def theirs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The order of axes that makes theirs of an array of ours of this shape. Raises InputError if it has not."""
        axes = list(range(len(shape)))
        if self.transpose is True and len(shape) >= 2:
            axes[-2:] = axes[-1], axes[-2]
        elif isinstance(self.transpose, tuple):
            if sorted(self.transpose) != axes:
                came = list(self.transpose)
                raise InputError(f"state map: transpose of {self.name} is {came}, wanted an order of {len(shape)} axes")
            axes = list(self.transpose)
        return tuple(axes)

    def ours(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The order of axes that makes ours of theirs, for an array of theirs of this shape. Raises InputError."""
        axes = self.theirs(shape)
        return tuple(axes.index(axis) for axis in range(len(axes)))


@dataclass(frozen=True)
class StateMap:
    """Their names and the places that they have in the case."""

    parameters: Mapping[str, Place] = field(default_factory=dict)
    layers: Mapping[str, Place] = field(default_factory=dict)


def meant(name: str, owner: str, known: Iterable[str]) -> str:
    """The end of a message on a name that ``owner`` does not know: the nearest one that it knows, or all."""
    others = [other for other in known if other]
    near = get_close_matches(name, others, n=1)
    return f", did you mean {near[0]}?" if near else f"; {owner} has {', '.join(others) or 'none'}"


def entries_for(vector: Vector, group: str, entries: Mapping[str, Place]) -> dict[str, Place]:
    """The entries of a table that a case has use for: one map may serve several cases, of which some lack a layer.

    ``group`` is that of their names, params or outputs. Raises InputError on a name that no case has.
    """
    held = getattr(vector, group)
    for theirs, place in entries.items():
        if place.name not in held and place.name not in _names(vector.op, group):
            near = meant(place.name, vector.id, held)
            raise InputError(f"state map: {theirs!r} is {place.name!r}, which no case has{near}")
    return {theirs: place for theirs, place in entries.items() if place.name in held}


@cache
def _names(op: str, group: str) -> frozenset[str]:
    """What the parameters or the outputs are called, over all cases of an operator that refbss ships."""
    library = Library()
    cases = library.find(op) if op in library.ops else []
    return frozenset(name for case in cases for name in library.document(case).get(group, {}))


def read_state_map(path: Path) -> StateMap:
    """Read a state map, a TOML file. Raises InputError naming the file and the key."""
    try:
        document = parse_toml(read_text(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, wanted a state map") from error
    except ValueError as error:  # of TOML or of UTF-8
        raise InputError(f"{path}: not TOML ({error})") from error
    for table in document:
        if table not in ("parameters", "layers"):
            raise InputError(f"{path}: has a table {table!r}, wanted [parameters] and [layers]")
    return StateMap(_table(path, document, "parameters"), _table(path, document, "layers"))


def _table(path: Path, document: Mapping[str, Any], table: str) -> dict[str, Place]:
    entries = document.get(table, {})
    if not isinstance(entries, dict):
        raise InputError(f"{path}: {table} is {entries!r}, wanted a table")
    places = {theirs: _place(f"{path}: [{table}] {theirs!r}", value) for theirs, value in entries.items()}
    owner: dict[str, str] = {}
    for theirs, place in places.items():
        if place.name in owner:
            raise InputError(f"{path}: [{table}] {owner[place.name]!r} and {theirs!r} are both {place.name!r}")
        owner[place.name] = theirs
    return places


def _place(where: str, value: Any) -> Place:
    if isinstance(value, str):
        return Place(value)
    wanted = 'wanted a name or { name = "..", transpose = true }; a key with dots needs quotes'
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise InputError(f"{where} is {value!r}, {wanted}")
    if unknown := set(value) - {"name", "transpose"}:
        raise InputError(f"{where} has a key {sorted(unknown)[0]!r}, {wanted}")
    transpose = value.get("transpose", False)
    if isinstance(transpose, list) and all(type(axis) is int for axis in transpose):
        return Place(value["name"], tuple(transpose))
    if not isinstance(transpose, bool):
        raise InputError(f"{where}: transpose is {transpose!r}, wanted true, false or a list of axes")
    return Place(value["name"], transpose)
