"""The mixer: a pure function of (seed, epoch, index), exact sums, levels as asked, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.data.audio_io import write_audio
from refbss.data.layouts import SPLITS, Corpus, open_corpus
from refbss.data.mixing import Item, MixConfig, Mixer, generator, mixture_of, stack
from refbss.data.speech import active_rms

Tones = Callable[..., Path]
RATE_HZ = 8000
EVERYTHING: dict[str, Any] = {
    "noise": ("none", "white", "pink", "speech", "babble"),
    "noise_probability": 0.8,
    "silence_probability": 0.5,
    "silence_s": (0.2, 0.8),
}
"""Every feature of the mixer at once."""


@pytest.fixture(scope="session")
def mixer(voices: Corpus) -> Mixer:
    return Mixer([voices], MixConfig(**EVERYTHING), seed=7, split="train")


def db(ratio: float) -> float:
    return float(10 * np.log10(ratio))


def energy(x: np.ndarray) -> float:
    return float(np.sum(x.astype(np.float64) ** 2))


def assert_equal(a: Item, b: Item) -> None:
    for name in ("mix", "sources", "noise"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.id, a.clean, a.recipe) == (b.id, b.clean, b.recipe)


def test_shapes_and_types(mixer: Mixer) -> None:
    item = mixer.item(0, 3)
    assert item.id == "s7e0i000003"
    assert (item.mix.shape, item.sources.shape, item.noise.shape) == ((16000,), (2, 16000), (16000,))
    assert {item.mix.dtype, item.sources.dtype, item.noise.dtype} == {np.dtype(np.float32)}
    assert json.loads(json.dumps(item.recipe)) == item.recipe


def test_order_does_not_matter(mixer: Mixer, voices: Corpus) -> None:
    items = {index: mixer.item(2, index) for index in range(6)}
    other = Mixer([voices], MixConfig(**EVERYTHING), seed=7, split="train", memory_mb=0)
    for index in (5, 0, 3, 3):
        assert_equal(other.item(2, index), items[index])


def test_any_number_of_workers(mixer: Mixer) -> None:
    with ThreadPoolExecutor(4) as threads:
        for index, item in enumerate(threads.map(lambda index: mixer.item(1, index), range(12))):
            assert_equal(item, mixer.item(1, index))


def test_another_process_makes_the_same_item(mixer: Mixer) -> None:
    """Also with another order of hashes: nothing may hang on the order of a set."""
    code = (
        "import sys, hashlib, json; from refbss.data.layouts import open_corpus; "
        "from refbss.data.mixing import MixConfig, Mixer; "
        "m = Mixer([open_corpus('embedded')], MixConfig(**json.loads(sys.argv[1])), seed=7, split='train'); "
        "print(hashlib.sha256(m.item(4, 2).mix.tobytes()).hexdigest())"
    )
    import hashlib

    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps(EVERYTHING)],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == hashlib.sha256(mixer.item(4, 2).mix.tobytes()).hexdigest()


def test_an_epoch_resumes_in_the_middle(mixer: Mixer) -> None:
    whole = [stack([mixer.item(3, index) for index in range(start, start + 2)]) for start in (0, 2, 4)]
    resumed = stack([mixer.item(3, index) for index in range(4, 6)])
    np.testing.assert_array_equal(resumed.mix, whole[2].mix)
    np.testing.assert_array_equal(resumed.sources, whole[2].sources)
    assert resumed.ids == whole[2].ids == ("s7e3i000004", "s7e3i000005")


def test_a_batch_is_its_items(mixer: Mixer) -> None:
    batch = stack([mixer.item(0, index) for index in (4, 1, 9)])
    assert (batch.mix.shape, batch.sources.shape, batch.noise.shape) == ((3, 16000), (3, 2, 16000), (3, 16000))
    assert batch.clean.dtype == np.bool_
    for row, index in enumerate((4, 1, 9)):
        one = Item(
            batch.ids[row],
            batch.mix[row],
            batch.sources[row],
            batch.noise[row],
            bool(batch.clean[row]),
            batch.recipes[row],
        )
        assert_equal(one, mixer.item(0, index))
    with pytest.raises(InputError, match="no items"):
        stack([])


def test_seed_epoch_and_index_all_matter(mixer: Mixer, voices: Corpus) -> None:
    other = Mixer([voices], MixConfig(**EVERYTHING), seed=8, split="train")
    mixes = [mixer.item(0, 1).mix, mixer.item(1, 0).mix, mixer.item(0, 0).mix, other.item(0, 0).mix]
    for i, a in enumerate(mixes):
        for b in mixes[i + 1 :]:
            assert not np.array_equal(a, b)


def test_random_numbers_of_two_purposes_never_meet() -> None:
    """The counter's two high words are index and epoch: a stream would need 2^128 draws to run into the next."""
    draws = {
        (*place, purpose): generator(*place, purpose).bit_generator.random_raw(4).tolist()
        for place in itertools.product((0, 1), SPLITS, (0, 1), (0, 1))
        for purpose in (0, 1, 255)
    }
    assert len({word for words in draws.values() for word in words}) == len(draws) * 4 == 3 * 24 * 4
    state = generator(3, "test", 4, 5, 6).bit_generator.state["state"]
    assert (state["key"].tolist(), state["counter"].tolist()) == ([3, 512 + 6], [0, 0, 5, 4])


