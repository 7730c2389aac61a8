"""refbss stream: a signal that is still going on, separated as it comes, from a pipe to a pipe."""

from __future__ import annotations

import math
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import Stop, Stopped, emit, engine_option, json_option

if TYPE_CHECKING:
    from refbss.data.pcm import PcmFormat, PcmReader
    from refbss.data.pcm_writers import FilesWriter, PcmWriter
    from refbss.separation_stream import SeparationStream

SAMPLES = ("s16le", "s24le", "s32le", "f32le")
PIPE = "-"
LONGEST_US = 20_000
"""Durations are counted in bins of 1 us up to this, so that their number costs no memory."""


class Gain(click.ParamType):  # type: ignore[type-arg]
    """A number of decibels, or auto."""

    name = "DB|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        if value == "auto" or isinstance(value, float):
            return value  # type: ignore[no-any-return]
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not abs(number) <= 200:
            self.fail(f"{value!r} is neither auto nor a number of dB from -200 to 200.", param, ctx)
        return number


@click.command()
@click.option(
    "--model", default="bundled", show_default=True, metavar="RUN|bundled", help="A run, a checkpoint, or bundled."
)
@click.option("--in", "source", default=PIPE, show_default=True, metavar="FILE|-", help="What to read; - is stdin.")
@click.option(
    "--out",
    default=PIPE,
    show_default=True,
    metavar="PREFIX|-",
    help="Write PREFIX_est1.wav, PREFIX_est2.wav, ..; - is stdout, the sources as interleaved channels.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["wav", *SAMPLES]),
    default="wav",
    show_default=True,
    help="What comes in: WAV, or raw samples of this format.",
)
@click.option("--to", type=click.Choice(["wav", "raw"]), help="What goes to stdout.  [default: as what comes in]")
@click.option(
    "--samples",
    type=click.Choice(SAMPLES),
    help="Sample format of the output.  [default: that of the input on stdout, f32le in files]",
)
@click.option("--rate", type=click.IntRange(min=1), metavar="HZ", help="Of raw samples.  [default: the model's]")
@click.option("--resample", is_flag=True, help="Take another sample rate: to the model's rate and back.")
@click.option("--channels", type=click.IntRange(min=1, max=65535), help="Of raw samples.  [default: 1]")
@click.option("--channel", type=click.IntRange(min=1), metavar="N", help="Channel to take of several; the first is 1.")
@click.option(
    "--gain",
    type=Gain(),
    default=0.0,
    show_default=True,
    help="The model sees the signal so much louder; auto follows the level heard so far. The scale stays.",
)
@click.option(
    "--chunk",
    type=click.IntRange(min=1),
    metavar="N",
    help="Samples to read at a time, at most.  [default: those of a hop]",
)
@click.option(
    "--restore",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Go on from the state that --save has written.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the state at the end; the samples of a hop that is not complete wait in it.",
)
@click.option("--stats", is_flag=True, help="Print how long hops took: median, 99th percentile, longest.")
@engine_option
@json_option
def stream(
    model: str,
    source: str,
    out: str,
    form: str,
    to: str | None,
    samples: str | None,
    rate: int | None,
    resample: bool,
    channels: int | None,
    channel: int | None,
    gain: str | float,
    chunk: int | None,
    restore: Path | None,
    save: Path | None,
    stats: bool,
    engine: str,
    as_json: bool,
) -> int:
    """Separate a signal as it comes, from a pipe to a pipe.

    Estimates leave a hop after their samples came (2 ms with the bundled model), at another sample rate 20 samples of
    the slower rate later; all that was read is written before more is read. What comes out does not depend on how the
    input was cut and equals what refbss separate writes, but for the level: a stream is not brought to a level that the
    model knows unless --gain says so. The output is as long as the input, and on its scale.

    The end of the input, SIGINT and SIGTERM end the stream: what was heard is finished and the outputs are whole (exit
    codes 0, 130, 143). So they are where the input stops in the middle of a sample or before the length that its header
    says (1), or holds NaN or infinity (2). Integers never wrap: samples that clip are counted on stderr. The summary
    goes to stderr; with --json it is one line of JSON, on stderr where stdout carries the samples.
    """
    import numpy as np

    from refbss._checks import InputError
    from refbss._files import check_writable
    from refbss.separation import Separator
    from refbss.separation_stream import save_state

    options = click.get_current_context().params
    _check(options)
    if save is not None:
        check_writable(save)
    separator = Separator(model, engine=engine)
    hop, stop, clock = separator.config.hop, Stop(), _Clock()
    separator.stream().push(np.zeros(hop, np.float32))  # load the kernels, or compile them, before samples wait
    with ExitStack() as stack:
        stack.enter_context(stop.listening())
        try:
            reader, name = _open(stack, stop, options, separator.rate_hz)
        except Stopped:
            return int(stop.code())
        factor = gain if isinstance(gain, str) else 10 ** (gain / 20)
        going = separator.stream(reader.form.rate_hz, resample=resample, gain=factor)
        if restore is not None:
            go_on(going, restore)
        begun, latency_ms = going.received, 1e3 * going.latency_samples / reader.form.rate_hz
        sink = _sink(options, reader.form, separator.sources)
        stack.enter_context(sink)
        if not as_json:
            click.echo(_opening(name, reader, latency_ms), err=True)
        error = _run(reader, going, sink, clock, chunk or max(1, round(hop * going.rate_hz / separator.rate_hz)))
        heard = going.received - begun
        if not heard and error is None:
            if stop.came:
                return int(stop.code())
            raise InputError(f"{name}: holds no samples, wanted a signal")
        if save is None:
            try:
                sink.write(going.finish())
            except InputError as at_end:
                error = error or at_end
    if save is not None:
        save_state(save, going.state())
    fault = str(error) if error else "" if stop.came else reader.fault()
    result = {
        "model": model,
        "engine": engine,
        "in": name,
        "outputs": sink.names,
        "rate_hz": reader.form.rate_hz,
        "samples": heard,
        "seconds": heard / reader.form.rate_hz,
        "rtf": clock.busy_s / (heard / reader.form.rate_hz) if heard else None,
        "latency_ms": latency_ms,
        "gain": gain,
        "clipped": sink.clipped,
        **clock.summary(),
        "stopped": stop.name,
        "error": f"{name}: {fault}" if fault else None,
    }
    emit(result, _lines(result, stats), as_json=as_json, err=out == PIPE)
    if fault:
        click.echo(f"refbss: error: {name}: {fault}", err=True)
        return 1 if error is None else 2
    return int(stop.code())


