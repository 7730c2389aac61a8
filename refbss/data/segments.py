"""Training on mixtures ready made: random segments, each a function of (seed, split, epoch, index) alone.

1. A mixture of the split, uniform over all of them, with replacement. [ours]
2. A segment of it of the configured length, from a place uniform over all that fit. A shorter mixture is followed by
   zeros. [ours]
3. One gain for everything, as the mixer gives: the RMS of the mixture is uniform in ``level_dbfs``, or less where a
   peak would pass 0.99. A separator brings what it hears into that range, so a model must have been trained on it.
   A segment without sound, its peak below -80 dBFS, stays as it is. [ours]

Of the configuration the number of sources, the length, the rate, ``level_dbfs`` and ``resample`` count.
"""

from __future__ import annotations

import numpy as np

from refbss._checks import InputError, check_integer, check_number
from refbss.data.mixing import Item, MixConfig, generator, level_gain
from refbss.data.mixtures import MixtureSet
from refbss.data.resampling import ratio
from refbss.data.speech import SILENT_PEAK

PLACE, GAIN = 5, 6
"""Purposes of random numbers, beside those of the mixer."""


class Segments:
    """Makes items of one split of a set of mixtures. ``item`` is a pure function of its arguments.

    Raises InputError: another number of sources than the configuration's, another rate (unless ``resample``), no
    mixtures in the split; and, from ``item``, a file that cannot be read.
    """

    def __init__(self, found: MixtureSet, config: MixConfig, *, seed: int, split: str = "train") -> None:
        check_integer("Segments", least=0, seed=seed)
        check_number("Segments", most=2**64 - 1, seed=seed)
        if found.sources != config.sources:
            raise InputError(
                f"{found.path}: has {found.sources} sources ({', '.join(found.names)}), wanted {config.sources} as "
                "mix.sources is"
            )
        if found.rate_hz != config.sample_rate_hz and not config.resample:
            raise InputError(
                f"{found.path}: sample rate is {found.rate_hz} Hz, wanted {config.sample_rate_hz} Hz or the option "
                "resample"
            )
        ratio(found.path, found.rate_hz, config.sample_rate_hz)
        self.found, self.config, self.seed, self.split = found.of_split(split), config, seed, split

    def item(self, epoch: int, index: int) -> Item:
        """The segment number ``index`` of an epoch; its id is that of the mixture and the place in it."""
        check_integer("Segments.item", least=0, epoch=epoch, index=index)
        config, mixtures = self.config, self.found.mixtures
        rng = generator(self.seed, self.split, epoch, index, PLACE)
        mixture = mixtures[int(rng.integers(len(mixtures)))]
        item, start = self.found.segment(mixture, config.samples, config.sample_rate_hz, rng)
        wanted = float(generator(self.seed, self.split, epoch, index, GAIN).uniform(*config.level_dbfs))
        signals = [x.astype(np.float64) for x in (item.mix, item.sources, item.noise)]
        loud = float(np.abs(signals[0]).max()) >= SILENT_PEAK
        gain, level = (level_gain(signals[0], signals[1:], wanted) if loud else None) or (1.0, None)
        mix, sources, noise = (np.asarray(x * gain, np.float32) for x in signals)
        recipe = {"mixture": mixture.id, "start": start, "gain": gain, "level_dbfs": level}
        return Item(f"{mixture.id}@{start}", mix, sources, noise, item.clean, recipe)
