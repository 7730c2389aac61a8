"""Utterances at one level, strung together as the placement says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refbss import InputError
from refbss.data.audio_io import write_audio
from refbss.data.layouts import Corpus, open_corpus
from refbss.data.speech import SpeechPool, active_rms

Tones = Callable[..., Path]
RATE_HZ = 8000


def test_pauses_do_not_count() -> None:
    """A tone of amplitude 0.5 has RMS 0.5 / sqrt(2), whatever silence follows it; so has twice the tone, twice."""
    tone = 0.5 * np.sin(2 * np.pi * 100 * np.arange(1600) / RATE_HZ)
    for x in (tone, np.concatenate([tone, np.zeros(8000)]), np.concatenate([tone, 1e-3 * tone])):
        assert active_rms(x, RATE_HZ) == pytest.approx(0.5 / np.sqrt(2), rel=1e-9)
        assert active_rms(2 * x, RATE_HZ) == pytest.approx(np.sqrt(0.5), rel=1e-9)
    assert active_rms(tone[:7], RATE_HZ) == pytest.approx(np.sqrt(np.mean(tone[:7] ** 2)))
    assert active_rms(np.zeros(500), RATE_HZ) == 0.0


def test_every_utterance_has_active_level_1(voices: Corpus) -> None:
    pool = SpeechPool([voices], split="test", rate_hz=RATE_HZ)
    for recordings in pool.recordings.values():
        for recording in recordings:
            x = pool.utterance(recording)
            assert x.dtype == np.float32
            assert len(x) == recording.frames
            assert active_rms(x, RATE_HZ) == pytest.approx(1.0, rel=1e-6)


def test_a_string_is_what_its_placement_says(voices: Corpus) -> None:
    pool = SpeechPool([voices], split="train", rate_hz=RATE_HZ)
    by_id = {recording.id: recording for recording in voices.recordings}
    for seed in range(5):
        n = 5 * RATE_HZ
        y, placed = pool.string("embedded/joy", n, (0.05, 0.3), np.random.default_rng(seed))
        again = np.zeros(n + 4 * RATE_HZ, np.float32)  # room for what hangs over the end
        end = None
        for place in placed:
            x = pool.utterance(by_id[place["id"]])
            if end is None:
                assert -len(x) < place["at"] <= 0
            else:
                assert 0.05 * RATE_HZ <= place["at"] - end <= 0.3 * RATE_HZ
            at = max(place["at"], 0)
            again[at : place["at"] + len(x)] = x[at - place["at"] :]
            end = place["at"] + len(x)
        assert end is not None and end + 0.3 * RATE_HZ >= n
        np.testing.assert_array_equal(y, again[:n])


def test_memory_budget_changes_nothing_but_memory(voices: Corpus) -> None:
    rich = SpeechPool([voices], split="test", rate_hz=RATE_HZ)
    poor = SpeechPool([voices], split="test", rate_hz=RATE_HZ, memory_mb=0)
    a, b = (pool.string("embedded/fay", 9000, (0, 0.1), np.random.default_rng(2)) for pool in (rich, poor))
    np.testing.assert_array_equal(a[0], b[0])
    assert a[1] == b[1]
    assert len(rich._held) == 60
    assert not poor._held


def test_two_corpora_keep_their_speakers_apart(tones: Tones) -> None:
    a, b = tones("a", speakers=2), tones("b", speakers=2)
    pool = SpeechPool([open_corpus(a), open_corpus(b)], split="train", rate_hz=RATE_HZ)
    assert pool.speakers == ("a/speaker0", "a/speaker1", "b/speaker0", "b/speaker1")
    with pytest.raises(InputError, match="corpora are named a, a, wanted different names"):
        SpeechPool([open_corpus(a), open_corpus(a)], split="train", rate_hz=RATE_HZ)


def test_rates_must_agree_unless_resampling_is_asked_for(tones: Tones) -> None:
    corpus = open_corpus(tones(speakers=1, rate_hz=16000))
    with pytest.raises(InputError, match=r"\.wav: sample rate is 16000 Hz, wanted 8000 Hz"):
        SpeechPool([corpus], split="train", rate_hz=RATE_HZ)
    pool = SpeechPool([corpus], split="train", rate_hz=RATE_HZ, resample=True)
    recording = pool.recordings["tones/speaker0"][0]
    assert len(pool.utterance(recording)) == -(-recording.frames // 2)


def test_what_cannot_be_pooled(tones: Tones) -> None:
    root = tones(speakers=1)
    corpus = open_corpus(root)
    with pytest.raises(InputError, match="split is 'dev'"):
        SpeechPool([corpus], split="dev", rate_hz=RATE_HZ)
    with pytest.raises(InputError, match="no corpus has no recordings in split 'test'"):
        SpeechPool([], split="test", rate_hz=RATE_HZ)
    recording = corpus.of_split("test").recordings[0]
    write_audio(recording.path, np.zeros(recording.frames), RATE_HZ)
    with pytest.raises(InputError, match=r"\.wav: recording speaker0/\d\d\.wav is silent, wanted speech"):
        SpeechPool([corpus], split="test", rate_hz=RATE_HZ)
    shutil.rmtree(root)
    with pytest.raises(InputError, match="no such file"):
        SpeechPool([corpus], split="test", rate_hz=RATE_HZ)
