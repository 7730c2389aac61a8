"""Mixtures made on the fly, each a function of (seed, epoch, index) alone.

    x = s_1 + .. + s_P + v,  v = 0 in a clean item                                            [paper]

An item is made in this order; every choice is [ours] and a field of MixConfig:

1. P different speakers, uniform over the speakers of the split, in random order.
2. Each speaker's utterances, drawn with replacement and brought to one active level (see ``speech``), strung
   together with pauses; a recording begins at a random offset, so speakers do not start together.
3. Gains: speaker 1 has 0 dB, every other speaker a gain uniform in [-gain_db, gain_db]. So the difference in level
   between speaker 1 and any other is uniform in that range.
4. With probability ``silence_probability`` one speaker is silent for a time uniform in ``silence_s``: exact zeros,
   at a random place, with 10 ms fades before and after.
5. With probability ``noise_probability`` noise of a kind drawn from ``noise``, at an SNR uniform in ``snr_db``:
   10 log10 of the energy of the sum of all sources over that of the noise, both over the whole item.
6. One gain for everything: the RMS of the mixture is uniform in ``level_dbfs``, or less where a peak would pass 0.99.

Draws come from Philox with key (seed, split and purpose) and counter (0, 0, index, epoch): no two items, splits or
purposes share a number, the order of requests does not matter, and noise on or off leaves the speech as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refbss._checks import InputError, check_integer, check_number
from refbss._types import Array
from refbss.data import noise as noises
from refbss.data.bounds import MOST_SAMPLES, MOST_SOURCES
from refbss.data.layouts import Corpus
from refbss.data.resampling import check_rate
from refbss.data.speech import SpeechPool
from refbss.data.splits import SPLITS

BOUNDS = {"pauses_s": (0, 1e6), "level_dbfs": (-200, 0), "silence_s": (0, 1e6), "snr_db": (-200, 200)}
"""Bounds of the ranges of MixConfig. 200 dB keeps every signal far from the ends of float32."""
PEAK = 0.99
FADE_S = 0.01
SPEAKERS, GAINS, LEVEL, SILENCE, NOISE, UTTERANCES = 0, 1, 2, 3, 4, 16
"""Purposes of random numbers, below 256; source p draws its utterances with purpose UTTERANCES + p."""


@dataclass(frozen=True)
class MixConfig:
    """How mixtures are made. Raises InputError when a field is out of range; lists are taken as tuples."""

    sources: int = 2
    """Speakers of a mixture."""
    seconds: float = 2.0
    """Length of a mixture."""
    sample_rate_hz: int = 8000
    """Sample rate of a mixture."""
    gain_db: float = 2.5
    """Largest difference in level between the first speaker and any other."""
    pauses_s: tuple[float, float] = (0.05, 0.3)
    """Range of the pauses between the utterances of one speaker."""
    level_dbfs: tuple[float, float] = (-33.0, -19.0)
    """Range of the mixture's RMS level."""
    silence_probability: float = 0.0
    """Share of the mixtures in which one speaker falls silent for a while."""
    silence_s: tuple[float, float] = (0.0, 0.0)
    """Range of the length of that silence."""
    noise: str | tuple[str, ...] = "none"
    """Kind of noise, or several to draw from: none, white, pink, speech, babble, or a folder of recordings."""
    noise_probability: float = 1.0
    """Share of the mixtures that get noise."""
    snr_db: tuple[float, float] = (5.0, 15.0)
    """Range of the ratio of all speakers together to the noise."""
    resample: bool = False
    """Take recordings of other sample rates."""

    def __post_init__(self) -> None:
        check_integer("MixConfig", sources=self.sources)
        check_number("MixConfig", most=MOST_SOURCES, sources=self.sources)
        check_rate("MixConfig", sample_rate_hz=self.sample_rate_hz)
        check_number("MixConfig", above=0, seconds=self.seconds)
        if self.seconds * self.sample_rate_hz > MOST_SAMPLES:
            raise InputError(
                f"MixConfig: seconds is {self.seconds!r} at {self.sample_rate_hz} Hz, "
                f"wanted at most {MOST_SAMPLES} samples"
            )
        check_number("MixConfig", least=0, most=200, gain_db=self.gain_db)
        for name, (least, most) in BOUNDS.items():
            self._check_range(name, least, most)
        probabilities = {"silence_probability": self.silence_probability, "noise_probability": self.noise_probability}
        check_number("MixConfig", least=0, most=1, **probabilities)
        kinds = self.noise if isinstance(self.noise, list | tuple) else (self.noise,)
        if not kinds or not all(isinstance(kind, str) and kind for kind in kinds):
            wanted = ", ".join(("none", *noises.KINDS))
            raise InputError(f"MixConfig: noise is {self.noise!r}, wanted {wanted}, a folder, or a list of these")
        if isinstance(self.noise, list):
            object.__setattr__(self, "noise", tuple(self.noise))

    def _check_range(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise InputError(f"MixConfig: {name} is {value!r}, wanted two numbers, least and most")
        check_number("MixConfig", least=least, most=most, **{f"{name}[0]": value[0], f"{name}[1]": value[1]})
        if value[0] > value[1]:
            raise InputError(f"MixConfig: {name} is {tuple(value)}, wanted the least first")
        object.__setattr__(self, name, tuple(value))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of noise to draw from."""
        return self.noise if isinstance(self.noise, tuple) else (self.noise,)

    @property
    def samples(self) -> int:
        """Samples of an item."""
        return max(1, round(self.seconds * self.sample_rate_hz))


@dataclass(frozen=True)
class Item:
    """One mixture: mix (N,), sources (P, N), noise (N,), float32, and the recipe it was made by."""

    id: str
    mix: Array
    sources: Array
    noise: Array
    clean: bool
    recipe: dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """Items side by side: mix (B, N), sources (B, P, N), noise (B, N), float32, clean (B,) bool."""

    ids: tuple[str, ...]
    mix: Array
    sources: Array
    noise: Array
    clean: np.ndarray[Any, np.dtype[np.bool_]]
    recipes: tuple[dict[str, Any], ...]


def stack(items: Sequence[Item]) -> Batch:
    """Items of one length as a batch, in their order. Raises InputError when there are none."""
    if not items:
        raise InputError("batch: no items, wanted at least 1")
    return Batch(
        tuple(item.id for item in items),
        np.stack([item.mix for item in items]),
        np.stack([item.sources for item in items]),
        np.stack([item.noise for item in items]),
        np.array([item.clean for item in items]),
        tuple(item.recipe for item in items),
    )


def mixture_of(sources: Array, noise: Array | None = None) -> Array:
    """The mixture (N,): sources (P, N) added one after the other, then the noise, in the arrays' own precision."""
    mix: Array = sources[0].copy()
    for source in sources[1:]:
        mix += source
    return mix if noise is None else mix + noise


def generator(seed: int, split: str, epoch: int, index: int, purpose: int) -> np.random.Generator:
    """The random numbers for one purpose (below 256) of one item of one split."""
    key = np.array([seed, 256 * SPLITS.index(split) + purpose], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, index, epoch], np.uint64)))


