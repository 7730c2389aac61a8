"""Worked examples as tables of a page in docs/math."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from refbss._types import Array
from refbss.audit.examples import load
from refbss.audit.pages import END, Page, parse_page, symbol_of
from refbss.audit.trace import Step, Symbols, Trace, trace

_HEAD = "| equation | symbol | code | at | value |\n|---|---|---|---|---|"


def refreshed(text: str, name: str, symbols: Symbols) -> str:
    """The text of a page with all of its worked examples made anew; examples that do not exist are left alone.

    ``symbols`` are those of every tag, for an operator may call others.
    """
    page = parse_page(text, name, name)
    lines = text.splitlines()
    for example in page.examples:
        if example in load():
            begin = next(at for at, line in enumerate(lines) if line.strip() == f"<!-- example: {example} -->")
            end = next((at for at in range(begin, len(lines)) if lines[at].strip() == END), None)
            if end is not None:
                lines[begin + 1 : end] = worked(trace(load()[example], symbols), page.symbols).split("\n")
    return "\n".join(lines) + "\n"


def unnamed(page: Page) -> list[str]:
    """What is shown in the worked examples of a page and has no symbol in its tables."""
    missing = []
    for name in page.examples:
        if name not in load():
            missing.append(f"no example is called {name}")
            continue
        ran = trace(load()[name], {equation.tag: page.symbols for equation in page.equations})
        mine = {equation.tag for equation in page.equations}
        missing += [f"no symbol for `{s.target}` of {s.function} ({s.tag})" for s in ran.steps if _bare(s, mine)]
        numbers = [key for key, value in ran.example.attributes.items() if not isinstance(value, str)]
        given = [*ran.inputs, *numbers, *ran.outputs]
        missing += [f"no symbol for `{key}` of {name}" for key in given if symbol_of(page.symbols, name, key) is None]
    missing += [
        f"no worked example: <!-- example: {name} -->"
        for name, example in load().items()
        if example.page == page.name and name not in page.examples
    ]
    return list(dict.fromkeys(missing))


def _bare(step: Step, tags: set[str]) -> bool:
    return step.tag in tags and step.symbol is None


def worked(ran: Trace, symbols: Mapping[str, str]) -> str:
    """The tables of one example: what is given, every step, what comes out."""
    name, says = ran.example.name, ran.example.says
    op = ran.example.op
    given = [_row(op, symbols, key, value) for key, value in ran.inputs.items()]
    given += [_attribute(op, symbols, key, value) for key, value in ran.example.attributes.items()]
    given += [_row(op, symbols, f"d{key}", value) for key, value in ran.cotangents.items()]
    found = [_row(op, symbols, key, value) for key, value in ran.outputs.items()]
    found += [_row(op, symbols, f"d{key}", value) for key, value in ran.grads.items()]
    parts = [f"{says[0].upper()}{says[1:]}. Ten digits; `refbss trace {name}` prints all."]
    parts.append("\n".join(["| given | symbol | value |", "|---|---|---|", *given]))
    shown = _shown(ran.steps)
    for phase in ("forward", "backward"):
        rows = [_step(step, ran.steps) for step in shown if step.phase == phase]
        if rows:
            parts += [f"{phase.capitalize()}:", "\n".join([_HEAD, *rows])]
    parts.append("\n".join(["| result | symbol | value |", "|---|---|---|", *found]))
    return "\n" + "\n\n".join(parts) + "\n"


def digits(value: float | Array, form: str = ".10g") -> str:
    """A number, or the numbers of an array in brackets. An empty ``form`` prints as many digits as tell it apart."""
    if np.ndim(value) == 0:
        return format(float(value) + 0.0, form)
    return "[" + ", ".join(digits(part, form) for part in np.asarray(value)) + "]"


def _shown(steps: list[Step]) -> list[Step]:
    """Without what is computed once more from the same numbers."""
    first = {(step.tag, step.phase, step.target, str(step.loops), digits(step.value, "")): step for step in steps[::-1]}
    kept = {id(step) for step in first.values()}
    return [step for step in steps if id(step) in kept]


def _step(step: Step, steps: list[Step]) -> str:
    turns: dict[str, set[int | str]] = defaultdict(set)
    for other in steps:
        for name, value in other.loops.items():
            turns[name].add(value)
    at = ", ".join(f"{name}={value}" for name, value in step.loops.items() if len(turns[name]) > 1)
    symbol = f"${step.symbol}$" if step.symbol else "-"
    return f"| ({step.tag}) | {symbol} | `{step.target}` | {at or '-'} | {digits(step.value)} |"


def _row(op: str, symbols: Mapping[str, str], key: str, value: Array) -> str:
    return f"| `{key}` {value.shape} | {_cell(op, symbols, key)} | {digits(value)} |".replace(",)", ")")


def _attribute(op: str, symbols: Mapping[str, str], key: str, value: object) -> str:
    return f"| `{key}` | {_cell(op, symbols, key)} | {value} |"


def _cell(op: str, symbols: Mapping[str, str], key: str) -> str:
    symbol = symbol_of(symbols, op, key)
    return f"${symbol}$" if symbol else "-"
