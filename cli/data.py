"""``refbss data``: look at recordings and mixtures, write fixed evaluation sets, verify them, download two corpora."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import (
    FiniteFloat,
    Progress,
    choice_of,
    choice_options,
    emit,
    json_option,
    mixture_options,
    seed_option,
)

if TYPE_CHECKING:
    from refbss.data.corpora.part import Choice
    from refbss.data.corpora.registry import Found


@click.group()
def data() -> None:
    """Scan recordings and mixtures, write evaluation sets, verify them."""


@data.command()
@click.argument("folder", metavar="DIR")
@choice_options
@json_option
def scan(folder: str, condition: str | None, subset: tuple[str, ...], root: Path | None, as_json: bool) -> None:
    """Print what DIR holds and in which layout, and what is wrong with it.

    DIR holds recordings: FSDD names, one folder a speaker, a CSV manifest (id,speaker,path and optionally split), or
    the word "embedded" for the voices that come with refbss. Every file is read to its end; speakers, files, hours,
    sample rates and splits are printed. Or DIR holds mixtures ready made: folders of wsj0-mix, WHAM!, WHAMR!,
    LibriMix, MUSDB or plain mix/ s1/ s2/, lists of LibriMix, asteroid, SpeechBrain or Kaldi, or a set made by refbss
    data mix. Then subsets, conditions, mixtures, hours and sample rates are printed, by the headers of the mixtures;
    refbss data verify reads all of them.
    """
    from refbss._checks import InputError
    from refbss.data.corpora.registry import recognise

    choice = choice_of(condition, subset, root)
    found = None if folder == "embedded" else recognise(folder, choice.root)
    if found is not None:
        _scan_mixtures(folder, found, choice, as_json=as_json)
    elif choice:
        raise InputError(f"{folder}: holds no mixtures ready made, which alone have conditions, subsets and a root")
    else:
        _scan_recordings(folder, as_json=as_json)


def _scan_recordings(folder: str, *, as_json: bool) -> None:
    from refbss.data.scan import scan as scan_folder

    with Progress("scanning") as progress:
        report = scan_folder(folder, _advance(progress))
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


def _scan_mixtures(folder: str, found: Found, choice: Choice, *, as_json: bool) -> None:
    from refbss.data.inventory import inventory

    with Progress("scanning") as progress:
        report = inventory(folder, found, choice, _advance(progress))
    rows = [
        {
            "subset": row.part.words,
            "folder": row.part.folder,
            "split": row.part.split,
            "condition": row.part.condition,
            "sources": row.part.sources,
            "mixtures": row.mixtures,
            "hours": round(row.seconds / 3600, 4),
            "rates_hz": row.rates_hz,
        }
        for row in report.rows
    ]
    result = {"dir": report.root, "layout": report.layout, "parts": rows, "problems": _problems(report.problems)}
    table: list[tuple[str, ...]] = [("subset", "folder", "split", "condition", "sources", "mixtures", "hours", "rates")]
    for row in report.rows:
        part, rates = row.part, ", ".join(f"{rate} Hz" for rate in row.rates_hz)
        names, hours = " ".join(part.sources), f"{row.seconds / 3600:.2f}"
        cells = (part.words, part.folder, part.split, part.condition, names, str(row.mixtures), hours, rates)
        table.append(tuple(cell or "-" for cell in cells))
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [
        f"{report.root}: layout {report.layout}, {sum(row.mixtures for row in report.rows)} mixtures ready made",
        *("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table),
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
    from refbss.data.new_folder import check_new
    from refbss.data.sets import write_set

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
@choice_options
@json_option
def verify(folder: str, condition: str | None, subset: tuple[str, ...], root: Path | None, as_json: bool) -> int:
    """Check mixtures ready made: sums, rates, lengths, silence, repetitions.

    DIR has any of the layouts that refbss data scan recognises; without options all that it holds is checked. A mixture
    may differ from the sum of its parts by the rounding of its format, 16 bits in LibriMix. Of a set made by refbss
    data mix hashes and clipping are checked too. Exit code 1 when something is wrong.
    """
    from refbss.data.verify import verify as verify_mixtures

    with Progress("verifying") as progress:
        report = verify_mixtures(folder, choice_of(condition, subset, root), _advance(progress))
    result = {
        "dir": report.root,
        "layout": report.layout,
        "items": report.items,
        "files": report.files,
        "sums": report.sums,
        "rates_hz": report.rates_hz,
        "ok": not report.problems,
        "problems": _problems(report.problems),
    }
    rates = ", ".join(f"{rate_hz} Hz" for rate_hz in report.rates_hz) or "no rate"
    lines = [
        f"{report.root}: {report.items} items, {report.files} files, {rates}",
        f"sums: {report.sums} of {report.items} mixtures held against their parts",
        *_problem_lines(report.problems),
    ]
    emit(result, lines, as_json=as_json)
    return 1 if report.problems else 0


@data.command()
@click.argument("name", metavar="NAME", type=click.Choice(["fsdd", "mnist"]))
@click.option("--out", metavar="DIR", required=True, help="Folder to write; it must not exist or be empty.")
@click.option("--url", metavar="URL", help="Download from this folder of another server.")
@json_option
def get(name: str, out: str, url: str | None, as_json: bool) -> None:
    """Download NAME, fsdd (the Free Spoken Digit Dataset) or mnist, and check what came by SHA-256.

    DIR appears when everything is there and right; a download that breaks off or is not what it should be leaves
    nothing behind. Needs pip install 'refbss[data]'.
    """
    from refbss.data.download import download

    with Progress(f"downloading {name}") as progress:
        report = download(name, out, url=url, progress=_advance(progress))
    result = {"name": name, "out": out, "files": report.files, "bytes": report.size, "licence": report.licence}
    line = f"{out}: {name}, {report.files} files, {report.size / 1e6:.1f} MB, SHA-256 checked; {report.licence}"
    emit(result, line, as_json=as_json)


def _advance(progress: Progress) -> Any:
    """What calls ``progress`` with how many are done and how many there are."""

    def advance(done: int, total: int) -> None:
        progress.total = total
        progress.update(done)

    return advance


def _names(given: str, known: set[str]) -> list[str]:
    """The speakers that one ``--only`` names: one of that very name, else several between commas."""
    return [given] if given in known else [name.strip() for name in given.split(",")]


def _problems(problems: Any) -> list[dict[str, Any]]:
    return [{"kind": problem.kind, "path": problem.path, "message": problem.message} for problem in problems]


def _problem_lines(problems: Any) -> list[str]:
    if not problems:
        return ["problems: none"]
    return [f"problems: {len(problems)}", *(f"  {problem.kind}: {problem.message}" for problem in problems)]
