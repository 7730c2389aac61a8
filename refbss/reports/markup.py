"""HTML from text that nobody has to trust: whatever is not markup already is escaped.

    tag("td", name, data_value=3)   ->  <td data-value="3">&lt;script&gt;</td>

Markup is made by ``tag`` and ``join`` alone, so a file name cannot become part of the page's structure.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that HTML or UTF-8 has no way to write: control characters, halves of surrogate pairs, no characters."""
VOID = {"br", "img", "input", "link", "meta"}
"""Elements without an end tag."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Text as HTML, fit for an attribute too. What HTML or UTF-8 cannot write is shown as an escape of Python's."""
    seen = UNSEEN.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), str(text))
    return Markup(html.escape(seen, quote=True))


def join(*content: object) -> Markup:
    """Put content together: markup as it is, None as nothing, lists and generators piece by piece, the rest escaped."""
    return Markup("".join(_pieces(content)))


def _pieces(content: Iterable[object]) -> Iterable[str]:
    for piece in content:
        if isinstance(piece, Markup):
            yield piece
        elif isinstance(piece, str):
            yield escape(piece)
        elif isinstance(piece, Iterable):
            yield from _pieces(piece)
        elif piece is not None:
            yield escape(piece)


def tag(element: str, *content: object, **attributes: object) -> Markup:
    """An element. Of the attributes' names ``_`` becomes ``-`` and one at the end falls away (``class_``).

    None and False leave an attribute out, True writes its name alone.
    """
    given = "".join(_attribute(name, value) for name, value in attributes.items())
    if element in VOID:
        return Markup(f"<{element}{given}>")
    return Markup(f"<{element}{given}>{join(*content)}</{element}>")


def _attribute(name: str, value: object) -> str:
    written = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {written}" if value is True else f' {written}="{escape(value)}"'


def name(text: object) -> Markup:
    """A name from outside, kept apart from the direction of the text around it."""
    return tag("bdi", str(text))
