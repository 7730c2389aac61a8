"""The page of an evaluation: what it came to, how scores are spread, best and worst, every utterance, the conditions.

Everything but the section on the machine is a function of the model, the mixtures and the code: it does not depend on
the time, the number of threads or of ranks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.config import dump_toml
from refbss.data.mixing import Item
from refbss.evaluation.evaluate import Report, Score, interval
from refbss.evaluation.si_sdr import mean_db
from refbss.models.info import model_info
from refbss.reports import distributions
from refbss.reports.examples import Ends, anchor, mean_of, shown
from refbss.reports.markup import Markup, join, name, tag
from refbss.reports.page import Cell, Column, Section, facts, folded, page, table
from refbss.training.checkpoint import Checkpoint

MOST_ROWS = 5000
"""Rows of the table of utterances."""
MOST_SOURCES = 6
"""Sources that have columns of their own there."""
WORDS = {"set": "Mixtures ready made", "snr_db": "SNR, dB"}
"""Keys of the result that say little by themselves."""
VARIES = ("rtf",)
"""What of the result is not the same in every run; it stands with the machine."""


def evaluation_page(
    report: Report,
    result: Mapping[str, Any],
    checkpoint: Checkpoint,
    item_at: Callable[[int], Item],
    separate: Callable[[Array], Array],
    machine: Mapping[str, object],
) -> str:
    """The page as text.

    ``result`` is what ``--json`` prints; its numbers are shown as they stand there. ``item_at`` gives the mixture of a
    number, ``separate`` takes (N,) and gives (P, N): the best and worst are separated again. ``machine`` is what is
    said of who did the work.
    """
    rate_hz = checkpoint.config.model.sample_rate_hz
    examples, ends = shown(report.utterances, item_at, separate, rate_hz)
    data = ", ".join(map(str, result["data"]))
    sections = [
        Section("summary", "Summary", _summary(report, result)),
        Section("distributions", "Distributions", _distributions(report, result)),
        Section("examples", "Best and worst", examples),
        Section("utterances", "Utterances", _utterances(report.utterances, ends)),
        Section("configuration", "Configuration", _configuration(result, checkpoint)),
        Section("machine", "Machine and time", _machine(machine, result)),
    ]
    lead = tag("p", "Model ", tag("strong", name(result["model"])), " on ", tag("strong", name(data)), _counted(result))
    return page(f"Evaluation of {result['model']} on {data}", lead, sections)


def _counted(result: Mapping[str, Any]) -> str:
    n, clean = result["n"], result["clean"]
    return f": {n:,} mixture{'s' * (n != 1)}, {clean:,} clean and {n - clean:,} noisy."


def number(value: object, form: str = ".2f") -> Markup:
    """A number of the result as people read it, with what ``--json`` prints for it as its machine-readable value."""
    text = format(value, form) if isinstance(value, int | float) else "none" if value is None else value
    return tag("data", text, value=json.dumps(value))


def _summary(report: Report, result: Mapping[str, Any]) -> Markup:
    minutes = sum(score.seconds for score in report.utterances) / 60
    boxes = [
        ("SI-SDR", _large(result["si_sdr_db"], result["si_sdr_interval_db"])),
        ("SI-SDR improvement", _large(result["si_sdr_i_db"], result["si_sdr_i_interval_db"])),
        ("Permutation errors", _errors(result["permutation_error_rate"])),
        (
            "Utterances",
            join(tag("span", number(result["n"], ","), class_="large"), f"{minutes:.1f} minutes of mixtures"),
        ),
    ]
    notes = [tag("p", result["convention"], ".", class_="soft")]
    if result["skipped"]:
        count = number(result["skipped"], ",")
        notes.append(tag("p", count, " references are silent throughout: they have no score and count in no mean."))
    failed = sum(bool(np.isneginf(score.si_sdr_db).any()) for score in report.utterances)
    if failed:
        said = f"{failed} utterances have an estimate that is silent or has nothing of its reference: minus infinity."
        notes.append(tag("p", said, class_="note"))
    return join(facts(boxes), _score_table(report, result), notes)


def _large(value: object, span: Sequence[object]) -> Markup:
    reach = None if span[0] is None else ["95 % interval ", number(span[0]), " to ", number(span[1])]
    return join(tag("span", number(value), " dB", class_="large"), reach)


def _errors(rate: object) -> Markup:
    shown = number(rate) if not isinstance(rate, float) else tag("data", f"{100 * rate:.1f}", value=json.dumps(rate))
    return join(tag("span", shown, " %", class_="large"), "of active frames of 20 ms")


def _score_table(report: Report, result: Mapping[str, Any]) -> Markup:
    columns = [Column("Metric", number=False)]
    columns += [
        Column(text) for text in ("Utterances", "Mean", "95 % interval", "Median", "5th percentile", "95th percentile")
    ]
    rows = []
    clean = np.array([score.clean for score in report.utterances])
    kinds = distributions.groups(clean)
    for title, field in (("SI-SDR", "si_sdr_db"), ("SI-SDR improvement", "si_sdr_i_db")):
        every = np.stack([getattr(score, field) for score in report.utterances])
        span = result[f"{field.removesuffix('_db')}_interval_db"]
        both = None if span[0] is None else [number(span[0]), " to ", number(span[1])]
        rows.append([title, number(result["n"], ","), number(result[field]), both, *_spread(every)])
        for kind, chosen in kinds if len(kinds) > 1 else ():
            part = every[chosen]
            low, high = interval(part)
            reach = None if math.isnan(low) else f"{low:.2f} to {high:.2f}"
            mean = f"{mean_db(part, silent='skip')[0]:.2f}"
            rows.append([f"{title}, {kind}", f"{len(part):,}", mean, reach, *_spread(part)])
    return table(f"Scores in dB. Interval: {result['interval']}.", columns, rows)


def _spread(values: Array) -> list[str]:
    """Median, and the values that 5 and 95 percent of the utterances lie below or at."""
    means = np.array([mean_of(row) for row in values])
    means = means[~np.isnan(means)]
    if not len(means):
        return ["none"] * 3
    quantiles = np.quantile(means, (0.5, 0.05, 0.95), method="inverted_cdf")
    return [f"{value:.2f}" for value in quantiles]


def _distributions(report: Report, result: Mapping[str, Any]) -> Markup:
    found = distributions.values(report.utterances)
    figures: list[Markup | None] = [
        distributions.histogram("SI-SDR", "dB", found.sdr, found.clean, report.si_sdr_db, report.si_sdr_interval_db),
        distributions.histogram(
            "SI-SDR improvement", "dB", found.gain, found.clean, report.si_sdr_i_db, report.si_sdr_i_interval_db
        ),
        distributions.scatter(
            "Before and after",
            "Above the dotted line the estimates are better than the mixture.",
            ("SI-SDR of the mixture, dB", "SI-SDR of the estimates, dB"),
            found.sdr - np.where(np.isfinite(found.gain), found.gain, np.nan),
            found.sdr,
            found.clean,
            diagonal=True,
        ),
        distributions.scatter(
            "Permutation errors and improvement",
            "Share of active frames of 20 ms whose best output is not the utterance's.",
            ("permutation errors, percent", "SI-SDR improvement, dB"),
            found.errors,
            found.gain,
            found.clean,
        ),
    ]
    return tag("div", figures, class_="figures")


def _utterances(scores: Sequence[Score], ends: Ends) -> Markup:
    listed, note = range(len(scores)), ""
    if len(scores) > MOST_ROWS:
        known = {i: mean_of(score.si_sdr_i_db) for i, score in enumerate(scores)}
        order = sorted(known, key=lambda i: (math.isnan(known[i]), known[i]))
        half = MOST_ROWS // 2
        listed = sorted(order[:half] + order[-half:])  # type: ignore[assignment]
        note = (
            f" Of {len(scores):,} utterances the {half:,} with the lowest and the {half:,} with the highest "
            "improvement are listed; --csv writes all."
        )
    sources = range(min(len(scores[0].si_sdr_db), MOST_SOURCES))
    columns = [Column("Utterance", number=False)]
    columns += [Column(title) for title in ("SI-SDR", "SI-SDRi", "Errors, %")]
    columns += [Column(f"{metric} {p + 1}") for p in sources for metric in ("SI-SDR", "SI-SDRi")]
    columns += [Column("Condition", number=False), Column("Seconds"), Column("No.")]
    examples = {*ends.best, *ends.worst}
    caption = (
        "Scores in dB: the mean over sources, then of each reference. Errors: active frames of 20 ms whose best output "
        f"is not the utterance's. Headings sort; links lead to the best and worst.{note}"
    )
    return table(caption, columns, (_row(i, scores[i], i in examples, sources) for i in listed), sorts=True)


def _row(index: int, score: Score, linked: bool, sources: Sequence[int]) -> list[object]:
    title = name(score.id)
    cells: list[object] = [
        Cell(tag("a", title, href=f"#{anchor(index)}") if linked else title),
        _value(mean_of(score.si_sdr_db)),
        _value(mean_of(score.si_sdr_i_db)),
        _value(100 * score.permutation_error_rate, ".1f"),
    ]
    for p in sources:
        cells += [_value(float(score.si_sdr_db[p])), _value(float(score.si_sdr_i_db[p]))]
    return [*cells, "clean" if score.clean else "noisy", f"{score.seconds:.2f}", index + 1]


def _value(value: float, form: str = ".2f") -> Cell:
    """A number that sorts by what is shown; infinity needs JavaScript's name for it, and NaN sorts last."""
    if math.isfinite(value):
        return Cell(format(value, form))
    return Cell("none", "") if math.isnan(value) else Cell(value, "Infinity" if value > 0 else "-Infinity")


