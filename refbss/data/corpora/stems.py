"""Stems as in MUSDB: a folder a track, ``{train,test}/TRACK/{mixture,vocals,drums,bass,other}.wav``.

The sources are the files beside ``mixture``, by name and in that order; ``accompaniment`` and ``linear_mixture`` are
sums of others and no sources. Music has two channels: the mean over the channels is taken, of which sums stay sums.
"""

from __future__ import annotations

from functools import partial

from refbss.data.audio_io import SUFFIXES
from refbss.data.corpora.part import Contents, Mixture, Part, id_of
from refbss.data.corpora.place import Place, Spot, contents
from refbss.data.problems import Problem

NAME = "stems"
MIXTURE = "mixture"
SUMS = ("accompaniment", "linear_mixture")


def find(place: Place) -> list[Part]:
    """A folder some of whose folders hold a file ``mixture`` and another beside it."""
    found = []
    for spot in place.spots:
        tracks = ((name, _stems(spot, name)) for name in spot.folders)
        sources = next((sorted({*stems} - {MIXTURE}) for _, stems in tracks if MIXTURE in stems and len(stems) > 1), [])
        if sources:
            read = partial(_read, spot, sources)
            part = Part(
                NAME, spot.variant, spot.folder, spot.split, "mix_clean", tuple(sources), spot.path, read, averaged=True
            )
            found.append(part)
    return found


def _stems(spot: Spot, track: str) -> dict[str, str]:
    """The audio files of a track by their names."""
    split = [(*name.rpartition(".")[::2], name) for name in contents(spot.path / track)[1]]
    files = {stem: name for stem, suffix, name in split if f".{suffix}".lower() in SUFFIXES}
    return {stem: str(spot.path / track / name) for stem, name in files.items() if stem not in SUMS}


def _read(spot: Spot, sources: list[str]) -> Contents:
    mixtures, problems = list[Mixture](), list[Problem]()
    for track in spot.folders:
        stems = _stems(spot, track)
        where = spot.path / track
        if not stems:
            continue
        missing = [name for name in (MIXTURE, *sources) if name not in stems]
        strange = sorted({*stems} - {MIXTURE, *sources})
        problems += [Problem("missing", where, f"{where}: has no {name}") for name in missing]
        problems += [Problem("extra", where, f"{where}: has {name}, which other tracks have not") for name in strange]
        if not missing and not strange:
            files = {"mix": stems[MIXTURE], **{name: stems[name] for name in sources}}
            mixtures.append(Mixture(id_of(track), spot.split, files, clean=True))
    return Contents(mixtures, problems)
