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

CHOICE, POSTERIOR = 64, 65
"""Purposes of random numbers, beside those of the mixer."""


class Examples:
    """Mixtures of one or several corpora, each of speakers of one corpus. Items depend on their number alone."""

    def __init__(
        self, corpora: Sequence[Corpus], config: MixConfig, *, seed: int, split: str, weights: Sequence[float] = ()
    ) -> None:
        if weights and len(weights) != len(corpora):
            raise InputError(
                f"train: data_weights has {len(weights)} values, wanted {len(corpora)}, one per data folder"
            )
        shares = np.array(weights or [1.0] * len(corpora), dtype=np.float64)
        self.seed, self.split = seed, split
        self._edges = np.cumsum(shares / shares.sum())
        self._mixers = [Mixer([corpus], config, seed=seed, split=split) for corpus in corpora]

    def item(self, epoch: int, index: int) -> Item:
        """Item ``index`` of an epoch."""
        draw = generator(self.seed, self.split, epoch, index, CHOICE).random()
        chosen = min(int(np.searchsorted(self._edges, draw, side="right")), len(self._mixers) - 1)
        return self._mixers[chosen].item(epoch, index)

    def batch(self, numbers: Sequence[int], epoch_items: int) -> Batch:
        """The items with these running numbers, counted over all epochs."""
        return stack([self.item(number // epoch_items, number % epoch_items) for number in numbers])


def describe(corpus: Corpus) -> dict[str, Any]:
    """What a run remembers of its data: enough to see that it is resumed on the same recordings."""
    listed = "\n".join(f"{r.id} {r.speaker} {r.split} {r.frames} {r.rate_hz}" for r in corpus.recordings)
    digest = hashlib.blake2b(listed.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return {"layout": corpus.layout, "recordings": len(corpus.recordings), "digest": digest}


def posterior_noise(seed: int, numbers: Sequence[int], shape: tuple[int, ...]) -> Array:
    """Standard normal noise (B, *shape) in float32 for the posterior's samples, a function of seed and item alone."""
    draws = [generator(seed, "train", 0, number, POSTERIOR) for number in numbers]
    return np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in draws])
