"""What the commands share: options, the progress display, an orderly stop, and how results are printed.

Results go to stdout, as lines for people or as one line of JSON with ``--json``. Progress and logs go to stderr.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from refbss.data.corpora.part import Choice

F = TypeVar("F", bound=Callable[..., Any])

LINE_EVERY_S = 5.0
"""Off a terminal a progress line is written at most this often."""
LONGEST_REASON = 1200
"""Characters that an error may say."""
DRAW_EVERY_S = 0.1
"""On a terminal the bar is redrawn at most this often."""
AGAIN_S = 1.0
"""A signal so much later than the first is meant: timeout(1) sends two at once."""


class FiniteFloat(click.FloatRange):
    """A number of at least ``min`` (above it with ``min_open``) that is neither NaN nor infinite."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def json_option(function: F) -> F:
    """``--json``, passed as ``as_json``: print one line of JSON instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")(function)


def seed_option(function: F) -> F:
    """``--seed``: an integer of at least 0, by default 0."""
    return click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every random draw."
    )(function)


def engine_option(function: F) -> F:
    """``--engine``: ``fast`` by default, or ``reference``."""
    return click.option(
        "--engine",
        type=click.Choice(["fast", "reference"]),
        default="fast",
        show_default=True,
        help="Operators to use: written for speed, or the reference they are tested against.",
    )(function)


def threads_option(function: F) -> F:
    """``--threads``: an integer of at least 1, or None for every core the process may use."""
    return click.option(
        "--threads", type=click.IntRange(min=1), default=None, help="Threads to use.  [default: every core]"
    )(function)


MIXTURE_OPTIONS = (
    click.option(
        "--split",
        type=click.Choice(["train", "validation", "test"]),
        default="test",
        show_default=True,
        help="Recordings to draw from.",
    ),
    click.option(
        "--seconds", type=FiniteFloat(min=0, min_open=True), default=4.0, show_default=True, help="Length of a mixture."
    ),
    click.option(
        "--gain-db",
        type=FiniteFloat(min=0),
        default=2.5,
        show_default=True,
        help="Level of the other speakers against the first: uniform within plus or minus this.",
    ),
    click.option(
        "--noise",
        metavar="KIND",
        multiple=True,
        default=("none",),
        show_default=True,
        help="none, white, pink, speech, babble or a folder; of several, one is drawn for each mixture.",
    ),
    click.option(
        "--snr-db",
        type=(FiniteFloat(), FiniteFloat()),
        default=(5.0, 15.0),
        show_default=True,
        help="All speakers together against the noise.",
    ),
    click.option("--resample", is_flag=True, help="Bring recordings of other sample rates to that of the mixtures."),
)


def mixture_options(function: F) -> F:
    """How mixtures are drawn: ``--split --seconds --gain-db --noise --snr-db --resample``, by those names."""
    for option in reversed(MIXTURE_OPTIONS):
        function = option(function)
    return function


CHOICE_OPTIONS = (
    click.option(
        "--condition",
        type=click.Choice(["mix_clean", "mix_both", "mix_single"]),
        help="Of mixtures ready made: the sources alone, with noise, or the first source with noise.",
    ),
    click.option(
        "--subset",
        metavar="WORD,..",
        multiple=True,
        help="Of mixtures ready made: folders that tell which to take, such as 8k,min,train-100 or reverb.",
    ),
    click.option(
        "--root",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Folder that holds the files of a list whose paths are of another machine.",
    ),
)


def choice_options(function: F) -> F:
    """Which mixtures of a corpus to take: ``--condition --subset --root``, by those names; see :func:`choice_of`."""
    for option in reversed(CHOICE_OPTIONS):
        function = option(function)
    return function


def choice_of(condition: str | None, subset: tuple[str, ...], root: Path | None) -> Choice:
    """What the options of :func:`choice_options` say. Raises InputError where ``root`` is no folder."""
    from refbss._checks import InputError
    from refbss.data.audio_io import path_kind
    from refbss.data.corpora.part import Choice

    if root is not None and path_kind(root) != "folder":
        raise InputError(f"--root: {root} is no folder, wanted the one that holds the files of the lists")
    words = tuple(word.strip() for given in subset for word in given.split(",") if word.strip())
    return Choice(condition, words, root)


def set_option(function: F) -> F:
    """``--set section.key=value``, any number of times, passed as ``overrides`` (a tuple of strings)."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Change one key of the configuration, in TOML syntax; may be given several times.",
    )(function)


def emit(result: Mapping[str, Any], lines: str | Iterable[str], *, as_json: bool, err: bool = False) -> None:
    """Print ``result`` as one line of JSON, or ``lines`` as text, to stdout, or to stderr where stdout carries data.

    JSON has no number for them: NaN becomes null, infinities the strings "inf" and "-inf".
    """
    from refbss._files import naming

    with naming(Path("standard error" if err else "standard output")):
        if as_json:
            click.echo(json.dumps(plain(result), allow_nan=False), err=err)
            return
        for line in [lines] if isinstance(lines, str) else lines:
            click.echo(line, err=err)


