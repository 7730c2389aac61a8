"""Paths in lists: inside one folder or refused, and found there again when they were written on another machine."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from refbss._checks import InputError

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
DEEPEST = 200
"""Folders in a path; every tail of it is looked for."""
_PLACEHOLDER = re.compile(r"\$\w+|\{\w+\}")


class Rooted:
    """Finds the files that a list names below one folder.

    A relative path belongs below the folder, an absolute one that lies in it is taken as it stands. Any other is
    re-rooted: the longest tail of it that is there, below the folder, is the file. Where the first file of a folder
    is found decides for the others of that folder. A file that is not there gets the place that it should have.
    A path with ``..`` is refused, so nothing outside is ever opened by what a list says.
    """

    def __init__(self, base: Path, *, given: bool) -> None:
        self.base, self._given = base.absolute(), given
        self._moved: dict[tuple[str, ...], tuple[str, ...]] = {}

    def find(self, text: str, where: str) -> str:
        """The path of a file; ``where`` names the list and the line. Raises InputError."""
        if "\0" in text or not text.strip():
            raise InputError(f"{where} names {text!r}, wanted the path of a file")
        pure = PureWindowsPath(text) if _DRIVE.match(text) else PurePosixPath(text)
        if ".." in pure.parts:
            raise InputError(f"{where} names {text!r}, wanted a path without ..")
        names = pure.parts
        if len(names) > DEEPEST:
            raise InputError(f"{where} names {text!r}, wanted a path of at most {DEEPEST} folders")
        if names[: len(self.base.parts)] == self.base.parts:
            return str(self.base.joinpath(*names[len(self.base.parts) :]))
        if pure.is_absolute() or (names and _PLACEHOLDER.fullmatch(names[0])):  # $data_root of SpeechBrain
            names = names[1:]
        if not names:
            raise InputError(f"{where} names {text!r}, wanted the path of a file")
        folder = names[:-1]
        if folder not in self._moved:
            self._moved[folder] = self._tail(names, text, where, absolute=pure.is_absolute())
        return str(self.base.joinpath(*self._moved[folder], names[-1]))

    def _tail(self, names: tuple[str, ...], text: str, where: str, *, absolute: bool) -> tuple[str, ...]:
        tails = [names[start:-1] for start in range(len(names))]
        for tail in tails:
            if _there(self.base.joinpath(*tail, names[-1]), file=True):
                return tail
        for tail in tails[:-1]:
            if _there(self.base.joinpath(*tail), file=False):
                return tail
        if not absolute:
            return tails[0]
        wanted = "another --root" if self._given else "--root with the folder that holds the recordings"
        raise InputError(f"{where} names {text!r}, no tail of which is in {self.base}; wanted {wanted}")


def _there(path: Path, *, file: bool) -> bool:
    try:
        return path.is_file() if file else path.is_dir()
    except (OSError, ValueError):  # too long, a closed folder, a circle of links, no path at all
        return False