def test_splits_share_no_noise(voices: Corpus) -> None:
    """The same seed, epoch and index in two splits: other noise, other levels, other pairs of speakers."""
    config = MixConfig(noise="white", seconds=0.5)
    train, test = (Mixer([voices], config, seed=1, split=split) for split in ("train", "test"))
    pairs = [(train.item(0, index), test.item(0, index)) for index in range(20)]
    for seen, unseen in pairs:
        assert abs(np.corrcoef(seen.noise, unseen.noise)[0, 1]) < 0.1
    assert sum(seen.recipe["speakers"] == unseen.recipe["speakers"] for seen, unseen in pairs) < 5


def test_the_mixture_is_the_sum(mixer: Mixer) -> None:
    kinds = set()
    for index in range(40):
        item = mixer.item(0, index)
        np.testing.assert_array_equal(item.mix, mixture_of(item.sources, item.noise))
        total = item.sources.astype(np.float64).sum(axis=0) + item.noise
        assert np.abs(item.mix - total).max() <= 2**-23  # two float32 additions of values below 2
        assert item.clean == (not item.noise.any()) == (item.recipe["noise"] is None)
        kinds.add(None if item.clean else item.recipe["noise"]["kind"])
    assert kinds == {None, "white", "pink", "speech", "babble"}


def test_clean_is_the_sum_of_the_sources_in_float32(voices: Corpus) -> None:
    item = Mixer([voices], MixConfig(sources=3), seed=1).item(0, 0)
    assert item.clean
    np.testing.assert_array_equal(item.mix, (item.sources[0] + item.sources[1]) + item.sources[2])


def test_snr_and_level_are_as_asked(mixer: Mixer) -> None:
    for index in range(40):
        item = mixer.item(0, index)
        speech = item.sources.astype(np.float64).sum(axis=0)
        if not item.clean:
            asked = item.recipe["noise"]["snr_db"]
            assert 5 <= asked <= 15
            assert db(energy(speech) / energy(item.noise)) == pytest.approx(asked, abs=1e-3)
        level = item.recipe["level_dbfs"]
        assert db(energy(item.mix) / len(item.mix)) == pytest.approx(level, abs=1e-3)
        assert level <= -19
        signals = np.concatenate([item.mix[None], item.sources, item.noise[None]])
        assert np.abs(signals).max() <= 0.99 + 1e-6
        assert level >= -33 or np.abs(signals).max() == pytest.approx(0.99)


def test_gains_are_as_asked(voices: Corpus) -> None:
    """Whole utterances of two speakers differ in active level by the gains of the recipe, within 0.05 dB."""
    mixer = Mixer([voices], MixConfig(sources=3, seconds=6), seed=3)
    lengths = {recording.id: recording.frames for recording in voices.recordings}
    compared = 0
    for index in range(10):
        item = mixer.item(0, index)
        levels: list[list[float]] = []
        for source, placed in zip(item.sources, item.recipe["utterances"], strict=True):
            whole = [
                source[place["at"] : place["at"] + lengths[place["id"]]]
                for place in placed
                if place["at"] >= 0 and place["at"] + lengths[place["id"]] <= len(source)
            ]
            levels.append([20 * np.log10(active_rms(x, RATE_HZ)) for x in whole])
        gains = item.recipe["gains_db"]
        assert gains[0] == 0.0
        for p in (1, 2):
            for level in levels[p]:
                for first in levels[0]:
                    assert level - first == pytest.approx(gains[p], abs=0.05)
                    compared += 1
    assert compared > 50