def go_on(going: SeparationStream, path: Path) -> None:
    """Restore the state in a file. Raises InputError, which names the file."""
    from refbss._checks import InputError
    from refbss.separation_stream import load_state

    state = load_state(path)
    try:
        going.restore(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check(options: dict[str, Any]) -> None:
    """Raises UsageError where options exclude each other, InputError where stdin or stdout is a terminal."""
    from refbss._checks import InputError

    if options["form"] == "wav":
        for name in ("rate", "channels"):
            if options[name] is not None:
                raise click.UsageError(f"--{name} is of raw samples; the header of WAV says it.")
    if options["out"] != PIPE and options["to"] is not None:
        raise click.UsageError("--to is what goes to stdout; files are WAV.")
    if options["out"] == PIPE and sys.stdout.isatty():
        raise InputError("stream: stdout is a terminal, wanted a pipe or a file for the samples, or --out PREFIX")
    if options["source"] == PIPE and sys.stdin.isatty():
        raise InputError("stream: stdin is a terminal, wanted a pipe or a file with samples, or --in FILE")


def _open(stack: ExitStack, stop: Stop, options: dict[str, Any], model_hz: int) -> tuple[Any, str]:
    """The reader of the input, at its first sample, and the input's name. Raises InputError."""
    from refbss._checks import InputError
    from refbss.data.pcm import PcmFormat, PcmReader, read_wav_header

    source = options["source"]
    name = "stdin" if source == PIPE else source
    try:
        which = sys.stdin.fileno() if source == PIPE else source
        file = stack.enter_context(open(which, "rb", buffering=0, closefd=source != PIPE))
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}), wanted a stream of samples") from None

    def read(size: int) -> bytes:
        data: bytes = stop.wait(lambda: file.read(size))
        return data

    def read_header(size: int) -> bytes:
        data = read(size)
        if stop.came:
            raise Stopped
        return data

    if options["form"] == "wav":
        form = read_wav_header(read_header, name)
    else:
        form = PcmFormat(options["form"], options["rate"] or model_hz, options["channels"] or 1)
    channel = options["channel"]
    if channel is None and form.channels > 1:
        raise InputError(f"{name}: has {form.channels} channels, wanted 1; choose one with --channel")
    if channel is not None and channel > form.channels:
        raise InputError(f"{name}: has {form.channels} channels, --channel is {channel}")
    if form.rate_hz != model_hz and not options["resample"]:
        raise InputError(
            f"{name}: sample rate is {form.rate_hz} Hz, wanted {model_hz} Hz as the model has; convert with --resample"
        )
    return PcmReader(read, form, (channel or 1) - 1), name


