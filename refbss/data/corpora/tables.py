"""Lists of mixtures as text: CSV, JSON and scp files, read whole or refused with their line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refbss._checks import InputError
from refbss._files import opened, parse_json, read_text


def text_of(path: Path) -> str:
    """The text of a file. Raises InputError where it cannot be read or is not UTF-8."""
    try:
        return read_text(path, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 at byte {error.start}, wanted text in UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def header(path: Path) -> tuple[str, ...]:
    """Names of the columns of a CSV file; none where it is empty, another kind of file, or closed to us."""
    try:
        with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", "replace", newline="") as text:
            return tuple(next(csv.reader(text), ()))
    except (OSError, csv.Error):
        return ()


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their line numbers, each cell a text. Raises InputError: another number of cells."""
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                wanted = len(reader.fieldnames or ())
                raise InputError(f"{path}: line {reader.line_num} has another number of cells, wanted {wanted}")
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} is not CSV ({error})") from None


def json_of(path: Path) -> Any:
    """What a JSON file holds. Raises InputError."""
    text = text_of(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None


def frames_of(text: str, where: str) -> int | None:
    """A length in samples as a list gives it; None for an empty cell. Raises InputError where it is none."""
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (1 <= number < 2**53 and number == int(number)):
        raise InputError(f"{where} has the length {text!r}, wanted a number of samples")
    return int(number)
