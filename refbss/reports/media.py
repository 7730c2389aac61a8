"""Sound and spectrograms inside the page: WAV and PNG written as ``data:`` addresses.

Both are written here, with the standard library, and hold nothing but the signal: no date, no name of a program.
"""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from refbss._types import Array
from refbss.data.audio_io import resample
from refbss.evaluation.spectrogram import RANGE_DB, spectrogram_db
from refbss.reports.markup import Markup, tag
from refbss.reports.scales import linear

HIGHEST_HZ = 16000
"""Sample rate above which players get the signal at this rate."""
PEAK = 0.891
"""Largest magnitude of the signals of an utterance in the players: -1 dBFS."""
SHADES, MOST_COLUMNS = 64, 480
"""Colours of a spectrogram, and its largest width."""
MAGMA = ("000004", "1c1044", "4f127b", "812581", "b5367a", "e55964", "fb8761", "fec287", "fcfdbf")
"""Colours of matplotlib's map of that name (CC0) at equal distances: even in lightness, safe for colour-blind eyes."""


def data_uri(kind: str, content: bytes) -> str:
    """The content as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def common_gain(signals: Mapping[str, Array]) -> float:
    """The factor that brings the largest magnitude of all signals to PEAK, so that levels compare; 1 for zeros."""
    largest = max(float(np.abs(x).max(initial=0.0)) for x in signals.values())
    return PEAK / largest if largest else 1.0


def player_rate(rate_hz: int) -> int:
    """The sample rate that players get."""
    return min(rate_hz, HIGHEST_HZ)


def wav(x: Array, rate_hz: int, gain: float) -> bytes:
    """A signal (N,) times ``gain`` as 16-bit WAV at ``player_rate``; what resampling takes past full scale is cut."""
    if rate_hz > HIGHEST_HZ:
        x = resample(x.astype(np.float64), rate_hz, HIGHEST_HZ)
    whole = np.clip(np.rint(x.astype(np.float64) * gain * 32768.0), -32768, 32767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(player_rate(rate_hz))
        file.writeframes(whole.tobytes())
    return out.getvalue()


def png(shades: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A picture of palette numbers (rows, columns), top row first, with a palette (colours, 3)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows, columns = shades.shape
    lines = np.zeros((rows, columns + 1), np.uint8)  # a line begins with its filter: 0, none
    lines[:, 1:] = shades
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
        + chunk(b"IEND", b"")
    )


def colours(count: int = SHADES) -> NDArray[np.uint8]:
    """``count`` colours (count, 3) from dark to light."""
    fixed = np.array([[int(text[i : i + 2], 16) for i in (0, 2, 4)] for text in MAGMA], np.float64)
    places = np.linspace(0, len(fixed) - 1, count)
    mixed = np.stack([np.interp(places, np.arange(len(fixed)), fixed[:, channel]) for channel in range(3)], axis=1)
    return np.rint(mixed).astype(np.uint8)


def pictures(signals: Mapping[str, Array]) -> dict[str, NDArray[np.uint8]]:
    """Spectrograms of signals (N,) as palette numbers, low frequencies at the bottom, on one scale of RANGE_DB.

    A few strong partials may lie beyond its upper end. Of frames beyond MOST_COLUMNS the means of their power remain.
    """
    found = {name: _narrowed(spectrogram_db(x)) for name, x in signals.items()}
    top = max(float(np.percentile(picture, 99.5)) for picture in found.values())
    steps = {name: (picture - top + RANGE_DB) / RANGE_DB * SHADES for name, picture in found.items()}
    return {name: np.clip(values[::-1], 0, SHADES - 1).astype(np.uint8) for name, values in steps.items()}


def _narrowed(picture: Array) -> Array:
    frames = picture.shape[1]
    if frames <= MOST_COLUMNS:
        return picture
    starts = np.arange(MOST_COLUMNS) * frames // MOST_COLUMNS
    sums = np.add.reduceat(10.0 ** (picture / 10.0), starts, axis=1)
    return np.asarray(10.0 * np.log10(sums / np.diff([*starts, frames])))


def spectrogram(shades: NDArray[np.uint8], seconds: float, rate_hz: int, what: str) -> Markup:
    """A spectrogram between its axes, time in s and frequency in kHz; ``what`` it shows is read out instead."""
    left, top, width, height, bottom = 44, 6, 370, 116, 122
    x, y = linear((0.0, seconds), widen=False), linear((0.0, rate_hz / 2000.0), count=3, widen=False)
    ticks = [
        tag("text", text, x=round(left + x.place(value) * width, 1), y=bottom + 15, text_anchor="middle")
        for value, text in x.ticks
        if x.place(value) < 0.95
    ]
    for value, text in y.ticks:
        said, place = f"{text} kHz" if value == y.ticks[-1][0] else text, bottom - y.place(value) * height + 4
        ticks.append(tag("text", said, x=left - 5, y=round(place, 1), text_anchor="end"))
    unit = tag("text", "s", x=left + width, y=bottom + 15, text_anchor="end")
    image = tag(
        "image",
        href=data_uri("image/png", png(shades, colours())),
        x=left,
        y=top,
        width=width,
        height=height,
        preserveAspectRatio="none",
    )
    heard = f"Spectrogram of {what}: 0 to {seconds:.2f} s, 0 to {rate_hz / 2000:g} kHz"
    return tag("svg", image, ticks, unit, class_="spectrogram", viewBox="0 0 420 142", role="img", aria_label=heard)


def colour_bar() -> Markup:
    """The colours of the spectrograms and what they mean."""
    bar = png(np.arange(SHADES, dtype=np.uint8)[None], colours())
    image = tag("img", src=data_uri("image/png", bar), alt="Colours from dark to light")
    return tag("p", f"-{RANGE_DB:g} dB", image, "0 dB", class_="colours soft")


def player(x: Array, rate_hz: int, gain: float, what: str) -> Markup:
    """A player with a signal (N,)."""
    sound = data_uri("audio/wav", wav(x, rate_hz, gain))
    return tag("audio", controls=True, preload="metadata", src=sound, aria_label=what)


def longest_s(players: int, rate_hz: int, budget: int) -> float:
    """Seconds that each of so many players may hold so that all together stay below ``budget`` bytes of page."""
    return max(0.1, math.floor(10 * budget / (players * player_rate(rate_hz) * 2 * 4 / 3)) / 10)


def excerpt(signals: Mapping[str, Array], rate_hz: int, seconds: float) -> dict[str, Array]:
    """The first ``seconds`` of signals (N,)."""
    return {name: x[: max(1, round(seconds * rate_hz))] for name, x in signals.items()}
