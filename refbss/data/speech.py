"""Speech of one split in memory: utterances at a common level, strung together to any length.

The level of an utterance is its active level: the mean square over those 20 ms frames that come within 30 dB of its
loudest frame. Pauses and trailing silence do not count. [ours]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from refbss._checks import InputError, check_number
from refbss._types import Array
from refbss.data.audio_io import read_audio
from refbss.data.layouts import Corpus, Recording
from refbss.data.resampling import check_rate

FRAME_S = 0.02
ACTIVE_RANGE_DB = 30.0
SILENT_PEAK = 1e-4
"""A recording whose samples all lie below this (-80 dBFS) is silent."""


def active_rms(x: Array, rate_hz: int) -> float:
    """Root mean square of x (N,) over its active frames; 0 for a signal of zeros. [ours]"""
    frame = max(1, round(FRAME_S * rate_hz))
    whole = len(x) // frame * frame
    parts = (x[:whole] if whole else x).astype(np.float64).reshape(-1, frame if whole else len(x))
    power = np.mean(parts**2, axis=1)
    active = power >= power.max() * 10 ** (-ACTIVE_RANGE_DB / 10)
    return math.sqrt(float(power[active].mean()))


class SpeechPool:
    """The recordings of one split by speaker, each at an active level of 1, at one sample rate.

    A speaker's name is ``corpus/speaker``. Recordings are read at the start, or when they are first wanted if all of
    them would pass ``memory_mb``; those beyond the budget are read anew each time. Raises InputError: no recordings
    in the split, two corpora of one name, another sample rate (unless ``resample``), a recording that cannot be read
    or is silent.
    """

    def __init__(
        self, corpora: Sequence[Corpus], *, split: str, rate_hz: int, resample: bool = False, memory_mb: float = 1024
    ) -> None:
        check_rate("SpeechPool", rate_hz=rate_hz)
        check_number("SpeechPool", least=0, memory_mb=memory_mb)
        self.split, self.rate_hz = split, rate_hz
        names = [corpus.name for corpus in corpora]
        if len(set(names)) < len(names):
            raise InputError(f"SpeechPool: corpora are named {', '.join(names)}, wanted different names")
        self.recordings: dict[str, list[Recording]] = {}
        for corpus in corpora:
            for recording in corpus.of_split(split).recordings:
                if recording.rate_hz != rate_hz and not resample:
                    raise InputError(
                        f"{recording.path}: sample rate is {recording.rate_hz} Hz, wanted {rate_hz} Hz "
                        "or the option resample"
                    )
                self.recordings.setdefault(f"{corpus.name}/{recording.speaker}", []).append(recording)
        if not self.recordings:
            raise InputError(f"SpeechPool: {', '.join(names) or 'no corpus'} has no recordings in split {split!r}")
        self.speakers = tuple(sorted(self.recordings))
        self._budget = int(memory_mb * 2**20)
        self._held: dict[Recording, Array] = {}
        everything = [recording for speaker in self.speakers for recording in self.recordings[speaker]]
        if sum(4 * math.ceil(r.frames * rate_hz / r.rate_hz) for r in everything) <= self._budget:
            for recording in everything:
                self.utterance(recording)

    def utterance(self, recording: Recording) -> Array:
        """Samples (N,) float32 at an active level of 1; not to be changed. Raises InputError."""
        if recording in self._held:
            return self._held[recording]
        x = read_audio(recording.path, start=recording.start, frames=recording.frames, resample_hz=self.rate_hz)[0][0]
        if np.abs(x).max() < SILENT_PEAK:
            raise InputError(f"{recording.path}: recording {recording.id} is silent, wanted speech")
        with np.errstate(over="ignore"):
            x = np.asarray(x / active_rms(x, self.rate_hz), np.float32)
        if not np.isfinite(x).all():
            raise InputError(
                f"{recording.path}: recording {recording.id} has samples far beyond its level, wanted speech"
            )
        x.flags.writeable = False
        if x.nbytes <= self._budget:
            self._budget -= x.nbytes
            self._held[recording] = x
        return x

    def string(
        self, speaker: str, n: int, pauses_s: tuple[float, float], rng: np.random.Generator
    ) -> tuple[Array, list[dict[str, Any]]]:
        """Utterances of one speaker with pauses in between until n samples are full.

        Utterances are drawn with replacement. The first begins before sample 0, by a number of samples uniform
        within its length; the last may run over the end. Returns (n,) float32 and a list of ``{"id", "at"}``:
        recording ``id`` starts at sample ``at``.
        """
        y = np.zeros(n, np.float32)
        placed: list[dict[str, Any]] = []
        recordings = self.recordings[speaker]
        at = 0
        while at < n:
            recording = recordings[int(rng.integers(len(recordings)))]
            x = self.utterance(recording)
            if not placed:
                at = -int(rng.integers(len(x)))
            begin, end = max(at, 0), min(at + len(x), n)
            y[begin:end] = x[begin - at : end - at]
            placed.append({"id": recording.id, "at": at})
            at += len(x) + round(rng.uniform(*pauses_s) * self.rate_hz)
        return y, placed
