"""``refbss vectors``: what the golden vectors are, one of them in full, and all of them for other programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import emit, json_option

if TYPE_CHECKING:
    from refbss.conformance.vectors import Library, Vector

MOST_NAMES = 3
"""Outputs that a line of the list names."""


@click.group()
def vectors() -> None:
    """List, show and export the golden vectors."""


@vectors.command("list")
@click.argument("patterns", metavar="[PATTERN]..", nargs=-1)
@click.option("--op", "ops", metavar="OP", multiple=True, help="Only this operator; may be given several times.")
@json_option
def list_cases(patterns: tuple[str, ...], ops: tuple[str, ...], as_json: bool) -> None:
    """Print one line a case: outputs, flags, known mistakes, float32 tolerances.

    PATTERN is a case (gru/plain), an operator (gru), or a pattern such as "gru/one*"; without it, all are listed. A
    tolerance is the largest error allowed, relative to the largest magnitude of the array.
    """
    from refbss.conformance.vectors import Library

    library = Library()
    documents = [json.loads(library.read(f"{name}.json")) for name in _chosen(library, patterns, ops)]
    refused = sum(said["result"] == "error" for said in documents)
    mistakes = sum(len(said.get("mistakes", [])) for said in documents)
    held = len({said["op"] for said in documents})
    result = {
        "cases": [_entry(said) for said in documents],
        "total": {"cases": len(documents), "operators": held, "refused": refused, "mistakes": mistakes},
    }
    width = max([len("case"), *(len(said["id"]) for said in documents)])
    lines = [
        f"{'case':{width}}  {'mistakes':>8}  {'outputs tol':>11}  {'grads tol':>9}  outputs, flags",
        *(_line(said, width) for said in documents),
        f"{len(documents)} cases of {held} operators, {refused} of them to be refused, {mistakes} known mistakes; "
        "tolerances are those of float32",
    ]
    emit(result, lines, as_json=as_json)


@vectors.command()
@click.argument("case", metavar="ID")
@click.option("--arrays", is_flag=True, help="Print the values too, with all their digits.")
@json_option
def show(case: str, arrays: bool, as_json: bool) -> None:
    """Print what a case is: attributes, shapes, tolerances, mistakes, equations, provenance.

    With --json, the document of the case, and with --arrays the values in it.
    """
    from refbss.conformance.export import document
    from refbss.conformance.vectors import Library

    vector = Library().load(case)
    emit(document(vector, data=arrays), _description(vector, arrays), as_json=as_json)


@vectors.command()
@click.argument("folder", metavar="DIR")
@click.argument("patterns", metavar="[PATTERN]..", nargs=-1)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["safetensors", "npz", "json"]),
    default="safetensors",
    show_default=True,
    help="Files of arrays, or json: everything in the document of the case.",
)
@click.option("--no-answers", is_flag=True, help="Leave out outputs, gradients, mistakes and tolerances.")
@json_option
def export(folder: str, patterns: tuple[str, ...], fmt: str, no_answers: bool, as_json: bool) -> None:
    """Write cases below DIR for another program: a JSON document each, and its arrays.

    DIR is new or empty, or an earlier export that nobody has changed, which is replaced. PATTERN is as for "refbss
    vectors list". DIR gets a README that says what is where, and a manifest with the sha256 of every file. What
    another language answers is judged by "refbss check --results".
    """
    from refbss.conformance.export import export as export_vectors
    from refbss.conformance.vectors import Library

    made = export_vectors(Path(folder), Library(), patterns, fmt=fmt, answers=not no_answers)
    result = {
        "dir": made.root,
        "cases": made.cases,
        "operators": made.ops,
        "files": made.files,
        "bytes": made.size_bytes,
        "format": fmt,
        "answers": not no_answers,
    }
    emit(
        result,
        f"{made.root}: {made.cases} cases of {made.ops} operators as {fmt}, {'without' if no_answers else 'with'} "
        f"answers, {made.files} files, {made.size_bytes / 1e6:.2f} MB",
        as_json=as_json,
    )


def _chosen(library: Library, patterns: Iterable[str], ops: Iterable[str]) -> list[str]:
    """Ids that match one of the patterns and belong to one of the operators. Raises InputError where none does."""
    from refbss._checks import InputError

    for op in ops:
        if op not in library.ops:
            raise InputError(f"vectors: --op is {op!r}, wanted one of {', '.join(library.ops)}")
    names = list(dict.fromkeys(name for pattern in patterns for name in library.find(pattern))) or list(library.ids)
    found = [name for name in names if not ops or name.split("/")[0] in ops]
    if not found:
        raise InputError(f"vectors: no case of {', '.join(ops)} matches {' or '.join(patterns)}")
    return found


def _entry(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the list says of a case in JSON."""
    kept = {
        name: said[name] for name in ("id", "op", "result", "flags", "outputs", "grads", "tol", "why") if name in said
    }
    return {**kept, "mistakes": [mistake["name"] for mistake in said.get("mistakes", [])]}


