"""The level of speech in a signal of any length, in constant memory.

A model is trained on mixtures of a range of levels. How loud a recording is says nothing about who speaks, so a signal
outside that range is brought into it first and the estimates are brought back: their scale stays that of the signal.
"""

from __future__ import annotations

import math

import numpy as np

from refbss._types import Array
from refbss.data.speech import ACTIVE_RANGE_DB, FRAME_S

_LOWEST_DB, _HIGHEST_DB = -400, 700
"""Frame levels beyond these, which float32 cannot hold, count into the outermost bins."""


class LevelMeter:
    """Root mean square over the active frames of what was pushed: those within ACTIVE_RANGE_DB of the loudest [ours].

    Frame energies are kept in bins of 1 dB, so that the edge of what counts as active is exact to 1 dB. That is the
    price of constant memory; mixtures are made with ``speech.active_rms``, which has the whole signal and is exact.
    """

    def __init__(self, rate_hz: int) -> None:
        self._frame = max(1, round(FRAME_S * rate_hz))
        self._energy = np.zeros(_HIGHEST_DB - _LOWEST_DB)
        self._count = np.zeros(_HIGHEST_DB - _LOWEST_DB)
        self._rest: Array = np.zeros(0)

    def push(self, block: Array) -> None:
        """Take the next samples (n,)."""
        joined = np.concatenate([self._rest, block.astype(np.float64)])
        whole = len(joined) // self._frame * self._frame
        self._add(np.mean(np.square(joined[:whole]).reshape(-1, self._frame), axis=1))
        self._rest = joined[whole:]

    def _add(self, power: Array) -> None:
        power = power[power > 0]
        bins = np.floor(10 * np.log10(power)).astype(int) - _LOWEST_DB
        bins = np.clip(bins, 0, len(self._energy) - 1)
        np.add.at(self._energy, bins, power)
        np.add.at(self._count, bins, 1)

    def level_dbfs(self) -> float:
        """Level in dB relative to a magnitude of 1; -inf for silence. A signal shorter than a frame is one frame."""
        energy, count = self._energy, self._count
        if not count.any():
            power = float(np.mean(self._rest**2)) if len(self._rest) else 0.0
            return 10 * math.log10(power) if power > 0 else -math.inf
        loudest = int(np.flatnonzero(count)[-1])
        active = slice(max(0, loudest - round(ACTIVE_RANGE_DB)), loudest + 1)
        return 10 * math.log10(float(energy[active].sum() / count[active].sum()))


def level_dbfs(signal: Array, rate_hz: int) -> float:
    """Level of one signal (N,), see LevelMeter."""
    meter = LevelMeter(rate_hz)
    meter.push(signal)
    return meter.level_dbfs()


def gain_to_middle(level: float, known_dbfs: tuple[float, float]) -> float:
    """The factor that brings a signal of this level (dBFS) to the middle of the levels that a model knows (low, high).

    1 for a level among them, and for silence.
    """
    low, high = known_dbfs
    if low <= level <= high or not math.isfinite(level):
        return 1.0
    return float(10 ** (((low + high) / 2 - level) / 20))
