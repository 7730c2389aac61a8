"""The shipped voices are those of the index, small, at one rate, and clearly different from each other."""

from __future__ import annotations

import hashlib
import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from refbss.data.audio_io import read_audio
from refbss.data.layouts import EMBEDDED_DIR, Corpus
from refbss.data.noise import long_term_spectrum

RATE_HZ = 8000
MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def index() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EMBEDDED_DIR / "index.json").read_text(encoding="utf-8"))
    return loaded


def test_files_are_those_of_the_index(index: dict[str, Any]) -> None:
    files = {voice["file"] for voice in index["voices"]} | {"index.json"}
    assert {path.name for path in EMBEDDED_DIR.iterdir()} == files
    for voice in index["voices"]:
        assert hashlib.sha256((EMBEDDED_DIR / voice["file"]).read_bytes()).hexdigest() == voice["sha256"]


def test_all_together_are_small() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED_DIR.iterdir()) < MOST_BYTES


def test_thirty_sentences_a_voice_and_no_text_twice(index: dict[str, Any]) -> None:
    texts = [sentence["text"] for voice in index["voices"] for sentence in voice["sentences"]]
    assert len(texts) == len(set(texts)) == 300
    for voice in index["voices"]:
        splits = [sentence["split"] for sentence in voice["sentences"]]
        assert splits == ["train"] * 24 + ["test"] * 6


def test_sentences_fill_their_file(index: dict[str, Any]) -> None:
    for voice in index["voices"]:
        x, rate_hz = read_audio(EMBEDDED_DIR / voice["file"])
        assert (x.shape, rate_hz) == ((1, voice["frames"]), RATE_HZ)
        end = 0
        for sentence in voice["sentences"]:
            assert sentence["start"] == end
            assert 0.9 < sentence["frames"] / RATE_HZ < 2.1
            end += sentence["frames"]
            part = x[0, sentence["start"] : end]
            assert np.abs(part).max() == pytest.approx(0.9, abs=2**-11)
            assert max(abs(part[0]), abs(part[-1])) < 0.001  # nothing cut off
            loud = np.flatnonzero(np.abs(part) > 0.0096)  # trimmed at 0.01, in steps of 2^-10
            assert max(loud[0], len(part) - loud[-1]) <= 160  # 20 ms left at most
        assert end == voice["frames"]


def test_the_corpus_is_the_index(voices: Corpus, index: dict[str, Any]) -> None:
    assert voices.speakers == tuple(sorted(voice["name"] for voice in index["voices"]))
    assert voices.rates_hz == (RATE_HZ,)
    assert [len(voices.of_split(split).recordings) for split in ("train", "validation", "test")] == [220, 20, 60]
    test_texts = {(v["name"], n) for v in index["voices"] for n, s in enumerate(v["sentences"]) if s["split"] == "test"}
    assert {(r.speaker, int(r.id[-2:])) for r in voices.of_split("test").recordings} == test_texts


def test_voices_differ(index: dict[str, Any], figures: dict[str, str]) -> None:
    """Every two voices differ by 3 semitones in median pitch or by 5 dB in their 1/3-octave spectra."""
    edges = 100 * 2 ** (np.arange(17) / 3)
    f = np.linspace(0, RATE_HZ / 2, 257)
    spectra, pitch = {}, {}
    for voice in index["voices"]:
        power = long_term_spectrum([read_audio(EMBEDDED_DIR / voice["file"])[0][0]])
        level = 10 * np.log10(np.interp(np.sqrt(edges[:-1] * edges[1:]), f, power))
        spectra[voice["name"]] = level - level.mean()
        pitch[voice["name"]] = voice["median_pitch_hz"]
    distances = {}
    for a, b in combinations(spectra, 2):
        distance = float(np.sqrt(np.mean((spectra[a] - spectra[b]) ** 2)))
        semitones = 12 * abs(np.log2(pitch[a] / pitch[b]))
        assert distance > 5 or semitones > 3, (a, b, distance, semitones)
        distances[a, b] = distance
    nearest = min(distances, key=distances.__getitem__)
    figures["shipped voices, nearest spectra"] = f"{' and '.join(nearest)}, {distances[nearest]:.1f} dB"
