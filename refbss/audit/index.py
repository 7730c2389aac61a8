"""docs/equation_index.md: every equation with its page, its lines of code, its tests and its golden vectors."""

from __future__ import annotations

from refbss.audit.ledger import Entry, Ledger, MarkedTest, Place

_HEAD = "| tag | equation | code | tests | golden | from |\n|---|---|---|---|---|---|"


def index(ledger: Ledger) -> str:
    """The text of the page."""
    tests = {test.id for entry in ledger.entries.values() for test in entry.tests}
    cases = {case for entry in ledger.entries.values() for case in entry.golden}
    parts = [
        "# Equation index",
        "Written by `python -m refbss.audit`. Equations are here as the docstrings say them, on their pages in full; "
        "`golden` is the number of golden vectors that pin one, `from` where it comes from: [paper], [std] or [ours]. "
        "`refbss explain gru.4` prints one of these lines with all that belongs to it.",
        f"{len(ledger.entries)} equations, {len(tests)} tests, {len(cases)} golden vectors.",
    ]
    sections: dict[str, list[Entry]] = {}
    for entry in ledger.entries.values():
        sections.setdefault(entry.home, []).append(entry)
    for name in sorted(sections):
        head = f"## [{name}](math/{name}.md)" if name in ledger.symbols else f"## {name}"
        parts += [head, "\n".join([_HEAD, *map(_row, sections[name])])]
    return "\n\n".join(parts) + "\n"


def _row(entry: Entry) -> str:
    plain = entry.plain.replace("|", "\\|")
    code = "<br>".join(map(_code, entry.code))
    tests = "<br>".join(map(_test, entry.tests))
    return f"| ({entry.tag}) | `{plain}` | {code} | {tests} | {len(entry.golden)} | {entry.origin} |"


def _code(place: Place) -> str:
    return f"[{place.file.rpartition('/')[2]}:{place.line}](../{place.file}#L{place.line})"


def _test(test: MarkedTest) -> str:
    return f"[{test.name}](../{test.file}#L{test.line})"
