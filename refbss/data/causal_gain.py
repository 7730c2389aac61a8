"""A gain for a signal that is still going on: it follows the level heard so far. [ours]

A stream cannot measure its level first, as ``level.LevelMeter`` does for a recording. After every hop, with the hop
heard:

1. p, the power of the last 20 ms or so: an exponential mean of the hops' mean squares that begins with the first sound.
2. A hop is active when p lies within ACTIVE_RANGE_DB of the loudest p so far; the loudest fades by FADE_DB_S, so that a
   click is forgotten.
3. The level is the mean of p over the active hops, all of them at first and an exponential mean over MEMORY_S later. It
   starts anew when it has come to lie below what is active: until then only noise was heard.
4. Wanted is the gain that brings the level to the middle of the range that the model knows, or none for a level in it.
   A smaller gain is taken at once, as an onset that is much too loud costs more than a step; a larger one is approached
   by RISE_DB_S.

The gain of a hop depends on the hops up to this one, on nothing else.
"""

from __future__ import annotations

import math

import numpy as np

from refbss._checks import InputError
from refbss._types import Array
from refbss.data.level import gain_to_middle
from refbss.data.speech import ACTIVE_RANGE_DB, FRAME_S

FADE_DB_S = 1.0
MEMORY_S = 10.0
RISE_DB_S = 100.0


class CausalGain:
    """Gains hop by hop, for a model that knows levels in dBFS from ``known_dbfs[0]`` to ``known_dbfs[1]``."""

    def __init__(self, rate_hz: int, hop: int, known_dbfs: tuple[float, float]) -> None:
        hop_s = hop / rate_hz
        self._known_dbfs = known_dbfs
        self._smooth = 1.0 - math.exp(-hop_s / FRAME_S)
        self._fade = 10 ** (-FADE_DB_S * hop_s / 10)
        self._most = MEMORY_S / hop_s
        self._rise_db = RISE_DB_S * hop_s
        self.reset()

    def reset(self) -> None:
        """Forget everything that was heard."""
        self._power = self._loudest = self._level = self._heard = self._gain_db = 0.0

    def follow(self, samples: Array) -> float:
        """The factor for the next hop (n,), of finite samples."""
        now = float(np.mean(np.square(samples, dtype=np.float64)))
        self._power += (self._smooth if self._power else 1.0) * (now - self._power)
        self._loudest = max(self._power, self._loudest * self._fade)
        active = self._loudest * 10 ** (-ACTIVE_RANGE_DB / 10)
        if self._power > 0 and self._power >= active:
            if self._level < active:
                self._heard = 0.0
            self._heard = min(self._heard + 1.0, self._most)
            self._level += (self._power - self._level) / self._heard
            wanted_db = 20 * math.log10(gain_to_middle(10 * math.log10(self._level), self._known_dbfs))
            self._gain_db = min(wanted_db, self._gain_db + self._rise_db)
        return float(10 ** (self._gain_db / 20))

    def state(self) -> Array:
        """What it remembers, (5,) float64."""
        return np.array([self._power, self._loudest, self._level, self._heard, self._gain_db])

    def restore(self, state: Array) -> None:
        """Go on from where ``state`` was taken. Raises InputError on a power, level or count below 0."""
        if state[:4].min() < 0:
            raise InputError(f"stream: state: level is {state}, wanted powers, a level and a count of at least 0")
        self._power, self._loudest, self._level, self._heard, self._gain_db = map(float, state)