def test_level_differences_are_uniform_in_the_range(voices: Corpus) -> None:
    """Kolmogorov-Smirnov distance of 300 gains to the uniform law on [-2.5, 2.5]; 0.0784 is its 5 percent point."""
    mixer = Mixer([voices], MixConfig(seconds=0.02), seed=0)
    gains = np.sort([mixer.item(0, index).recipe["gains_db"][1] for index in range(300)])
    assert np.abs(gains).max() <= 2.5
    assert np.abs((gains + 2.5) / 5 - (np.arange(300) + 0.5) / 300).max() < 0.0784


def test_a_silence_is_exactly_as_long_as_the_recipe_says(voices: Corpus) -> None:
    config = MixConfig(seconds=3, silence_probability=1.0, silence_s=(1.0, 2.0))
    plain = Mixer([voices], dataclasses.replace(config, silence_probability=0.0), seed=2)
    mixer = Mixer([voices], config, seed=2)
    for index in range(20):
        item, without = mixer.item(0, index), plain.item(0, index)
        silence = item.recipe["silence"]
        p, start, frames = silence["source"], silence["start"], silence["frames"]
        assert 1.0 * RATE_HZ <= frames <= 2.0 * RATE_HZ
        assert start >= 0 and start + frames <= 24000
        assert not item.sources[p, start : start + frames].any()
        assert without.recipe["silence"] is None
        gain = np.linalg.norm(item.sources[1 - p]) / np.linalg.norm(without.sources[1 - p])
        far = np.ones(24000, bool)
        far[max(0, start - 80) : start + frames + 80] = False  # 10 ms of fade
        np.testing.assert_allclose(item.sources[p, far], gain * without.sources[p, far], atol=1e-6)


def test_a_source_may_be_silent_throughout(voices: Corpus) -> None:
    mixer = Mixer([voices], MixConfig(sources=1, silence_probability=1.0, silence_s=(9.0, 9.0), noise="white"), seed=0)
    item = mixer.item(0, 0)
    assert not item.mix.any()
    assert item.clean and item.recipe["level_dbfs"] is None


def test_noise_leaves_the_speech_alone(mixer: Mixer, voices: Corpus) -> None:
    quiet = Mixer([voices], MixConfig(**{**EVERYTHING, "noise": "none"}), seed=7, split="train")
    for index in range(5):
        noisy, clean = mixer.item(0, index), quiet.item(0, index)
        for key in ("speakers", "gains_db", "utterances", "silence"):
            assert noisy.recipe[key] == clean.recipe[key]
        gain = np.linalg.norm(noisy.sources) / np.linalg.norm(clean.sources)
        np.testing.assert_allclose(noisy.sources, gain * clean.sources, atol=1e-6)


def test_splits_share_no_recording(voices: Corpus) -> None:
    used: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        mixer = Mixer([voices], MixConfig(), seed=0, split=split)
        used[split] = {
            place["id"]
            for index in range(40)
            for placed in mixer.item(0, index).recipe["utterances"]
            for place in placed
        }
    assert not used["train"] & used["test"]
    assert not used["train"] & used["validation"]
    assert not used["validation"] & used["test"]


def test_speakers_are_different_and_all_take_part(mixer: Mixer) -> None:
    seen: set[str] = set()
    for index in range(60):
        speakers = mixer.item(0, index).recipe["speakers"]
        assert len(set(speakers)) == 2
        seen.update(speakers)
    assert seen == set(mixer.pool.speakers)