def _configuration(result: Mapping[str, Any], checkpoint: Checkpoint) -> Markup:
    config, state = checkpoint.config.model, checkpoint.state
    info = model_info(config, checkpoint.params)
    digest = hashlib.blake2b(digest_size=8)
    for array in checkpoint.params.values():
        digest.update(array.tobytes())
    trained = f"{state.get('step')} of {state.get('steps') or 'a number of'} steps"
    if state.get("best") is not None:
        trained += f", best validation SI-SDR {state['best']:.2f} dB"
    rows = [
        ("Model", name(result["model"])),
        ("Sources, sample rate", f"{config.sources} at {config.sample_rate_hz} Hz"),
        ("Parameters", f"{info.total_parameters:,}, digest {digest.hexdigest()}"),
        ("Hop and latency", f"{info.hop_samples} samples, {info.latency_ms:g} ms"),
        ("Trained", f"{trained}, refbss {state.get('version')}"),
        *((_words(key), _said(value)) for key, value in result.items() if key in _asked(result)),
    ]
    exact = json.dumps({key: value for key, value in result.items() if key not in VARIES}, indent=1, ensure_ascii=False)
    return join(
        table("Model and mixtures", [Column("", number=False)] * 2, rows),
        folded("Configuration of the model and its training", tag("pre", dump_toml(checkpoint.config))),
        folded("The result as --json prints it", tag("pre", exact)),
    )


def _asked(result: Mapping[str, Any]) -> list[str]:
    """Of the result what was asked for, not what came out."""
    keys = list(result)
    return ["engine", *keys[keys.index("data") :]]


def _words(key: str) -> str:
    """A key of the result in words: ``gain_db`` is Gain, dB."""
    if key in WORDS:
        return WORDS[key]
    for suffix, unit in (("_db", ", dB"), ("_hz", ", Hz"), ("_s", ", s")):
        if key.endswith(suffix):
            key = key.removesuffix(suffix) + unit
    return (key[0].upper() + key[1:]).replace("_", " ")


def _said(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return name(", ".join(map(str, value)))
    return "none" if value is None else name(value)


def _machine(machine: Mapping[str, object], result: Mapping[str, Any]) -> Markup:
    rows: list[Sequence[object]] = [(key, value) for key, value in machine.items()]
    rows.append(("Real-time factor of one thread", number(result["rtf"], ".3f")))
    said = "This section alone may differ between two evaluations of the same model on the same mixtures."
    columns = [Column("", number=False)] * 2
    return join(tag("p", said, class_="soft"), table("Who did the work", columns, rows))
