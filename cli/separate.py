"""refbss separate: recordings of any length into one file for each source."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import Progress, emit, engine_option, json_option, reason

if TYPE_CHECKING:
    from refbss._types import Array
    from refbss.data.audio_io import AudioReader
    from refbss.separation import Separator

READ_S = 1.0
"""Seconds that are read at a time."""


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--model", default="bundled", show_default=True, metavar="RUN|bundled", help="A run, a checkpoint, or bundled."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the estimates.",
)
@click.option("--resample", is_flag=True, help="Take files of other sample rates: to the model's rate and back.")
@click.option(
    "--channel", type=click.IntRange(min=1), metavar="N", help="Channel to take of files with several; the first is 1."
)
@engine_option
@json_option
def separate(
    files: tuple[Path, ...], model: str, out: Path, resample: bool, channel: int | None, engine: str, as_json: bool
) -> int:
    """Separate recordings into one file for each source.

    FILE (WAV or FLAC, any length) gives DIR/NAME_est1.wav, DIR/NAME_est2.wav, .. with the length, the sample rate and
    the scale of FILE, as 32-bit float, never clipped. A recording quieter or louder than what the model was trained on
    is worked on at a level that it knows, and the estimates are brought back; the output says by how much. Files that
    are there already are replaced, each in one step. A file that cannot be used costs one line on stderr; the others
    are still separated and the exit code is 1.
    """
    from refbss._checks import InputError
    from refbss.ranks import world
    from refbss.separation import Separator

    ranks = world()
    ranks.agree("separate", click.get_current_context().params)
    separator = Separator(model, engine=engine)
    targets = _targets(files, out, separator.sources)
    out.mkdir(parents=True, exist_ok=True)
    separator.warm_up()
    results: list[dict[str, Any]] = []
    own = ranks.mine(files)
    with Progress("separating", len(own), quiet=not ranks.first) as progress:
        for done, path in enumerate(own):

            def advance(share: float, done: int = done, path: Path = path) -> None:
                progress.update(round(done + share, 2), path.name)

            unknown = dict.fromkeys(("rate_hz", "seconds", "rtf", "gain_db", "error"))
            result: dict[str, Any] = {"file": path, "outputs": [], **unknown}
            try:
                result |= _separate_file(separator, path, targets[path], channel, resample, advance)
            except (InputError, OSError, MemoryError) as error:
                said = reason(error)
                result["error"] = said if str(path) in said else f"{path}: {said}"
                progress.say(f"refbss: error: {result['error']}")
            results.append(result)
            progress.update(done + 1, path.name)
    results = [result for part in ranks.share(results) for result in part]
    failed = sum(result["error"] is not None for result in results)
    lines = [
        f"{r['file']}: {r['seconds']:.2f} s, real-time factor {r['rtf']:.3f}"
        + (f", worked on at {r['gain_db']:+.1f} dB" if r["gain_db"] else "")
        + f": {', '.join(map(str, r['outputs']))}"
        for r in results
        if r["error"] is None
    ]
    if ranks.first:
        emit({"model": model, "engine": engine, "files": results, "failed": failed}, lines, as_json=as_json)
    return 1 if failed else 0


def _targets(files: tuple[Path, ...], out: Path, sources: int) -> dict[Path, list[Path]]:
    """The outputs of every file. Raises InputError where two files would write the same one, or one over an input."""
    from refbss._checks import InputError

    targets: dict[Path, list[Path]] = {}
    inputs = {path.resolve(): path for path in files}
    owner: dict[Path, Path] = {}
    for path in files:
        if path in targets:
            raise InputError(f"separate: {path} is given twice")
        targets[path] = [out / f"{path.stem}_est{p}.wav" for p in range(1, sources + 1)]
        for target in targets[path]:
            if target.resolve() in inputs:
                raise InputError(f"separate: {target} of {path} would replace an input, wanted another --out")
            other = owner.setdefault(target.resolve(), path)
            if other != path:
                raise InputError(f"separate: {other} and {path} would both write {target}, wanted different names")
    return targets


def _separate_file(
    separator: Separator,
    path: Path,
    targets: list[Path],
    channel: int | None,
    resample: bool,
    advance: Callable[[float], None],
) -> dict[str, Any]:
    """Separate one file and say what came of it. Raises InputError; then no output is written or replaced."""
    from refbss._checks import InputError
    from refbss.data.audio_io import AudioReader, AudioWriter

    began = time.perf_counter()
    for target in targets:
        if target.is_dir():
            raise InputError(f"{path}: {target} cannot be written, it is a folder")
    with AudioReader(path) as reader:
        if channel is None and reader.channels > 1:
            raise InputError(f"{path}: has {reader.channels} channels, wanted 1; choose one with --channel")
        if channel is not None and channel > reader.channels:
            raise InputError(f"{path}: has {reader.channels} channels, --channel is {channel}")
        if reader.rate_hz != separator.rate_hz and not resample:
            raise InputError(
                f"{path}: sample rate is {reader.rate_hz} Hz, wanted {separator.rate_hz} Hz as the model has; "
                "convert with --resample"
            )
        wanted = (channel or 1) - 1
        gain = separator.input_gain(_level_dbfs(reader, wanted))
        reader.seek(0)
        with ExitStack() as stack:
            writers = [stack.enter_context(AudioWriter(target, reader.rate_hz)) for target in targets]
            blocks = _blocks(reader, wanted)
            for estimates in separator.separate_blocks(blocks, reader.rate_hz, resample=resample, gain=gain):
                for writer, estimate in zip(writers, estimates, strict=True):
                    writer.write(estimate)
                advance(reader.position / reader.frames)
        seconds = reader.frames / reader.rate_hz
        rtf = (time.perf_counter() - began) / seconds
        gain_db = 20 * math.log10(gain)
        return {"outputs": targets, "rate_hz": reader.rate_hz, "seconds": seconds, "rtf": rtf, "gain_db": gain_db}


def _blocks(reader: AudioReader, channel: int) -> Iterator[Array]:
    """One channel of the file in pieces."""
    for block in reader.blocks(max(1, round(READ_S * reader.rate_hz))):
        yield block[channel]


def _level_dbfs(reader: AudioReader, channel: int) -> float:
    """Read the file once for its level. Raises InputError when every sample is zero."""
    from refbss._checks import InputError
    from refbss.data.level import LevelMeter

    meter, silent = LevelMeter(reader.rate_hz), True
    for block in _blocks(reader, channel):
        silent = silent and not block.any()
        meter.push(block)
    if silent:
        raise InputError(f"{reader.path}: is silent, every sample is zero; wanted a recording of voices")
    return meter.level_dbfs()
