"""Layouts are recognised, splits are fixed and apart, and a folder that cannot be used says why."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refbss import InputError
from refbss.data.audio_io import write_audio
from refbss.data.layouts import Corpus, Entry, only_speakers, open_corpus, with_splits
from refbss.data.mixing import MixConfig, Mixer
from refbss.data.scan import scan
from refbss.data.sets import write_set

Tones = Callable[..., Path]


def counts(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(recording.split for recording in corpus.recordings))


def test_fsdd(fsdd_dir: Path) -> None:
    corpus = open_corpus(fsdd_dir)
    assert corpus.layout == "fsdd"
    assert corpus.speakers == ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    assert corpus.rates_hz == (8000,)
    assert counts(corpus) == {"train": 2400, "validation": 300, "test": 300}
    index = {"test": range(0, 5), "validation": range(45, 50), "train": range(5, 45)}
    for recording in corpus.recordings:
        assert int(recording.id.split("_")[2]) in index[recording.split]


def test_fsdd_names_in_the_folder_itself(tones: Tones, tmp_path: Path) -> None:
    """Without indices 45-49 the validation split is carved from train, never from test."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for number, path in enumerate(sorted((tones() / "speaker0").iterdir())):
        shutil.copy(path, folder / f"{number % 10}_ann_{number}.wav")
    shutil.copy(path, folder / "stray.wav")
    corpus = open_corpus(folder)
    assert (corpus.layout, corpus.name, corpus.speakers) == ("fsdd", "digits", ("ann",))
    assert counts(corpus) == {"test": 5, "train": 4, "validation": 1}


def test_one_folder_a_speaker(tones: Tones) -> None:
    root = tones(speakers=2, count=20)
    corpus = open_corpus(root)
    assert corpus.layout == "speakers"
    assert corpus.speakers == ("speaker0", "speaker1")
    assert counts(corpus) == {"train": 32, "validation": 4, "test": 4}
    assert {r.id for r in corpus.of_split("test").recordings} < {
        f"speaker{s}/{n:02d}.wav" for s in (0, 1) for n in range(20)
    }
    assert open_corpus(root) == corpus


def test_train_and_test_folders(tones: Tones) -> None:
    root = tones()
    for split, speakers in (("train", (0, 1)), ("test", (2,))):
        (root / split).mkdir()
        for speaker in speakers:
            (root / f"speaker{speaker}").rename(root / split / f"speaker{speaker}")
    corpus = open_corpus(root)
    assert corpus.layout == "splits"
    assert counts(corpus) == {"train": 18, "validation": 2, "test": 10}
    assert corpus.of_split("test").speakers == ("speaker2",)


