"""The curve of a run as a picture."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from refbss._files import replaced


def draw_curve(log: Path, out: Path) -> Path | None:
    """Draw loss and validation SI-SDR (dB) against steps from a log. Returns the PNG, or None without matplotlib."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps, losses = [line["step"] for line in lines], np.array([line["loss"] for line in lines])
    validated = [(line["step"], line["validation_db"]) for line in lines if line["validation_db"] is not None]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(steps, losses, color="0.8", linewidth=0.7, label="loss of a step")
    width = min(50, max(1, len(losses) // 5))
    if len(losses) >= width:
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        axes.plot(steps[width - 1 :], smooth, color="tab:blue", label=f"mean of {width} steps")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (dB)")
    lines_and_labels = axes.get_legend_handles_labels()
    if validated:
        right = axes.twinx()
        right.plot(*zip(*validated, strict=True), color="tab:orange", marker=".", label="validation SI-SDR")
        right.set_ylabel("SI-SDR (dB)")
        more = right.get_legend_handles_labels()
        lines_and_labels = (lines_and_labels[0] + more[0], lines_and_labels[1] + more[1])
    axes.legend(*lines_and_labels, loc="center right")
    with replaced(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return out
