"""Noise of unit RMS: white, pink, speech-shaped, babble, and excerpts of recordings.

Every function draws from the generator it is given and from nothing else. Noises are float64 of shape (n,).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss._types import Array
from refbss.data.audio_io import AudioReader, audio_files, path_kind, read_audio, resample
from refbss.data.resampling import ratio
from refbss.data.speech import SpeechPool
from refbss.data.splits import SPLITS

KINDS = ("white", "pink", "speech", "babble")
PINK_FLOOR_HZ = 20.0
SPECTRUM_FRAME = 512
BABBLE_TALKERS = 8
CROSS_FADE_S = 0.02
TRIES = 20


def unit_rms(x: Array) -> Array:
    """x scaled to a root mean square of 1, in float64. Raises InputError when x is silent."""
    y = x.astype(np.float64)
    rms = math.sqrt(float(np.mean(y**2)))
    if rms == 0.0:
        raise InputError("unit_rms: x is silent, wanted a signal")
    return y / rms


def white(n: int, rng: np.random.Generator) -> Array:
    """Gaussian noise, flat spectrum."""
    return unit_rms(rng.standard_normal(n))


def shaped(n: int, power: Array, rng: np.random.Generator) -> Array:
    """Gaussian noise with the given power spectrum, (F,) values from 0 Hz to half the rate, read linearly. [std]"""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    grid = np.linspace(0.0, 1.0, len(power))
    gain = np.sqrt(np.interp(np.linspace(0.0, 1.0, len(spectrum)), grid, power))
    return unit_rms(np.fft.irfft(spectrum * gain, n))


def pink(n: int, rate_hz: int, rng: np.random.Generator) -> Array:
    """Gaussian noise whose power falls as 1/f, flat below 20 Hz. [std]"""
    f = np.fft.rfftfreq(n, 1.0 / rate_hz)
    spectrum = np.fft.rfft(rng.standard_normal(n)) / np.sqrt(np.maximum(f, PINK_FLOOR_HZ))
    return unit_rms(np.fft.irfft(spectrum, n))


def long_term_spectrum(signals: Iterable[Array]) -> Array:
    """Mean power spectrum (257,) over half-overlapping Hann frames of 512 samples; short signals are zero-padded."""
    window = np.hanning(SPECTRUM_FRAME)
    total, frames = np.zeros(SPECTRUM_FRAME // 2 + 1), 0
    for x in signals:
        padded = np.pad(x.astype(np.float64), (0, max(0, SPECTRUM_FRAME - len(x))))
        parts = np.lib.stride_tricks.sliding_window_view(padded, SPECTRUM_FRAME)[:: SPECTRUM_FRAME // 2]
        total += np.sum(np.abs(np.fft.rfft(parts * window)) ** 2, axis=0)
        frames += len(parts)
    return total / max(frames, 1)


def babble(
    n: int, pool: SpeechPool, absent: Iterable[str], pauses_s: tuple[float, float], rng: np.random.Generator
) -> Array:
    """Eight strings of utterances at one level, by the speakers of the pool who are not in ``absent``, in turn."""
    talkers = [speaker for speaker in pool.speakers if speaker not in set(absent)]
    if not talkers:
        raise InputError("babble: every speaker is in the mixture, wanted at least one more")
    first = int(rng.integers(len(talkers)))
    total = np.zeros(n)
    for k in range(BABBLE_TALKERS):
        total += pool.string(talkers[(first + k) % len(talkers)], n, pauses_s, rng)[0]
    return unit_rms(total)


def loop(x: Array, n: int, at: int, fade: int) -> Array:
    """n samples of x repeated without a seam, from sample ``at`` on: its end fades into its beginning, equal power."""
    fade = min(fade, len(x) // 2)
    period = x[: len(x) - fade].copy()
    if fade:
        angle = (np.arange(fade) + 0.5) / fade * np.pi / 2
        period[:fade] = x[:fade] * np.sin(angle) + x[len(x) - fade :] * np.cos(angle)
    return np.asarray(period[(at + np.arange(n)) % len(period)])


class NoiseFolder:
    """Recordings of noise, searched through all sub-folders.

    When the folder has sub-folders train, validation or test, only that of the split is used. Files stay on disk.
    Raises InputError: no such folder, no audio files, a file that cannot be read, another sample rate (unless
    ``resampled``).
    """

    def __init__(self, path: str | Path, *, split: str, rate_hz: int, resampled: bool = False) -> None:
        root = Path(path)
        if path_kind(root) != "folder":
            raise InputError(f"{root}: no such folder, wanted a kind of noise ({', '.join(KINDS)}) or a folder")
        self.root = root / split if any((root / name).is_dir() for name in SPLITS) else root
        self.rate_hz = rate_hz
        self.files: list[tuple[Path, int, int, int]] = []
        for file in audio_files(self.root, deep=True) if self.root.is_dir() else []:
            with AudioReader(file) as reader:
                if reader.rate_hz != rate_hz and not resampled:
                    raise InputError(
                        f"{file}: sample rate is {reader.rate_hz} Hz, wanted {rate_hz} Hz or the option resample"
                    )
                ratio(str(file), reader.rate_hz, rate_hz)
                self.files.append((file, reader.rate_hz, reader.channels, reader.frames))
        if not self.files:
            raise InputError(f"{self.root}: holds no audio files, wanted recordings of noise")

    def excerpt(self, n: int, rng: np.random.Generator) -> tuple[Array, dict[str, Any]]:
        """A random part of a random channel of a random recording, and where it came from.

        A recording that is shorter than n is looped with a cross-fade of 20 ms. A part without sound is drawn again,
        at most 20 times. Raises InputError when all of them are silent.
        """
        for _ in range(TRIES):
            file, rate_hz, channels, frames = self.files[int(rng.integers(len(self.files)))]
            channel = int(rng.integers(channels))
            needed = -(-n * rate_hz // self.rate_hz)
            short = frames < needed
            start = int(rng.integers(frames if short else frames - needed + 1))
            x, _ = read_audio(file, start=0 if short else start, frames=None if short else needed, dtype="float64")
            part = resample(x[channel], rate_hz, self.rate_hz)
            if short:
                part = loop(part, n, start * self.rate_hz // rate_hz, round(CROSS_FADE_S * self.rate_hz))
            part = part[:n]
            if np.any(part):
                where = {"file": file.relative_to(self.root).as_posix(), "channel": channel, "start": start}
                return unit_rms(part), where
        raise InputError(f"{self.root}: {TRIES} excerpts in a row are silent, wanted recordings of noise")
