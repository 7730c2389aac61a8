"""The resampler with a memory against scipy's, which takes the whole signal at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from refbss import InputError
from refbss.data.audio_io import resample
from refbss.data.resampling import Resampler

RATES = [(8000, 16000), (16000, 8000), (44100, 8000), (8000, 44100), (48000, 8000), (11025, 8000), (8000, 8000), (7, 5)]


@pytest.mark.parametrize(("rate", "wanted"), RATES)
@pytest.mark.parametrize("samples", [1, 50, 2001])
def test_the_pieces_are_the_whole(rate: int, wanted: int, samples: int) -> None:
    rng = np.random.default_rng(samples)
    x = rng.standard_normal((2, samples))
    divisor = np.gcd(rate, wanted)
    whole = resample_poly(x, wanted // divisor, rate // divisor, axis=-1)
    for size in (1, 37, 5000):
        if size == 1 and samples > 50:
            continue
        resampler = Resampler(rate, wanted)
        pieces = [resampler.push(x[:, i : i + size]) for i in range(0, samples, size)] + [resampler.finish()]
        joined = np.concatenate(pieces, axis=-1)
        assert joined.shape == whole.shape
        np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-13)  # sums of up to 1100 products in another order


def test_it_forgets_what_is_over() -> None:
    resampler = Resampler(44100, 8000)
    held = []
    for _ in range(50):
        resampler.push(np.zeros(1000))
        assert resampler._buffer is not None
        held.append(len(resampler._buffer))
    assert max(held[5:]) < 2500


def test_outputs_come_early() -> None:
    """An output waits for half a filter of input, 10 samples of the slower rate, and no longer."""
    assert Resampler(8000, 16000).push(np.zeros(100)).shape == (2 * (100 - 10),)
    assert Resampler(16000, 8000).push(np.zeros(100)).shape == ((100 - 20 + 1) // 2,)


def test_dtypes_and_errors() -> None:
    resampler = Resampler(3, 2)
    assert resampler.push(np.ones(30, np.float32)).dtype == resampler.finish().dtype == np.float32
    with pytest.raises(InputError, match="rate_hz is 0"):
        Resampler(0, 8000)


@pytest.mark.parametrize("rates", [(2**31 - 1, 8000), (8000, 10**6 + 1), (999983, 999979), (1, 8000), (10**6, 7)])
def test_ratios_that_would_take_all_memory_are_refused(rates: tuple[int, int]) -> None:
    message = rf"is {max(rates)}, wanted an integer from 1 to|from {rates[0]} Hz to {rates[1]} Hz, wanted rates at most"
    for refuse in (lambda: Resampler(*rates), lambda: resample(np.zeros(9), *rates)):
        with pytest.raises(InputError, match=message):
            refuse()
    Resampler(44101, 8000)  # odd, but a filter of 882,021 taps is no harm


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_cuts_change_no_bit(rate: int, wanted: int) -> None:
    x = np.random.default_rng(0).standard_normal(1500, dtype=np.float32)

    def through(size: int) -> np.ndarray:
        resampler = Resampler(rate, wanted)
        pieces = [resampler.push(x[i : i + size]) for i in range(0, len(x), size)]
        return np.concatenate([*pieces, resampler.finish()])

    whole = through(len(x))
    assert all(np.array_equal(through(size), whole) for size in (1, 7, 160))


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_it_goes_on_from_a_state_and_says_what_it_has(rate: int, wanted: int) -> None:
    x = np.random.default_rng(1).standard_normal((2, 700), dtype=np.float32)
    resampler, other = Resampler(rate, wanted), Resampler(rate, wanted)
    came = 0
    for at in range(0, 700, 35):
        assert resampler.completed(at) == came and resampler.state().shape[-1] == resampler.keeps(at)
        assert resampler.needed(came) <= at < resampler.needed(came + 1)
        other.restore(resampler.state(), at)
        got = resampler.push(x[:, at : at + 35])
        assert np.array_equal(other.push(x[:, at : at + 35]), got)
        came += got.shape[1]
    assert np.array_equal(other.finish(), resampler.finish())
    resampler.reset()
    assert resampler.state().size == 0 and resampler.completed(0) == resampler.needed(0) == 0
