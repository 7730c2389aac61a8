"""refbss report: a training run, or two side by side, as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from refbss_cli.options import emit, json_option


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN2]", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The page to write.  [default: RUN/report.html]"
)
@json_option
def report(runs: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Write a page on a training run, or on two side by side.

    RUN is the folder that refbss train writes, of a run that ended or still goes on. The page shows loss, validation,
    gradient norm, each term of the loss, learning rate, and what the memory bank holds and does. It is one HTML file
    that opens without a network. A log that a kill has torn is read as far as it goes, and the page says so.
    """
    from refbss.evaluation.evaluate import check_csv
    from refbss.reports.page import write_page
    from refbss.reports.run_log import read_run
    from refbss.reports.training import run_page, summary

    if len(runs) > 2:
        raise click.UsageError(f"{len(runs)} runs came, wanted one or two.")
    found = [read_run(run) for run in runs]
    path = out or runs[0] / "report.html"
    check_csv(path)
    write_page(path, run_page(found))
    result = {"report": path, "runs": [{**summary(run), "notes": run.notes} for run in found]}
    notes = [f"{run.name}: {note}" for run in found for note in run.notes]
    emit(result, [*notes, f"wrote {path}"], as_json=as_json)
