"""``refbss data``: look at recordings, write fixed evaluation sets, verify them."""

from __future__ import annotations

from typing import Any

import click

from refbss_cli.options import FiniteFloat, Progress, emit, json_option, mixture_options, seed_option


@click.group()
def data() -> None:
    """Scan recordings, write evaluation sets, verify them."""


@data.command()
@click.argument("folder", metavar="DIR")
@json_option
def scan(folder: str, as_json: bool) -> None:
    """Print what DIR holds: speakers, files, hours, sample rates, splits, problems.

    DIR is a folder of recordings (FSDD names, or one folder a speaker), a CSV manifest (id,speaker,path and
    optionally split), or the word "embedded" for the voices that come with refbss. Every file is read to its end.
    """
    from refbss.data.scan import scan as scan_folder

    with Progress("scanning") as progress:

        def advance(done: int, total: int) -> None:
            progress.total = total
            progress.update(done)

        report = scan_folder(folder, advance)
    result = {
        "dir": report.root,
        "layout": report.layout,
        "files": report.files,
        "hours": round(report.hours, 4),
        "speakers": {
            name: {"files": files, "seconds": round(seconds, 2)} for name, (files, seconds) in report.speakers.items()
        },
        "rates_hz": report.rates_hz,
        "splits": report.splits,
        "problems": _problems(report.problems),
    }
    width = max([len("speaker"), *(len(name) for name in report.speakers)])
    lines = [
        f"{report.root}: layout {report.layout}, {len(report.speakers)} speakers, {report.files} files, "
        f"{report.hours:.2f} h",
        "rates: " + (", ".join(f"{rate} Hz ({count} files)" for rate, count in report.rates_hz.items()) or "none"),
        "splits: " + ", ".join(f"{split} {count}" for split, count in report.splits.items()),
        f"{'speaker':{width}}  files  minutes",
        *(f"{name:{width}} {files:6} {seconds / 60:8.2f}" for name, (files, seconds) in report.speakers.items()),
        *_problem_lines(report.problems),
    ]
    emit(result, lines, as_json=as_json)


@data.command()
@click.option(
    "--data",
    "folders",
    metavar="DIR",
    multiple=True,
    required=True,
    help='Folder of recordings, CSV manifest or "embedded"; several are pooled.',
)
@click.option("--out", metavar="DIR", required=True, help="Folder to write; it must not exist or be empty.")
@click.option(
    "--n", type=click.IntRange(min=1, max=1_000_000), default=200, show_default=True, help="Number of mixtures."
)
@mixture_options
@click.option(
    "--sources", "--speakers", "sources", type=int, default=2, show_default=True, help="Speakers in a mixture."
)
@click.option(
    "--only",
    metavar="NAME,..",
    multiple=True,
    help="Draw from these speakers alone; may be given several times, so that a name can hold a comma.",
)
@click.option(
    "--level-dbfs",
    type=(FiniteFloat(), FiniteFloat()),
    default=(-33.0, -19.0),
    show_default=True,
    help="RMS level of the mixture.",
)
@click.option(
    "--noise-probability",
    type=FiniteFloat(min=0, max=1),
    default=1.0,
    show_default=True,
    help="Share of mixtures with noise.",
)
@click.option(
    "--silence-s",
    type=(FiniteFloat(), FiniteFloat()),
    default=(0.0, 0.0),
    show_default=True,
    help="Length of a silence of one speaker.",
)
@click.option(
    "--silence-probability",
    type=FiniteFloat(min=0, max=1),
    default=1.0,
    show_default=True,
    help="Share of mixtures with such a silence.",
)
@click.option("--rate", "sample_rate_hz", type=int, default=8000, show_default=True, help="Sample rate in Hz.")
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["wav", "flac"]),
    default="wav",
    show_default=True,
    help="Float WAV, or FLAC of 24 bits.",
)
@seed_option
@json_option
def mix(
    folders: tuple[str, ...],
    out: str,
    n: int,
    split: str,
    only: tuple[str, ...],
    fmt: str,
    seed: int,
    as_json: bool,
    **config: Any,
) -> None:
    """Write a fixed evaluation set: mixtures, their sources and noise, and a manifest."""
    from refbss.data.layouts import only_speakers, open_corpus
    from refbss.data.mixing import MixConfig, Mixer
    from refbss.data.sets import check_new, write_set

    check_new(out)
    settings = MixConfig(**config)
    corpora = [open_corpus(folder) for folder in folders]
    if only:
        known = {speaker for corpus in corpora for speaker in corpus.speakers}
        corpora = only_speakers(corpora, [name for given in only for name in _names(given, known)])
    mixer = Mixer(corpora, settings, seed=seed, split=split)
    with Progress("mixing", n) as progress:
        root = write_set(mixer, n, out, fmt=fmt, progress=lambda done, _: progress.update(done))
    result = {
        "out": root,
        "n": n,
        "rate_hz": settings.sample_rate_hz,
        "seconds": settings.seconds,
        "sources": settings.sources,
        "split": split,
        "seed": seed,
        "format": fmt,
    }
    emit(
        result,
        f"{root}: {n} mixtures of {settings.sources} speakers, {settings.seconds:g} s at "
        f"{settings.sample_rate_hz} Hz, split {split}, seed {seed}",
        as_json=as_json,
    )


@data.command()
@click.argument("folder", metavar="DIR")
@json_option
def verify(folder: str, as_json: bool) -> int:
    """Check an evaluation set: mixtures are sums, rates, lengths and hashes are true, nothing clips.

    Exit code 1 when something is wrong.
    """
    from refbss.data.sets import verify_set

    with Progress("verifying") as progress:

        def advance(done: int, total: int) -> None:
            progress.total = total
            progress.update(done)

        report = verify_set(folder, advance)
    result = {
        "dir": report.root,
        "items": report.items,
        "files": report.files,
        "rate_hz": report.rate_hz,
        "ok": not report.problems,
        "problems": _problems(report.problems),
    }
    lines = [
        f"{report.root}: {report.items} items, {report.files} files, {report.rate_hz} Hz",
        *_problem_lines(report.problems),
    ]
    emit(result, lines, as_json=as_json)
    return 1 if report.problems else 0


def _names(given: str, known: set[str]) -> list[str]:
    """The speakers that one ``--only`` names: one of that very name, else several between commas."""
    return [given] if given in known else [name.strip() for name in given.split(",")]


def _problems(problems: Any) -> list[dict[str, Any]]:
    return [{"kind": problem.kind, "path": problem.path, "message": problem.message} for problem in problems]


def _problem_lines(problems: Any) -> list[str]:
    if not problems:
        return ["problems: none"]
    return [f"problems: {len(problems)}", *(f"  {problem.kind}: {problem.message}" for problem in problems)]
