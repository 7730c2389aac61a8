"""Mixtures ready made: one variant of a corpus in one condition, read item by item as it lies there.

An item has the mixture of its file, not the sum of its sources. Its noise is that of its file; without one it is what
the sources leave of a noisy mixture, and zeros in a clean one. Files are opened when an item is read, so a large corpus
opens at once; ``verify`` reads all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from refbss._checks import InputError, check_choice
from refbss._types import Array
from refbss.data.audio_io import AudioReader, resample
from refbss.data.corpora.part import Choice, Mixture, one_of
from refbss.data.corpora.registry import Found, recognised
from refbss.data.mixing import Item, mixture_of
from refbss.data.resampling import ratio
from refbss.data.splits import SPLITS, VALIDATION_OF_TRAIN, first_by_hash


@dataclass(frozen=True)
class MixtureSet:
    """Mixtures of one number of sources at one sample rate. ``len`` is their number, iterating reads them as items.

    ``variant`` and ``condition`` say which of the corpus they are, ``names`` what its sources are called. ``averaged``:
    of files with several channels the mean is taken.
    """

    path: str
    name: str
    layout: str
    variant: tuple[str, ...]
    condition: str
    names: tuple[str, ...]
    mixtures: tuple[Mixture, ...]
    rate_hz: int
    averaged: bool = False

    @property
    def sources(self) -> int:
        """Number of sources in every item."""
        return len(self.names)

    @property
    def splits(self) -> dict[str | None, int]:
        """How many mixtures each split has; None stands for those without."""
        return dict(Counter(mixture.split for mixture in self.mixtures))

    def __len__(self) -> int:
        return len(self.mixtures)

    def __iter__(self) -> Iterator[Item]:
        return self.items()

    def of_split(self, split: str) -> MixtureSet:
        """The mixtures of one split. Raises InputError when ``split`` is unknown, or has none.

        A corpus without validation gives 8 percent of its training mixtures for it, and one without splits 8 percent
        of all; which, their ids alone decide (``splits.first_by_hash``). The others are those to train on.
        """
        check_choice("MixtureSet", SPLITS, split=split)
        chosen = [mixture for mixture in self.mixtures if mixture.split == split]
        pool = [mixture for mixture in self.mixtures if mixture.split in ("train", None)]
        if "validation" not in self.splits and split != "test":
            held_out = first_by_hash((mixture.id for mixture in pool), "validation", VALIDATION_OF_TRAIN)
            chosen = [mixture for mixture in pool if (mixture.id in held_out) == (split == "validation")]
        if not chosen:
            raise InputError(f"{self.path}: holds no mixtures of split {split!r}, it has {self._counts()}")
        return replace(self, mixtures=tuple(chosen))

    def to_score(self, split: str | None = None) -> MixtureSet:
        """The mixtures that scores are of: those of a split, else of the test split, else all when they are of one.

        Raises InputError when there are none, or when train and validation could be meant.
        """
        if split is not None or "test" in self.splits:
            return self.of_split(split or "test")
        if len(self.splits) > 1:
            raise InputError(f"{self.path}: holds no test mixtures, it has {self._counts()}; wanted --split")
        return self

    def _counts(self) -> str:
        return ", ".join(f"{count} of {split or 'no split'}" for split, count in self.splits.items())

    def items(self, *, resample_hz: int | None = None) -> Iterator[Item]:
        """Every mixture in order, whole, read as it is asked for; brought to another rate with ``resample_hz``."""
        return (self.item(mixture, resample_hz=resample_hz) for mixture in self.mixtures)

    def item(self, mixture: Mixture, *, resample_hz: int | None = None) -> Item:
        """One mixture, whole. Raises InputError: a file that cannot be read, or does not fit the others."""
        with opened(mixture, rate_hz=self.rate_hz, averaged=self.averaged) as readers:
            signals = {name: _mono(reader, reader.frames) for name, reader in readers.items()}
        if resample_hz is not None and resample_hz != self.rate_hz:
            ratio(self.path, self.rate_hz, resample_hz)
            signals = {name: resample(x, self.rate_hz, resample_hz) for name, x in signals.items()}
        return self._item(mixture, signals)

    def segment(self, mixture: Mixture, samples: int, rate_hz: int, rng: np.random.Generator) -> tuple[Item, int]:
        """``samples`` samples at ``rate_hz`` from a random place on, and that place in the file.

        A shorter mixture is taken whole and zeros follow. Raises InputError as ``item`` does.
        """
        needed = -(-samples * self.rate_hz // rate_hz)
        with opened(mixture, rate_hz=self.rate_hz, averaged=self.averaged) as readers:
            start = int(rng.integers(max(0, readers["mix"].frames - needed) + 1))
            for reader in readers.values():
                reader.seek(start)
            signals = {name: _mono(reader, needed) for name, reader in readers.items()}
        if rate_hz != self.rate_hz:
            signals = {name: resample(x, self.rate_hz, rate_hz) for name, x in signals.items()}
        short = max(0, samples - len(signals["mix"]))
        signals = {name: np.pad(x[:samples], (0, short)) for name, x in signals.items()}
        return self._item(mixture, signals), start

    def _item(self, mixture: Mixture, signals: Mapping[str, Array]) -> Item:
        mix, sources = signals["mix"], np.stack([signals[name] for name in self.names])
        if mixture.clean:
            noise = np.zeros_like(mix)
        else:
            noise = signals["noise"] if "noise" in signals else mix - mixture_of(sources)
        return Item(mixture.id, mix, sources, noise, mixture.clean, dict(mixture.recipe))


@contextmanager
def opened(mixture: Mixture, *, rate_hz: int, averaged: bool) -> Iterator[dict[str, AudioReader]]:
    """The files of a mixture, open. Raises InputError where one does not fit the others, the rate or its list."""
    with ExitStack() as stack:
        readers = {name: stack.enter_context(AudioReader(path)) for name, path in mixture.files.items()}
        mix = readers["mix"]
        if mixture.frames not in (None, mix.frames):
            raise InputError(f"{mix.path}: has {mix.frames} samples, wanted {mixture.frames} as its list says")
        for reader in readers.values():
            if reader.rate_hz != rate_hz:
                raise InputError(
                    f"{reader.path}: sample rate is {reader.rate_hz} Hz, wanted {rate_hz} Hz as its set has"
                )
            if reader.frames != mix.frames:
                raise InputError(f"{reader.path}: has {reader.frames} samples, wanted {mix.frames} as {mix.path} has")
            if reader.channels != (mix.channels if averaged else 1):
                wanted = f"{mix.channels} as {mix.path} has" if averaged else "1"
                raise InputError(f"{reader.path}: has {reader.channels} channels, wanted {wanted}")
        yield readers


def _mono(reader: AudioReader, frames: int) -> Array:
    """The next frames (n,), the mean over the channels where there are several."""
    x = reader.read(frames)
    mean: Array = x[0] if len(x) == 1 else x.mean(axis=0, dtype=x.dtype)
    return mean


def open_mixtures(path: str | Path, choice: Choice | None = None) -> MixtureSet:
    """Open mixtures ready made in whichever layout they lie; ``choice`` says which of them. Raises InputError.

    No layout fits; several variants or conditions are left; a mixture lacks a file or is listed twice (``data
    verify`` then lists all such).
    """
    choice = choice or Choice()
    return mixture_set(path, recognised(path, choice.root), choice)


def mixture_set(path: str | Path, found: Found, choice: Choice) -> MixtureSet:
    """As ``open_mixtures``, of a layout that was recognised."""
    parts = one_of(path, found.parts, choice)
    contents = [part.read() for part in parts]
    problems = [problem for content in contents for problem in content.problems]
    mixtures = [mixture for content in contents for mixture in content.mixtures]
    if problems:
        raise InputError(
            f"{path}: {len(problems)} mixtures or lists of it cannot be used; see `refbss data verify {path}`; "
            f"the first: {problems[0].message}"
        )
    repeated = [key for key, count in Counter((mixture.split, mixture.id) for mixture in mixtures).items() if count > 1]
    if repeated:
        split, one = min(repeated, key=str)
        raise InputError(f"{path}: has the id {one} twice in {split or 'all'}, wanted each id once")
    rate_hz = parts[0].rate_hz
    if rate_hz is None:
        with AudioReader(mixtures[0].files["mix"]) as reader:
            rate_hz = reader.rate_hz
    first, name = parts[0], Path(path).resolve().name
    return MixtureSet(
        str(path),
        name,
        found.layout,
        first.variant,
        first.condition,
        first.sources,
        tuple(mixtures),
        rate_hz,
        first.averaged,
    )
