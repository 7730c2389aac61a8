"""refbss evaluate: score a model on mixtures of a corpus, or on a fixed evaluation set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import Progress, emit, engine_option, json_option, mixture_options, threads_option

if TYPE_CHECKING:
    from refbss.data.mixing import Item
    from refbss.separation import Separator

DEFAULT_ITEMS = 200


@click.command()
@click.option(
    "--model", default="bundled", show_default=True, metavar="RUN|bundled", help="A run, a checkpoint, or bundled."
)
@click.option(
    "--data",
    "folders",
    multiple=True,
    required=True,
    metavar="DIR",
    help='Recordings, CSV manifest or "embedded" (repeatable: pooled), or a set made by refbss data mix.',
)
@click.option("--n", type=click.IntRange(min=1), help="Number of mixtures.  [default: 200, or the whole set]")
@mixture_options
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of the mixtures.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), metavar="FILE", help="Write a row an utterance.")
@threads_option
@engine_option
@json_option
def evaluate(
    model: str,
    folders: tuple[str, ...],
    n: int | None,
    csv_path: Path | None,
    threads: int | None,
    engine: str,
    as_json: bool,
    **mixing: Any,
) -> None:
    """Score a model on mixtures: SI-SDR and its improvement.

    DIR is a corpus: mixtures are drawn from its test recordings, the same ones for the same seed. Or DIR is a fixed
    evaluation set, whose mixtures are taken as they are. The results do not depend on the number of threads.
    """
    from refbss.evaluation import evaluate as scoring
    from refbss.evaluation.si_sdr import CONVENTION
    from refbss.machine import cpus
    from refbss.ranks import world
    from refbss.separation import Separator
    from refbss.training.shards import workers

    if csv_path is not None:
        scoring.check_csv(csv_path)
    ranks = world()
    ranks.agree("evaluate", click.get_current_context().params)
    separator = Separator(model, engine=engine)
    fixed = _is_set(folders)
    if fixed:
        _refuse_mixing_options(folders[0])
        count, items, origin = _set_items(separator, folders[0], n)
    else:
        count, items, origin = _mixed_items(separator, folders, n, mixing)
    rate_hz = separator.rate_hz
    separator.warm_up()
    threads = threads or max(1, cpus() // ranks.local())
    with Progress("evaluating", count, quiet=not ranks.first) as progress, workers(threads) as pool:
        report = scoring.evaluate(
            lambda mix: separator.separate(mix, rate_hz),
            items,
            rate_hz,
            run=ranks.spread(pool),
            progress=lambda done, mean: progress.update(done, f"SI-SDR {mean:.2f} dB"),
        )
    if not ranks.first:
        return
    clean = sum(utterance.clean for utterance in report.utterances)
    result = {
        "n": len(report.utterances),
        "si_sdr_db": report.si_sdr_db,
        "si_sdri_db": report.si_sdri_db,
        "rtf": report.rtf,
        "permutation_error_rate": report.permutation_error_rate,
        "convention": CONVENTION,
        "si_sdr_interval_db": report.si_sdr_interval_db,
        "si_sdri_interval_db": report.si_sdri_interval_db,
        "interval": scoring.INTERVAL,
        "clean": clean,
        "skipped": report.skipped,
        "model": model,
        "engine": engine,
        "data": folders,
        **origin,
    }
    lines = [
        f"{model} on {', '.join(folders)}: {count} mixtures, {clean} clean and {count - clean} noisy"
        + (f"; {report.skipped} silent references left out" if report.skipped else ""),
        _line("SI-SDR ", report.si_sdr_db, report.si_sdr_interval_db),
        _line("SI-SDRi", report.si_sdri_db, report.si_sdri_interval_db),
        f"permutation error rate {100 * report.permutation_error_rate:.1f} percent of active frames of 20 ms",
        f"real-time factor of one thread: {report.rtf:.3f}",
        f"convention: {CONVENTION}",
        f"in brackets: {scoring.INTERVAL}",
    ]
    emit(result, lines, as_json=as_json)
    if csv_path is not None:
        scoring.write_csv(report, csv_path)


def _line(name: str, value: float, interval: tuple[float, float]) -> str:
    known = not math.isnan(interval[0])
    return f"{name} {value:7.2f} dB" + (f"  [{interval[0]:.2f}, {interval[1]:.2f}]" if known else "")


def _is_set(folders: Sequence[str]) -> bool:
    """Whether the data are a fixed evaluation set. Raises InputError where one is mixed with something else."""
    from refbss._checks import InputError
    from refbss.data.sets import MANIFEST

    sets = [folder for folder in folders if (Path(folder) / MANIFEST).is_file()]
    if sets and len(folders) > 1:
        raise InputError(f"evaluate: {sets[0]} is a fixed evaluation set, wanted it as the only --data")
    return bool(sets)


def _refuse_mixing_options(folder: str) -> None:
    """A fixed set has its mixtures already: an option that would change them is an error, not ignored."""
    ctx = click.get_current_context()
    for parameter in ctx.command.params:
        name = parameter.name or ""
        given = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and name in ("seconds", "gain_db", "noise", "snr_db", "split", "seed", "resample"):
            raise click.UsageError(f"{parameter.opts[0]} cannot be used: {folder} is a fixed evaluation set.")


def _set_items(separator: Separator, folder: str, n: int | None) -> tuple[int, Iterable[Item], dict[str, Any]]:
    from itertools import islice

    from refbss._checks import InputError
    from refbss.data.sets import read_set

    found = read_set(folder)
    for name, has, wanted, unit in (
        ("sample rate", found.rate_hz, separator.rate_hz, " Hz"),
        ("number of sources", found.sources, separator.sources, ""),
    ):
        if has != wanted:
            raise InputError(f"{folder}: {name} is {has}{unit}, wanted {wanted}{unit} as the model has")
    if n is not None and n > len(found):
        raise InputError(f"evaluate: n is {n}, the set {folder} has {len(found)} mixtures")
    count = n or len(found)
    return count, islice(found, count), {"set": True}


def _mixed_items(
    separator: Separator, folders: Sequence[str], n: int | None, mixing: dict[str, Any]
) -> tuple[int, Iterable[Item], dict[str, Any]]:
    from refbss.data.layouts import open_corpus
    from refbss.data.mixing import MixConfig, Mixer

    origin = {"set": False, **mixing}
    split, seed = mixing.pop("split"), mixing.pop("seed")
    config = MixConfig(sources=separator.sources, sample_rate_hz=separator.rate_hz, **mixing)
    mixer = Mixer([open_corpus(folder) for folder in folders], config, seed=seed, split=split)
    count = n or DEFAULT_ITEMS
    return count, (mixer.item(0, index) for index in range(count)), origin
