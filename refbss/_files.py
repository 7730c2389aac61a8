"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_NAME = 255
"""Bytes that a file's name may have, nearly everywhere."""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the name at the end, and is removed after an error.

    Of a link, the file that it points to is replaced. What is there and no file, a device or a pipe, is written to.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = _file(path)
    temporary = _temporary(path)
    try:
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
