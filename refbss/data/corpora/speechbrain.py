"""SpeechBrain: CSV files with the columns ID, mix_wav, s1_wav, s2_wav, .. and perhaps noise_wav, one a split.

Paths may begin with a placeholder such as ``$data_root``, which stands for ``--root``. The column duration is left
alone: the recipes of the common corpora fill it with a dummy.
"""

from __future__ import annotations

from refbss.data.corpora.listed import Columns, list_part
from refbss.data.corpora.part import Part
from refbss.data.corpora.paths import Rooted
from refbss.data.corpora.place import Place
from refbss.data.splits import split_in

NAME = "speechbrain"
COLUMNS = Columns("ID", "mix_wav", "s{}_wav", "noise_wav")


def find(place: Place) -> list[Part]:
    """A CSV file with the columns ID, mix_wav and s1_wav, or a folder with such files."""
    found = []
    for path, names in place.tables:
        if COLUMNS.fit(names):
            rooted = Rooted(place.root or path.absolute().parent, given=place.root is not None)
            split = split_in(path.stem)
            found.append(list_part(NAME, path, names, COLUMNS, rooted=rooted, folder=path.stem, split=split))
    return found
