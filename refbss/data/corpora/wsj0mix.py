"""wsj0-mix: ``2speakers/wav8k/{min,max}/{tr,cv,tt}/{mix,s1,s2}``, any of the leading folders left out."""

from __future__ import annotations

from refbss.data.corpora.members import folder_parts
from refbss.data.corpora.part import Part
from refbss.data.corpora.place import Place

NAME = "wsj0-mix"
SPLIT_FOLDERS = ("tr", "cv", "tt")


def find(place: Place) -> list[Part]:
    """A folder tr, cv or tt with mixtures in ``mix``."""
    spots = [spot for spot in place.spots if spot.folder in SPLIT_FOLDERS and "mix" in spot.folders]
    return [part for spot in spots for part in folder_parts(NAME, spot)]
