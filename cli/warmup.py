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
    Exit code 1: they cannot be kept, 2: NUMBA_DISABLE_JIT is set.
    """
    from refbss import warmup as ahead

    ahead.check()
    click.echo("Compiling the kernels of both engines; half a minute to a minute where none is compiled yet", err=True)
    began = time.monotonic()
    with Progress("warmup", len(list(ahead.stages()))) as progress:
        count = ahead.warm_up(progress.update)
    seconds = time.monotonic() - began
    emit(
        {"kernels": count, "seconds": seconds},
        f"{count} compiled kernels of the fast engine are in place, {clock(seconds)}",
        as_json=as_json,
    )
