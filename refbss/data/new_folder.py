"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refbss._checks import InputError
from refbss.data.audio_io import path_kind


def check_new(out: str | Path) -> Path:
    """The folder to write with symbolic links resolved.

    Raises InputError where it exists, unless it is empty; where it is the current folder; and where it is a symbolic
    link to nothing.
    """
    kind = path_kind(Path(out))
    if kind == "missing" and Path(out).is_symlink():
        raise InputError(f"{out}: is a symbolic link to nothing, wanted a new folder")
    target = Path(out).resolve()
    if target == Path.cwd():
        raise InputError(f"{out}: is the current folder, wanted a new one")
    if path_kind(target) == "file" or (kind == "folder" and any(target.iterdir())):
        raise InputError(f"{out}: exists and is not an empty folder, wanted a new one")
    return target


@contextmanager
def new_folder(out: str | Path) -> Iterator[Path]:
    """A folder of a temporary name to write to; it takes the name ``out`` at the end, and is removed after an error.

    Raises InputError as ``check_new`` does.
    """
    target = check_new(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.mkdir()
    try:
        yield part
        if target.exists():
            target.rmdir()
        os.rename(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
