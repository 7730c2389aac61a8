"""A stream is the whole signal, however it is cut, at any rate, and nothing that is refused moves it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refbss import InputError
from refbss._checks import NotFiniteError
from refbss._types import Array
from refbss.separation import Separator
from refbss.separation_stream import SeparationStream

RATE_HZ = 8000
RATES = [RATE_HZ, 16000, 44100, 48000, 11025, 4000]
GAINS: list[float | str] = [1.0, 3.7, "auto"]
repeatable = settings(derandomize=True, deadline=None, max_examples=40)


@pytest.fixture(scope="module")
def separator(checkpoint: Path) -> Separator:
    return Separator(checkpoint)


def noise(samples: int, seed: int = 0) -> Array:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples, dtype=np.float32)


def pieces(mix: Array, cuts: list[int]) -> Iterator[Array]:
    """The signal cut at these places; a place that comes twice makes an empty piece."""
    yield from (mix[a:b] for a, b in pairwise([0, *sorted(min(cut, len(mix)) for cut in cuts), len(mix)]))


def through(stream: SeparationStream, parts: Iterator[Array] | list[Array]) -> Array:
    return np.concatenate([*(stream.push(part) for part in parts), stream.finish()], axis=1)


def offline(separator: Separator, mix: Array, rate_hz: int = RATE_HZ, gain: float = 1.0) -> Array:
    found = separator.separate_blocks([mix], rate_hz, resample=True, gain=gain)
    return np.concatenate(list(found), axis=1)


@repeatable
@given(samples=st.integers(1, 1200), cuts=st.lists(st.integers(0, 1200), max_size=12), data=st.data())
def test_how_it_is_cut_does_not_matter(separator: Separator, samples: int, cuts: list[int], data: Any) -> None:
    """Bit for bit, past two blocks of the memory, and equal to what is made of the whole signal."""
    rate_hz = data.draw(st.sampled_from(RATES[:2] + RATES[3:]))
    gain = data.draw(st.sampled_from(GAINS))
    mix = noise(samples, seed=samples)
    stream = separator.stream(rate_hz, resample=True, gain=gain)
    est = through(stream, pieces(mix, cuts))
    assert est.dtype == np.float32 and est.shape == (2, samples)
    if isinstance(gain, float):
        assert np.array_equal(est, offline(separator, mix, rate_hz, gain))
    stream.reset()
    assert np.array_equal(est, through(stream, [mix])), "in one piece"


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("size", [1, 7, 16, 1000])
def test_pieces_of_one_size(separator: Separator, rate_hz: int, size: int) -> None:
    mix = noise(1500 if size == 1 else 7001)
    parts = [mix[i : i + size] for i in range(0, len(mix), size)]
    est = through(separator.stream(rate_hz, resample=True), parts)
    assert np.array_equal(est, offline(separator, mix, rate_hz))


@pytest.mark.parametrize("gain", GAINS)
def test_the_reference_engine(checkpoint: Path, gain: float | str) -> None:
    """Hops of the law: the same bits for every cut, and the whole signal to the rounding of float32 products."""
    law = Separator(checkpoint, engine="reference")
    mix = noise(1111)
    one, other = (through(law.stream(gain=gain), pieces(mix, cuts)) for cuts in ([], [1, 2, 30, 31, 500, 517, 900]))
    assert np.array_equal(one, other)
    if isinstance(gain, float):
        assert np.abs(one - offline(law, mix, gain=gain)).max() <= 1e-6 * np.abs(one).max()


def test_what_comes_out_when(separator: Separator) -> None:
    """A hop comes out with its last sample; an empty piece, and a piece of float64, are pieces."""
    stream, mix = separator.stream(), noise(100)
    assert stream.latency_samples == 16 and stream.sources == 2 and stream.rate_hz == RATE_HZ
    given = [stream.push(part).shape[1] for part in (mix[:0], mix[:15], mix[15:16], mix[16:50].astype(float))]
    assert given == [0, 0, 16, 32] and stream.received == 50
    assert stream.finish().shape == (2, 2)


def test_nothing_in_is_nothing_out(separator: Separator) -> None:
    for rate_hz in (RATE_HZ, 16000):
        stream = separator.stream(rate_hz, resample=True)
        assert stream.push(noise(0)).shape == stream.finish().shape == (2, 0)


def test_after_the_end_only_a_new_beginning(separator: Separator) -> None:
    stream, mix = separator.stream(), noise(50)
    state = stream.state()
    est = through(stream, [mix])
    for call, message in [
        (lambda: stream.push(mix), "samples came after finish"),
        (stream.finish, "finish came after finish"),
        (stream.state, "state came after finish"),
    ]:
        with pytest.raises(InputError, match=rf"stream: {message}\(\), wanted reset\(\) or restore\(\) first"):
            call()
    stream.restore(state)
    assert np.array_equal(through(stream, [mix]), est)
    stream.reset()
    assert np.array_equal(through(stream, [mix]), est)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 11025])
@pytest.mark.parametrize("gain", GAINS)
def test_bad_samples_are_refused_and_nothing_moves(separator: Separator, rate_hz: int, gain: float | str) -> None:
    stream, mix = separator.stream(rate_hz, resample=True, gain=gain), noise(1000)
    wanted = through(separator.stream(rate_hz, resample=True, gain=gain), [mix])
    est = [stream.push(mix[:333])]
    for value in (np.nan, np.inf, -np.inf):
        bad = mix[333:700].copy()
        bad[100] = value
        with pytest.raises(NotFiniteError, match=f"stream: samples is {value} at sample 433, wanted finite samples"):
            stream.push(bad)
    for other, message in [
        (np.zeros((2, 9), np.float32), r"is float32 of shape \(2, 9\), wanted a vector"),
        (np.zeros(9, np.int16), "is int16 of shape"),
        ([0.0], "is list"),
        (np.ma.masked_array(mix), "is masked"),
        (np.full(40, 1e300), r"is 1e\+300 at sample 333"),
        (np.full(4000, 3e38, np.float32), "pass"),
    ]:
        with pytest.raises(InputError, match=f"stream: .*{message}"):
            stream.push(other)
    assert stream.received == 333
    est += [stream.push(mix[333:]), stream.finish()]
    assert np.array_equal(np.concatenate(est, axis=1), wanted)


def test_it_keeps_no_hold_of_what_it_was_given(separator: Separator) -> None:
    mix = noise(300)
    for rate_hz in (RATE_HZ, 16000):
        wanted = through(separator.stream(rate_hz, resample=True), [mix])
        stream, room, est = separator.stream(rate_hz, resample=True), np.zeros(30, np.float32), []
        for i in range(0, 300, 30):
            room[:] = mix[i : i + 30]
            est.append(stream.push(room))
        est.append(stream.finish())
        assert np.array_equal(np.concatenate(est, axis=1), wanted)


def test_what_is_no_rate_and_no_gain(separator: Separator) -> None:
    for arguments, message in [
        ({"rate_hz": 16000}, "rate_hz is 16000 Hz, wanted 8000 Hz as the model has"),
        ({"rate_hz": 0}, "rate_hz is 0"),
        ({"rate_hz": 10**7, "resample": True}, "is 10000000, wanted an integer from 1 to"),
        ({"gain": 0.0}, r"gain is 0\.0, wanted a finite number above 0"),
        ({"gain": "loud"}, "gain is 'loud', wanted a finite number above 0"),
        ({"gain": np.nan}, "gain is nan"),
    ]:
        with pytest.raises(InputError, match=message):
            separator.stream(**arguments)


@pytest.mark.parametrize("rate_hz", RATES)
def test_latency(separator: Separator, rate_hz: int) -> None:
    """A sample's estimates are there after latency_samples samples, never later, and sometimes not earlier."""
    stream = separator.stream(rate_hz, resample=True)
    latency, out, waits = stream.latency_samples, 0, []
    for came in range(1, 4000):
        got = stream.push(noise(1)).shape[1]
        waits += [came - place for place in range(out, out + got)]
        out += got
    assert max(waits) == latency
    assert latency / rate_hz <= 16 / RATE_HZ + 20 / min(rate_hz, RATE_HZ) + 2 / rate_hz


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 16000, 11025])
def test_what_comes_later_changes_nothing(separator: Separator, rate_hz: int, gain: float | str) -> None:
    """An impulse changes nothing further back than the latency, and something within it."""
    mix, at = noise(3000), 1777
    struck = mix.copy()
    struck[at] += 0.5
    one, other = (through(separator.stream(rate_hz, resample=True, gain=gain), [x]) for x in (mix, struck))
    changed = np.flatnonzero((one != other).any(axis=0))
    latency = separator.stream(rate_hz, resample=True).latency_samples
    assert at - latency < changed[0] < at + latency


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the memory of the process as Linux tells it")
def test_minutes_take_no_memory(separator: Separator, figures: dict[str, str]) -> None:
    """Five minutes: after the first half minute the process grows by less than 2 MB, and the end is as offline."""

    def resident_mb() -> float:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20

    mix = noise(300 * RATE_HZ)
    stream, last, begun = separator.stream(), [], 0.0
    for i in range(0, len(mix), 160):
        est = stream.push(mix[i : i + 160])
        if i == 30 * RATE_HZ:
            begun = resident_mb()
        if i >= 290 * RATE_HZ:
            last.append(est)
    grown = resident_mb() - begun
    figures["five minutes of streaming, growth of the process after the first half minute"] = f"{grown:.2f} MB"
    assert grown < 2.0
    assert np.array_equal(np.concatenate(last, axis=1), offline(separator, mix)[:, 290 * RATE_HZ :])
