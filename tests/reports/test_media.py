"""Sound and pictures inside the page: other programs read them, and levels and colours are what they should be."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
import soundfile

from refbss.evaluation.spectrogram import FRAME, HOP
from refbss.reports import media


def test_wav_is_read_as_it_was_meant() -> None:
    x = np.array([0.0, 0.25, -0.5, 0.125], np.float32)
    samples, rate = soundfile.read(io.BytesIO(media.wav(x, 8000, 1.0)), dtype="int16")
    assert rate == 8000 and samples.tolist() == [0, 8192, -16384, 4096]
    again, _ = soundfile.read(io.BytesIO(media.wav(x, 8000, 2.5)), dtype="int16")
    assert again.tolist() == [0, 20480, -32768, 10240], "past full scale is cut"


def test_levels_compare_within_an_utterance() -> None:
    signals = {"mixture": np.array([0.1, -0.2]), "estimate 1": np.array([0.4, 0.0]), "silent": np.zeros(2)}
    gain = media.common_gain(signals)
    assert gain * 0.4 == pytest.approx(10 ** (-1 / 20), abs=1e-3)
    assert media.common_gain({"silent": np.zeros(3)}) == 1.0


def test_high_rates_are_brought_down() -> None:
    x = np.sin(2 * np.pi * 440 / 44100 * np.arange(44100))
    samples, rate = soundfile.read(io.BytesIO(media.wav(x, 44100, 0.5)))
    assert rate == media.player_rate(44100) == 16000 and len(samples) == 16000
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() == 440
    assert media.player_rate(8000) == 8000


def decoded(content: bytes) -> tuple[int, int, bytes, np.ndarray]:
    """Width, height, palette and palette numbers of a PNG, with its checksums checked."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, bits, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (bits, colour) == (8, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return width, height, chunks[b"PLTE"], rows[:, 1:]


def test_png() -> None:
    shades = np.arange(6, dtype=np.uint8).reshape(2, 3)
    width, height, palette, found = decoded(media.png(shades, media.colours(6)))
    assert (width, height) == (3, 2) and np.array_equal(found, shades)
    assert palette == media.colours(6).tobytes()


def test_colours_rise_in_lightness() -> None:
    lightness = media.colours() @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > 0).all() and len(lightness) == media.SHADES


def test_spectrograms_share_a_scale() -> None:
    tone = np.sin(2 * np.pi * 40 / FRAME * np.arange(4000))
    found = media.pictures({"loud": tone, "soft": 10 ** (-30 / 20) * tone, "silent": np.zeros(4000)})
    loud, soft, silent = found.values()
    row = FRAME // 2 - 40  # low frequencies are at the bottom
    assert (loud.argmax(axis=0) == row).all() and loud[row].min() >= media.SHADES - 2
    assert abs(int(loud[row, 0]) - int(soft[row, 0]) - media.SHADES // 2) <= 1
    assert not silent.any()


def test_wide_spectrograms_are_narrowed() -> None:
    x = np.zeros(HOP * 3000)
    x[: len(x) // 2] = np.random.default_rng(0).standard_normal(len(x) // 2)
    picture = media.pictures({"x": x})["x"]
    assert picture.shape[1] == media.MOST_COLUMNS
    middle = media.MOST_COLUMNS // 2
    assert picture[:, : middle - 2].mean() > 30 and not picture[:, middle + 2 :].any()


def test_addresses() -> None:
    head, _, content = media.data_uri("audio/wav", b"RIFF\x00").partition(",")
    assert head == "data:audio/wav;base64" and base64.b64decode(content) == b"RIFF\x00"


@pytest.mark.parametrize(("players", "rate_hz"), [(50, 8000), (50, 16000), (50, 48000), (70, 8000), (110, 16000)])
def test_players_keep_to_their_budget(players: int, rate_hz: int) -> None:
    seconds = media.longest_s(players, rate_hz, 7_500_000)
    size = len(media.data_uri("audio/wav", media.wav(np.zeros(round(seconds * rate_hz)), rate_hz, 1.0)))
    assert seconds >= 1.5 and players * size < 7_600_000
