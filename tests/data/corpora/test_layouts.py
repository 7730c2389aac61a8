"""Every layout is recognised for what it is, and what is read of it are the mixtures that were written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.data.audio_io import write_audio
from refbss.data.corpora.part import Choice, conditions
from refbss.data.corpora.registry import LAYOUTS, recognise
from refbss.data.layouts import Corpus, open_corpus
from refbss.data.mixtures import MixtureSet, open_mixtures
from refbss.data.opening import open_all, open_data

ALL = ("mix_clean", "mix_both", "mix_single")
EVERY = [
    # what is written, the layout, its variants, its conditions
    ("refbss", "refbss", {""}, ("mix_both",)),
    ("wsj0-mix", "wsj0-mix", {"2speakers,wav8k,min"}, ("mix_clean",)),
    ("wham", "wham", {"wav8k,min"}, ALL),
    ("whamr", "whamr", {"wav8k,min,anechoic", "wav8k,min,reverb", "wav8k,min,dereverb"}, ALL),
    ("librimix", "librimix", {"wav8k,min"}, ALL),
    ("librimix lists", "librimix", {""}, ALL),
    ("plain", "plain", {""}, ("mix_clean",)),
    ("stems", "stems", {""}, ("mix_clean",)),
    ("asteroid", "asteroid", {""}, ALL),
    ("speechbrain", "speechbrain", {""}, ("mix_both",)),
    ("kaldi", "kaldi", {""}, ("mix_clean",)),
]


def choice_of(options: list[str]) -> Choice:
    given = dict(zip(options[::2], options[1::2], strict=True))
    root = given.get("--root")
    return Choice(given.get("--condition"), tuple(given.get("--subset", "").split()), Path(root) if root else None)


def test_every_layout_is_tried() -> None:
    assert {layout for _, layout, _, _ in EVERY} == set(LAYOUTS)


@pytest.mark.parametrize(("tree", "layout", "variants", "wanted"), EVERY)
def test_recognised(trees: Any, tree: str, layout: str, variants: set[str], wanted: tuple[str, ...]) -> None:
    path, _ = trees.every(tree)
    found = recognise(path)
    assert found is not None and found.layout == layout
    assert {part.words for part in found.parts} == variants
    assert tuple(conditions(found.parts)) == wanted
    splits = {"test"} if tree == "refbss" else {"train", "test"} if tree == "stems" else {"train", "validation", "test"}
    assert {part.split for part in found.parts} == splits


@pytest.mark.parametrize("tree", [tree for tree, *_ in EVERY if tree not in ("stems", "whamr")])
def test_items_are_what_was_written(trees: Any, tree: str) -> None:
    path, options = trees.every(tree)
    found = open_data(path, choice_of(options))
    assert isinstance(found, MixtureSet)
    assert (found.sources, found.rate_hz, found.names) == (2, 8000, ("s1", "s2"))
    tolerance = 2**-15 if tree in ("wsj0-mix", "librimix", "librimix lists") else 0.0
    for split in found.splits:
        written = {item.id: item for item in trees.items(split)}
        read = list(found.of_split(split))
        assert [item.id for item in read] == sorted(written)
        for item in read:
            wanted = written[item.id]
            noisy = found.condition == "mix_both"
            mix = trees.signals(wanted)[found.condition]
            assert item.clean != noisy
            for got, expected in (
                (item.mix, mix),
                (item.sources, wanted.sources),
                (item.noise, wanted.noise if noisy else np.zeros_like(mix)),
            ):
                assert got.dtype == np.float32
                np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def test_reverberation(trees: Any) -> None:
    """Three variants: the mixture of one room with references of the same room, and of the other."""
    root = trees.whamr()
    written = {item.id: item for item in trees.items("test")}
    for variant, echoing, of_sources in (
        ("anechoic", False, False),
        ("reverb", True, True),
        ("dereverb", True, False),
    ):
        for condition in ("mix_clean", "mix_both"):
            found = open_mixtures(root, Choice(condition, (variant,)))
            item = next(iter(found.of_split("test")))
            dry = written[item.id]
            wet = trees.echoing(dry)
            mix = trees.signals(wet if echoing else dry)[condition]
            np.testing.assert_array_equal(item.mix, mix)
            np.testing.assert_array_equal(item.sources, (wet if of_sources else dry).sources)
            assert item.clean == (condition == "mix_clean" and variant != "dereverb")


def test_stems_are_averaged_and_named(trees: Any) -> None:
    found = open_mixtures(trees.stems())
    assert (found.names, found.averaged, found.splits) == (("bass", "drums", "vocals"), True, {"test": 3, "train": 3})
    item = next(iter(found.of_split("train")))
    written = {f"Artist - {one.id}": one for one in trees.items("train")}[item.id]
    wanted = 0.75 * np.stack([written.noise, written.sources[1], written.sources[0]])
    np.testing.assert_allclose(item.sources, wanted, rtol=0, atol=2**-15)
    np.testing.assert_allclose(item.mix, 0.75 * written.mix, rtol=0, atol=2**-15)


def test_one_source_and_noise(trees: Any) -> None:
    for path, root in ((trees.wham(), None), (trees.asteroid_lists(), trees.folder / "wham_original")):
        found = open_mixtures(path, Choice("mix_single", (), root))
        assert found.names == ("s1",)
        for item in found.of_split("test"):
            np.testing.assert_allclose(item.mix, item.sources[0] + item.noise, rtol=0, atol=1e-7)


def test_noise_that_has_no_file_is_what_is_left(trees: Any) -> None:
    root = trees.wham()
    for folder in ("tr", "cv", "tt"):
        shutil.rmtree(root / "wav8k" / "min" / folder / "noise")
    item = next(iter(open_mixtures(root, Choice("mix_both")).of_split("test")))
    np.testing.assert_array_equal(item.noise, item.mix - (item.sources[0] + item.sources[1]))
    assert not item.clean and item.noise.any()


def test_plain_folders_with_noise(trees: Any) -> None:
    found = open_mixtures(trees.plain(noise=True))
    assert (found.layout, found.condition) == ("plain", "mix_both")


@pytest.mark.parametrize("deep", ["2speakers", "2speakers/wav8k", "2speakers/wav8k/min", "2speakers/wav8k/min/tt"])
def test_any_folder_on_the_way_will_do(trees: Any, deep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trees.wsj0mix() / deep
    found = open_mixtures(path)
    assert found.layout == "wsj0-mix"
    assert found.splits == ({"test": 3} if deep.endswith("tt") else {"validation": 3, "train": 3, "test": 3})
    monkeypatch.chdir(path)
    assert open_mixtures(".").splits == found.splits


def test_three_speakers(trees: Any) -> None:
    root = trees.wsj0mix()
    two = root / "2speakers"
    shutil.copytree(two, root / "3speakers")
    for folder in ("tr", "cv", "tt"):
        place = root / "3speakers" / "wav8k" / "min" / folder
        shutil.copytree(place / "s1", place / "s3")
    assert open_mixtures(root / "3speakers").names == ("s1", "s2", "s3")
    assert open_mixtures(root, Choice(subset=("3speakers",))).sources == 3
    with pytest.raises(InputError, match=r"subsets 2speakers,wav8k,min and 3speakers,wav8k,min; wanted --subset"):
        open_mixtures(root)


def test_variants_and_conditions_are_chosen(trees: Any) -> None:
    root = trees.wham()
    for other in ("wav16k/min", "wav8k/max"):
        shutil.copytree(root / "wav8k" / "min", root / other)
    with pytest.raises(InputError, match=r"subsets wav16k,min and wav8k,max and wav8k,min; wanted --subset with words"):
        open_mixtures(root, Choice("mix_both"))
    with pytest.raises(InputError, match=r"subsets wav16k,min and wav8k,min; wanted"):
        open_mixtures(root, Choice("mix_both", ("min",)))
    with pytest.raises(InputError, match=r"conditions mix_clean, mix_both, mix_single; wanted --condition with one"):
        open_mixtures(root, Choice(None, ("8k", "max")))
    found = open_mixtures(root, Choice("mix_both", ("8k", "max")))
    assert (found.variant, found.condition) == (("wav8k", "max"), "mix_both")
    with pytest.raises(InputError, match=r"no subset '44k', wanted one of cv, max, min, tr, tt, wav16k, wav8k"):
        open_mixtures(root, Choice("mix_both", ("44k",)))
    with pytest.raises(InputError, match=r"no condition 'mix_loud', wanted one of mix_clean, mix_both, mix_single"):
        open_mixtures(root, Choice("mix_loud", ("8k", "max")))
    item = next(iter(found))
    assert item.mix.shape == (4000,)
    wrong = open_mixtures(root, Choice("mix_both", ("16k",)))
    with pytest.raises(InputError, match=r"sample rate is 8000 Hz, wanted 16000 Hz as its set has"):
        next(iter(wrong))


def test_a_part_of_the_training_folders(trees: Any) -> None:
    """train-100 and train-360 are trained on together, unless one is named; the other splits stay."""
    place = trees.librimix() / "wav8k" / "min"
    (place / "train-360").mkdir()
    items = trees.items("train", 5)[3:]
    trees.write(place / "train-360", items, ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise"), "PCM_16")
    both = open_mixtures(place, Choice("mix_clean"))
    assert both.splits == {"train": 5, "validation": 3, "test": 3}
    one = open_mixtures(place, Choice("mix_clean", ("train-360",)))
    assert one.splits == {"train": 2, "validation": 3, "test": 3}
    assert open_mixtures(place, Choice("mix_clean", ("train-360", "train-100"))).splits == both.splits
    shutil.copytree(place / "train-100", place / "train-500")
    with pytest.raises(InputError, match=r"has the id s3e0i00000\d twice in train, wanted each id once"):
        open_mixtures(place, Choice("mix_clean"))


def test_parts_must_have_the_same_sources(trees: Any) -> None:
    root = trees.plain()
    shutil.copytree(root / "test" / "s1", root / "test" / "s3")
    with pytest.raises(InputError, match=r"has the sources s1, s2 in one place and s1, s2, s3 in another, wanted the"):
        open_mixtures(root)


def test_recordings_stay_recordings(trees: Any, tmp_path: Path) -> None:
    for speaker in ("mix", "ann"):
        (tmp_path / "corpus" / speaker).mkdir(parents=True)
        write_audio(tmp_path / "corpus" / speaker / "a.wav", np.ones(9) / 2, 8000)
    assert recognise(tmp_path / "corpus") is None
    assert isinstance(open_data(tmp_path / "corpus"), Corpus)
    assert isinstance(open_data("embedded"), Corpus)
    with pytest.raises(
        InputError, match=r"embedded: holds recordings, wanted --condition for mixtures ready made alone"
    ):
        open_all(["embedded"], Choice("mix_both"))
    with pytest.raises(InputError, match=r"holds mixtures ready made \(layout wham\), wanted a folder of recordings"):
        open_corpus(trees.wham())


def test_two_layouts_at_once_are_refused(trees: Any) -> None:
    root = trees.wsj0mix() / "2speakers" / "wav8k" / "min"
    trees.write(root / "tr", trees.items("train"), ("mix_both", "noise"), None)
    with pytest.raises(
        InputError, match=r"fits several layouts, wsj0-mix with .*tr and wham with .*tr; wanted the path"
    ):
        open_data(root)


def test_lists_have_roots_and_folders_have_none(trees: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"wham_original: holds its files themselves, wanted --root for lists"):
        open_data(trees.wham(), Choice("mix_both", (), tmp_path))


def test_a_folder_of_another_name_is_no_set(trees: Any) -> None:
    """The search goes where names ask it to, not everywhere."""
    root = trees.wham()
    (root / "wav8k").rename(root / "wave8k")
    assert recognise(root) is None
    with pytest.raises(InputError, match=r"wham_original: holds no mixtures in a layout that is known"):
        open_mixtures(root)
    with pytest.raises(InputError, match=r"gone: no such folder, wanted mixtures ready made in one of refbss, "):
        open_mixtures(root / "gone")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_but_not_in_circles(trees: Any) -> None:
    root = trees.wham()
    place = root / "wav8k" / "min"
    (place / "min").symlink_to(".", target_is_directory=True)
    (place / "max").symlink_to("max", target_is_directory=True)
    (place / "tt" / "mix_both" / "loop.wav").symlink_to("loop.wav")
    (place / "tt" / "mix_both" / "lost.wav").symlink_to("gone.wav")
    (root / "again").symlink_to("wav8k", target_is_directory=True)
    found = open_mixtures(root, Choice("mix_both"))
    assert found.variant == ("wav8k", "min") and len(found) == 9
    outside = trees.folder / "outside"
    (place / "tt").rename(outside)
    (place / "tt").symlink_to(outside, target_is_directory=True)
    assert len(open_mixtures(root, Choice("mix_both")).of_split("test")) == 3
