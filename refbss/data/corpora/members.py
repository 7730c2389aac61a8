"""Mixtures from members by name, folders or lists: mix.., s1, s2, .., noise, as nearly all corpora call them.

| member | what it holds |
|---|---|
| ``mix`` | the mixtures; with noise where there is a member ``noise`` |
| ``mix_clean``, ``mix_both``, ``mix_single`` | the mixtures in that condition |
| ``s1``, ``s2``, .. | the sources; of ``mix_single`` the first alone |
| ``.._anechoic``, ``.._reverb`` | the same without and with reverberation: variants of these names |

Where a mixture has reverberation and there are sources without it too, a third variant, ``dereverb``, pairs the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from refbss._checks import InputError
from refbss.data.audio_io import SUFFIXES
from refbss.data.bounds import MOST_SOURCES
from refbss.data.corpora.part import Contents, Mixture, Part, id_of
from refbss.data.corpora.place import Spot, contents
from refbss.data.problems import Problem

MIX = re.compile(r"(mix(?:_(?:clean|both|single))?)(?:_(anechoic|reverb))?")
SOURCE = re.compile(r"s(\d{1,3})(?:_(anechoic|reverb))?")
RATE = re.compile(r"wav(\d{1,3})k", re.IGNORECASE)
NOISE = "noise"


class Named(NamedTuple):
    """A file that a member holds for an id, and its length in samples where a list says it."""

    path: str
    frames: int | None = None


class Member(NamedTuple):
    """A folder or list: its path, and how to list what it holds by id."""

    where: Path
    files: Callable[[], dict[str, Named]]


def folder_member(path: Path) -> Member:
    """The audio files of a folder by their names without suffix."""

    def files() -> dict[str, Named]:
        found: dict[str, Named] = {}
        for name in contents(path)[1]:
            stem, dot, suffix = name.rpartition(".")
            if f"{dot}{suffix}".lower() in SUFFIXES:
                one = id_of(stem)
                if one in found:
                    raise InputError(f"{path}: has {one} twice, as {Path(found[one].path).name} and {name}, wanted one")
                found[one] = Named(str(path / name))
        return found

    return Member(path, files)


def folder_parts(layout: str, spot: Spot) -> list[Part]:
    """Parts of a folder whose members are folders."""
    names = [name for name in spot.folders if MIX.fullmatch(name) or SOURCE.fullmatch(name) or name == NOISE]
    return parts_of(layout, spot, {name: folder_member(spot.path / name) for name in names})


def parts_of(layout: str, spot: Spot, members: Mapping[str, Member], *, listed: bool = False) -> list[Part]:
    """The parts that members make; none where there is no mixture with a source. Raises InputError: a source lacks."""
    found = []
    rates = [RATE.fullmatch(name) for name in spot.variant]
    rate_hz = next((1000 * int(match[1]) for match in rates if match), None)
    for name in members:
        match = MIX.fullmatch(name)
        if match is None:
            continue
        room = match[2]
        pairs = [(room, True)] + ([("anechoic", False)] if room == "reverb" else [])
        for of_sources, sums in pairs:
            sources = _sources(spot.path, members, of_sources)
            if not sources:
                continue
            condition = match[1]
            if condition == "mix":
                condition = "mix_both" if NOISE in members else "mix_clean"
            sources = sources[:1] if condition == "mix_single" else sources
            noise = NOISE if condition != "mix_clean" and NOISE in members else None
            variant = (*spot.variant, *([room if sums else "dereverb"] if room else []))
            clean = condition == "mix_clean" and sums
            read = partial(_read, members, name, sources, noise, split=spot.split, clean=clean)
            names = tuple(f"s{number}" for number in range(1, len(sources) + 1))
            part = Part(layout, variant, spot.folder, spot.split, condition, names, spot.path, read, rate_hz)
            found.append(replace(part, sums=sums, listed=listed))
    return found


def _sources(where: Path, members: Mapping[str, Member], room: str | None) -> list[str]:
    """Names of the members that hold sources of a room, in order."""
    matches = [match for match in map(SOURCE.fullmatch, members) if match and match[2] == room]
    numbered = {int(match[1]): match[0] for match in matches}
    if numbered and (sorted(numbered) != list(range(1, len(numbered) + 1)) or len(numbered) > MOST_SOURCES):
        raise InputError(f"{where}: has the sources {', '.join(numbered.values())}, wanted s1, s2, .. without a gap")
    return [numbered[number] for number in sorted(numbered)]


def _read(
    members: Mapping[str, Member], mix: str, sources: list[str], noise: str | None, *, split: str | None, clean: bool
) -> Contents:
    roles = {"mix": mix, **{f"s{p}": name for p, name in enumerate(sources, start=1)}}
    if noise is not None:
        roles[NOISE] = noise
    held = {role: members[name].files() for role, name in roles.items()}
    mixtures, problems = list[Mixture](), list[Problem]()
    every = sorted(set().union(*held.values()))
    if not every:
        where = members[mix].where
        return Contents([], [Problem("empty", where, f"{where}: holds no mixtures, wanted at least 1")])
    for one in every:
        missing = [members[roles[role]].where for role, files in held.items() if one not in files]
        for where in missing:
            problems.append(Problem("missing", where, f"{where}: has no {one}"))
        lengths = {files[one].frames for files in held.values() if one in files} - {None}
        if len(lengths) > 1:
            where = members[mix].where
            said = " and ".join(f"{frames}" for frames in sorted(length for length in lengths if length))
            problems.append(
                Problem("length", where, f"{where}: {one} has {said} samples in the lists, wanted one length")
            )
        elif not missing:
            files = {role: files[one].path for role, files in held.items()}
            mixtures.append(Mixture(one, split, files, clean, lengths.pop() if lengths else None))
    return Contents(mixtures, problems)
