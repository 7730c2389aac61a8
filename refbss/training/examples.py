"""The mixtures of a run: which item a step trains on, and from which data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss._types import Array
from refbss.data.layouts import Corpus
from refbss.data.mixing import Batch, Item, MixConfig, Mixer, generator, stack
from refbss.data.mixtures import MixtureSet
from refbss.data.opening import Data
from refbss.data.segments import Segments

CHOICE, POSTERIOR = 64, 65
"""Purposes of random numbers, beside those of the mixer."""


class Examples:
    """Mixtures of one or several data folders, each of speakers of one corpus, or a segment of one ready made.

    Items depend on their number alone.
    """

    def __init__(
        self, data: Sequence[Data], config: MixConfig, *, seed: int, split: str, weights: Sequence[float] = ()
    ) -> None:
        if weights and len(weights) != len(data):
            raise InputError(f"train: data_weights has {len(weights)} values, wanted {len(data)}, one per data folder")
        shares = np.array(weights or [1.0] * len(data), dtype=np.float64)
        self.seed, self.split = seed, split
        self._edges = np.cumsum(shares / shares.sum())
        self._mixers = [
            Segments(one, config, seed=seed, split=split)
            if isinstance(one, MixtureSet)
            else Mixer([one], config, seed=seed, split=split)
            for one in data
        ]

    def item(self, epoch: int, index: int) -> Item:
        """Item ``index`` of an epoch."""
        draw = generator(self.seed, self.split, epoch, index, CHOICE).random()
        chosen = min(int(np.searchsorted(self._edges, draw, side="right")), len(self._mixers) - 1)
        return self._mixers[chosen].item(epoch, index)

    def batch(self, numbers: Sequence[int], epoch_items: int) -> Batch:
        """The items with these running numbers, counted over all epochs."""
        return stack([self.item(number // epoch_items, number % epoch_items) for number in numbers])


def describe(data: Data) -> dict[str, Any]:
    """What a run remembers of its data: enough to see that it is resumed on the same recordings or mixtures."""
    if isinstance(data, Corpus):
        listed = [f"{r.id} {r.speaker} {r.split} {r.frames} {r.rate_hz}" for r in data.recordings]
        facts: dict[str, Any] = {"layout": data.layout, "recordings": len(data.recordings)}
    else:
        listed = [f"{m.id} {m.split} {m.frames} {m.clean} {' '.join(m.files)}" for m in data.mixtures]
        facts = {"layout": data.layout, "subset": ",".join(data.variant), "condition": data.condition}
        facts["mixtures"] = len(data.mixtures)
    digest = hashlib.blake2b("\n".join(listed).encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return {**facts, "digest": digest}


def posterior_noise(seed: int, numbers: Sequence[int], shape: tuple[int, ...]) -> Array:
    """Standard normal noise (B, *shape) in float32 for the posterior's samples, a function of seed and item alone."""
    draws = [generator(seed, "train", 0, number, POSTERIOR) for number in numbers]
    return np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in draws])
