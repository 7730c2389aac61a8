"""How scores are spread: histograms and scatter plots over utterances, each with its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refbss._types import Array
from refbss.evaluation.evaluate import Score
from refbss.reports import charts
from refbss.reports.charts import Axes, Mark, Series
from refbss.reports.examples import mean_of
from refbss.reports.markup import Markup, tag
from refbss.reports.page import Column, figure, numbers_of, table
from refbss.reports.scales import label, linear, step_for

Flags = NDArray[np.bool_]
"""One for each utterance."""

BARS = 20
"""About so many bars span a histogram."""
MOST_POINTS = 3000
"""A scatter plot of more takes every second, third, .. utterance."""


class Values(NamedTuple):
    """A number for each utterance, in their order, and whether it is clean."""

    sdr: Array
    gain: Array
    errors: Array
    clean: Flags


def values(scores: Sequence[Score]) -> Values:
    """Means over the sources of each utterance in dB, permutation errors in percent."""
    return Values(
        np.array([mean_of(score.si_sdr_db) for score in scores]),
        np.array([mean_of(score.si_sdr_i_db) for score in scores]),
        np.array([100 * score.permutation_error_rate for score in scores]),
        np.array([score.clean for score in scores]),
    )


def groups(clean: Flags) -> list[tuple[str, Flags]]:
    """The conditions that there are, and which utterances are of them."""
    found = [("clean", clean), ("noisy", ~clean)]
    return [(name, chosen) for name, chosen in found if chosen.any()]


def histogram(title: str, unit: str, x: Array, clean: Flags, mean: float, span: tuple[float, float]) -> Markup:
    """Counts of a number over utterances, mean and confidence interval marked; infinite ones are counted in words."""
    finite = np.isfinite(x)
    kinds = groups(clean)
    if not finite.any():
        return tag("p", f"{title}: no utterance has a finite value.")
    low, high = float(x[finite].min()), float(x[finite].max())
    step = step_for(high - low, BARS) if high > low else 1.0
    first, last = math.floor(low / step), math.floor(high / step) + 1
    edges = [number * step for number in range(first, last + 1)]
    places = np.clip(np.floor(x[finite] / step).astype(int) - first, 0, last - first - 1)
    counts = [np.bincount(places[chosen[finite]], minlength=last - first).tolist() for _, chosen in kinds]
    most = max(map(sum, zip(*counts, strict=True)))
    axes = Axes(linear(edges, count=7, widen=False), linear((0, 1.1 * most), count=min(5, most)), unit, "utterances")
    peak = max(range(len(edges) - 1), key=lambda i: sum(row[i] for row in counts))
    between = f"{label(edges[peak], step)} and {label(edges[peak + 1], step)} {unit}"
    said = (
        f"Histogram of {title} of {int(finite.sum())} utterances, from {low:.2f} to {high:.2f} {unit}, "
        f"mean {mean:.2f} {unit}; most lie between {between}"
    )
    drawn = charts.bars(axes, edges, counts, said, [Mark("x", mean, f"mean {mean:.2f}", span)])
    columns = [Column(unit), *(Column(name) for name, _ in kinds)]
    rows = [
        [f"{label(edges[i], step)} to {label(edges[i + 1], step)}", *(row[i] for row in counts)]
        for i in range(len(edges) - 1)
    ]
    note = "The line is the mean, the strip its 95 percent confidence interval." + _left_out(x)
    numbers = numbers_of(title, table(f"Utterances by {title}", columns, rows))
    return figure(title, note, drawn, numbers, _legend(kinds, "bar"))


def scatter(
    title: str, note: str, names: tuple[str, str], x: Array, y: Array, clean: Flags, *, diagonal: bool = False
) -> Markup | None:
    """A point for each utterance; its numbers are in the table of utterances. None where nothing can be drawn."""
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return None
    every = -(-int(known.sum()) // MOST_POINTS)
    kept = np.flatnonzero(known)[::every]
    kinds = groups(clean)
    series = [
        Series(name, style, x[kept][chosen[kept]].tolist(), y[kept][chosen[kept]].tolist())
        for style, (name, chosen) in enumerate(kinds)
    ]
    axes = Axes(linear(x[kept]), linear([*y[kept], *x[kept]] if diagonal else y[kept]), *names)
    both = f"{x[kept].min():.2f} to {x[kept].max():.2f} against {y[kept].min():.2f} to {y[kept].max():.2f}"
    said = f"Scatter plot of {len(kept)} utterances, {names[0]} against {names[1]}: {both}"
    if len(kept) > 2 and x[kept].std() > 0 and y[kept].std() > 0:
        said += f", correlation {float(np.corrcoef(x[kept], y[kept])[0, 1]):.2f}"
    thinned = f" Drawn is one utterance in {every}." if every > 1 else ""
    drawn = charts.points(axes, series, said, diagonal=diagonal)
    where = tag("p", "Numbers: ", tag("a", "table of utterances", href="#utterances"), class_="soft")
    return figure(title, note + thinned, drawn, where, _legend(kinds, "points"))


def _left_out(x: Array) -> str:
    counts = {
        "are infinitely low": int(np.isneginf(x).sum()),
        "are infinitely high": int(np.isposinf(x).sum()),
        "have no value": int(np.isnan(x).sum()),
    }
    said = [f"{count} {what}" for what, count in counts.items() if count]
    return f" Not drawn: {', '.join(said)}." if said else ""


def _legend(kinds: Sequence[tuple[str, Flags]], kind: str) -> Markup | None:
    if len(kinds) < 2:
        return None
    return charts.legend((name, style, kind) for style, (name, _) in enumerate(kinds))
