"""refbss warmup: compile every kernel ahead, so that no other command has to."""

from __future__ import annotations

import time

import click

from refbss_cli.options import Progress, clock, emit, json_option


@click.command(short_help="Compile every kernel ahead.")
@json_option
def warmup(as_json: bool) -> None:
    """Compile what training, separation and streaming need, in both engines, and keep it for later processes.

    What is compiled already is only loaded. Kernels are compiled again when refbss, Numba or the processor changes.
    """
    from refbss import warmup as ahead

    click.echo("Compiling the kernels of both engines; one to two minutes where none is compiled yet", err=True)
    began = time.monotonic()
    with Progress("warmup", len(list(ahead.stages()))) as progress:
        count = ahead.warm_up(progress.update)
    seconds = time.monotonic() - began
    emit(
        {"kernels": count, "seconds": seconds},
        f"{count} compiled kernels of the fast engine are in place, {clock(seconds)}",
        as_json=as_json,
    )
