"""The command ``refbss``: a table of commands, each loaded only when it is called, and the exit codes.

Exit codes: 0 done, 1 something failed on the way, 2 wrong input or usage, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

import click

from refbss import __version__
from refbss_cli.options import reason

if TYPE_CHECKING:
    from refbss.ranks import Ranks


class Entry(NamedTuple):
    """Where a command lives (``module:attribute``) and the line that ``refbss --help`` prints for it."""

    target: str
    help: str


COMMANDS = {
    "demo": Entry("refbss_cli.demo:demo", "Take two embedded voices apart, train a little, check a gradient."),
    "data": Entry("refbss_cli.data:data", "Scan recordings and mixtures, write evaluation sets, verify them."),
    "train": Entry("refbss_cli.train:train", "Train a model on recordings."),
    "separate": Entry("refbss_cli.separate:separate", "Separate recordings into one file for each source."),
    "stream": Entry("refbss_cli.stream:stream", "Separate a signal as it comes, from a pipe to a pipe."),
    "evaluate": Entry("refbss_cli.evaluate:evaluate", "Score a model on mixtures: SI-SDR and its improvement."),
    "score": Entry("refbss_cli.score:score", "Score estimates that any system has written."),
    "report": Entry("refbss_cli.report:report", "Write a page on a training run, or on two side by side."),
    "check": Entry("refbss_cli.check:check", "Judge an implementation, in any language, by the golden vectors."),
    "info": Entry("refbss_cli.info:info", "Print the size, latency and cost of a model."),
    "bench": Entry("refbss_cli.bench:bench", "Time refbss, alone or against PyTorch and JAX."),
    "doctor": Entry("refbss_cli.doctor:doctor", "Print what the machine has, and what costs speed."),
    "warmup": Entry("refbss_cli.warmup:warmup", "Compile every kernel ahead."),
    "vectors": Entry("refbss_cli.vectors:vectors", "List, show and export the golden vectors."),
    "convert": Entry("refbss_cli.convert:convert", "Convert GRU and LSTM weights between torch, keras and onnx."),
    "explain": Entry(
        "refbss_cli.explain:explain", "Show where an equation is in docs, code, tests and golden vectors."
    ),
    "trace": Entry("refbss_cli.trace:trace", "Print every intermediate of a tiny example, forward and backward."),
}


@dataclass
class Session:
    """What the options before the command set; click hands it on as ``ctx.obj``."""

    debug: bool = False


class Terminated(BaseException):
    """SIGTERM came. As an exception it lets every ``with`` block on the way out remove what is half written."""


class LazyGroup(click.Group):
    """A group whose help needs the table alone, so that ``refbss --help`` imports neither NumPy nor Numba."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].target.split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f", did you mean {near[0]}?" if near else f", wanted one of {', '.join(COMMANDS)}"
            ctx.fail(f"no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="refbss", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar="REFBSS_DEBUG", help="Show the traceback of an error.")
@click.pass_obj
def refbss(session: Session | None, debug: bool) -> None:
    """Neural source separation in plain NumPy and Numba: train, separate, score."""
    if session is not None:
        session.debug = debug


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. ``argv`` is without the program's name."""
    session = Session()
    _replace_closed_streams()
    try:
        with _terminable():
            code = refbss.main(args=argv, prog_name="refbss", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.Abort:  # click turns KeyboardInterrupt into this
        click.echo("refbss: interrupted", err=True)
        _end_other_ranks(130)
        return 130
    except Terminated:
        click.echo("refbss: terminated", err=True)
        _end_other_ranks(143)
        return 143
    except click.ClickException as error:
        _show_usage(error)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at exit
        _end_other_ranks(1)
        return 1
    except (OSError, MemoryError) as error:
        return _fail(session, error, 1)
    except ValueError as error:
        if not _is_input_error(error):
            _end_other_ranks(1, unforeseen=True)
            raise
        return _fail(session, error, 2)
    except Exception:
        _end_other_ranks(1, unforeseen=True)
        raise


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise Terminated on SIGTERM. Only the main thread may set a handler; ``train`` sets its own on top."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised = float("-inf")

    def terminate(_: int, __: FrameType | None) -> None:
        nonlocal raised
        if time.monotonic() - raised > 1.0:  # timeout(1) sends two: the second one must not break off the cleaning up
            raised = time.monotonic()
            raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _replace_closed_streams() -> None:
    """Put the null device where a standard stream was closed by the shell (``>&-``): Python has None there.

    What the terminal's encoding cannot hold, such as a file name of another encoding, is printed as an escape.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # a stream that another program swapped under us
                stream.reconfigure(errors="backslashreplace")


def _show_usage(error: click.ClickException) -> None:
    message = error.format_message()
    if message.startswith("Usage:"):  # a group called without a command: the message is its help
        click.echo(message, err=True)
        return
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
    click.echo(f"refbss: error: {message}", err=True)


def _fail(session: Session, error: Exception, code: int) -> int:
    if session.debug:
        traceback.print_exc()
    ranks = _ranks()
    where = ""
    if ranks is not None and not ranks.first:
        time.sleep(SAME_ERROR_S)
        where = f"rank {ranks.rank}: "
    click.echo(f"refbss: error: {where}{reason(error)}", err=True)
    _end_other_ranks(code)
    return code


SAME_ERROR_S = 1.0
"""What is wrong for every rank the first one says and ends the job; the others give it this long."""


def _ranks() -> Ranks | None:
    """The ranks of this job, where a command asked for them."""
    module = sys.modules.get("refbss.ranks")
    if module is None or not module.world.cache_info().currsize:
        return None
    ranks: Ranks = module.world()
    return ranks


def _end_other_ranks(code: int, *, unforeseen: bool = False) -> None:
    """What failed on one rank must not leave the others waiting for it. This process ends too where there are any."""
    ranks = _ranks()
    if ranks is not None and ranks.size > 1:
        if unforeseen:
            traceback.print_exc()
        sys.stderr.flush()
        ranks.abort(code)


def _is_input_error(error: ValueError) -> bool:
    # refbss._checks imports NumPy; when nothing has imported it yet, nothing can have raised InputError.
    checks = sys.modules.get("refbss._checks")
    return checks is not None and isinstance(error, checks.InputError)


if __name__ == "__main__":
    sys.exit(main())
