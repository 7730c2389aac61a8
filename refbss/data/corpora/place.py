"""A path given as data: the folders and lists below it in which a layout may find mixtures, looked at once.

Folders are searched no deeper than their names ask for: those that tell a variant (2speakers, wav8k, min, Libri2Mix)
and those of splits (tr, train-100, dev). A link is followed; one that leads back is not followed again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from refbss._checks import InputError
from refbss.data.audio_io import path_kind
from refbss.data.corpora.tables import header
from refbss.data.splits import split_of

VARIANT = re.compile(r"\d+speakers?\w*|wav\d+k|min|max|libri\d+mix", re.IGNORECASE)
DEEPEST = 8


class Spot(NamedTuple):
    """A folder that may hold mixtures: the folders that led there, the one of its split, and what lies in it."""

    path: Path
    variant: tuple[str, ...]
    folder: str
    folders: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def split(self) -> str | None:
        """The split that its folder stands for."""
        return split_of(self.folder)


def contents(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the folders and of the files in a folder, sorted, without those that begin with a dot.

    Links that lead nowhere or in a circle are neither. Raises InputError where it cannot be read.
    """
    folders, files = [], []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if entry.name.startswith("."):
                    continue
                try:
                    if entry.is_dir():
                        folders.append(entry.name)
                    elif entry.is_file():
                        files.append(entry.name)
                except OSError:
                    continue
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    return tuple(sorted(folders)), tuple(sorted(files))


class Place:
    """What lies at a path. ``root`` is where the recordings of its lists are, if that is somewhere else."""

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path, self.root = path, root
        self.kind = path_kind(path)

    @cached_property
    def spots(self) -> tuple[Spot, ...]:
        """The folder itself and those below it that may hold mixtures; none for a file."""
        if self.kind != "folder":
            return ()
        name = self.path.resolve().name
        return tuple(self._walk(self.path, (), name if split_of(name) else "", set()))

    def _walk(self, path: Path, variant: tuple[str, ...], folder: str, seen: set[str]) -> Iterator[Spot]:
        real = os.path.realpath(path)
        if real in seen or len(path.parts) - len(self.path.parts) > DEEPEST:
            return
        seen.add(real)
        folders, files = contents(path)
        yield Spot(path, variant, folder, folders, files)
        for name in folders:
            if VARIANT.fullmatch(name):
                yield from self._walk(path / name, (*variant, name), folder, seen)
            elif split_of(name):
                yield from self._walk(path / name, variant, name, seen)

    @cached_property
    def tables(self) -> tuple[tuple[Path, tuple[str, ...]], ...]:
        """The CSV files, the path itself or those right in the folder, each with the names of its columns."""
        if self.kind == "file":
            files = [self.path] if self.path.suffix.lower() == ".csv" else []
        else:
            files = [
                spot.path / name for spot in self.spots[:1] for name in spot.files if name.lower().endswith(".csv")
            ]
        return tuple((file, header(file)) for file in files)
