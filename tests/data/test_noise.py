"""Noise: unit RMS, the spectrum that its name promises, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from refbss import InputError
from refbss.data import noise
from refbss.data.audio_io import write_audio
from refbss.data.layouts import Corpus
from refbss.data.speech import SpeechPool

Tones = Callable[..., Path]
RATE_HZ = 8000


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def bands_db(x: np.ndarray, edges_hz: list[float]) -> np.ndarray:
    """Power density between the edges, in dB."""
    power = np.abs(np.fft.rfft(x)) ** 2
    f = np.fft.rfftfreq(len(x), 1 / RATE_HZ)
    pairs = pairwise(edges_hz)
    return 10 * np.log10([power[(f >= low) & (f < high)].mean() for low, high in pairs])


@pytest.mark.parametrize(
    "make",
    [
        noise.white,
        lambda n, draws: noise.pink(n, RATE_HZ, draws),
        lambda n, draws: noise.shaped(n, np.arange(1.0, 6.0), draws),
    ],
)
@pytest.mark.parametrize("n", [1, 8000, 8001])
def test_unit_rms_and_seed(make: Callable[[int, np.random.Generator], np.ndarray], n: int) -> None:
    x = make(n, rng())
    assert x.shape == (n,)
    assert x.dtype == np.float64
    assert np.mean(x**2) == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_array_equal(make(n, rng()), x)
    if n > 1:
        assert np.abs(make(n, rng(6)) - x).max() > 0.5


def test_white_is_flat_and_pink_falls_3_db_an_octave() -> None:
    octaves = [62.5 * 2**k for k in range(7)]
    n = 40 * RATE_HZ  # the lowest octave then has 2500 bins: standard error 0.1 dB
    np.testing.assert_allclose(np.diff(bands_db(noise.white(n, rng()), octaves)), 0.0, atol=0.5)
    slope = np.diff(bands_db(noise.pink(n, RATE_HZ, rng()), octaves))
    np.testing.assert_allclose(slope, -10 * np.log10(2), atol=0.5)


def test_shaped_noise_has_the_spectrum_of_the_speech(voices: Corpus) -> None:
    pool = SpeechPool([voices], split="test", rate_hz=RATE_HZ)
    speech = [pool.utterance(recording) for recording in voices.of_split("test").recordings]
    power = noise.long_term_spectrum(speech)
    assert power.shape == (257,)
    x = noise.shaped(20 * RATE_HZ, power, rng())
    edges = [200.0, 400, 800, 1200, 1600, 2400, 3200, 3900]
    level = bands_db(x, edges) - bands_db(np.concatenate(speech), edges)
    np.testing.assert_allclose(level - level.mean(), 0.0, atol=1.0)


def test_babble_is_of_the_absent(voices: Corpus) -> None:
    pool = SpeechPool([voices], split="test", rate_hz=RATE_HZ)
    x = noise.babble(RATE_HZ, pool, ["embedded/fay"], (0.05, 0.3), rng())
    assert np.mean(x**2) == pytest.approx(1.0)
    drawn: list[str] = []
    string = pool.string
    pool.string = lambda speaker, *rest: drawn.append(speaker) or string(speaker, *rest)  # type: ignore
    noise.babble(RATE_HZ, pool, ["embedded/fay", "embedded/gus"], (0.05, 0.3), rng())
    assert len(drawn) == 8 == len(set(drawn))
    assert not {"embedded/fay", "embedded/gus"} & set(drawn)
    with pytest.raises(InputError, match="every speaker is in the mixture"):
        noise.babble(RATE_HZ, pool, pool.speakers, (0.05, 0.3), rng())


def test_a_loop_has_no_seam() -> None:
    """A slow tone that does not fit the loop: no step is larger than within the tone and its cross-fade."""
    x = np.sin(2 * np.pi * 3.3 * np.arange(1000) / 1000)
    y = noise.loop(x, 5000, 123, 160)
    assert y.shape == (5000,)
    assert np.abs(np.diff(y)).max() < 2 * np.abs(np.diff(x)).max()
    np.testing.assert_array_equal(y[:840], noise.loop(x, 5000, 123 + 840, 160)[:840])
    np.testing.assert_array_equal(noise.loop(x, 500, 200, 160), x[200:700])
    assert noise.loop(x[:1], 3, 0, 160).tolist() == [x[0]] * 3


def test_a_folder_of_recordings(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    ramp = np.linspace(0.1, 0.9, 4000)
    write_audio(tmp_path / "deep" / "long.wav", np.stack([ramp, -ramp]), RATE_HZ)
    folder = noise.NoiseFolder(tmp_path, split="train", rate_hz=RATE_HZ)
    draws = rng()
    for _ in range(5):
        x, where = folder.excerpt(100, draws)
        part = (ramp if where["channel"] == 0 else -ramp)[where["start"] : where["start"] + 100]
        np.testing.assert_allclose(x, part / np.sqrt(np.mean(part**2)), rtol=1e-6)
        assert where["file"] == "deep/long.wav"
    assert folder.excerpt(9000, draws)[0].shape == (9000,)


def test_a_folder_with_splits_uses_its_own(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        write_audio(tmp_path / split / f"{split}.wav", np.ones(100) / 2, RATE_HZ)
    for split in ("train", "test"):
        folder = noise.NoiseFolder(tmp_path, split=split, rate_hz=RATE_HZ)
        assert [file.name for file, *_ in folder.files] == [f"{split}.wav"]
    with pytest.raises(InputError, match="validation: holds no audio files"):
        noise.NoiseFolder(tmp_path, split="validation", rate_hz=RATE_HZ)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: no such folder, wanted a kind of noise \(white, pink, "):
        noise.NoiseFolder(tmp_path / "gone", split="train", rate_hz=RATE_HZ)
    write_audio(tmp_path / "a.wav", np.zeros(16000), 16000)
    with pytest.raises(InputError, match=r"a\.wav: sample rate is 16000 Hz, wanted 8000 Hz or the option resample$"):
        noise.NoiseFolder(tmp_path, split="train", rate_hz=RATE_HZ)
    folder = noise.NoiseFolder(tmp_path, split="train", rate_hz=RATE_HZ, resampled=True)
    with pytest.raises(InputError, match="20 excerpts in a row are silent"):
        folder.excerpt(100, rng())


def test_resampled_excerpts(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.sin(2 * np.pi * 500 * np.arange(24000) / 24000) / 2, 24000)
    folder = noise.NoiseFolder(tmp_path, split="train", rate_hz=RATE_HZ, resampled=True)
    for n in (1000, 12000):
        x, _ = folder.excerpt(n, rng())
        assert x.shape == (n,)
        assert np.argmax(np.abs(np.fft.rfft(x))) == pytest.approx(500 * n / RATE_HZ, abs=1)
