"""refbss score: score what any system has written, against references."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from refbss_cli.options import FiniteFloat, Progress, emit, json_option, threads_option

NAMED = 3
"""Files that fit nothing are named up to this many."""


def _folder(name: str, what: str, *, required: bool) -> Callable[[Any], Any]:
    return click.option(
        f"--{name}", required=required, metavar="DIR", type=click.Path(path_type=Path), help=f"Folder of {what}."
    )


@click.command()
@_folder("ref", "the references", required=True)
@_folder("est", "the estimates", required=True)
@_folder("mix", "the mixtures, for improvements", required=False)
@click.option(
    "--metrics",
    metavar="NAME,..",
    default="si_sdr",
    show_default=True,
    help="si_sdr, si_sir, si_sar, snr, bss_eval_v3_sources, bss_eval_v3_images, bss_eval_v4.",
)
@click.option(
    "--convention",
    default="leroux",
    show_default=True,
    metavar="NAME",
    help="Of SI-SDR: leroux, or what tasnet, asteroid, torchmetrics, fast_bss_eval or speechbrain print.",
)
@click.option("--taps", type=int, default=512, show_default=True, help="Taps of the filters of BSS Eval.")
@click.option(
    "--window-s",
    type=FiniteFloat(min=0, min_open=True),
    help="Windows of BSS Eval, of which medians are taken.  [default: 1 for bss_eval_v4, else none]",
)
@click.option("--hop-s", type=FiniteFloat(min=0, min_open=True), help="From window to window.")
@click.option(
    "--silent",
    type=click.Choice(["raise", "nan", "skip"]),
    default="raise",
    show_default=True,
    help="What becomes of a silent signal: an error, NaN in every mean, or left out and counted.",
)
@click.option("--trim", is_flag=True, help="Cut signals of unequal length to the shorter.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), metavar="FILE", help="Write a row a source.")
@threads_option
@json_option
def score(
    ref: Path,
    est: Path,
    mix: Path | None,
    metrics: str,
    convention: str,
    taps: int,
    window_s: float | None,
    hop_s: float | None,
    silent: str,
    trim: bool,
    csv_path: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Score estimates that any system has written.

    The folders of references and estimates hold s1/ID.wav and s2/ID.wav, or ID_s1.wav and ID_s2.wav (as refbss separate
    writes them: ID_est1.wav), or ID/vocals.wav and so on; that of mixtures ID.wav or ID/mixture.wav. Where sources are
    numbered the best permutation counts: by SI-SDR, for BSS Eval by its own SIR. Where they have names, names count.
    """
    from refbss._files import replaced
    from refbss.evaluation import score as scoring
    from refbss.evaluation.evaluate import INTERVAL, check_csv
    from refbss.training.shards import workers

    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    settings = scoring.Settings(names, convention, silent, trim, window_s, hop_s, taps)
    if csv_path is not None:
        check_csv(csv_path)
    task = scoring.match(ref, est, mix)
    if task.unused:
        named = ", ".join(map(str, task.unused[:NAMED])) + (", .." if len(task.unused) > NAMED else "")
        click.echo(f"refbss: left out, belong to no reference: {len(task.unused)} files ({named})", err=True)
    scores: list[scoring.Scores] = []
    with Progress("scoring", len(task.utterances)) as progress, workers(threads or 0) as pool:
        step = 4 * (threads or 4)
        for first in range(0, len(task.utterances), step):
            group = task.utterances[first : first + step]
            scores += pool(lambda one: scoring.score(one, settings, named=task.named), group)
            progress.update(len(scores))
    found = scoring.summarise(scores)
    if csv_path is not None:
        with replaced(csv_path) as part:
            part.write_text(scoring.csv_text(scores, task.sources), encoding="utf-8")
    notes = {one.id: one.notes for one in scores if one.notes}
    result = {
        "n": len(scores),
        "sources": task.sources,
        "permutation": "by name" if task.named else "best",
        "convention": convention,
        "silent": silent,
        "scores": {name: column._asdict() for name, column in found.items()},
        "interval": INTERVAL,
        "notes": notes,
    }
    width = max(len(name) for name in found)
    lines = [
        f"{est} against {ref}: {len(scores)} utterances of {len(task.sources)} sources, "
        + ("matched by name" if task.named else "in the best permutation"),
        f"{'':{width}}     mean  median  left out",
        *(
            f"{name:{width}} {c.mean_db:8.2f} {c.median_db:7.2f} {c.skipped:9}" + _interval(*c.interval_db)
            for name, c in found.items()
        ),
        f"in brackets: {INTERVAL}",
        *(f"{id}: {', '.join(texts)}" for id, texts in notes.items()),
    ]
    emit(result, lines, as_json=as_json)


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"  [{low:.2f}, {high:.2f}]"