def _line(said: Mapping[str, Any], width: int) -> str:
    if said["result"] == "error":
        return f"{said['id']:{width}}  {'-':>8}  {'-':>11}  {'-':>9}  to be refused: {said['why']}"
    tol, outputs = said["tol"]["float32"], said["outputs"]
    grads = f"{tol['grads']:.1e}" if said["grads"] else "-"
    shown = [f"{name} {_shape(outputs[name])}" for name in list(outputs)[:MOST_NAMES]]
    if len(outputs) > MOST_NAMES:
        shown.append(f"{len(outputs) - MOST_NAMES} more")
    flags = f"  [{', '.join(said['flags'])}]" if said["flags"] else ""
    figures = f"{len(said['mistakes']):8}  {tol['outputs']:11.1e}  {grads:>9}"
    return f"{said['id']:{width}}  {figures}  {', '.join(shown)}{flags}"


def _description(vector: Vector, arrays: bool) -> Iterator[str]:
    """The lines of ``show``."""
    flags = f", flags {', '.join(vector.flags)}" if vector.flags else ""
    yield f"{vector.id}: operator {vector.op}{flags}"
    if not vector.valid:
        yield f"to be refused: {vector.why}"
    yield "attributes:" if vector.attrs else "attributes: none"
    for name, value in vector.attrs.items():
        yield from (
            [f"  {name}:", *(f"    {key} = {json.dumps(item)}" for key, item in value.items())]
            if isinstance(value, dict)
            else [f"  {name} = {json.dumps(value)}"]
        )
    for group in ("inputs", "params", "outputs", "cotangents", "grads"):
        yield from _group(group, getattr(vector, group), vector, arrays)
    for dtype, tol in vector.tol.items():
        came = vector.measured.get(dtype)
        measured = f" ({came['outputs']:.1e} and {came['grads']:.1e} measured)" if came else ""
        yield f"tolerance {dtype}: outputs {tol['outputs']:.1e}, gradients {tol['grads']:.1e}{measured}"
    if vector.valid:
        yield f"known mistakes: {len(vector.mistakes) or 'none'}"
    for mistake in vector.mistakes:
        differs = [*mistake.outputs, *(f"gradient of {name}" for name in mistake.grads)]
        yield from textwrap.wrap(
            f"{mistake.name} ({', '.join(differs)}): {mistake.says}", 116, initial_indent="  ", subsequent_indent="    "
        )
        if arrays:
            for kind, named in (("outputs", mistake.outputs), ("grads", mistake.grads)):
                for name, array in named.items():
                    yield f"    {kind}.{name}"
                    yield from _values(array, "      ")
    equations = ", ".join(vector.equations) or "none"
    yield from textwrap.wrap(f"equations: {equations}", 116, subsequent_indent="  ")
    yield f"source: {vector.provenance['source']}"
    yield f"generator: {vector.provenance['generator']}"


def _group(group: str, named: Mapping[str, Any], vector: Vector, arrays: bool) -> Iterator[str]:
    yield f"{group}:" if named else f"{group}: none"
    width = max((len(name) for name in named), default=0)
    for name, array in named.items():
        yield f"  {name:{width}}  {_shape(array.shape)}  {vector.axes.get(name, '')}".rstrip()
        if arrays:
            yield from _values(array, "    ")


def _values(array: Any, indent: str) -> Iterator[str]:
    """A line for each row: its place, and its values with as many digits as bring back all bits."""
    import numpy as np

    for place in np.ndindex(array.shape[:-1]):
        row = array[place].tolist()
        where = f"[{', '.join(map(str, place))}] " if place else ""
        yield f"{indent}{where}{' '.join(map(repr, row)) if isinstance(row, list) else repr(row)}"


def _shape(shape: Iterable[int]) -> str:
    return f"({', '.join(map(str, shape))})"