def _sink(options: dict[str, Any], form: PcmFormat, sources: int) -> PcmWriter | FilesWriter:
    """Where the estimates go. Raises InputError."""
    from refbss._checks import InputError
    from refbss.data.pcm_writers import FilesWriter, PcmWriter

    out, samples = options["out"], options["samples"]
    if out == PIPE:
        given = form._replace(samples=samples or form.samples, channels=sources, length=None)
        return PcmWriter(sys.stdout.buffer, given, wav=(options["to"] or options["form"]) == "wav")
    prefix = Path(out)
    if prefix.is_dir() or out.endswith("/"):
        raise InputError(f"stream: --out is {out}, a folder, wanted the beginning of a file name such as {prefix}/talk")
    paths = [prefix.with_name(f"{prefix.name}_est{p}.wav") for p in range(1, sources + 1)]
    for path in paths:
        if options["source"] != PIPE and path.resolve() == Path(options["source"]).resolve():
            raise InputError(f"stream: {path} would replace the input, wanted another --out")
    return FilesWriter(paths, form.rate_hz, samples or "f32le")


def _run(
    reader: PcmReader, going: SeparationStream, sink: PcmWriter | FilesWriter, clock: _Clock, chunk: int
) -> Exception | None:
    """Read, separate and write until the input ends. Returns what is wrong with it; what came before is written."""
    import numpy as np

    from refbss._checks import InputError, NotFiniteError

    while True:
        x = reader.read(chunk)
        if reader.ended:
            return None
        clock.start()
        try:
            est = going.push(x)
        except NotFiniteError:
            place = int(np.argmin(np.isfinite(x)))
            sink.write(going.push(x[:place]))
            return InputError(f"holds {x[place]} at sample {going.received}, wanted finite samples")
        except InputError as error:
            return error
        sink.write(est)
        clock.stop(len(x) / reader.form.rate_hz)


class _Clock:
    """How long chunks take, from their samples read to their estimates written."""

    def __init__(self) -> None:
        self.busy_s = self._longest_s = 0.0
        self._began = 0.0
        self._late = 0
        self._bins = [0] * (LONGEST_US + 1)

    def start(self) -> None:
        """Samples came."""
        self._began = time.perf_counter()

    def stop(self, lasts_s: float) -> None:
        """The estimates are written; the chunk's samples last so long."""
        taken = time.perf_counter() - self._began
        self.busy_s += taken
        self._longest_s = max(self._longest_s, taken)
        self._late += taken > lasts_s
        self._bins[min(int(1e6 * taken), LONGEST_US)] += 1

    def summary(self) -> dict[str, Any]:
        """Chunks, how many of them took longer than they last, and their times in ms."""
        times = {"p50": self._percentile(0.50), "p99": self._percentile(0.99), "max": 1e3 * self._longest_s}
        return {"chunks": sum(self._bins), "late": self._late, "chunk_ms": times}

    def _percentile(self, share: float) -> float:
        wanted, seen = share * sum(self._bins), 0
        for us, count in enumerate(self._bins[:LONGEST_US]):
            seen += count
            if seen >= wanted:
                return 1e-3 * (us + 1)
        return 1e3 * self._longest_s


def _opening(name: str, reader: PcmReader, latency_ms: float) -> str:
    form = reader.form
    of = f", channel {reader.channel + 1} of {form.channels}" if form.channels > 1 else ""
    return f"refbss: {name}: {form.samples} at {form.rate_hz} Hz{of}; latency {latency_ms:.3g} ms"


def _lines(result: dict[str, Any], stats: bool) -> list[str]:
    lines = []
    if result["rtf"] is not None:
        files = f": {', '.join(map(str, result['outputs']))}" if result["outputs"] else ""
        lines.append(f"{result['in']}: {result['seconds']:.2f} s, real-time factor {result['rtf']:.3f}{files}")
    if result["late"]:
        lines.append(f"{result['late']} of {result['chunks']} chunks took longer than they last")
    if result["clipped"]:
        lines.append(
            f"{result['clipped']} samples were clipped; --gain does not change the output, --samples f32le does"
        )
    if stats:
        times = result["chunk_ms"]
        lines.append(
            f"{result['chunks']} chunks, ms from samples read to estimates written: median {times['p50']:.3f}, "
            f"99th percentile {times['p99']:.3f}, longest {times['max']:.3f}"
        )
    return lines
