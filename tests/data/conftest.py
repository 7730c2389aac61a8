"""Recordings for the tests of data: FSDD where it is at hand, the shipped voices, and generated tones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refbss.data.audio_io import write_audio
from refbss.data.layouts import Corpus, open_corpus

RATE_HZ = 8000
Tones = Callable[..., Path]


@pytest.fixture(scope="session")
def fsdd_dir() -> Path:
    """The Free Spoken Digit Dataset: in $REFBSS_DATA/fsdd, or beside the checkout in ../shared/data/fsdd."""
    root = Path(__file__).resolve().parents[2]
    base = Path(os.environ.get("REFBSS_DATA", root.parent / "shared" / "data"))
    if not (base / "fsdd" / "recordings").is_dir():
        pytest.skip(f"no FSDD in {base}: set REFBSS_DATA to the folder that holds fsdd")
    return base / "fsdd"


@pytest.fixture(scope="session")
def voices() -> Corpus:
    """The shipped voices."""
    return open_corpus("embedded")


@pytest.fixture
def tones(tmp_path: Path) -> Tones:
    """Write a folder of speakers: each has ``count`` recordings of 0.2 to 0.3 s, harmonics of a pitch of its own."""

    def write(name: str = "tones", speakers: int = 3, count: int = 10, rate_hz: int = RATE_HZ) -> Path:
        rng = np.random.default_rng(11)
        for speaker in range(speakers):
            folder = tmp_path / name / f"speaker{speaker}"
            folder.mkdir(parents=True)
            for number in range(count):
                t = np.arange(int(rng.uniform(0.2, 0.3) * rate_hz)) / rate_hz
                x = sum(np.sin(2 * np.pi * k * (100 + 40 * speaker) * t + rng.uniform(0, 6)) / k for k in range(1, 9))
                write_audio(folder / f"{number:02d}.wav", np.float32(0.1 * rng.uniform(0.2, 1.0) * x), rate_hz)
        return tmp_path / name

    return write
