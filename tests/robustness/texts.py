"""Damage that knows text: JSON and TOML by their values, CSV and lists by their lines and cells."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from mutations import INTEGERS, Mutation

DEEP = 100_000
"""Brackets in each other: more than any stack holds."""
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[A-Za-z_][\w./-]*")
NUMBERS = (
    *(str(value).encode() for value in INTEGERS),
    b"-9223372036854775809", b"1" + b"0" * 400, b"9" * 5000, b"0x" + b"f" * 5000, b"1e308", b"1e999", b"-1e999", b"NaN",
    b"Infinity", b"nan", b"inf", b"0.1", b"1e-400", b"-0.0", b"1_000", b"007", b"2020-01-01", b"true", b"null",
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "a\0b", "\ud800", "../x", "../../etc/passwd", "/etc/passwd", "/dev/zero", "C:\\x", "\\\\host\\x",
    "\x1b[31m", "a" * 300, "a/" * 3000, "x" * 100_000, "\u202e", "none", "nan", "$root/x", "-", ".", "..", "~", "|",
    "cat /etc/passwd |", "x.ark:7", "%s%n", "\n", "\r\n", '"', "'", ",",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, *INTEGERS, 10**400, -(10**400), 0.5, -0.0, math.nan, math.inf, 1e308, *TEXTS, [], {}, [[]],
    [None], {"": None}, ["a", 1], {"a": {"b": {}}}, [0] * 1000, [2**62, 2**62], [10**200] * 50,
)  # fmt: skip


def _text(content: bytes) -> bytes:
    return content if content else b"\n"


def _replaced(pattern: re.Pattern[bytes], content: bytes, rng: random.Random, value: bytes) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content + value
    place = rng.choice(found)
    return content[: place.start()] + value + content[place.end() :]


def change_number(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A number becomes another one, too large, too small or none."""
    return _replaced(NUMBER, content, rng, rng.choice(NUMBERS))


