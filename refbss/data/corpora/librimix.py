"""LibriMix: folders ``wav8k/min/{train-100,dev,test}/{mix_clean,mix_both,mix_single,s1,s2,noise}``, or their lists.

A list is a CSV file such as ``metadata/mixture_train-100_mix_both.csv``. Its paths are those of the machine that made
the corpus; they are found below the folder that holds ``metadata``, or below ``--root``.
"""

from __future__ import annotations

from pathlib import Path

from refbss.data.corpora.listed import Columns, list_part
from refbss.data.corpora.members import folder_parts
from refbss.data.corpora.part import CONDITIONS, Part
from refbss.data.corpora.paths import Rooted
from refbss.data.corpora.place import Place
from refbss.data.corpora.wsj0mix import SPLIT_FOLDERS
from refbss.data.splits import split_in, split_of

NAME = "librimix"
COLUMNS = Columns("mixture_ID", "mixture_path", "source_{}_path", "noise_path", "length")


def find(place: Place) -> list[Part]:
    """A folder with ``mix_clean``, ``mix_both`` or ``mix_single`` that is no tr, cv or tt; or lists."""
    spots = [spot for spot in place.spots if spot.folder not in SPLIT_FOLDERS and {*CONDITIONS} & {*spot.folders}]
    found = [part for spot in spots for part in folder_parts(NAME, spot)]
    return found + [_of_list(place, path, names) for path, names in place.tables if COLUMNS.fit(names)]


def _of_list(place: Place, path: Path, names: tuple[str, ...]) -> Part:
    home = path.absolute().parent
    rooted = Rooted(place.root or (home.parent if home.name == "metadata" else home), given=place.root is not None)
    folder = path.stem.removeprefix("mixture_")
    for condition in CONDITIONS:
        folder = folder.removesuffix(f"_{condition}")
    split = split_of(folder) or split_in(folder)
    return list_part(NAME, path, names, COLUMNS, rooted=rooted, folder=folder, split=split)
