"""Verification finds every planted fault by its kind, and nothing where there is none."""

from __future__ import annotations

import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from refbss import InputError
from refbss.data.audio_io import AT_ONCE, read_audio, write_audio
from refbss.data.corpora.part import Choice
from refbss.data.mixtures import open_mixtures
from refbss.data.verify import VerifyReport, verify

Planted = Callable[[Path, Callable[[Any], Any]], None]
TREES = [
    *("refbss", "wsj0-mix", "wham", "whamr", "librimix", "librimix lists"),
    *("plain", "stems", "asteroid", "speechbrain", "kaldi"),
]


def kinds(report: VerifyReport) -> list[str]:
    return [problem.kind for problem in report.problems]


def first(root: Path, folder: str) -> Path:
    return sorted((root / folder).glob("*.wav"))[0]


@pytest.mark.parametrize("tree", TREES)
def test_nothing_is_wrong_with_what_was_written(trees: Any, tree: str) -> None:
    path, options = trees.every(tree)
    root = Path(options[options.index("--root") + 1]) if "--root" in options else None
    seen: list[tuple[int, int]] = []
    report = verify(path, Choice(root=root), lambda done, total: seen.append((done, total)))
    assert report.problems == ()
    items = {"refbss": 3, "wham": 27, "whamr": 54, "librimix": 27, "librimix lists": 27, "stems": 6, "asteroid": 27}
    assert report.items == report.sums == items.get(tree, 9)
    assert seen == [(done, report.items) for done in range(1, report.items + 1)]
    assert report.rates_hz == {8000: report.files}


def test_a_part_alone(trees: Any) -> None:
    root = trees.wham()
    report = verify(root, Choice("mix_single", ("tt",)))
    assert (report.items, report.files) == (9, 27)  # tt restricts the test split, not the others
    assert verify(root / "wav8k" / "min" / "tt", Choice("mix_single")).items == 3
    reverb = verify(trees.whamr(), Choice("mix_clean", ("dereverb",)))
    assert (reverb.items, reverb.sums, reverb.problems) == (9, 0, ())


@pytest.mark.parametrize("name", ["mix_clean", "mix_both", "mix_single"])
@pytest.mark.parametrize(("layout", "step"), [("wham", 2.0**-15), ("librimix", 4 * 2.0**-15)])
def test_a_mixture_that_is_no_sum(
    trees: Any, planted: Planted, monkeypatch: pytest.MonkeyPatch, layout: str, step: float, name: str
) -> None:
    """Float WAV to the last bits; 16 bits to the rounding of the mixture and of each part. In whichever block."""
    monkeypatch.setattr("refbss.data.verify.BLOCK", 64)
    root, _ = trees.every(layout)
    folder = next(path for path in (root / "wav8k" / "min").iterdir() if path.name in ("tt", "test"))

    def change(x: Any) -> Any:
        x[100] += step
        return x

    planted(first(folder, name), change)
    report = verify(root)
    assert kinds(report) == ["sum"]
    assert (
        str(first(folder, name)) in report.problems[0].message and "at frame 100, wanted" in report.problems[0].message
    )


def test_rounding_to_16_bits_is_no_fault_and_more_is(trees: Any, planted: Planted) -> None:
    """Each file is rounded on its own: three times half a step may come together, and no more."""
    root = trees.plain(splits=False)
    shutil.rmtree(root)
    rng = np.random.default_rng(0)
    step = 2.0**-15
    for index in range(4):
        parts = rng.uniform(-0.4, 0.4, (2, 20_000))
        for name, x in (("mix", parts.sum(axis=0)), ("s1", parts[0]), ("s2", parts[1])):
            path = root / name / f"{index}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_audio(path, x, 8000, "PCM_16")
    report = verify(root)
    assert report.problems == () and report.sums == 4
    worst = max(float(np.abs(item.mix - item.sources.sum(axis=0)).max()) for item in open_mixtures(root))
    assert worst == pytest.approx(step)  # the bound is 1.5 steps: the next error, 2 steps, is beyond it

    def change(x: Any) -> Any:
        error = x[:, 0] - sum(read_audio(root / f"s{p}" / "0.wav", dtype="float64")[0][0] for p in (1, 2))
        x[int(np.argmax(error)), 0] += step
        return x

    planted(root / "mix" / "0.wav", change)
    assert kinds(verify(root)) == ["sum"]