def change_word(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A word or path becomes another, an odd one or one of the file itself."""
    own = [match[0] for match in WORD.finditer(content)] or [b"x"]
    odd = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
    return _replaced(WORD, content, rng, odd if rng.random() < 0.6 else rng.choice(own))


def bad_encoding(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """NUL, bytes that are no UTF-8, a byte order mark of another encoding, line ends of another system."""
    first = rng.randrange(len(content) + 1)
    among: tuple[Callable[[], bytes], ...] = (
        lambda: content[:first] + b"\0" + content[first:],
        lambda: content[:first] + rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80")) + content[first:],
        lambda: b"\xef\xbb\xbf" + content,
        lambda: b"\xff\xfe" + content.decode("utf-8", "replace").encode("utf-16-le"),
        lambda: content.replace(b"\n", b"\r\n"),
        lambda: content.replace(b"\n", b"\r"),
        lambda: content.replace(b"\n", b"\xe2\x80\xa8"),
    )
    return rng.choice(among)()


def change_lines(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A line is gone, comes twice, in another place, without end or empty."""
    lines = _text(content).splitlines(keepends=True) or [b"\n"]
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(6)
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines.insert(other, lines[one])
    elif kind == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 3:
        lines[one] = lines[one].rstrip(b"\r\n") + rng.choice((b"x", b",", b" ", b'"', b"\t")) * 200_000 + b"\n"
    elif kind == 4:
        lines.insert(one, rng.choice((b"\n", b",,,,\n", b"#\n", b"[x]\n", b"=\n", b"{}\n")))
    else:
        lines = lines[:one]
    return b"".join(lines)


def deep(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """Brackets in each other, alone or in the place of a value."""
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"{a=", b"}"), (b"(", b")")))
    depth = rng.choice((200, 1000, DEEP))
    nest = opening * depth + (b"1" + closing * depth if rng.random() < 0.7 else b"")
    return _replaced(NUMBER, content, rng, nest) if rng.random() < 0.7 else nest


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: what holds it, and its key or index."""
    found, left = [], [value]
    while left:
        one = left.pop()
        items = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        for key, inner in items:
            found.append((one, key))
            left.append(inner)
    return found


def change_document(document: Any, rng: random.Random) -> Any:
    """A value anywhere in a JSON document becomes another, goes, comes twice or gets another key."""
    places = _nodes(document)
    if not places or rng.random() < 0.03:
        return deepcopy(rng.choice(VALUES))
    holder, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.6:
        holder[key] = deepcopy(rng.choice(VALUES))
    elif kind < 0.75:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), deepcopy(holder[key]))
    elif kind < 0.9:
        holder[rng.choice([key, str(key) * 2, *map(str, TEXTS)])] = holder.pop(key)
    else:
        other, place = rng.choice(places)
        holder[key] = deepcopy(other[place])
    return document


def as_json(document: Any) -> bytes:
    """JSON text with whatever Python writes: NaN, lone halves of surrogates as escapes."""
    return json.dumps(document).encode()


def json_value(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """Values by their places in the document, which stays JSON."""
    if any(bracket * 50 in content for bracket in (b"[", b'{"a":')):
        return content  # how deep the stack goes is not the same in every process
    try:
        document = json.loads(content)
    except ValueError:
        return content
    for _ in range(rng.choice((1, 1, 2, 4))):
        document = change_document(document, rng)
    return as_json(document)


def json_line(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """One line of a file that has a document a line."""
    lines = content.split(b"\n")
    place = rng.randrange(len(lines))
    lines[place] = json_value(lines[place], rng, other)
    return b"\n".join(lines)


def repeated_key(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A key of an object twice, which JSON allows and TOML does not."""
    first = content.find(b"{")
    keys = re.findall(rb'"([^"\\]{1,40})"\s*:', content) or [b"a"]
    value = json.dumps(rng.choice(VALUES)).encode()
    return content[: first + 1] + b'"' + rng.choice(keys) + b'":' + value + b"," + content[first + 1 :]


def toml_value(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """The value of a key becomes one of another type."""
    lines = content.split(b"\n")
    places = [i for i, line in enumerate(lines) if b"=" in line]
    if not places:
        return content
    place = rng.choice(places)
    odd = (
        *NUMBERS, b'""', b'"none"', b"[]", b"{}", b"[1, 2]", b"[[1], [2]]", b'["a"]', b"{a = 1}", b"[1.5]", b"[true]",
        b"1979-05-27T07:32:00Z", b"07:32:00", b"'''\n'''", b'"\\u0000"', b"0o777", b"[" + b"1," * 20_000 + b"]",
    )  # fmt: skip
    lines[place] = lines[place].split(b"=")[0] + b"= " + rng.choice(odd)
    return b"\n".join(lines)


def csv_cell(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A cell becomes another, or there is one more or one less of them."""
    lines = _text(content).split(b"\n")
    place = rng.randrange(len(lines))
    cells = lines[place].split(b",")
    odd = rng.choice((rng.choice(TEXTS).encode("utf-8", "surrogatepass"), rng.choice(NUMBERS), b'"', b'"a\nb"', b""))
    column = rng.randrange(len(cells))
    cells[column : column + rng.choice((0, 1, 1, 1))] = [odd] * rng.choice((0, 1, 1, 1, 2))
    lines[place] = b",".join(cells)
    return b"\n".join(lines)


TEXT: tuple[Mutation, ...] = (change_number, change_word, change_word, bad_encoding, change_lines, deep)
JSON: tuple[Mutation, ...] = (*TEXT, *[json_value] * 6, repeated_key)
JSON_LINES: tuple[Mutation, ...] = (*TEXT, *[json_line] * 6)
TOML: tuple[Mutation, ...] = (*TEXT, *[toml_value] * 6)
CSV: tuple[Mutation, ...] = (*TEXT, *[csv_cell] * 5)