@pytest.mark.parametrize("with_split", [False, True])
def test_manifest(tones: Tones, tmp_path: Path, with_split: bool) -> None:
    tones(speakers=1, count=10)
    path = tmp_path / "list.csv"
    rows = [
        f"r{n},ann,tones/speaker0/{n:02d}.wav" + (f",{'test' if n < 3 else 'train'}" if with_split else "")
        for n in range(10)
    ]
    path.write_text("\n".join(["id,speaker,path" + ",split" * with_split, *rows]) + "\n")
    corpus = open_corpus(path)
    assert (corpus.layout, corpus.name) == ("manifest", "list")
    assert counts(corpus) == (
        {"test": 3, "train": 6, "validation": 1} if with_split else {"test": 1, "train": 8, "validation": 1}
    )
    assert corpus.recordings[4].path == tmp_path / "tones" / "speaker0" / "04.wav"
    path.rename(tmp_path / "manifest.csv")
    assert open_corpus(tmp_path).recordings == corpus.recordings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("id,speaker,path\n", "has no rows"),
        ("id,voice,path\na,b,c.wav\n", "row 2 has no speaker, wanted columns"),
        ("id,speaker,path\na,b,c.wav\na,b,d.wav\n", "row 3 has id 'a' for the second time"),
        ("id,speaker,path,split\na,b,c.wav,dev\n", "row 2 has split 'dev', wanted one of train, validation, test"),
        ("id,speaker,path,split\na,b,c.wav,test\nd,b,e.wav,\n", "some rows have a split and some have none"),
        ("id,speaker,path\na,b,gone.wav\n", r"1 of 1 recordings cannot be used; .*gone\.wav: no such file"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        open_corpus(tmp_path / "m.csv")


def test_the_order_of_a_manifest_means_nothing(tones: Tones, tmp_path: Path) -> None:
    """Also to what is mixed. Spaces around a speaker's name are no part of it."""
    tones(speakers=2, count=10)
    rows = [f"r{s}{n},s{s}{' ' * (n % 2)},tones/speaker{s}/{n:02d}.wav" for s in range(2) for n in range(10)]
    path = tmp_path / "m.csv"
    corpora = []
    for order in (rows, rows[::-1]):
        path.write_text("\n".join(["id,speaker,path", *order]) + "\n")
        corpora.append(open_corpus(path))
    assert corpora[0] == corpora[1]
    assert corpora[0].speakers == ("s0", "s1")
    mixes = [Mixer([corpus], MixConfig(seconds=0.1), seed=1).item(0, 0).mix for corpus in corpora]
    np.testing.assert_array_equal(*mixes)


@pytest.mark.parametrize("splits", [("train", "test", "validation"), ("test", "validation"), ("test",)])
def test_folders_beside_splits_are_no_speakers(tones: Tones, splits: tuple[str, ...]) -> None:
    root = tones(speakers=1, count=3)
    for split in splits:
        shutil.copytree(root / "speaker0", root / split / "ann")
    shutil.copy(root / "speaker0" / "00.wav", root / "test" / "stray.wav")
    (root / "speaker0").rename(root / "docs")
    corpus = open_corpus(root)
    assert (corpus.layout, corpus.speakers) == ("splits", ("ann",))
    assert {recording.split for recording in corpus.recordings} == set(splits)
    problems = [(problem.kind, problem.path) for problem in scan(root).problems if problem.kind != "duplicate"]
    assert problems == [("ignored", root / "test" / "stray.wav"), ("ignored", root / "docs")]


def test_a_speaker_may_be_called_test(tones: Tones) -> None:
    root = tones(speakers=2, count=1)
    (root / "speaker1").rename(root / "test")
    assert open_corpus(root).speakers == ("speaker0", "test")


def test_two_layouts_at_once_are_refused(tones: Tones) -> None:
    root = tones(speakers=2, count=1)
    shutil.copy(root / "speaker0" / "00.wav", root / "3_ann_7.wav")
    with pytest.raises(InputError, match=r"fits two layouts, fsdd with .*3_ann_7\.wav and speakers with .*speaker0"):
        open_corpus(root)
    (root / "recordings").mkdir()
    (root / "3_ann_7.wav").rename(root / "recordings" / "3_ann_7.wav")
    with pytest.raises(InputError, match=r"fits two layouts, fsdd with .*3_ann_7\.wav and speakers with .*speaker0"):
        open_corpus(root)


def test_an_evaluation_set_is_no_corpus(voices: Corpus, tmp_path: Path) -> None:
    root = write_set(Mixer([voices], MixConfig(seconds=0.1), seed=1, split="test"), 1, tmp_path / "set")
    with pytest.raises(
        InputError, match=r"set: holds mixtures ready made \(layout refbss\), wanted a folder of record"
    ):
        open_corpus(root)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8(tones: Tones) -> None:
    root = tones(speakers=1, count=4)
    (root / "speaker0" / "00.wav").rename(root / "speaker0" / os.fsdecode(b"caf\xe9.wav"))
    assert len(open_corpus(root).recordings) == scan(root).files == 4


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    for path in ("a" * 5000, "a\0b"):
        with pytest.raises(InputError, match=r"cannot be reached \(File name too long\)|'a\\x00b': is not a path"):
            open_corpus(path)
    (tmp_path / "m.csv").write_text(f"id,speaker,path\na,ann,{'a' * 5000}.wav\nb,ann,b\0.wav\n")
    assert [problem.kind for problem in scan(tmp_path / "m.csv").problems] == ["unreadable"] * 2


def test_folders_that_are_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: no such folder, wanted a folder of recordings"):
        open_corpus(tmp_path / "gone")
    with pytest.raises(InputError, match=r"holds no recordings in a layout that is known"):
        open_corpus(tmp_path)
    write_audio(tmp_path / "a.wav", np.ones(10) / 2, 8000)
    with pytest.raises(InputError, match=r"a\.wav: is a file, wanted a folder"):
        open_corpus(tmp_path / "a.wav")


def test_recordings_that_cannot_be_used(tones: Tones) -> None:
    root = tones(speakers=1, count=3)
    (root / "speaker0" / "01.wav").write_bytes(b"")
    write_audio(root / "speaker0" / "02.wav", np.zeros((2, 10)), 8000)
    with pytest.raises(InputError, match=r"2 of 3 recordings cannot be used; see .*the first: .*01\.wav: is empty"):
        open_corpus(root)


def test_a_split_depends_on_the_ids_alone() -> None:
    entries = [Entry(f"id{n}", f"speaker{n % 3}", Path("x.wav")) for n in range(90)]
    split = {entry.id: entry.split for entry in with_splits(entries)}
    again = {entry.id: entry.split for entry in with_splits(entries[::-1])}
    assert split == again
    for speaker in range(3):
        own = Counter(split[f"id{n}"] for n in range(speaker, 90, 3))
        assert own == {"train": 24, "validation": 3, "test": 3}


def test_speakers_with_hardly_any_recordings_stay_in_train() -> None:
    entries = with_splits([Entry(f"id{n}", "ann", Path("x.wav")) for n in range(2)])
    assert [entry.split for entry in entries] == ["train", "train"]


def test_only_some_speakers(voices: Corpus) -> None:
    kept = only_speakers([voices], ["fay", "gus"])
    assert [corpus.speakers for corpus in kept] == [("fay", "gus")]
    with pytest.raises(InputError, match="speaker is 'bob', wanted one of arthur, "):
        only_speakers([voices], ["bob"])
    with pytest.raises(InputError, match="split is 'dev', wanted one of train, validation, test"):
        voices.of_split("dev")
