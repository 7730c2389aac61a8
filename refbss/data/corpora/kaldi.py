"""Kaldi and ESPnet: a folder with ``wav.scp`` (the mixtures), ``spk1.scp``, ``spk2.scp`` and perhaps ``noise1.scp``.

Each line is an id and the path of a file. A command in the place of the path is refused: refbss runs none.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from refbss._checks import InputError
from refbss.data.corpora.members import NOISE, Member, Named, parts_of
from refbss.data.corpora.part import Part
from refbss.data.corpora.paths import Rooted
from refbss.data.corpora.place import Place, Spot
from refbss.data.corpora.tables import text_of

NAME = "kaldi"
_SOURCE = re.compile(r"(?:spk|s)(\d{1,3})\.scp")
_ARCHIVE = re.compile(r".*\.ark(:\d+)?(\[.*\])?")


def find(place: Place) -> list[Part]:
    """A folder with wav.scp and spk1.scp."""
    return [part for spot in place.spots if "wav.scp" in spot.files for part in _parts(place, spot)]


def _parts(place: Place, spot: Spot) -> list[Part]:
    rooted = Rooted(place.root or place.path, given=place.root is not None)
    found = {}
    for name in spot.files:
        match = _SOURCE.fullmatch(name)
        names = {"wav.scp": "mix", "noise.scp": NOISE, "noise1.scp": NOISE}
        member = f"s{match[1]}" if match else names.get(name)
        if member is not None:
            path = spot.path / name
            found[member] = Member(path, partial(_files, path, rooted))
    parts = parts_of(NAME, spot, found, listed=True)
    if parts and "segments" in spot.files:
        raise InputError(f"{spot.path / 'segments'}: cuts recordings into utterances, wanted a file for each mixture")
    return parts


def _files(path: Path, rooted: Rooted) -> dict[str, Named]:
    found: dict[str, Named] = {}
    for line, text in enumerate(text_of(path).split("\n"), start=1):
        if not text.strip():
            continue
        where = f"{path}: line {line}"
        one, *rest = text.split(maxsplit=1)
        file = rest[0].strip() if rest else ""
        if file.startswith("|") or file.endswith("|"):
            raise InputError(f"{where} is a command, {file!r:.80}, which is never run; wanted the path of a file")
        if _ARCHIVE.fullmatch(file):
            raise InputError(f"{where} points into an archive, {file!r:.80}; wanted the path of an audio file")
        if not file or one in found:
            raise InputError(f"{where} has the id {one!r}, wanted an id, each once, and the path of a file")
        found[one] = Named(rooted.find(file, where))
    return found
