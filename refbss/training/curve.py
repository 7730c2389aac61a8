"""The curve of a run as a picture."""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from refbss._files import contents, replaced
from refbss.training.run_folder import log_line


def draw_curve(log: Path, out: Path) -> Path | None:
    """Draw loss and validation SI-SDR (dB) against steps from a log. Returns the PNG, or None without matplotlib."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    lines = [log_line(line) for line in contents(log).splitlines()]
    steps, losses = [line["step"] for line in lines], np.array([_number(line.get("loss")) for line in lines])
    validated = [(line["step"], _number(line.get("validation_db"))) for line in lines]
    validated = [(step, value) for step, value in validated if math.isfinite(value)]
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


def _number(value: Any) -> float:
    """A value of a log: NaN where it is none, as in a log that somebody has edited."""
    return float(value) if isinstance(value, int | float) and abs(value) <= sys.float_info.max else math.nan