def plain(value: Any) -> Any:
    """Turn paths, dataclasses, NumPy arrays and scalars into what JSON can hold (see :func:`emit`)."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # a NumPy array or scalar, without importing NumPy
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def reason(error: Exception) -> str:
    """What an error says, on one line: an OSError with its file, a MemoryError with what was too large.

    A file can put anything into the message: what cannot be printed, such as the codes that move a terminal's cursor,
    becomes an escape, and of a long text the middle is left out.
    """
    text = str(error)
    if isinstance(error, MemoryError):
        text = f"out of memory: {text}" if text else "out of memory"
    elif isinstance(error, OSError) and error.filename:
        text = f"{error.filename}: {error.strerror}"
    line = " ".join(text.split())
    if len(line) > LONGEST_REASON:
        line = f"{line[: 2 * LONGEST_REASON // 3]} .. {line[-LONGEST_REASON // 3 :]}"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


class Progress:
    """Progress on stderr: a bar that redraws itself on a terminal, else (or with TERM=dumb) a line every few seconds.

    ``with Progress("training", total=500) as progress: progress.update(12, "loss -3.1")``. ``total`` is None where
    the end is not known; ``begun`` had been done before. A line of its own goes through :meth:`say`, which does not
    tear the bar. ``quiet`` shows no progress: of several ranks one speaks.
    """

    def __init__(
        self,
        label: str,
        total: float | None = None,
        *,
        begun: float = 0.0,
        stream: TextIO | None = None,
        quiet: bool = False,
    ) -> None:
        self.label = label
        self.total = total
        self._begun = begun
        self._quiet = quiet
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._start = time.monotonic()
        self._last = -math.inf
        self._done = 0.0
        self._note = ""
        self._pending = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pending:
            self._show()
        if self._terminal and self._last > -math.inf:
            self._stream.write("\n")
            self._stream.flush()

    def update(self, done: float, note: str = "") -> None:
        """Say that ``done`` of ``total`` is done. Call it as often as you like; it writes only when it is time."""
        if self._quiet:
            return
        self._done, self._note, self._pending = done, note, True
        if time.monotonic() - self._last >= (DRAW_EVERY_S if self._terminal else LINE_EVERY_S):
            self._show()

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._terminal else f"{text}\n")
        self._stream.flush()
        if self._terminal and self._last > -math.inf:
            self._show()

    def _show(self) -> None:
        self._last, self._pending = time.monotonic(), False
        if self._terminal:
            self._stream.write("\r" + self._text(bar=True)[: shutil.get_terminal_size().columns - 1] + "\x1b[K")
        else:
            self._stream.write(self._text(bar=False) + "\n")
        self._stream.flush()

    def _text(self, *, bar: bool) -> str:
        elapsed = time.monotonic() - self._start
        parts = [self.label]
        if self.total:
            share = min(max(self._done / self.total, 0.0), 1.0)
            if bar:
                parts.append("[" + "#" * int(20 * share) + "." * (20 - int(20 * share)) + "]")
            parts += [f"{self._done:g}/{self.total:g}", clock(elapsed)]
            if self._begun < self._done < self.total:
                parts.append(f"left {clock(elapsed * (self.total - self._done) / (self._done - self._begun))}")
        else:
            parts += [f"{self._done:g}", clock(elapsed)]
        return " ".join([*parts, self._note]).rstrip()


class Stop:
    """SIGINT and SIGTERM end the waiting for samples, and nothing else: all that is begun is finished.

    A second one, a second later, breaks off whatever is done.
    """

    def __init__(self) -> None:
        self.came = 0
        self._at = 0.0
        self._waits = False

    @property
    def name(self) -> str | None:
        """What came."""
        return signal.Signals(self.came).name if self.came else None

    def code(self) -> int:
        """The exit code, after a word on stderr."""
        if not self.came:
            return 0
        click.echo(f"refbss: {'interrupted' if self.came == signal.SIGINT else 'terminated'}", err=True)
        return 128 + self.came

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Take both signals, which only the main thread may."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def heard(number: int, frame: FrameType | None) -> None:
            if self.came:
                usual = before[number]
                if callable(usual) and time.monotonic() - self._at > AGAIN_S:
                    usual(number, frame)
                return
            self.came, self._at = number, time.monotonic()
            if self._waits:
                raise Stopped

        for number in before:
            signal.signal(number, heard)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def wait(self, read: Callable[[], bytes | None]) -> bytes:
        """What ``read`` returns, nothing when a signal came. None, of a stream that does not block, is tried again."""
        try:
            return self._wait(read)
        except Stopped:  # raised once, by the first signal
            self._waits = False
            return b""

    def _wait(self, read: Callable[[], bytes | None]) -> bytes:
        self._waits = True
        data = None if not self.came else b""
        while data is None:
            data = read()
            if data is None:
                time.sleep(0.0005)
        self._waits = False
        return data


class Stopped(Exception):
    """Leaves the waiting."""


def clock(seconds: float) -> str:
    """Format a duration in seconds as m:ss or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
