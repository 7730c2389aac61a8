"""refbss evaluate: score a model on mixtures of recordings, or on mixtures ready made."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import (
    Progress,
    choice_of,
    choice_options,
    emit,
    engine_option,
    json_option,
    mixture_options,
    plain,
    threads_option,
)

if TYPE_CHECKING:
    from refbss._types import Array
    from refbss.data.layouts import Corpus
    from refbss.data.mixing import Item
    from refbss.data.mixtures import MixtureSet
    from refbss.evaluation.evaluate import Report
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
    help='Recordings, CSV manifest or "embedded" (repeatable: pooled), or mixtures ready made.',
)
@click.option("--n", type=click.IntRange(min=1), help="Number of mixtures.  [default: 200, or the whole set]")
@mixture_options
@choice_options
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of the mixtures.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), metavar="FILE", help="Write a row an utterance.")
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write FOLDER/index.html: scores, plots, and the best and worst to see and to hear.",
)
@threads_option
@engine_option
@json_option
def evaluate(
    model: str,
    folders: tuple[str, ...],
    n: int | None,
    condition: str | None,
    subset: tuple[str, ...],
    root: Path | None,
    csv_path: Path | None,
    folder: Path | None,
    threads: int | None,
    engine: str,
    as_json: bool,
    **mixing: Any,
) -> None:
    """Score a model on mixtures: SI-SDR and its improvement.

    DIR is a corpus of recordings: mixtures are drawn from its test recordings, the same ones for the same seed. Or DIR
    holds mixtures ready made, in any layout that refbss data scan recognises: they are taken whole and as they are,
    those of the test split, or all where there are no splits. The results do not depend on the number of threads.
    """
    from refbss._checks import InputError
    from refbss.data.layouts import Corpus
    from refbss.data.mixtures import MixtureSet
    from refbss.data.opening import open_all
    from refbss.evaluation import evaluate as scoring
    from refbss.evaluation.si_sdr import CONVENTION
    from refbss.machine import cpus
    from refbss.ranks import world
    from refbss.reports.page import check_folder
    from refbss.separation import Separator
    from refbss.training.shards import workers

    if csv_path is not None:
        scoring.check_csv(csv_path)
    if folder is not None:
        check_folder(folder)
    ranks = world()
    ranks.agree("evaluate", click.get_current_context().params)
    separator = Separator(model, engine=engine)
    data = open_all(folders, choice_of(condition, subset, root))
    sets = [one for one in data if isinstance(one, MixtureSet)]
    if sets and len(folders) > 1:
        raise InputError(f"evaluate: {sets[0].path} is a fixed evaluation set, wanted it as the only --data")
    if sets:
        _refuse_mixing_options(folders[0])
        count, item_at, origin = _set_items(separator, sets[0], n, mixing)
    else:
        count, item_at, origin = _mixed_items(separator, [one for one in data if isinstance(one, Corpus)], n, mixing)
    rate_hz = separator.rate_hz
    separator.warm_up()
    threads = threads or max(1, cpus() // ranks.local())
    with Progress("evaluating", count, quiet=not ranks.first) as progress, workers(threads) as pool:
        report = scoring.evaluate(
            lambda mix: separator.separate(mix, rate_hz),
            map(item_at, range(count)),
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
        "si_sdr_i_db": report.si_sdr_i_db,
        "rtf": report.rtf,
        "permutation_error_rate": report.permutation_error_rate,
        "convention": CONVENTION,
        "si_sdr_interval_db": report.si_sdr_interval_db,
        "si_sdr_i_interval_db": report.si_sdr_i_interval_db,
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
        _line("SI-SDRi", report.si_sdr_i_db, report.si_sdr_i_interval_db),
        f"permutation error rate {100 * report.permutation_error_rate:.1f} percent of active frames of 20 ms",
        f"real-time factor of one thread: {report.rtf:.3f}",
        f"convention: {CONVENTION}",
        f"in brackets: {scoring.INTERVAL}",
    ]
    emit(result, lines, as_json=as_json)
    if csv_path is not None:
        scoring.write_csv(report, csv_path)
    if folder is not None:
        work = {"Threads": threads, "Ranks": ranks.size}
        _write_report(folder / "index.html", report, plain(result), separator, item_at, work)


def _write_report(
    path: Path,
    report: Report,
    result: dict[str, Any],
    separator: Separator,
    item_at: Callable[[int], Item],
    work: dict[str, int],
) -> None:
    from refbss.machine import describe
    from refbss.reports.evaluation import evaluation_page
    from refbss.reports.page import write_page

    machine = describe()
    facts = {
        "Processor": machine["processor"],
        "Processors": f"{machine['processors']} of {machine['processors_of_the_machine']}",
        "System": machine["system"],
        "Vectors": f"{machine['vector_bits']} bits",
        "Kernels": "compiled" if machine["compiled"] else "as plain Python",
        "Versions": ", ".join(f"{name} {machine[name]}" for name in ("refbss", "python", "numpy", "numba")),
        **work,
    }

    def separate(mix: Array) -> Array:
        return separator.separate(mix, separator.rate_hz)

    write_page(path, evaluation_page(report, result, separator.checkpoint, item_at, separate, facts))
    click.echo(f"Report: {path}", err=True)


def _line(name: str, value: float, interval: tuple[float, float]) -> str:
    known = not math.isnan(interval[0])
    return f"{name} {value:7.2f} dB" + (f"  [{interval[0]:.2f}, {interval[1]:.2f}]" if known else "")


def _given(name: str) -> bool:
    """Whether an option stands on the command line."""
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _refuse_mixing_options(folder: str) -> None:
    """A fixed set has its mixtures already: an option that would change them is an error, not ignored."""
    for parameter in click.get_current_context().command.params:
        name = parameter.name or ""
        if name in ("seconds", "gain_db", "noise", "snr_db", "seed") and _given(name):
            raise click.UsageError(f"{parameter.opts[0]} cannot be used: {folder} is a fixed evaluation set.")


def _set_items(
    separator: Separator, found: MixtureSet, n: int | None, mixing: dict[str, Any]
) -> tuple[int, Callable[[int], Item], dict[str, Any]]:
    """How many mixtures, each by its number, and where they are from."""
    from refbss._checks import InputError

    chosen = found.to_score(mixing["split"] if _given("split") else None)
    if chosen.sources != separator.sources:
        raise InputError(
            f"{found.path}: number of sources is {chosen.sources}, wanted {separator.sources} as the model has"
        )
    if chosen.rate_hz != separator.rate_hz and not mixing["resample"]:
        raise InputError(
            f"{found.path}: sample rate is {chosen.rate_hz} Hz, wanted {separator.rate_hz} Hz as the model has, or "
            "the option --resample"
        )
    if n is not None and n > len(chosen):
        raise InputError(f"evaluate: n is {n}, the set {found.path} has {len(chosen)} mixtures")
    count = n or len(chosen)
    origin = {
        "set": True,
        "layout": chosen.layout,
        "condition": chosen.condition,
        "subset": ",".join(chosen.variant),
        "splits": {split or "none": number for split, number in chosen.splits.items()},
    }
    return count, lambda index: chosen.item(chosen.mixtures[index], resample_hz=separator.rate_hz), origin


def _mixed_items(
    separator: Separator, corpora: list[Corpus], n: int | None, mixing: dict[str, Any]
) -> tuple[int, Callable[[int], Item], dict[str, Any]]:
    """The same of mixtures that are drawn."""
    from refbss.data.mixing import MixConfig, Mixer

    origin = {"set": False, **mixing}
    split, seed = mixing.pop("split"), mixing.pop("seed")
    config = MixConfig(sources=separator.sources, sample_rate_hz=separator.rate_hz, **mixing)
    mixer = Mixer(corpora, config, seed=seed, split=split)
    count = n or DEFAULT_ITEMS
    return count, lambda index: mixer.item(0, index), origin