def test_the_other_source_is_no_part(trees: Any) -> None:
    root = trees.wham()
    place = root / "wav8k" / "min" / "tt"
    (place / "s1").rename(place / "s0")
    (place / "s2").rename(place / "s1")
    (place / "s0").rename(place / "s2")
    assert kinds(verify(root)) == ["sum"] * 3  # the order of the sources shows in mix_single alone


def test_noise_that_was_left_out(trees: Any, planted: Planted) -> None:
    root = trees.plain(noise=True)
    planted(first(root / "test", "noise"), lambda x: 0.99 * x)
    assert kinds(verify(root)) == ["sum"]


def test_lossy_files_are_not_held_against_sums(trees: Any) -> None:
    root = trees.plain(splits=False)
    for path in sorted(root.rglob("*.wav")):
        soundfile.write(path.with_suffix(".ogg"), np.tile(read_audio(path)[0][0], 4), 8000)
        path.unlink()
    report = verify(root)
    assert report.problems == () and report.sums == 0 and report.items == 3


@pytest.mark.parametrize("fault", ["rate", "channels", "length", "silent", "not finite", "unreadable", "missing"])
def test_planted_faults(trees: Any, fault: str) -> None:
    root = trees.wsj0mix()
    path = first(root / "2speakers" / "wav8k" / "min" / "tt", "s2")
    x, _ = read_audio(path)
    if fault == "rate":
        write_audio(path, x, 16000, "PCM_16")
    elif fault == "channels":
        write_audio(path, np.repeat(x, 2, axis=0), 8000, "PCM_16")
    elif fault == "length":
        write_audio(path, x[:, :-1], 8000, "PCM_16")
    elif fault == "silent":
        write_audio(path, np.full(4000, 2.0**-15), 8000, "PCM_16")
        mix = first(path.parent.parent, "mix")
        write_audio(mix, read_audio(first(path.parent.parent, "s1"))[0], 8000, "PCM_16")
    elif fault == "not finite":
        soundfile.write(path, np.where(np.arange(4000) == 7, np.nan, x[0]), 8000, subtype="FLOAT")
    elif fault == "unreadable":
        path.write_bytes(path.read_bytes()[:500])
    else:
        path.unlink()
    report = verify(root)
    assert kinds(report) == [fault]
    problem = report.problems[0]
    assert str(problem.path) in problem.message and problem.path == (path.parent if fault == "missing" else path)


def test_a_file_that_a_list_names_and_is_not_there(trees: Any) -> None:
    lists = trees.asteroid()
    root = trees.folder / "wham_original"
    path = first(root / "wav8k" / "min" / "tt", "s1")
    path.unlink()
    report = verify(lists, Choice("mix_clean", (), root))
    assert [(problem.kind, problem.path) for problem in report.problems] == [("missing", path)]
    assert report.items == 9 and report.sums == 8


def test_the_rate_that_a_folder_promises(trees: Any) -> None:
    root = trees.wham()
    (root / "wav8k").rename(root / "wav16k")
    report = verify(root, Choice("mix_clean"))
    assert kinds(report) == ["rate"] * 27 and report.problems[0].message.endswith("has 8000 Hz, wanted 16000")


