"""The separator: a long signal in chunks is the short one at once, however it arrives."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from refbss import InputError
from refbss._types import Array
from refbss.data.audio_io import resample
from refbss.data.level import level_dbfs
from refbss.models import lvbd
from refbss.separation import Separator

RATE_HZ = 8000


@pytest.fixture
def separator(checkpoint: Path) -> Separator:
    """Chunks of two blocks, 1024 samples."""
    made = Separator(checkpoint)
    made.chunk = 1024
    return made


def noise(samples: int, seed: int = 0) -> Array:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples, dtype=np.float32)


def at_once(separator: Separator, mix: Array) -> Array:
    outputs, _ = lvbd.forward(separator.params, mix[None], None, config=separator.config, ops=separator.ops)
    return outputs.est[0]


@pytest.mark.parametrize("samples", [1, 15, 16, 1023, 1024, 1025, 5000])
def test_chunks_are_the_whole(separator: Separator, samples: int) -> None:
    mix = noise(samples)
    est, wanted = separator.separate(mix, RATE_HZ), at_once(separator, mix)
    assert est.shape == (2, samples) and est.dtype == np.float32
    assert np.array_equal(est, wanted)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_chunks_of_the_usual_length(checkpoint: Path, engine: str) -> None:
    separator = Separator(checkpoint, engine=engine)
    assert separator.chunk % (separator.config.block * separator.config.hop) == 0
    assert 3.9 < separator.chunk / RATE_HZ < 4.1
    mix = noise(separator.chunk + 777)
    wanted = at_once(separator, mix)
    assert np.array_equal(separator.separate(mix, RATE_HZ), wanted)


def test_the_engines_agree(checkpoint: Path) -> None:
    mix = noise(3000)
    fast, law = (Separator(checkpoint, engine=name).separate(mix, RATE_HZ) for name in ("fast", "reference"))
    assert np.abs(fast - law).max() <= 2e-5 * np.abs(law).max()  # float32 products through a deep network


@pytest.mark.parametrize("sizes", [[1] * 40 + [4960], [5000], [1000, 0, 24, 2000, 1976], [333] * 15 + [5]])
def test_how_the_input_is_cut_does_not_matter(separator: Separator, sizes: list[int]) -> None:
    mix = noise(5000)
    edges = np.cumsum([0, *sizes])
    assert edges[-1] == 5000
    pieces = separator.separate_blocks((mix[a:b] for a, b in pairwise(edges)), RATE_HZ)
    assert np.array_equal(np.concatenate(list(pieces), axis=1), separator.separate(mix, RATE_HZ))


def test_it_does_not_wait_for_the_end(separator: Separator) -> None:
    given = 0

    def blocks() -> Iterator[Array]:
        nonlocal given
        while True:
            given += 100
            yield noise(100)

    pieces = separator.separate_blocks(blocks(), RATE_HZ)
    assert next(pieces).shape == (2, 1024) and given == 1100
    assert next(pieces).shape == (2, 1024) and given == 2100


def test_what_comes_later_changes_nothing(separator: Separator) -> None:
    mix = noise(4000)
    changed = mix.copy()
    changed[2000:] = noise(2000, seed=1)
    one, other = (separator.separate(x, RATE_HZ) for x in (mix, changed))
    assert np.array_equal(one[:, :2000], other[:, :2000]) and not np.array_equal(one[:, 2000:], other[:, 2000:])


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 11025])
def test_memory_does_not_grow(separator: Separator, rate_hz: int) -> None:
    def peak(blocks: int) -> int:
        tracemalloc.start()
        stream = (noise(1000, seed) for seed in range(blocks))
        samples = sum(est.shape[1] for est in separator.separate_blocks(stream, rate_hz, resample=True))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert samples == 1000 * blocks
        return found

    peak(4)
    assert peak(60) <= 1.2 * peak(12)


@pytest.mark.parametrize("rate_hz", [16000, 11025, 4000])
def test_other_rates(separator: Separator, rate_hz: int) -> None:
    mix = noise(3001)
    est = separator.separate(mix, rate_hz, resample=True)
    back = resample(at_once(separator, resample(mix, rate_hz, RATE_HZ)), RATE_HZ, rate_hz)[:, : len(mix)]
    assert est.shape == (2, 3001) and est.dtype == np.float32
    assert np.abs(est - back).max() <= 5e-6 * np.abs(back).max()  # scipy filters in float32, the resampler in float64


def test_a_rate_is_not_guessed(separator: Separator) -> None:
    with pytest.raises(InputError, match="rate_hz is 16000 Hz, wanted 8000 Hz"):
        separator.separate(noise(100), 16000)
    assert np.array_equal(
        separator.separate(noise(100), RATE_HZ, resample=True), separator.separate(noise(100), RATE_HZ)
    )


def test_float64_and_views_are_taken(separator: Separator) -> None:
    mix = noise(2000)
    wanted = separator.separate(mix, RATE_HZ)
    assert np.array_equal(separator.separate(mix.astype(np.float64), RATE_HZ), wanted)
    assert np.array_equal(separator.separate(np.repeat(mix, 2)[::2], RATE_HZ), wanted)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (np.zeros(0, np.float32), r"mix has shape \(0,\), wanted \(N,\) with N of at least 1"),
        (np.zeros((2, 9), np.float32), r"mix is float32 of shape \(2, 9\), wanted a vector"),
        (np.zeros(9, np.int16), r"mix is int16 of shape \(9,\), wanted a vector \(N,\) of float32 or float64"),
        ([0.0], r"mix is list, wanted a vector"),
        (np.array([0.0, np.nan]), r"mix is nan at sample 1, wanted finite samples"),
        (np.array([0.0, 1e300]), r"mix is 1e\+300 at sample 1, wanted finite samples"),
        (np.full(40, 3e38, np.float32), r"the estimates pass the range of float32 when multiplied by"),
    ],
)
def test_bad_input(separator: Separator, mix: Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        separator.separate(mix, RATE_HZ)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 11025])
@pytest.mark.parametrize("peak", [1e-43, 1e-30, 1e30])
def test_extreme_levels(separator: Separator, peak: float, rate_hz: int) -> None:
    mix = noise(3000)
    mix = (mix * (peak / np.abs(mix).max())).astype(np.float32)
    est = separator.separate(mix, rate_hz, resample=True)
    assert est.shape == (2, 3000) and np.isfinite(est).all() and est.any()
    assert np.abs(est).max() < 1e3 * peak


@pytest.mark.filterwarnings("error")
def test_a_gain_beyond_float32(separator: Separator) -> None:
    assert not np.concatenate(list(separator.separate_blocks([0 * noise(9)], RATE_HZ, gain=1e300)), axis=1).any()
    with pytest.raises(InputError, match=r"mix passes the range of float32 when multiplied by 1e\+300"):
        list(separator.separate_blocks([noise(9)], RATE_HZ, gain=1e300))


def test_the_place_of_a_bad_sample_is_counted_from_the_start(separator: Separator) -> None:
    with pytest.raises(InputError, match="mix is inf at sample 103"):
        list(separator.separate_blocks([noise(100), np.array([0, 0, 0, np.inf])], RATE_HZ))


def test_several_threads_at_once(separator: Separator) -> None:
    def threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    mixes = [noise(3000, seed) for seed in range(6)]
    wanted = [separator.separate(mix, RATE_HZ) for mix in mixes]
    before = threads()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda mix: separator.separate(mix, RATE_HZ), mixes))
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert threads() == before


@pytest.mark.parametrize("model", [5, None, b"run"])
def test_a_model_that_is_no_path(model: Any) -> None:
    with pytest.raises(InputError, match=f"model is {model!r}, wanted a path"):
        Separator(model)


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no checkpoint"):
        Separator(tmp_path)
    with pytest.raises(InputError, match="name is 'slow', wanted one of reference, fast"):
        Separator(tmp_path, engine="slow")


def test_the_bundled_model() -> None:
    separator = Separator()
    assert (separator.rate_hz, separator.sources) == (RATE_HZ, 2)
    assert separator.separate(noise(500), RATE_HZ).shape == (2, 500)


@pytest.mark.parametrize("change_db", [-60.0, -20.0, 20.0, 60.0])
def test_a_level_that_the_model_does_not_know_changes_the_scale_only(separator: Separator, change_db: float) -> None:
    low, high = separator.level_dbfs
    mix = noise(4000)
    mix *= 10 ** (((low + high) / 2 - level_dbfs(mix, RATE_HZ)) / 20)
    wanted = separator.separate(mix, RATE_HZ)
    factor = 10 ** (change_db / 20)
    est = separator.separate((mix * factor).astype(np.float32), RATE_HZ)
    assert np.abs(est / factor - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_a_known_level_is_left_alone(separator: Separator) -> None:
    low, high = separator.level_dbfs
    assert separator.input_gain(low) == separator.input_gain(high) == separator.input_gain(-np.inf) == 1.0
    assert separator.input_gain(high + 1) == pytest.approx(10 ** (((low - high) / 2 - 1) / 20))
    mix = noise(4000)
    given = list(separator.separate_blocks([mix], RATE_HZ, gain=1.0))
    assert np.array_equal(np.concatenate(given, axis=1), separator.separate(mix, RATE_HZ))
    with pytest.raises(InputError, match=r"gain is 0\.0, wanted a finite number above 0"):
        separator.separate_blocks([mix], RATE_HZ, gain=0.0)
