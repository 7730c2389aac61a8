"""Data as a command is given them: recordings to mix, or mixtures ready made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refbss._checks import InputError
from refbss.data.corpora.part import Choice
from refbss.data.corpora.registry import recognise
from refbss.data.layouts import EMBEDDED, Corpus, open_corpus
from refbss.data.mixtures import MixtureSet, mixture_set

Data = Corpus | MixtureSet


def open_data(path: str | Path, choice: Choice | None = None) -> Data:
    """Open a folder or a list, whichever layout it has, or ``embedded``. Raises InputError as the two kinds do."""
    choice = choice or Choice()
    found = None if str(path) == EMBEDDED else recognise(path, choice.root)
    return open_corpus(path) if found is None else mixture_set(path, found, choice)


def open_all(paths: Sequence[str], choice: Choice) -> list[Data]:
    """Open several. Raises InputError also where ``choice`` says something and none of them are mixtures ready made."""
    found = [open_data(path, choice) for path in paths]
    if choice and not any(isinstance(one, MixtureSet) for one in found):
        option = "--condition" if choice.condition else "--subset" if choice.subset else "--root"
        raise InputError(f"{', '.join(paths)}: holds recordings, wanted {option} for mixtures ready made alone")
    return found
