"""The gain that follows a level: from the hops so far alone, down at once, up by degrees."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refbss import InputError
from refbss._types import Array
from refbss.data.causal_gain import FADE_DB_S, MEMORY_S, RISE_DB_S, CausalGain

RATE_HZ, HOP = 8000, 16
HOP_S = HOP / RATE_HZ
KNOWN = (-33.0, -19.0)


def tone(level_dbfs: float, seconds: float) -> Array:
    """White noise of a level, hop by hop (hops, HOP)."""
    x = np.random.default_rng(0).standard_normal((round(seconds / HOP_S), HOP))
    return (10 ** (level_dbfs / 20) * x / math.sqrt(np.mean(x**2))).astype(np.float32)


def gains_db(follower: CausalGain, hops: Array) -> Array:
    return np.array([20 * math.log10(follower.follow(hop)) for hop in hops])


@pytest.mark.parametrize("level", [-90.0, -60.0, -45.0, -10.0, 5.0])
def test_it_comes_to_the_middle_of_what_is_known(level: float) -> None:
    found = gains_db(CausalGain(RATE_HZ, HOP, KNOWN), tone(level, 3.0))
    assert found[-1] == pytest.approx(-26.0 - level, abs=0.3)


def test_a_known_level_is_left_alone() -> None:
    assert not gains_db(CausalGain(RATE_HZ, HOP, KNOWN), tone(-26.0, 1.0)).any()


def test_silence_is_left_alone() -> None:
    follower = CausalGain(RATE_HZ, HOP, KNOWN)
    assert [follower.follow(np.zeros(HOP, np.float32)) for _ in range(9)] == [1.0] * 9
    gains_db(follower, tone(-45.0, 1.0))
    before = follower.follow(tone(-45.0, HOP_S)[0])
    held = [follower.follow(np.zeros(HOP, np.float32)) for _ in range(1000)]
    assert abs(20 * math.log10(held[-1] / before)) < 0.5, "a pause is no change of level"


def test_it_rises_by_degrees_and_falls_at_once() -> None:
    follower = CausalGain(RATE_HZ, HOP, KNOWN)
    rising = gains_db(follower, tone(-80.0, 2.0))
    assert np.diff(rising, prepend=0.0).max() == pytest.approx(RISE_DB_S * HOP_S)
    assert rising[-1] > 50
    falling = gains_db(follower, tone(-10.0, 0.1))
    assert falling[5] < 0, "ten milliseconds into a loud onset"


def test_noise_before_speech_is_not_taken_for_the_level() -> None:
    """After ten seconds 60 dB below, the level of the speech counts from its first moment on."""
    follower = CausalGain(RATE_HZ, HOP, KNOWN)
    gains_db(follower, tone(-105.0, 10.0))
    assert gains_db(follower, tone(-45.0, 1.0))[-1] == pytest.approx(19.0, abs=0.3)


def test_a_click_is_forgotten() -> None:
    follower = CausalGain(RATE_HZ, HOP, KNOWN)
    gains_db(follower, tone(-55.0, 1.0))
    follower.follow(np.full(HOP, 1.0, np.float32))
    seconds = 60.0 / FADE_DB_S + 3 * MEMORY_S
    assert gains_db(follower, tone(-55.0, seconds))[-1] == pytest.approx(29.0, abs=1.0)


def test_it_never_looks_ahead() -> None:
    hops = np.concatenate([tone(-45.0, 0.5), tone(-10.0, 0.5)])
    other = np.concatenate([tone(-45.0, 0.5), tone(-70.0, 0.5)])
    one, two = (gains_db(CausalGain(RATE_HZ, HOP, KNOWN), x) for x in (hops, other))
    assert np.array_equal(one[:250], two[:250]) and not np.array_equal(one[250:], two[250:])


def test_reset_and_restore() -> None:
    follower, hops = CausalGain(RATE_HZ, HOP, KNOWN), tone(-50.0, 0.4)
    begun = gains_db(follower, hops[:77])
    state = follower.state()
    wanted = gains_db(follower, hops[77:])
    other = CausalGain(RATE_HZ, HOP, KNOWN)
    other.restore(state)
    assert np.array_equal(gains_db(other, hops[77:]), wanted)
    follower.reset()
    assert np.array_equal(gains_db(follower, hops[:77]), begun)
    with pytest.raises(InputError, match="at least 0"):
        follower.restore(np.array([0.0, -1.0, 0.0, 0.0, 0.0]))
