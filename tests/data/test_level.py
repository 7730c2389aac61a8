"""The level meter: the same however the signal is cut, and the level of the active frames."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refbss.data.level import LevelMeter, level_dbfs
from refbss.data.speech import active_rms

RATE_HZ = 8000


def test_a_tone_has_the_level_of_its_rms() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 400 * np.arange(RATE_HZ) / RATE_HZ)
    assert level_dbfs(tone, RATE_HZ) == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=1e-9)


@pytest.mark.parametrize("cut", [1, 37, 1000])
def test_blocks_do_not_matter(cut: int) -> None:
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(5000) * np.repeat(10.0 ** rng.uniform(-4, 0, 50), 100)
    meter = LevelMeter(RATE_HZ)
    for start in range(0, len(signal), cut):
        meter.push(signal[start : start + cut])
    assert meter.level_dbfs() == pytest.approx(level_dbfs(signal, RATE_HZ), abs=1e-9)
    assert level_dbfs(signal, RATE_HZ) == pytest.approx(20 * math.log10(active_rms(signal, RATE_HZ)), abs=0.2)


def test_pauses_do_not_count() -> None:
    speech = np.random.default_rng(1).standard_normal(RATE_HZ)
    with_pause = np.concatenate([speech, np.zeros(9 * RATE_HZ)])
    assert level_dbfs(with_pause, RATE_HZ) == pytest.approx(level_dbfs(speech, RATE_HZ), abs=1e-9)


def test_silence_and_short_signals() -> None:
    assert level_dbfs(np.zeros(RATE_HZ), RATE_HZ) == -math.inf
    assert level_dbfs(np.zeros(0), RATE_HZ) == -math.inf
    assert level_dbfs(np.full(3, 0.1), RATE_HZ) == pytest.approx(-20.0)
    assert level_dbfs(np.full(RATE_HZ, 1e-30), RATE_HZ) == pytest.approx(-600.0)