def test_repetitions_across_splits(trees: Any) -> None:
    """A source of one split in another; within a split a source may come again, a mixture may not."""
    root = trees.wsj0mix()
    place = root / "2speakers" / "wav8k" / "min"
    source, other = first(place / "tr", "s1"), sorted((place / "tr" / "s1").iterdir())[1]
    x, y = read_audio(source, dtype="float64")[0], read_audio(first(place / "tt", "s2"), dtype="float64")[0]
    write_audio(first(place / "tt", "s1"), x, 8000, "PCM_16")
    write_audio(first(place / "tt", "mix"), x + y, 8000, "PCM_16")
    report = verify(root)
    assert kinds(report) == ["duplicate"]
    name = source.stem
    assert report.problems[0].message.endswith(
        f"has the samples of {name} of split train, it is of {name} of split test"
    )
    z = read_audio(place / "tr" / "s2" / other.name, dtype="float64")[0]
    write_audio(other, x, 8000, "PCM_16")
    write_audio(place / "tr" / "mix" / other.name, x + z, 8000, "PCM_16")
    assert kinds(verify(root)) == ["duplicate"]
    for folder in ("mix", "s1", "s2"):
        shutil.copy(place / "tr" / folder / other.name, place / "tr" / folder / "again.wav")
    assert kinds(verify(root)) == ["duplicate"] * 2


def test_ids_that_come_twice(trees: Any) -> None:
    place = trees.librimix() / "wav8k" / "min"
    shutil.copytree(place / "train-100", place / "train-360")
    report = verify(place, Choice("mix_clean"))
    assert kinds(report) == ["duplicate"] * 3
    assert "train-360: has the id s3e0i000000, which another part of the split has too" in report.problems[0].message


def test_empty_folders_and_strange_stems(trees: Any) -> None:
    root = trees.wsj0mix()
    for path in (root / "2speakers" / "wav8k" / "min" / "tt").rglob("*.wav"):
        path.unlink()
    assert kinds(verify(root)) == ["empty"]
    root = trees.stems()
    tracks = sorted((root / "test").iterdir())
    (tracks[1] / "bass.wav").rename(tracks[1] / "guitar.wav")
    shutil.copy(tracks[0] / "vocals.wav", tracks[0] / "accompaniment.wav")  # a sum of others, not a source
    report = verify(root)
    assert [problem.message for problem in report.problems] == [
        f"{tracks[1]}: has no bass",
        f"{tracks[1]}: has guitar, which other tracks have not",
    ]
    assert report.items == 5


def test_what_cannot_be_verified(trees: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: no such folder, wanted mixtures ready made in one of refbss, "):
        verify(tmp_path / "gone")
    (tmp_path / "ann").mkdir()
    write_audio(tmp_path / "ann" / "a.wav", np.ones(9) / 2, 8000)
    with pytest.raises(InputError, match=r"holds no mixtures in a layout that is known, wanted"):
        verify(tmp_path)


def flac_that_says(path: Path, frames: int) -> None:
    """Change the number of samples in a FLAC file's header, 36 bits from byte 21 on."""
    data = bytearray(path.read_bytes())
    assert data[:4] == b"fLaC"
    data[21] = data[21] & 0xF0 | frames >> 32
    data[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    path.write_bytes(data)


def wav_that_says(path: Path, size: int) -> None:
    """Change the size of the samples in a WAV file's header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_huge_sizes_in_headers_cost_no_memory(trees: Any, suffix: str) -> None:
    root = trees.plain()
    for path in sorted((root / "test").rglob("*.wav")):
        x = read_audio(path)[0]
        path.unlink()
        other = path.with_suffix(f".{suffix}")
        write_audio(other, x, 8000, "PCM_16")
        flac_that_says(other, 2**36 - 1) if suffix == "flac" else wav_that_says(other, 2**31 - 2**20)
    found = open_mixtures(root).of_split("test")
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"is truncated( or damaged after frame)?"):
            list(found)
        report = verify(root)
        assert tracemalloc.get_traced_memory()[1] < 16 * AT_ONCE
    finally:
        tracemalloc.stop()
    assert set(kinds(report)) == {"unreadable"} and len(report.problems) == 9


def test_long_files_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces, for want of trust in the header, and to the same samples."""
    x = np.random.default_rng(0).uniform(-0.9, 0.9, (3, 10_000)).astype(np.float32)
    write_audio(tmp_path / "a.wav", x, 8000)
    monkeypatch.setattr("refbss.data.audio_io.AT_ONCE", 1000)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], x)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", start=7, frames=2001)[0], x[:, 7:2008])
