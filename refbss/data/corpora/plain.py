"""Plain folders: ``mix/ s1/ s2/`` and perhaps ``noise/``, alone or within train, validation and test."""

from __future__ import annotations

from refbss.data.corpora.members import folder_parts
from refbss.data.corpora.own import is_own
from refbss.data.corpora.part import Part
from refbss.data.corpora.place import Place
from refbss.data.corpora.wsj0mix import SPLIT_FOLDERS

NAME = "plain"


def find(place: Place) -> list[Part]:
    """A folder with mixtures in ``mix`` that is neither a tr, cv or tt nor a set of our own."""
    spots = [
        spot
        for spot in place.spots
        if "mix" in spot.folders and spot.folder not in SPLIT_FOLDERS and not is_own(spot.path)
    ]
    return [part for spot in spots for part in folder_parts(NAME, spot)]
