"""Mixtures from CSV lists, one row a mixture: what LibriMix and SpeechBrain share."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from refbss._checks import InputError
from refbss.data.bounds import MOST_SOURCES
from refbss.data.corpora.members import NOISE
from refbss.data.corpora.part import Contents, Mixture, Part
from refbss.data.corpora.paths import Rooted
from refbss.data.corpora.tables import frames_of, rows_of
from refbss.data.problems import Problem


class Columns(NamedTuple):
    """Names of the columns; ``source`` with {} for the number, ``length`` empty where there is none to rely on."""

    id: str
    mix: str
    source: str
    noise: str
    length: str = ""

    def fit(self, names: tuple[str, ...]) -> bool:
        """Whether a list with columns of these names is one of this kind."""
        return {self.id, self.mix, self.source.format(1)} <= {*names}


def list_part(
    layout: str, path: Path, names: tuple[str, ...], columns: Columns, *, rooted: Rooted, folder: str, split: str | None
) -> Part:
    """The part that a list is: noise and all sources are mix_both, noise and one source mix_single, else mix_clean."""
    numbers = [p for p in range(1, MOST_SOURCES + 1) if columns.source.format(p) in names]
    if len(numbers) != numbers[-1]:
        said = ", ".join(columns.source.format(p) for p in numbers)
        raise InputError(f"{path}: has the columns {said}, wanted them numbered from 1 without a gap")
    roles = {"mix": columns.mix, **{f"s{p}": columns.source.format(p) for p in numbers}}
    condition = "mix_clean"
    if columns.noise in names:
        roles[NOISE] = columns.noise
        condition = "mix_both" if len(numbers) > 1 else "mix_single"
    read = partial(_read, path, columns, roles, rooted, split)
    sources = tuple(f"s{p}" for p in numbers)
    return Part(layout, (), folder, split, condition, sources, path, read, listed=True)


def _read(path: Path, columns: Columns, roles: dict[str, str], rooted: Rooted, split: str | None) -> Contents:
    found: dict[str, Mixture] = {}
    for line, row in rows_of(path):
        where, one = f"{path}: line {line}", row[columns.id]
        if not one or one in found:
            raise InputError(f"{where} has the id {one!r}, wanted an id, each once")
        files = {role: rooted.find(row[column], where) for role, column in roles.items()}
        found[one] = Mixture(one, split, files, NOISE not in roles, frames_of(row.get(columns.length, ""), where))
    if not found:
        return Contents([], [Problem("empty", path, f"{path}: holds no mixtures, wanted at least 1")])
    return Contents([found[one] for one in sorted(found)], [])
