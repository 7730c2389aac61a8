"""Splits, items and segments of mixtures ready made: the same every time, whoever asks, and refused where wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.data.audio_io import read_audio, resample, write_audio
from refbss.data.corpora.part import Choice
from refbss.data.mixing import MixConfig
from refbss.data.mixtures import MixtureSet, open_mixtures
from refbss.data.segments import Segments
from refbss.data.splits import first_by_hash, split_in, split_of

SHORT = MixConfig(seconds=0.2)


def ids(found: MixtureSet) -> set[str]:
    return {mixture.id for mixture in found.mixtures}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(name, "train") for name in ("tr", "train", "training", "train-100", "train-clean-360", "TR", "tr_min_8k")],
        *[(name, "validation") for name in ("cv", "dev", "val", "valid", "validation", "cv_max_16k", "dev-clean")],
        *[(name, "test") for name in ("tt", "test", "et", "eval", "test-other", "tt_min_8k")],
        *[(name, None) for name in ("", "tr4ck", "trains", "s1", "latest", "test-of-mine", "mix", "8k", "train-")],
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("wham_tr", "train"),
        ("libri2mix_train-100", "train"),
        ("whamr_cv", "validation"),
        ("wsj_tt", "test"),
        ("list", None),
        ("train_test", None),
        ("contest", None),
    ],
)
def test_names_of_lists(name: str, split: str | None) -> None:
    assert split_in(name) == split


def test_the_hash_that_decides() -> None:
    """SHA-256 of the target and the id, whatever the order; a pool of two gives none."""
    ids = [f"id{n}" for n in range(30)]
    by_hash = sorted(ids, key=lambda one: hashlib.sha256(b"validation/" + one.encode()).digest())
    assert first_by_hash(ids[::-1], "validation", 0.1) == set(by_hash[:3])
    assert first_by_hash(ids, "test", 0.1) != set(by_hash[:3])
    assert first_by_hash(ids[:3], "validation", 0.01) and not first_by_hash(ids[:2], "validation", 0.9)


def test_splits_as_they_are(trees: Any) -> None:
    found = open_mixtures(trees.wsj0mix())
    for split in ("train", "validation", "test"):
        assert ids(found.of_split(split)) == {item.id for item in trees.items(split)}
    assert found.to_score() == found.of_split("test")
    assert found.to_score("validation") == found.of_split("validation")
    with pytest.raises(InputError, match="split is 'dev', wanted one of train, validation, test"):
        found.of_split("dev")


def test_validation_is_cut_off_where_there_is_none(trees: Any) -> None:
    """From the training mixtures, never from the test; by the ids alone."""
    root = trees.wsj0mix()
    place = root / "2speakers" / "wav8k" / "min"
    shutil.rmtree(place / "cv")
    found = open_mixtures(root)
    assert found.splits == {"train": 3, "test": 3}
    train, held_out = found.of_split("train"), found.of_split("validation")
    assert (len(train), len(held_out)) == (2, 1)
    assert not ids(train) & ids(held_out)
    shuffled = replace(found, mixtures=found.mixtures[::-1])
    assert ids(shuffled.of_split("validation")) == ids(held_out)


def test_without_splits_all_is_scored_and_eight_percent_validates(trees: Any) -> None:
    root = trees.plain(splits=False)
    found = open_mixtures(root)
    assert found.splits == {None: 3}
    assert found.to_score() is found
    assert len(found.of_split("train")) == 2 and len(found.of_split("validation")) == 1
    with pytest.raises(InputError, match=r"plain: holds no mixtures of split 'test', it has 3 of no split"):
        found.to_score("test")
    many = replace(found, mixtures=tuple(replace(found.mixtures[0], id=f"m{n}") for n in range(100)))
    assert len(many.of_split("validation")) == 8 and len(many.of_split("train")) == 92


def test_a_folder_of_one_split(trees: Any) -> None:
    found = open_mixtures(trees.wsj0mix() / "2speakers" / "wav8k" / "min" / "cv")
    assert found.to_score() is found
    with pytest.raises(InputError, match=r"cv: holds no mixtures of split 'train', it has 3 of validation"):
        found.of_split("train")


def test_no_test_split(trees: Any) -> None:
    root = trees.wsj0mix()
    place = root / "2speakers" / "wav8k" / "min"
    (place / "tt").rename(place / "unused")
    with pytest.raises(InputError, match=r"no test mixtures, it has 3 of train, 3 of validation; wanted --split"):
        open_mixtures(root).to_score()


def test_a_set_of_our_own_is_of_the_split_it_was_made_of(trees: Any) -> None:
    found = open_mixtures(trees.refbss())
    assert found.splits == {"test": 3} and found.to_score().splits == {"test": 3}
    with pytest.raises(InputError, match=r"eval: holds no mixtures of split 'train', it has 3 of test"):
        found.of_split("train")


@pytest.mark.parametrize("fault", ["missing source", "missing mixture", "no mixtures", "other suffix", "no sources"])
def test_folders_that_do_not_fit(trees: Any, fault: str) -> None:
    root = trees.wsj0mix()
    place = root / "2speakers" / "wav8k" / "min" / "tt"
    file = sorted((place / "mix").iterdir())[0]
    if fault == "missing source":
        (place / "s2" / file.name).unlink()
        message = r"1 mixtures or lists of it cannot be used; see `refbss data verify .*tt/s2: has no s3e0i000000"
    elif fault == "missing mixture":
        file.unlink()
        message = r"1 mixtures or lists of it cannot be used; .*the first: .*tt/mix: has no s3e0i000000"
    elif fault == "no mixtures":
        for path in place.rglob("*.wav"):
            path.unlink()
        message = (
            r"1 mixtures or lists of it cannot be used; .*the first: .*tt/mix: holds no mixtures, wanted at least 1"
        )
    elif fault == "other suffix":
        write_audio(file.with_suffix(".flac"), read_audio(file)[0], 8000)
        message = r"tt/mix: has s3e0i000000 twice, as s3e0i000000\.flac and s3e0i000000\.wav, wanted one"
    else:
        (place / "s1").rename(place / "s3")
        message = r"tt: has the sources s2, s3, wanted s1, s2, \.\. without a gap"
    with pytest.raises(InputError, match=message):
        open_mixtures(root)


@pytest.mark.parametrize(
    ("name", "x", "rate_hz", "message"),
    [
        ("s1", np.zeros(3999), 8000, r"s1/.*wav: has 3999 samples, wanted 4000 as .*mix/.*wav has"),
        ("s2", np.zeros(4001), 8000, r"s2/.*wav: has 4001 samples, wanted 4000 as .*mix/.*wav has"),
        ("s1", np.zeros(4000), 16000, r"s1/.*wav: sample rate is 16000 Hz, wanted 8000 Hz as its set has"),
        ("s1", np.zeros((2, 4000)), 8000, r"s1/.*wav: has 2 channels, wanted 1"),
        ("mix", np.zeros((2, 4000)), 8000, r"mix/.*wav: has 2 channels, wanted 1"),
    ],
)
def test_files_that_do_not_fit(trees: Any, name: str, x: np.ndarray, rate_hz: int, message: str) -> None:
    root = trees.plain()
    write_audio(sorted((root / "test" / name).iterdir())[0], x, rate_hz)
    found = open_mixtures(root).of_split("test")
    for read in (lambda: list(found), lambda: found.segment(found.mixtures[0], 9, 8000, np.random.default_rng(0))):
        with pytest.raises(InputError, match=message):
            read()


def test_channels_of_stems_are_those_of_the_mixture(trees: Any) -> None:
    root = trees.stems()
    track = sorted((root / "test").iterdir())[0]
    x, rate_hz = read_audio(track / "vocals.wav")
    write_audio(track / "vocals.wav", x[0], rate_hz)
    with pytest.raises(InputError, match=r"vocals\.wav: has 1 channels, wanted 2 as .*mixture\.wav has"):
        list(open_mixtures(root).of_split("test"))


def test_items_are_the_same_every_time(trees: Any) -> None:
    found = open_mixtures(trees.wham(), Choice("mix_both")).to_score()
    once, again = list(found), list(found)
    assert [item.id for item in once] == [item.id for item in again] == sorted(item.id for item in once)
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one.mix, other.mix)


def test_other_rates(trees: Any) -> None:
    root = trees.plain()
    for path in root.rglob("*.wav"):
        write_audio(path, read_audio(path)[0], 16000)
    found = open_mixtures(root)
    assert found.rate_hz == 16000
    item = next(found.items(resample_hz=8000))
    whole = next(iter(found))
    np.testing.assert_array_equal(item.mix, resample(whole.mix, 16000, 8000))
    np.testing.assert_allclose(item.mix, item.sources.sum(axis=0), atol=1e-6)
    with pytest.raises(InputError, match=r"plain: sample rate is 16000 Hz, wanted 8000 Hz or the option resample"):
        Segments(found, SHORT, seed=0)
    segment = Segments(found, replace(SHORT, resample=True), seed=0).item(0, 0)
    assert segment.mix.shape == (1600,)
    np.testing.assert_allclose(segment.mix, segment.sources.sum(axis=0), atol=1e-6)
    with pytest.raises(InputError, match=r"plain: cannot resample from 16000 Hz to 999983 Hz"):
        Segments(found, MixConfig(seconds=0.001, sample_rate_hz=999983, resample=True), seed=0)


def test_a_segment_is_a_place_of_a_mixture_times_a_gain(trees: Any) -> None:
    found = open_mixtures(trees.wham(), Choice("mix_both"))
    whole = {item.id: item for item in found.of_split("train")}
    segments = Segments(found, replace(SHORT, level_dbfs=(-30.0, -20.0)), seed=5)
    seen, levels = Counter[str](), []
    for index in range(60):
        item = segments.item(0, index)
        recipe = item.recipe
        start, gain, mixture = recipe["start"], recipe["gain"], whole[recipe["mixture"]]
        assert item.id == f"{recipe['mixture']}@{start}" and 0 <= start <= 2400 and not item.clean
        seen[recipe["mixture"]] += 1
        for got, of in ((item.mix, mixture.mix), (item.sources, mixture.sources), (item.noise, mixture.noise)):
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, gain * of[..., start : start + 1600], rtol=0, atol=1e-6)
        level = 10 * np.log10(np.mean(item.mix.astype(np.float64) ** 2))
        assert level == pytest.approx(recipe["level_dbfs"], abs=1e-3)
        levels.append(level)
    assert -30.01 < min(levels) < -28 and -22 < max(levels) < -19.99
    assert set(seen) == set(whole) and min(seen.values()) > 8


def test_a_segment_depends_on_its_number_alone(trees: Any) -> None:
    """Not on what was asked before, nor on who asks; on seed, split, epoch and index it does."""
    found = open_mixtures(trees.wham(), Choice("mix_clean"))
    segments = Segments(found, SHORT, seed=1)
    wanted = [segments.item(0, index).mix for index in range(8)]
    got: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda i=i: got.update({i: segments.item(0, i).mix})) for i in range(7, -1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, mix in enumerate(wanted):
        np.testing.assert_array_equal(got[index], mix)
    fresh = Segments(open_mixtures(trees.folder / "wham_original", Choice("mix_clean")), SHORT, seed=1)
    np.testing.assert_array_equal(fresh.item(0, 5).mix, wanted[5])
    others = [segments.item(1, 0), Segments(found, SHORT, seed=2).item(0, 0), segments.item(0, 1)]
    assert not any(np.array_equal(other.mix, wanted[0]) for other in others)
    recipes = [[segments.item(epoch, index).recipe for index in range(8)] for epoch in (0, 1)]
    for one, other in zip(*recipes, strict=True):
        assert one["start"] != other["start"] and round(one["level_dbfs"], 6) != round(other["level_dbfs"], 6)
    validation = Segments(found, SHORT, seed=1, split="validation")
    starts = [[one.item(0, index).recipe["start"] for index in range(8)] for one in (segments, validation)]
    assert starts[0] != starts[1]
    assert validation.item(0, 0).recipe["mixture"] in ids(found.of_split("validation"))


def test_short_mixtures_are_followed_by_zeros(trees: Any) -> None:
    found = open_mixtures(trees.plain())
    item = Segments(found, MixConfig(seconds=0.75), seed=0).item(0, 0)
    assert item.mix.shape == (6000,) and item.sources.shape == (2, 6000)
    assert item.recipe["start"] == 0 and item.mix[:4000].any() and not item.mix[4000:].any()
    assert not item.sources[:, 4000:].any() and not item.noise.any()


def test_silence_stays_silence(trees: Any) -> None:
    root = trees.plain()
    for path in (root / "train").rglob("*.wav"):
        write_audio(path, np.full(4000, 5e-5), 8000)
    item = Segments(open_mixtures(root), SHORT, seed=0).item(0, 0)
    assert item.recipe["gain"] == 1.0 and item.recipe["level_dbfs"] is None
    np.testing.assert_array_equal(item.mix, np.full(1600, 5e-5, np.float32))


def test_what_segments_cannot_be_of(trees: Any) -> None:
    found = open_mixtures(trees.wham(), Choice("mix_single"))
    with pytest.raises(InputError, match=r"wham_original: has 1 sources \(s1\), wanted 2 as mix\.sources is"):
        Segments(found, SHORT, seed=0)
    assert Segments(found, replace(SHORT, sources=1), seed=0).item(0, 0).sources.shape == (1, 1600)
    for name, value in (("seed", -1), ("seed", 2**64)):
        with pytest.raises(InputError, match=name):
            Segments(found, replace(SHORT, sources=1), seed=value)
    with pytest.raises(InputError, match="index is -1, wanted an integer of at least 0"):
        Segments(found, replace(SHORT, sources=1), seed=0).item(0, -1)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8(trees: Any) -> None:
    root = trees.plain(splits=False)
    for folder in ("mix", "s1", "s2"):
        path = sorted((root / folder).iterdir())[0]
        path.rename(path.with_name(os.fsdecode(b"caf\xe9.wav")))
    found = open_mixtures(root)
    assert "caf\\udce9" in ids(found) and len(list(found)) == 3
    "".join(ids(found)).encode("utf-8")


def test_a_closed_folder(trees: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind root, so the system's answer is put in its place."""
    root: Path = trees.plain()
    scandir = os.scandir

    def closed(path: Path) -> Any:
        if path.name == "s1":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("refbss.data.corpora.place.os.scandir", closed)
    with pytest.raises(InputError, match=r"s1: cannot be read \(Permission denied\)"):
        open_mixtures(root)
