"""The best and the worst utterances of an evaluation, to see and to hear.

Only these are separated again, one after the other, so that nothing but scores is kept while an evaluation runs,
however long it is. Separation gives the same bits every time, so what is heard is what was scored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from refbss._types import Array
from refbss.data.mixing import Item
from refbss.evaluation.evaluate import Score
from refbss.evaluation.si_sdr import mean_db, si_sdr_i
from refbss.reports import media
from refbss.reports.markup import Markup, join, name, tag
from refbss.reports.page import folded

SHOWN = 5
"""Utterances at either end."""
SPACE = "\u00a0"
"""Between a number and its unit: no line ends there."""
SOUND_BYTES = 7_500_000
"""What all players of a page may take of it."""


class Ends(NamedTuple):
    """Numbers of the utterances with the highest improvement, best first, and with the lowest, worst first."""

    best: list[int]
    worst: list[int]


def mean_of(values: Array) -> float:
    """The mean over the sources of an utterance (P,) that have a value; NaN where none has."""
    return mean_db(values[None], silent="skip")[0]


def ends(scores: Sequence[Score]) -> Ends:
    """The ends by mean SI-SDR improvement, of equal ones the first; an utterance is at one end only."""
    means = {number: mean_of(score.si_sdr_i_db) for number, score in enumerate(scores)}
    known = sorted((number for number in means if not math.isnan(means[number])), key=lambda number: -means[number])
    best = known[: min(SHOWN, -(-len(known) // 2))]
    rest = sorted(known[len(best) :], key=lambda number: (means[number], number))
    return Ends(best, rest[:SHOWN])


def anchor(number: int) -> str:
    """Where an utterance is shown on the page."""
    return f"example-{number + 1}"


def shown(
    scores: Sequence[Score], item_at: Callable[[int], Item], separate: Callable[[Array], Array], rate_hz: int
) -> tuple[Markup, Ends]:
    """The ends of an evaluation as HTML, and which they are. ``separate`` takes (N,) and gives (P, N)."""
    chosen = ends(scores)
    count = len(chosen.best) + len(chosen.worst)
    if not count:
        return tag("p", "No utterance has a score."), chosen
    signals = 1 + 2 * len(scores[0].si_sdr_db)
    seconds = media.longest_s(max(count, 2) * signals, rate_hz, SOUND_BYTES)
    parts = []
    for title, numbers in (("Best", chosen.best), ("Worst", chosen.worst)):
        if numbers:
            parts.append(tag("h3", f"{title} by SI-SDR improvement"))
        for place, number in enumerate(numbers, start=1):
            item = item_at(number)
            parts.append(
                _example(f"{title} {place}", number, scores[number], item, separate(item.mix), rate_hz, seconds)
            )
    cut = any(scores[number].seconds > seconds for number in (*chosen.best, *chosen.worst))
    return join(_explained(rate_hz, seconds if cut else None), parts), chosen


def _explained(rate_hz: int, seconds: float | None) -> Markup:
    said = "Estimates stand beside the reference that they were assigned to. "
    if seconds is not None:
        said += f"Pictures and players hold the first {seconds:g} s, to keep the page small; scores are of the whole. "
    picture = "All pictures of an utterance have one scale, from its loudest parts down:"
    sound = (
        f"Players hold 16 bits at {media.player_rate(rate_hz)} Hz. The signals of an utterance were brought to a peak "
        "of -1 dBFS together: levels compare within it, not between utterances."
    )
    if rate_hz > media.HIGHEST_HZ:
        sound += f" They were resampled for that from {rate_hz} Hz."
    return join(
        tag("p", said, tag("span", sound, class_="screen")), tag("p", picture, class_="soft"), media.colour_bar()
    )


def _example(title: str, number: int, score: Score, item: Item, est: Array, rate_hz: int, seconds: float) -> Markup:
    found = si_sdr_i(ref=item.sources, est=est, mix=item.mix, silent="nan")
    signals = {"mixture": item.mix}
    for p, source in enumerate(item.sources, start=1):
        signals |= {f"reference {p}": source, f"estimate {p}": est[int(found.permutation[p - 1])]}
    signals = media.excerpt(signals, rate_hz, seconds)
    gain, pictures = media.common_gain(signals), media.pictures(signals)
    drawn = []
    for what, x in signals.items():
        scored = _scored(score, int(what.split()[1]) - 1) if what.startswith("estimate") else None
        if what.startswith("reference") and not item.sources[int(what.split()[1]) - 1].any():
            scored = ": silent throughout, not scored"
        drawn.append(
            tag(
                "figure",
                tag("figcaption", tag("strong", what.capitalize()), scored),
                media.spectrogram(pictures[what], len(x) / rate_hz, rate_hz, f"the {what}"),
                media.player(x, rate_hz, gain, f"{title}, {what}"),
                class_="mix" if what == "mixture" else None,
            )
        )
    heading = tag("h4", f"{title}: ", name(score.id), id=f"{anchor(number)}-title")
    facts = f"SI-SDR {_db(mean_of(score.si_sdr_db))}, improvement {_db(mean_of(score.si_sdr_i_db))}, "
    if not math.isnan(score.permutation_error_rate):
        facts += f"permutation errors {100 * score.permutation_error_rate:.1f} percent, "
    facts += f"{'clean' if score.clean else 'noisy'}, {score.seconds:g}{SPACE}s"
    recipe = json.dumps(item.recipe, indent=1, default=str, ensure_ascii=False)
    return tag(
        "article",
        heading,
        tag("p", facts),
        tag("div", drawn, class_="signals"),
        folded("How it was mixed", tag("pre", recipe), printed=False) if item.recipe else None,
        class_="example",
        id=anchor(number),
        aria_labelledby=f"{anchor(number)}-title",
    )


def _db(value: float) -> str:
    return f"{value:.2f}{SPACE}dB"


def _scored(score: Score, source: int) -> str:
    sdr, gain = score.si_sdr_db[source], score.si_sdr_i_db[source]
    if np.isnan(sdr):
        return ": not scored, its reference is silent"
    return f": SI-SDR {_db(sdr)}, improvement {_db(gain)}"
