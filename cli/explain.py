"""refbss explain: from an equation to its page, its lines of code, its tests and its golden vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from refbss_cli.options import emit, json_option

if TYPE_CHECKING:
    from refbss.audit.ledger import Entry

CASES_SHOWN = 4
"""Golden vectors that are named; ``--json`` names all."""


@click.command()
@click.argument("name", metavar="TAG|OPERATOR")
@json_option
def explain(name: str, as_json: bool) -> None:
    """Show where an equation is in docs, code, tests and golden vectors.

    TAG is that of an equation, such as gru.4; an OPERATOR, loss or page, such as gru, lists its equations; of
    one that puts others together, such as model, it says which.
    """
    from refbss.audit.ledger import MADE_OF, shipped

    if name in MADE_OF:
        says = f"{name} has no equation of its own: docs/lvbd.md describes it, made of {', '.join(MADE_OF[name])}"
        emit({"name": name, "equations": [], "made_of": MADE_OF[name]}, says, as_json=as_json)
        return
    found = shipped().find(name)
    single = name.strip("()") == found[0].tag
    lines = list(_whole(found[0]) if single else _list(found))
    emit({"name": name, "equations": [dataclasses.asdict(entry) for entry in found]}, lines, as_json=as_json)


def _list(found: list[Entry]) -> Iterator[str]:
    tags, plain = max(len(entry.tag) for entry in found) + 2, max(len(entry.plain) for entry in found)
    for entry in found:
        places = ", ".join(f"{place.file}:{place.line}" for place in entry.code)
        yield f"{'(' + entry.tag + ')':{tags}}  {entry.plain:{plain}}  {places}".rstrip()


def _whole(entry: Entry) -> Iterator[str]:
    yield f"({entry.tag})  {entry.plain}"
    yield f"LaTeX   {entry.latex or 'none'}"
    yield f"from    [{entry.origin}] {entry.says}" if entry.origin else "from    not stated"
    yield f"page    docs/math/{entry.page}.md" if entry.page else "page    none"
    for place in entry.code:
        yield f"code    {place.file}:{place.line} in {place.function}"
        yield f"        {place.text}"
    for test in entry.tests:
        yield f"test    {test.file}:{test.line} {test.name}"
    if not entry.tests:
        yield "test    none"
    named, more = entry.golden[:CASES_SHOWN], len(entry.golden) - CASES_SHOWN
    listed = ", ".join(named) + (f" and {more} more (--json)" if more > 0 else "")
    yield f"golden  {len(entry.golden)} vectors: {listed}" if named else "golden  none"
    for example in entry.examples:
        yield f"trace   refbss trace {example}"
