"""WHAM!: ``wav8k/{min,max}/{tr,cv,tt}/{mix_clean,mix_both,mix_single,s1,s2,noise}``."""

from __future__ import annotations

from refbss.data.corpora.members import folder_parts
from refbss.data.corpora.part import CONDITIONS, Part
from refbss.data.corpora.place import Place
from refbss.data.corpora.wsj0mix import SPLIT_FOLDERS

NAME = "wham"


def find(place: Place) -> list[Part]:
    """A folder tr, cv or tt with mixtures in ``mix_clean``, ``mix_both`` or ``mix_single``."""
    spots = [spot for spot in place.spots if spot.folder in SPLIT_FOLDERS and {*CONDITIONS} & {*spot.folders}]
    return [part for spot in spots for part in folder_parts(NAME, spot)]
