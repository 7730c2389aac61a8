"""WHAMR!: as WHAM!, each of the members once with ``_anechoic`` and once with ``_reverb`` at its name, but noise.

The variants are ``anechoic``, ``reverb`` (mixtures and references with reverberation) and ``dereverb`` (references
without it).
"""

from __future__ import annotations

from refbss.data.corpora.members import MIX, folder_parts
from refbss.data.corpora.part import Part
from refbss.data.corpora.place import Place, Spot

NAME = "whamr"


def _has_rooms(spot: Spot) -> bool:
    matches = [MIX.fullmatch(name) for name in spot.folders]
    return any(match and match[2] for match in matches)


def find(place: Place) -> list[Part]:
    """A folder with mixtures in ``mix_.._anechoic`` or ``mix_.._reverb``."""
    return [part for spot in place.spots if _has_rooms(spot) for part in folder_parts(NAME, spot)]
