"""asteroid: ``{tr,cv,tt}/{mix_both,s1,s2,noise}.json``, each a list of [path, length in samples].

A mixture and its sources are told by the names of their files, not by their places in the lists.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from refbss._checks import InputError
from refbss.data.corpora.members import MIX, NOISE, SOURCE, Member, Named, parts_of
from refbss.data.corpora.part import Part, id_of
from refbss.data.corpora.paths import Rooted
from refbss.data.corpora.place import Place, Spot
from refbss.data.corpora.tables import frames_of, json_of

NAME = "asteroid"


def find(place: Place) -> list[Part]:
    """A folder with a list of mixtures, mix.json, mix_clean.json or the like, and one of sources, s1.json."""
    return [part for spot in place.spots for part in parts_of(NAME, spot, _members(place, spot), listed=True)]


def _members(place: Place, spot: Spot) -> dict[str, Member]:
    rooted = Rooted(place.root or place.path, given=place.root is not None)
    found = {}
    for name in spot.files:
        member = name.removesuffix(".json")
        if member != name and (MIX.fullmatch(member) or SOURCE.fullmatch(member) or member == NOISE):
            path = spot.path / name
            found[member] = Member(path, partial(_files, path, rooted))
    return found


def _files(path: Path, rooted: Rooted) -> dict[str, Named]:
    listed = json_of(path)
    if not isinstance(listed, list):
        raise InputError(f"{path}: holds a {type(listed).__name__}, wanted a list of [path, length]")
    found: dict[str, Named] = {}
    for number, entry in enumerate(listed):
        where = f"{path}: entry {number}"
        if not _is_entry(entry):
            raise InputError(f"{where} is {entry!r:.80}, wanted [path, length]")
        file = rooted.find(entry[0], where)
        one = id_of(Path(file).stem)
        if one in found:
            raise InputError(f"{where} has the name {one!r} for the second time, wanted each once")
        found[one] = Named(file, frames_of(str(entry[1]), where))
    return found


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
        return False
    return isinstance(entry[1], int | float) and not isinstance(entry[1], bool)