def level_gain(mix: Array, parts: Sequence[Array], level_dbfs: float) -> tuple[float, float] | None:
    """The gain that brings a mixture (N,) to an RMS level, or less where a peak would pass 0.99, and the level it gets.

    ``parts`` are the signals whose peaks count beside the mixture's. None for silence.
    """
    rms = math.sqrt(float(np.mean(mix**2)))
    if rms == 0.0:
        return None
    peak = max(float(np.abs(signal).max()) for signal in (mix, *parts))
    gain = min(10 ** (level_dbfs / 20) / rms, PEAK / peak)
    return gain, 20 * math.log10(gain * rms)


class Mixer:
    """Makes mixtures of one split of some corpora.

    ``item`` and ``batch`` are pure functions of their arguments, the same from any thread or process and in any
    order. Raises InputError: fewer speakers than sources (one more is needed for babble), a sample rate other than
    the configuration's, recordings or noise that cannot be used.
    """

    def __init__(
        self, corpora: Sequence[Corpus], config: MixConfig, *, seed: int, split: str = "train", memory_mb: float = 1024
    ) -> None:
        check_integer("Mixer", least=0, seed=seed)
        check_number("Mixer", most=2**64 - 1, seed=seed)
        self.config, self.seed, self.split = config, seed, split
        rate_hz = config.sample_rate_hz
        self.pool = SpeechPool(corpora, split=split, rate_hz=rate_hz, resample=config.resample, memory_mb=memory_mb)
        needed = config.sources + ("babble" in config.kinds)
        if len(self.pool.speakers) < needed:
            raise InputError(
                f"Mixer: split {split!r} has {len(self.pool.speakers)} speakers, wanted at least {needed} for "
                f"sources = {config.sources}" + " and babble" * ("babble" in config.kinds)
            )
        self._folders = {
            kind: noises.NoiseFolder(kind, split=split, rate_hz=rate_hz, resampled=config.resample)
            for kind in config.kinds
            if kind not in ("none", *noises.KINDS)
        }
        self._spectrum = self._speech_spectrum() if "speech" in config.kinds else None

    def _speech_spectrum(self) -> Array:
        """Long-term spectrum over at most 50 recordings a speaker."""
        return noises.long_term_spectrum(
            self.pool.utterance(recording)
            for recordings in self.pool.recordings.values()
            for recording in recordings[:: -(-len(recordings) // 50)]
        )

    def _random(self, epoch: int, index: int, purpose: int) -> np.random.Generator:
        return generator(self.seed, self.split, epoch, index, purpose)

    def item(self, epoch: int, index: int) -> Item:
        """The mixture number ``index`` of an epoch."""
        check_integer("Mixer.item", least=0, epoch=epoch, index=index)
        config, n = self.config, self.config.samples
        rng = self._random(epoch, index, SPEAKERS)
        speakers = [str(name) for name in rng.choice(self.pool.speakers, config.sources, replace=False)]
        gains = self._random(epoch, index, GAINS).uniform(-config.gain_db, config.gain_db, config.sources)
        gains[0] = 0.0
        sources, placed = np.zeros((config.sources, n)), []
        for p, speaker in enumerate(speakers):
            draws = self._random(epoch, index, UTTERANCES + p)
            string, where = self.pool.string(speaker, n, config.pauses_s, draws)
            sources[p] = string * 10 ** (gains[p] / 20)
            placed.append(where)
        silence = self._silence(sources, self._random(epoch, index, SILENCE))
        draws = self._random(epoch, index, NOISE)
        noise, added = self._noise(mixture_of(sources), speakers, draws)
        level = self._level(sources, noise, self._random(epoch, index, LEVEL))
        single = sources.astype(np.float32)
        noise32 = noise.astype(np.float32)
        recipe = {
            "speakers": speakers,
            "gains_db": [float(gain) for gain in gains],
            "utterances": placed,
            "silence": silence,
            "noise": added,
            "level_dbfs": level,
        }
        name = f"s{self.seed}e{epoch}i{index:06d}"
        return Item(name, mixture_of(single, noise32), single, noise32, added is None, recipe)

    def _silence(self, sources: Array, rng: np.random.Generator) -> dict[str, int] | None:
        """Silence one source for a while, in place."""
        config, n = self.config, sources.shape[1]
        wanted = rng.random() < config.silence_probability
        p, seconds, place = int(rng.integers(len(sources))), rng.uniform(*config.silence_s), rng.random()
        length = min(n, round(seconds * config.sample_rate_hz))
        if not wanted or length == 0:
            return None
        start = int(place * (n - length + 1))
        fade = round(FADE_S * config.sample_rate_hz)
        ramp = np.cos((np.arange(fade) + 0.5) / fade * np.pi / 2) ** 2
        before, after = min(fade, start), min(fade, n - start - length)
        sources[p, start - before : start] *= ramp[fade - before :]
        sources[p, start : start + length] = 0.0
        sources[p, start + length : start + length + after] *= ramp[::-1][:after]
        return {"source": p, "start": start, "frames": length}

    def _noise(
        self, speech: Array, speakers: list[str], rng: np.random.Generator
    ) -> tuple[Array, dict[str, Any] | None]:
        """Noise (N,) at an SNR to the sum of the sources, and its recipe; zeros and None in a clean item."""
        config, n = self.config, len(speech)
        wanted = rng.random() < config.noise_probability
        kind = config.kinds[int(rng.integers(len(config.kinds)))]
        snr_db = float(rng.uniform(*config.snr_db))
        rms = math.sqrt(float(np.mean(speech**2)))
        if not wanted or kind == "none" or rms == 0.0:
            return np.zeros(n), None
        recipe: dict[str, Any] = {"kind": kind, "snr_db": snr_db}
        if kind == "white":
            noise = noises.white(n, rng)
        elif kind == "pink":
            noise = noises.pink(n, config.sample_rate_hz, rng)
        elif kind == "speech":
            assert self._spectrum is not None
            noise = noises.shaped(n, self._spectrum, rng)
        elif kind == "babble":
            noise = noises.babble(n, self.pool, speakers, config.pauses_s, rng)
        else:
            noise, where = self._folders[kind].excerpt(n, rng)
            recipe = {"kind": Path(kind).name, "snr_db": snr_db, **where}
        return noise * rms * 10 ** (-snr_db / 20), recipe

    def _level(self, sources: Array, noise: Array, rng: np.random.Generator) -> float | None:
        """Scale sources and noise in place; returns the RMS level of the mixture in dBFS, None when it is silent."""
        found = level_gain(mixture_of(sources, noise), (sources, noise), float(rng.uniform(*self.config.level_dbfs)))
        if found is None:
            return None
        gain, level = found
        sources *= gain
        noise *= gain
        return level
