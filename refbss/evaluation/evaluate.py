"""Scoring a separator on mixtures: SI-SDR and its improvement, utterance by utterance, with a confidence interval."""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refbss._checks import InputError
from refbss._files import replaced
from refbss._types import Array
from refbss.data.mixing import Item
from refbss.evaluation.permutation import permutation_error_rate
from refbss.evaluation.si_sdr import mean_db, si_sdr_i

Map = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Applies a function to every element, in order: ``map``, or threads that share the work."""

TOGETHER = 16
"""Utterances that are held in memory at a time."""
FRAME_S = 0.02
"""Frame of the permutation error rate."""
INTERVAL = "95 percent confidence interval of the mean, Student t over utterances"


class Score(NamedTuple):
    """One utterance: SI-SDR (P,) and improvement (P,) of each reference in dB, NaN where a reference is silent.

    The permutation error rate is the share of active frames whose best output is not the utterance's.
    """

    id: str
    clean: bool
    seconds: float
    si_sdr_db: Array
    si_sdr_i_db: Array
    permutation_error_rate: float
    processing_s: float


@dataclass(frozen=True)
class Report:
    """Scores of all utterances and what they come to. ``skipped`` references were silent and are left out."""

    utterances: tuple[Score, ...]
    si_sdr_db: float
    si_sdr_i_db: float
    si_sdr_interval_db: tuple[float, float]
    si_sdr_i_interval_db: tuple[float, float]
    skipped: int
    permutation_error_rate: float
    """Mean over the utterances that have active frames."""
    rtf: float
    """Processing time of an utterance on one thread over its duration, all utterances together."""


def score(separate: Callable[[Array], Array], item: Item, rate_hz: int) -> Score:
    """Separate one mixture with ``separate`` (N,) -> (P, N) and score the estimates. Raises InputError.

    A silent estimate of a reference that is not silent scores -inf: leaving it out would reward it. A silent mixture
    scores NaN.
    """
    began = time.perf_counter()
    est = separate(item.mix)
    processing_s = time.perf_counter() - began
    if est.shape != item.sources.shape:
        raise InputError(f"evaluate: {item.id} has sources {item.sources.shape}, the model gives {est.shape}")
    if not item.mix.any():
        nothing = np.full(len(est), np.nan)
        return Score(item.id, item.clean, len(item.mix) / rate_hz, nothing, nothing, math.nan, processing_s)
    result = si_sdr_i(ref=item.sources, est=est, mix=item.mix, silent="nan")
    failed = np.isnan(result.si_sdr_db) & item.sources.any(axis=1)
    sdr, improvement = (np.where(failed, -np.inf, values) for values in (result.si_sdr_db, result.si_sdr_i_db))
    frame = min(len(item.mix), max(1, round(FRAME_S * rate_hz)))
    errors = float(permutation_error_rate(ref=item.sources[None], est=est[None], frame=frame)[0])
    return Score(item.id, item.clean, len(item.mix) / rate_hz, sdr, improvement, errors, processing_s)


def evaluate(
    separate: Callable[[Array], Array],
    items: Iterable[Item],
    rate_hz: int,
    *,
    run: Map | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Report:
    """Score every item, each by itself, so that the result does not depend on how ``run`` shares the work out.

    ``progress`` hears the number of utterances done and their mean SI-SDR in dB. Raises InputError: no items, or an
    item that does not fit the model.
    """
    share: Map = run or (lambda work, many: [work(one) for one in many])
    source, scores = iter(items), list[Score]()
    while group := list(islice(source, TOGETHER)):
        scores += share(lambda item: score(separate, item, rate_hz), group)
        if progress:
            progress(len(scores), mean_db(np.stack([s.si_sdr_db for s in scores]), silent="skip")[0])
    if not scores:
        raise InputError("evaluate: there are no items, wanted at least 1")
    return summarise(scores)


def summarise(scores: Sequence[Score]) -> Report:
    """Means over sources, then over utterances, and confidence intervals over utterances."""
    sdr, improvement = (np.stack([getattr(s, name) for s in scores]) for name in ("si_sdr_db", "si_sdr_i_db"))
    mean, skipped = mean_db(sdr, silent="skip")
    return Report(
        tuple(scores),
        mean,
        mean_db(improvement, silent="skip")[0],
        interval(sdr),
        interval(improvement),
        skipped,
        mean_db([[s.permutation_error_rate] for s in scores], silent="skip")[0],
        sum(s.processing_s for s in scores) / sum(s.seconds for s in scores),
    )


def interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of the mean over utterances of values (utterances, P), by Student's t. [std]

    An utterance counts with the mean over its sources that are not NaN. NaN for fewer than two utterances or
    infinite values.
    """
    from scipy.special import stdtrit

    means = np.array([row[~np.isnan(row)].mean() for row in values if not np.isnan(row).all()])
    if len(means) < 2 or not np.isfinite(means).all():
        return math.nan, math.nan
    reach = float(stdtrit(len(means) - 1, 0.5 + level / 2) * means.std(ddof=1) / math.sqrt(len(means)))
    return float(means.mean()) - reach, float(means.mean()) + reach


def check_csv(path: Path) -> None:
    """Check, before the work is done, that a table can be written there. Raises InputError."""
    if path.is_dir():
        raise InputError(f"{path}: cannot be written, it is a folder; wanted a file name")
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written, the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written, the folder {path.parent} is read-only")


def write_csv(report: Report, path: Path) -> None:
    """Write a row an utterance; a file of that name is replaced whole or not at all. Raises InputError."""
    check_csv(path)
    sources = range(1, len(report.utterances[0].si_sdr_db) + 1)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    columns = [f"{name}_{p}" for name in ("si_sdr_db", "si_sdr_i_db") for p in sources]
    rows.writerow(["id", "clean", "seconds", "si_sdr_db", "si_sdr_i_db", "permutation_error_rate", *columns])
    for utterance in report.utterances:
        both = (utterance.si_sdr_db, utterance.si_sdr_i_db)
        means = [mean_db(values, silent="skip")[0] for values in both]
        numbers = [f"{value:.6f}" for value in (*means, utterance.permutation_error_rate, *both[0], *both[1])]
        rows.writerow([utterance.id, str(utterance.clean).lower(), f"{utterance.seconds:g}", *numbers])
    with replaced(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
