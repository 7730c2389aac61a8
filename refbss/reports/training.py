"""The page of a run, or of two side by side: loss and its terms, validation, gradient, learning rate, memory bank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss.reports.charts import Mark
from refbss.reports.curves import Curve, picture, side_by_side
from refbss.reports.markup import Markup, join, name, tag
from refbss.reports.page import Column, Section, facts, folded, page, table
from refbss.reports.run_log import Run
from refbss.reports.scales import linear

LAST = 100
"""Steps that "at the end" is about."""
WEIGHTS = {
    "divergence": "loss.fisher_weight",
    "permutation": "loss.permutation_weight",
    "mixture": "loss.mixture_weight",
}
"""Terms of the loss that count with a weight, and its key."""


def summary(run: Run) -> dict[str, Any]:
    """What a run came to: numbers in the units that their names say, None where the log does not tell."""
    validated = run.get("validation_db")
    best = (
        int(np.argmax(np.where(np.isfinite(validated), validated, -np.inf))) if np.isfinite(validated).any() else None
    )
    norms, clip = run.get("grad_norm"), run.number("train.clip_norm")
    seconds = run.get("seconds")
    wanted = run.state.get("steps") or run.config.get("train.steps")
    return {
        "run": run.name,
        "steps": int(run.steps[-1]),
        "steps_wanted": wanted if isinstance(wanted, int) else None,
        "minutes": _known(float(np.nansum(seconds) / 60) if np.isfinite(seconds).any() else math.nan),
        "best_validation_db": None if best is None else float(validated[best]),
        "best_step": None if best is None else int(run.steps[best]),
        "last_validation_db": _last(validated),
        "loss_at_the_end": _mean(run.get("loss")[-LAST:]),
        "grad_norm_median": _known(_median(norms)),
        "clipped_share": _mean((norms > clip).astype(float)) if clip is not None else None,
        "seconds_a_step_median": _known(_median(seconds)),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _median(values: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan


def _mean(values: Any) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _last(values: Any) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else None


def run_page(runs: Sequence[Run]) -> str:
    """The page of one run or of two. Raises InputError when there are none, or more."""
    if len(runs) not in (1, 2):
        raise InputError(f"report: {len(runs)} runs came, wanted one or two")
    labels = [""] if len(runs) == 1 else ["A", "B"]
    title = " and ".join(run.name for run in runs)
    sections = [
        Section("summary", "Summary", _summary(runs, labels)),
        Section("loss", "Loss and validation", _loss(runs, labels)),
        Section("terms", "Terms of the loss", _terms(runs, labels)),
        Section("optimiser", "Gradient, learning rate, time", _optimiser(runs, labels)),
        Section("memory", "Memory bank", _memory(runs, labels)),
        Section("configuration", "Configuration", _configuration(runs, labels)),
    ]
    if len(runs) == 1:
        lead = tag("p", "Training run ", tag("strong", name(runs[0].name)), ".")
    else:
        named = [[", B is " if i else "A is ", tag("strong", name(run.name))] for i, run in enumerate(runs)]
        lead = tag("p", named, ".")
    return page(f"Training of {title}", lead, sections)


def _curves(runs: Sequence[Run], labels: Sequence[str], key: str) -> list[Curve]:
    return [Curve(label, i, run.steps, run.get(key)) for i, (run, label) in enumerate(zip(runs, labels, strict=True))]


def _summary(runs: Sequence[Run], labels: Sequence[str]) -> Markup:
    found = [summary(run) for run in runs]
    rows = [[title, *(show(one) for one in found)] for title, show in ROWS.items()]
    columns = [Column("Run" if labels[0] else "", number=False), *(Column(label) for label in labels)]
    notes = [
        tag("p", f"{label}: " if label else None, note, class_="note")
        for run, label in zip(runs, labels, strict=True)
        for note in run.notes
    ]
    boxes = None
    if len(runs) == 1:
        shown = ("Best validation SI-SDR", "Loss at the end", "Steps", "Time")
        boxes = facts((title, tag("span", ROWS[title](found[0]), class_="large")) for title in shown)
    return join(boxes, notes, table(f"Loss at the end: mean of the last {LAST} steps", columns, rows))


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "none" if value is None else f"{value:{form}}{unit}"


def _steps(one: Mapping[str, Any]) -> str:
    return f"{one['steps']:,}" + (f" of {one['steps_wanted']:,}" if one["steps_wanted"] else "")


ROWS: dict[str, Any] = {
    "Steps": _steps,
    "Time": lambda one: _number(one["minutes"], ".1f", " minutes"),
    "Best validation SI-SDR": lambda one: _number(one["best_validation_db"], ".2f", " dB"),
    "Step of the best": lambda one: _number(one["best_step"], ","),
    "Last validation SI-SDR": lambda one: _number(one["last_validation_db"], ".2f", " dB"),
    "Loss at the end": lambda one: _number(one["loss_at_the_end"], ".3f"),
    "Gradient norm, median": lambda one: _number(one["grad_norm_median"], ".3g"),
    "Steps whose gradient was clipped": lambda one: _number(one["clipped_share"], ".1%"),
    "Seconds a step, median": lambda one: _number(one["seconds_a_step_median"], ".3g"),
}
"""Rows of the summary and how they are shown."""


def _loss(runs: Sequence[Run], labels: Sequence[str]) -> Markup:
    return side_by_side(
        [
            picture("Loss", "loss", _curves(runs, labels, "loss")),
            picture("Validation", "SI-SDR, dB", _curves(runs, labels, "validation_db"), sparse=True),
        ]
    )


def _terms(runs: Sequence[Run], labels: Sequence[str]) -> Markup:
    names = dict.fromkeys(key for run in runs for key in run.members("terms") if key != "terms.loss")
    figures = []
    for key in names:
        term = key.removeprefix("terms.")
        weights = [run.number(WEIGHTS.get(term, "")) for run in runs]
        said = f"Counts with weight {' and '.join(f'{weight:g}' for weight in dict.fromkeys(weights) if weight)}."
        figures.append(picture(term.capitalize(), term, _curves(runs, labels, key), note=said if any(weights) else ""))
    return join(tag("p", "Means over the mixtures of a step, before weights.", class_="soft"), side_by_side(figures))


def _optimiser(runs: Sequence[Run], labels: Sequence[str]) -> Markup:
    clips = dict.fromkeys(run.number("train.clip_norm") for run in runs)
    marks = [Mark("y", clip, f"clipped above {clip:g}") for clip in clips if clip is not None]
    return side_by_side(
        [
            picture(
                "Gradient norm",
                "norm",
                _curves(runs, labels, "grad_norm"),
                log=True,
                marks=marks,
                note="Before clipping.",
            ),
            picture("Learning rate", "rate", _curves(runs, labels, "learning_rate"), sparse=True),
            picture("Time", "seconds a step", _curves(runs, labels, "seconds"), log=True, note="With validation."),
        ]
    )


MEMORY = {
    "m": ("First moments", "root mean square", "What the blocks read of m."),
    "q": ("Mean squares", "root of the mean", "What the blocks read of q."),
    "reading": (
        "Effect on the separator",
        "root mean square",
        "How far what was heard so far moves the argument of the separator's sigmoid.",
    ),
    "eta": ("Rate", "share", "Of the state, what a fully active block replaces."),
}
"""What the log has for each time constant: title, unit, explanation."""


def _memory(runs: Sequence[Run], labels: Sequence[str]) -> Markup:
    said = "Measured at each validation, over its mixtures. k counts the time constants."
    activity = picture(
        "Activity",
        "mean, 0 to 1",
        _curves(runs, labels, "memory.activity.0"),
        sparse=True,
        note="Of what the blocks may write, what they write.",
    )
    figures = []
    for key, (title, unit, note) in MEMORY.items():
        values = [run.values[member] for run in runs for member in run.members(f"memory.{key}")]
        if not values:
            continue
        scale = linear([0.0, *np.concatenate(values).tolist()])
        for run, label in zip(runs, labels, strict=True):
            curves = [
                Curve(f"k = {k + 1}", k, run.steps, run.values[member])
                for k, member in enumerate(run.members(f"memory.{key}"))
            ]
            own = f"{title}, {label}" if label else title
            figures.append(picture(own, unit, curves, sparse=True, note=note, scale=scale))
    if activity is None and not figures:
        return tag("p", "The log has nothing on the memory bank: no validation, no memory, or an older refbss.")
    return join(tag("p", said, class_="soft"), side_by_side([activity]), side_by_side(figures))


def _configuration(runs: Sequence[Run], labels: Sequence[str]) -> Markup:
    parts: list[Markup] = []
    if len(runs) == 2:
        parts.append(_differences(*runs))
    for run, label in zip(runs, labels, strict=True):
        of = f" of {label}" if label else ""
        known = {"Step": run.state.get("step"), "refbss": run.state.get("version")}
        rows = [(key, name(value)) for key, value in known.items() if value is not None]
        rows += [("Data", name(text)) for text in _data(run.state.get("data"))]
        if rows:
            parts.append(table(f"Last checkpoint{of}", [Column("", number=False)] * 2, rows))
        if run.text:
            parts.append(folded(f"config.toml{of}", tag("pre", run.text)))
    return join(parts)


def _data(described: object) -> list[str]:
    """What a checkpoint remembers of each data folder."""
    parts = described if isinstance(described, list) else []
    return [", ".join(f"{key} {value}" for key, value in part.items()) for part in parts if isinstance(part, dict)]


def _differences(one: Run, other: Run) -> Markup:
    if not one.config or not other.config:
        return tag("p", "The configurations cannot be compared.")
    keys = [key for key in {**one.config, **other.config} if one.config.get(key) != other.config.get(key)]
    if not keys:
        return tag("p", "The configurations are the same.")
    rows = [(key, name(one.config.get(key, "none")), name(other.config.get(key, "none"))) for key in keys]
    columns = [Column(title, number=False) for title in ("Key", "A", "B")]
    return table("Where the configurations differ", columns, rows)
