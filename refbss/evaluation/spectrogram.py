"""Spectrograms of several signals as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from refbss._files import replaced
from refbss._types import Array

FRAME, HOP = 256, 64
RANGE_DB = 60.0


def spectrogram_db(x: Array) -> Array:
    """Power spectrogram (FRAME / 2 + 1, frames) of x (N,) in dB: Hann frames of 256 samples, every 64 samples. [std]

    A signal shorter than a frame is padded with zeros; silence comes out at -200 dB.
    """
    padded = np.pad(x.astype(np.float64), (0, max(0, FRAME - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)) ** 2
    return np.asarray(10.0 * np.log10(power.T + 1e-20))


def draw_spectrograms(signals: Mapping[str, Array], rate_hz: int, out: Path) -> Path | None:
    """Draw the signals (N,) below each other on one colour scale. Returns the PNG, or None without matplotlib."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    pictures = {name: spectrogram_db(x) for name, x in signals.items()}
    top = max(
        float(np.percentile(picture, 99.5)) for picture in pictures.values()
    )  # a few strong partials may saturate
    figure = Figure(figsize=(9, 1.8 * len(signals) + 0.6), layout="constrained")
    rows = figure.subplots(len(signals), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, picture) in zip(rows, pictures.items(), strict=True):
        extent = (0.0, len(signals[name]) / rate_hz, 0.0, rate_hz / 2000.0)
        image = axes.imshow(
            picture, origin="lower", aspect="auto", extent=extent, vmin=top - RANGE_DB, vmax=top, cmap="magma"
        )
        axes.set_title(name, loc="left", fontsize="medium")
        axes.set_ylabel("kHz")
    rows[-1].set_xlabel("s")
    figure.colorbar(image, ax=list(rows), label="dB")
    with replaced(out) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return out
