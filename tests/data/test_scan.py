"""The scan finds every planted fault and counts the rest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from refbss.data.audio_io import write_audio
from refbss.data.scan import scan

Tones = Callable[..., Path]


def test_a_clean_folder(tones: Tones) -> None:
    seen: list[tuple[int, int]] = []
    report = scan(tones(speakers=2, count=5), lambda done, total: seen.append((done, total)))
    assert (report.layout, report.files, report.rates_hz, report.problems) == ("speakers", 10, {8000: 10}, [])
    assert [files for files, _ in report.speakers.values()] == [5, 5]
    assert 10 * 0.2 < report.seconds < 10 * 0.3
    assert report.hours == report.seconds / 3600
    assert report.splits == {"train": 6, "validation": 2, "test": 2}
    assert seen == [(n, 10) for n in range(1, 11)]


@pytest.mark.parametrize(
    "fault", ["unreadable", "not finite", "silent", "stereo", "mixed rates", "duplicate", "ignored"]
)
def test_planted_faults(tones: Tones, fault: str) -> None:
    root = tones(speakers=1, count=5)
    path = root / "speaker0" / "03.wav"
    tone = np.sin(np.arange(1000.0)) / 2
    if fault == "unreadable":
        path.write_bytes(path.read_bytes()[:500])
    elif fault == "not finite":
        soundfile.write(path, np.where(np.arange(1000) == 7, np.nan, tone), 8000, subtype="FLOAT")
    elif fault == "silent":
        write_audio(path, np.zeros(1000), 8000)
    elif fault == "stereo":
        write_audio(path, np.stack([tone, tone]), 8000)
    elif fault == "mixed rates":
        write_audio(path, tone, 16000)
    elif fault == "duplicate":  # the same samples in another container
        write_audio(path, tone, 8000, "PCM_16")
        write_audio(root / "speaker0" / "04.flac", np.rint(tone * 2**15) / 2**15, 8000)
    else:
        path = root / "stray.wav"
        write_audio(path, tone, 8000)
    report = scan(root)
    assert [problem.kind for problem in report.problems] == [fault]
    problem = report.problems[0]
    assert problem.path == {"mixed rates": root, "duplicate": root / "speaker0" / "04.flac"}.get(fault, path)
    assert str(problem.path) in problem.message
    assert report.files == {"unreadable": 4, "not finite": 4, "duplicate": 6}.get(fault, 5)


def test_the_shipped_voices() -> None:
    report = scan("embedded")
    assert (report.files, len(report.speakers), report.rates_hz) == (300, 10, {8000: 300})
    assert report.problems == []


def test_fsdd(fsdd_dir: Path) -> None:
    report = scan(fsdd_dir)
    assert (report.files, report.splits) == (3000, {"train": 2400, "validation": 300, "test": 300})
    assert report.problems == []


def test_a_manifest_names_missing_files(tones: Tones, tmp_path: Path) -> None:
    shutil.copy(tones(speakers=1, count=1) / "speaker0" / "00.wav", tmp_path / "a.wav")
    (tmp_path / "m.csv").write_text("id,speaker,path\na,ann,a.wav\nb,ann,b.wav\n")
    report = scan(tmp_path / "m.csv")
    assert [(problem.kind, problem.path.name) for problem in report.problems] == [("unreadable", "b.wav")]