def test_noise_of_a_folder(voices: Corpus, tmp_path: Path) -> None:
    write_audio(tmp_path / "hum.wav", np.sin(np.arange(4000) * 0.05) / 2, RATE_HZ)
    item = Mixer([voices], MixConfig(noise=str(tmp_path), snr_db=(10, 10)), seed=0).item(0, 0)
    assert item.recipe["noise"]["kind"] == tmp_path.name
    assert item.recipe["noise"]["file"] == "hum.wav"
    speech = item.sources.astype(np.float64).sum(axis=0)
    assert db(energy(speech) / energy(item.noise)) == pytest.approx(10, abs=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sources": 0}, "sources is 0, wanted an integer of at least 1"),
        ({"seconds": 0.0}, "seconds is 0.0, wanted a finite number above 0"),
        ({"gain_db": -1}, "gain_db is -1, wanted a finite number at least 0"),
        ({"pauses_s": (0.3, 0.1)}, r"pauses_s is \(0.3, 0.1\), wanted the least first"),
        ({"pauses_s": (-0.1, 0.1)}, r"pauses_s\[0\] is -0.1, wanted a finite number at least 0"),
        ({"snr_db": 5.0}, "snr_db is 5.0, wanted two numbers, least and most"),
        ({"snr_db": (5.0, float("nan"))}, r"snr_db\[1\] is nan, wanted a finite number"),
        ({"level_dbfs": (-3.0, 1.0)}, r"level_dbfs\[1\] is 1.0, wanted a finite number at least -200 and at most 0"),
        ({"level_dbfs": (-201, 0)}, r"level_dbfs\[0\] is -201, wanted a finite number at least -200"),
        ({"snr_db": (5.0, 1e4)}, r"snr_db\[1\] is 10000.0, wanted a finite number at least -200 and at most 200"),
        ({"gain_db": 1e4}, "gain_db is 10000.0, wanted a finite number at least 0 and at most 200"),
        ({"pauses_s": (0, 1e306)}, r"pauses_s\[1\] is 1e\+306, wanted a finite number at least 0 and at most 1000000"),
        ({"sources": 241}, "sources is 241, wanted a finite number at most 240"),
        ({"seconds": 1e9}, "seconds is 1000000000.0 at 8000 Hz, wanted at most 2147483648 samples"),
        ({"sample_rate_hz": 10**9}, "sample_rate_hz is 1000000000, wanted an integer from 1 to 1000000"),
        ({"noise_probability": 1.5}, "noise_probability is 1.5, wanted a finite number at least 0 and at most 1"),
        ({"noise": ()}, r"noise is \(\), wanted none, white, pink, speech, babble, a folder, or a list"),
        ({"noise": 3}, "noise is 3, wanted none, white"),
    ],
)
def test_configurations_that_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^MixConfig: {message}"):
        MixConfig(**fields)


def test_lists_are_taken_as_tuples() -> None:
    config = MixConfig(noise=["white", "none"], snr_db=[1, 2])  # type: ignore[arg-type]
    assert (config.noise, config.snr_db, config.kinds) == (("white", "none"), (1, 2), ("white", "none"))
    assert hash(config) == hash(dataclasses.replace(config))


def test_mixers_that_are_refused(voices: Corpus, tones: Tones) -> None:
    corpus = open_corpus(tones(speakers=2))
    with pytest.raises(InputError, match=r"split 'train' has 2 speakers, wanted at least 3 for sources = 3$"):
        Mixer([corpus], MixConfig(sources=3), seed=0)
    with pytest.raises(InputError, match=r"wanted at least 3 for sources = 2 and babble$"):
        Mixer([corpus], MixConfig(noise="babble"), seed=0)
    with pytest.raises(InputError, match="pnik: no such folder, wanted a kind of noise"):
        Mixer([corpus], MixConfig(noise="pnik"), seed=0)
    with pytest.raises(InputError, match="sample rate is 8000 Hz, wanted 16000 Hz"):
        Mixer([voices], MixConfig(sample_rate_hz=16000), seed=0)
    for seed in (-1, 2**64, 0.5):
        with pytest.raises(InputError, match="Mixer: seed is"):
            Mixer([corpus], MixConfig(), seed=seed)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="index is -1, wanted an integer of at least 0"):
        Mixer([corpus], MixConfig(), seed=0).item(0, -1)


def test_fsdd_mixtures_begin_at_0_db(fsdd_dir: Path, figures: dict[str, str]) -> None:
    """SI-SDR of the mixture itself, unseen recordings, 4 s, as the evaluation has it: the mean is about 0 dB."""
    mixer = Mixer([open_corpus(fsdd_dir)], MixConfig(seconds=4), seed=1, split="test")
    values = []
    for index in range(100):
        item = mixer.item(0, index)
        x = item.mix.astype(np.float64)
        for source in item.sources.astype(np.float64):
            along = (x @ source) ** 2 / energy(source)
            values.append(db(along / (energy(x) - along)))
    figures["SI-SDR of 100 FSDD mixtures themselves, mean and standard deviation"] = (
        f"{np.mean(values):.2f} dB, {np.std(values):.2f} dB"
    )
    assert abs(np.mean(values)) < 0.5
