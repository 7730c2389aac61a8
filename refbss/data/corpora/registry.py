"""Which layout lies at a path: every layout of mixtures ready made, and the one that fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from refbss._checks import InputError
from refbss.data.audio_io import path_kind
from refbss.data.corpora import asteroid, kaldi, librimix, own, plain, speechbrain, stems, wham, whamr, wsj0mix
from refbss.data.corpora.part import Part
from refbss.data.corpora.place import Place
from refbss.data.splits import SPLITS

LAYOUTS: dict[str, Callable[[Place], list[Part]]] = {
    module.NAME: module.find
    for module in (own, wsj0mix, wham, whamr, librimix, plain, stems, asteroid, speechbrain, kaldi)
}
"""A layout's name, and what finds its parts at a place; none where it does not fit."""


class Found(NamedTuple):
    """The layout that fits, and its parts."""

    layout: str
    parts: tuple[Part, ...]


def recognise(path: str | Path, root: Path | None = None) -> Found | None:
    """The layout of mixtures that lies at a path; None where there is none, as in a folder of recordings.

    ``root``: where the files of its lists lie. Raises InputError where several layouts fit, and where one that fits
    cannot be read.
    """
    place = Place(Path(path), root)
    found = {name: tuple(sorted(find(place), key=_order)) for name, find in LAYOUTS.items()}
    fitting = [Found(name, parts) for name, parts in found.items() if parts]
    if len(fitting) > 1:
        said = " and ".join(f"{one.layout} with {one.parts[0].where}" for one in fitting)
        raise InputError(f"{path}: fits several layouts, {said}; wanted the path of one of them")
    return fitting[0] if fitting else None


def _order(part: Part) -> int:
    return SPLITS.index(part.split) if part.split else len(SPLITS)


def recognised(path: str | Path, root: Path | None = None) -> Found:
    """As ``recognise``; raises InputError also where no layout fits."""
    found = recognise(path, root)
    if found is not None:
        return found
    what = "no such folder" if path_kind(Path(path)) == "missing" else "holds no mixtures in a layout that is known"
    raise InputError(f"{path}: {what}, wanted mixtures ready made in one of {', '.join(LAYOUTS)}")
