"""Files that appear whole or not at all, and files from elsewhere that are read whole or refused."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST_NAME = 255
"""Bytes that a file's name may have, nearly everywhere."""
MOST_BYTES = 2**31
"""Bytes that a file may have which is read whole; one with holes can claim any number and take no room."""
MOST_INTEGER = 2**63 - 1
"""What TOML wants of an integer at most; beyond a few thousand digits Python cannot even print one."""


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """A file open for reading. Raises OSError also for what is there and no file: a pipe would not answer for ever."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, f"is not a path ({error})", str(path)) from None
    try:
        check_file(path, os.fstat(handle))
    except OSError:
        os.close(handle)
        raise
    with open(handle, "rb") as file:
        yield file


def check_file(path: Path, found: os.stat_result) -> None:
    """Raises OSError for a folder, a pipe, a socket or a device."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is a pipe or a device, no file", str(path))


def contents(path: Path) -> bytes:
    """All of a file. Raises OSError as ``opened`` does, and for one of more than MOST_BYTES."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"has {size} bytes, wanted at most {MOST_BYTES}", str(path))
        return file.read(size)


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of a file, lines ending as in Python. Raises OSError as ``contents`` does; ValueError: undecodable."""
    return contents(path).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes) -> Any:
    """What JSON text holds. Raises ValueError also where it is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def parse_toml(text: str) -> dict[str, Any]:
    """What TOML text holds. Raises ValueError also where it is nested too deep or an integer passes 64 bits."""
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    left: list[Any] = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value
        elif isinstance(value, int) and not -MOST_INTEGER - 1 <= value <= MOST_INTEGER:
            raise ValueError("an integer passes 64 bits")
    return document


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the name at the end, and is removed after an error.

    An OSError that names no file, such as one of a full disk, names ``path``.
    Of a link, the file that it points to is replaced. What is there and no file, a device or a pipe, is written to.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = _file(path)
    temporary = _temporary(path)
    try:
        with naming(path):
            yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError inside that names no file, such as one of a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if error.filename:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def check_writable(path: Path) -> None:
    """Raises OSError where ``replaced`` could not write; nothing is left behind."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return
    temporary = _temporary(_file(path))
    temporary.touch()
    temporary.unlink()


def _file(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _temporary(path: Path) -> Path:
    name = os.fsencode(path.name)[: LONGEST_NAME - len("..new")]
    return path.with_name(f".{os.fsdecode(name)}.new")
