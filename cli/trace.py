"""refbss trace: every intermediate of a worked example, by the name that the documentation gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import emit, json_option

if TYPE_CHECKING:
    from refbss.audit.trace import Trace


@click.command()
@click.argument("operator", required=False)
@json_option
def trace(operator: str | None, as_json: bool) -> None:
    """Print every intermediate of a tiny example, forward and backward.

    The code runs as plain Python; every statement that carries the tag of an equation prints what it gives, all digits.
    Without OPERATOR, list the examples.
    """
    from refbss.audit.examples import find, load
    from refbss.audit.ledger import symbols
    from refbss.audit.trace import trace as run

    if operator is None:
        examples = {name: example.says for name, example in load().items()}
        width = max(map(len, examples))
        emit({"examples": examples}, [f"{name:{width}}  {says}" for name, says in examples.items()], as_json=as_json)
        return
    by_tag, by_page = symbols()
    ran = run(find(operator), by_tag)
    names = _names(ran, by_page.get(ran.example.page, {}))
    emit(_document(ran, names), _lines(ran, names), as_json=as_json)


def _names(ran: Trace, symbols: Mapping[str, str]) -> dict[str, str]:
    """What is given and what comes out, with the name that the page of the example gives it."""
    from refbss.audit.pages import plain, symbol_of

    keys = [*ran.inputs, *ran.example.attributes, *ran.outputs]
    keys += [f"d{name}" for name in (*ran.cotangents, *ran.grads)]
    found = {key: symbol_of(symbols, ran.example.op, key) for key in keys}
    return {key: plain(symbol) for key, symbol in found.items() if symbol is not None}


def _document(ran: Trace, names: Mapping[str, str]) -> dict[str, Any]:
    from refbss.audit.pages import plain

    steps = [
        {
            "tag": step.tag,
            "phase": step.phase,
            "symbol": plain(step.symbol) if step.symbol else None,
            "latex": step.symbol,
            "target": step.target,
            "loops": step.loops,
            "value": step.value,
            "function": step.function,
            "file": step.file,
            "line": step.line,
        }
        for step in ran.steps
    ]
    return {
        "example": ran.example.name,
        "says": ran.example.says,
        "symbols": names,
        "inputs": ran.inputs,
        "attributes": ran.example.attributes,
        "cotangents": ran.cotangents,
        "steps": steps,
        "outputs": ran.outputs,
        "grads": ran.grads,
    }


def _lines(ran: Trace, names: Mapping[str, str]) -> Iterator[str]:
    from refbss.audit.pages import plain
    from refbss.audit.worked import digits

    yield f"{ran.example.name}: {ran.example.says}"
    yield from _block("inputs", ran.inputs, names)
    yield from _block("attributes", ran.example.attributes, names)
    yield from _block("cotangents", {f"d{name}": value for name, value in ran.cotangents.items()}, names)
    rows = [
        (
            f"({step.tag})",
            plain(step.symbol) if step.symbol else "-",
            step.target,
            " ".join(f"{name}={value}" for name, value in step.loops.items()),
            digits(step.value, ""),
        )
        for step in ran.steps
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for phase in ("forward", "backward"):
        shown = [row for row, step in zip(rows, ran.steps, strict=True) if step.phase == phase]
        if shown:
            yield phase
        for *cells, value in shown:
            padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True) if width)
            yield f"  {'  '.join(padded)}  {value}"
    yield from _block("outputs", ran.outputs, names)
    yield from _block("gradients", {f"d{name}": value for name, value in ran.grads.items()}, names)


def _block(title: str, values: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    from refbss.audit.worked import digits

    if values:
        yield title
    width = max((len(names.get(name, "-")) for name in values), default=0)
    for name, value in values.items():
        text = digits(value, "") if hasattr(value, "shape") else str(value)
        yield f"  {names.get(name, '-'):{width}}  {name} = {text}"
