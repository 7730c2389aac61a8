"""refbss train: train a model, stop it, go on with it."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from refbss.training.loop import Trainer

from refbss_cli.options import FiniteFloat, Progress, choice_of, choice_options, emit, json_option, set_option


@click.command(short_help="Train a model on recordings.")
@click.argument("source", metavar="PRESET|CONFIG.TOML")
@click.option(
    "--data",
    "folders",
    multiple=True,
    required=True,
    metavar="DIR",
    help="Recordings, mixtures ready made, or 'embedded'; repeatable.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="RUN", help="Folder of the run.")
@click.option("--minutes", type=FiniteFloat(min=0, min_open=True), help="Train for about this long.")
@click.option("--steps", type=click.IntRange(min=1), help="Train for this many steps.")
@click.option("--resume", is_flag=True, help="Go on with the run in RUN, if there is one.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of every random draw.  [default: train.seed]")
@choice_options
@set_option
@json_option
def train(
    source: str,
    folders: tuple[str, ...],
    out: Path,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    seed: int | None,
    condition: str | None,
    subset: tuple[str, ...],
    root: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Train PRESET (lvbd-tiny, lvbd-small) or CONFIG.TOML on recordings and keep the run in RUN.

    DIR is a folder of recordings or a CSV manifest, of which mixtures are made as they are needed, or mixtures ready
    made in any layout that refbss data scan recognises, of which random segments are taken.

    RUN gets last/ and best/ (checkpoints), config.toml (the effective configuration), log.jsonl (a line per step) and,
    where matplotlib is installed, curve.png; refbss report RUN makes a page of it. Ctrl-C or SIGTERM saves and leaves;
    the same command with --resume goes on.
    """
    if minutes and steps:
        raise click.UsageError("--minutes and --steps exclude each other.")
    from refbss._checks import InputError
    from refbss.config import load_config
    from refbss.data.opening import open_all
    from refbss.ranks import LostRank, world
    from refbss.training.config import PRESETS, RunConfig
    from refbss.training.loop import Step, Trainer
    from refbss.training.together import TrainingError

    ranks = world()
    if source not in PRESETS and Path(source).suffix.lower() != ".toml":
        raise InputError(f"train: PRESET is {source!r}, wanted one of {', '.join(PRESETS)}, or a .toml file")
    if steps:
        overrides = (*overrides, f"train.steps={steps}")
    if seed is not None:
        overrides = (*overrides, f"train.seed={seed}")
    config = load_config(RunConfig, PRESETS.get(source, source), overrides=overrides)
    data = open_all(folders, choice_of(condition, subset, root))
    trainer = Trainer(config, data, out, minutes=minutes, resume=resume, ranks=ranks)
    caught: list[int] = []
    ranks.stopping = lambda: len(caught)

    def leave(number: int, _: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    if ranks.first:
        shared = f" on {ranks.size} ranks" if ranks.size > 1 else ""
        what = f"Training {source} on {', '.join(folders)}{shared}"
        click.echo(f"{what}: {_length(trainer)}, run in {out}", err=True)
    try:
        with Progress("train", trainer.steps, begun=trainer.step, quiet=not ranks.first) as progress:

            def report(step: Step, total: int | None) -> None:
                progress.total = total
                note = f"loss {step.loss:.2f}" + (f", best {trainer.best:.2f} dB" if trainer.best is not None else "")
                progress.update(step.step, note)

            summary = trainer.run(report, lambda: caught[0] if caught else 0)
    except TrainingError as error:
        if ranks.first:  # every rank raises it
            click.echo(f"refbss: error: {' '.join(str(error).split())}", err=True)
        return 1
    except LostRank as error:
        click.echo(f"refbss: error: {error}; kept: {_kept(out)}", err=True)
        ranks.abort(1)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    stopped = trainer.stopped_by
    if not ranks.first:
        return 128 + stopped if stopped else 0
    _draw_curve(out)
    score = "" if summary.best_db is None else f", best validation SI-SDR {summary.best_db:.2f} dB"
    line = f"{summary.reason} at step {summary.step}, {summary.minutes:.1f} minutes{score}; run in {out}"
    emit({**summary._asdict(), "run": str(out)}, line, as_json=as_json)
    if stopped:
        click.echo(f"Stopped by {signal.Signals(stopped).name}; saved {out / 'last'}. Go on with --resume.", err=True)
        return 128 + stopped
    return 0


def _kept(out: Path) -> str:
    from refbss.training.checkpoint import stored_checkpoint

    found = stored_checkpoint(out / "last")
    return f"{found}, go on with --resume" if found else "nothing, there is no checkpoint yet"


def _length(trainer: Trainer) -> str:
    if trainer.steps is None:
        return f"about {trainer.minutes:g} minutes"
    if trainer.step >= trainer.steps:
        return f"all {trainer.steps} steps are done"
    return f"steps {trainer.step + 1} to {trainer.steps}"


def _draw_curve(out: Path) -> None:
    from refbss.training.curve import draw_curve

    if draw_curve(out / "log.jsonl", out / "curve.png") is None:
        click.echo("No curve.png: matplotlib is not installed (pip install 'refbss[plot]').", err=True)
