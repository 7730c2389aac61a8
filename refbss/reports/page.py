"""The page that every report has: its skeleton, style and behaviour in one file that asks nothing of the network.

The page carries a policy that forbids every request and every script and style but its own, which are named by their
SHA-256. So what is written in an attribute cannot become style or behaviour either.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from refbss._checks import InputError
from refbss._files import replaced
from refbss._version import __version__
from refbss.reports.markup import Markup, join, tag

HERE = Path(__file__).resolve().parent
PRINTED_ROWS = 100
"""Rows of a long table that are printed, in the order on the screen; page.css has the same number."""


class Section(NamedTuple):
    """A part of the page: the anchor, the heading, what follows."""

    id: str
    title: str
    body: Markup


class Column(NamedTuple):
    """The head of a column; numbers stand at its right edge and are sorted by value."""

    title: str
    number: bool = True


class Cell(NamedTuple):
    """What a cell shows, and the value that it is sorted by (None: what it shows; "" sorts last)."""

    shown: object
    value: object = None


def page(title: str, lead: object, sections: Sequence[Section]) -> str:
    """The whole page as text. The same arguments give the same bytes: it holds no date."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "media-src data:; base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"refbss {__version__}"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(style)),
    )
    links = [tag("li", tag("a", one.title, href=f"#{one.id}")) for one in sections]
    parts = [
        tag("section", tag("h2", one.title, id=f"{one.id}-title"), one.body, id=one.id, aria_labelledby=_title(one))
        for one in sections
    ]
    body = tag(
        "body",
        tag("a", "Skip to the content", class_="skip", href="#content"),
        tag("header", tag("h1", title), lead),
        tag("nav", tag("ul", links), aria_label="Sections"),
        tag("main", parts, id="content", tabindex=-1),
        tag("footer", f"Made by refbss {__version__}. The page is complete: it asks nothing of the network."),
        tag("div", id="status", class_="unseen", role="status"),
        tag("script", Markup(script)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _title(section: Section) -> str:
    return f"{section.id}-title"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def table(
    caption: object, columns: Sequence[Column], rows: Iterable[Sequence[object]], *, sorts: bool = False
) -> Markup:
    """A table whose first column names the rows; without a line of heads where no column has a title.

    It scrolls where it is too wide. With ``sorts`` its heads are buttons; it is long then, scrolls in its own frame and
    is printed in part, which its caption says. Cells are content or :class:`Cell`.
    """
    heads = [
        tag("th", one.title, scope="col", class_=_number(one), data_kind=_number(one) if sorts else None)
        for one in columns
    ]
    lines = [tag("tr", [_cell(cell, i, columns[i]) for i, cell in enumerate(row)]) for row in rows]
    note = None
    if sorts and len(lines) > PRINTED_ROWS:
        note = tag("span", f" Printed are the first {PRINTED_ROWS} of {len(lines):,} rows.", class_="on-paper")
    said = f"table-{zlib.crc32(str(caption).encode(errors='backslashreplace')):08x}"
    head = tag("thead", tag("tr", heads)) if any(one.title for one in columns) else None
    content = tag("table", head, tag("tbody", lines), class_="sorted" if sorts else None, aria_labelledby=said)
    frame = {"class_": "scroll tall" if sorts else "scroll", "role": "group", "tabindex": 0, "aria_labelledby": said}
    return join(tag("p", caption, note, class_="caption", id=said), tag("div", content, **frame))


def _number(column: Column) -> str | None:
    return "number" if column.number else None


def _cell(cell: object, place: int, column: Column) -> Markup:
    shown, value = cell if isinstance(cell, Cell) else (cell, None)
    if place == 0:
        return tag("th", shown, scope="row", class_="name", data_value=value)
    return tag("td", shown, class_=_number(column), data_value=value)


def figure(title: str, note: object, drawn: Markup, numbers: Markup, legend: Markup | None = None) -> Markup:
    """A chart under its title, and below it its numbers or where they are."""
    said = tag("figcaption", title, tag("p", note) if note else None)
    return tag("figure", said, legend, drawn, tag("div", numbers, class_="numbers"))


def numbers_of(title: str, numbers: Markup) -> Markup:
    """The numbers of a figure, folded away."""
    return tag("details", tag("summary", "Numbers", tag("span", f" of: {title}", class_="unseen")), numbers)


def folded(summary: str, *content: object, printed: bool = True) -> Markup:
    """Content that is unfolded by a click, and on paper where it is ``printed``."""
    return tag("details", tag("summary", summary), content, class_="printed" if printed else None)


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """Names and values side by side, each in a box of its own."""
    return tag("dl", [tag("div", tag("dt", text), tag("dd", value)) for text, value in pairs], class_="facts")


def check_folder(folder: Path) -> None:
    """Check, before the work is done, that a report can be written into a folder, there or not. Raises InputError."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"{folder}: cannot be written, {nearest} is a file; wanted a folder")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"{folder}: cannot be written, the folder {nearest} is read-only")


def write_page(path: Path, text: str) -> None:
    """Write a page; one of that name is replaced whole or not at all. Raises OSError, where the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")
