"""Spectrograms: the numbers, and that there is a picture where it can be drawn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from refbss.evaluation import spectrogram
from refbss.evaluation.spectrogram import FRAME, HOP, draw_spectrograms, spectrogram_db


def test_a_tone_is_where_it_should_be() -> None:
    """Amplitude 1 at the middle of bin 40: the peak is the square of half the window's sum."""
    x = np.sin(2 * np.pi * 40 / FRAME * np.arange(2000))
    picture = spectrogram_db(x)
    assert picture.shape == (FRAME // 2 + 1, (2000 - FRAME) // HOP + 1)
    assert (picture.argmax(axis=0) == 40).all()
    np.testing.assert_allclose(picture[40], 20 * np.log10(np.hanning(FRAME).sum() / 2), atol=1e-3)


@pytest.mark.parametrize("samples", [1, FRAME - 1, FRAME])
def test_short_and_silent_signals(samples: int) -> None:
    assert spectrogram_db(np.zeros(samples, np.float32)).shape == (FRAME // 2 + 1, 1)
    assert (spectrogram_db(np.zeros(samples)) == -200.0).all()


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_the_picture(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal(1000)
    out = draw_spectrograms({"mix": x, "silence": np.zeros(1000)}, 8000, tmp_path / "s.png")
    assert out is not None and out.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]


def test_without_matplotlib_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrogram, "find_spec", lambda name: None)
    assert draw_spectrograms({"mix": np.ones(300)}, 8000, tmp_path / "s.png") is None
    assert not list(tmp_path.iterdir())
