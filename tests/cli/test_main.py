"""The command line as a whole: help, versions, exit codes, and one line for every error."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from refbss import InputError, __version__
from refbss_cli.main import COMMANDS, Entry, main

Install = Callable[[Callable[[], object]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a command named ``probe`` that runs a function into the table."""

    def put(function: Callable[[], object]) -> None:
        module = types.ModuleType("refbss_probe")
        module.probe = click.command("probe", help="Probe.")(lambda: function())  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "refbss_probe", module)
        monkeypatch.setitem(COMMANDS, "probe", Entry("refbss_probe:probe", "Probe."))

    return put


def raising(error: BaseException) -> Callable[[], object]:
    def function() -> object:
        raise error

    return function


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"  {name} " in out and entry.help in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"refbss {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "refbss: error: no command 'trian', did you mean train?"),
        (["zzzz"], f"refbss: error: no command 'zzzz', wanted one of {', '.join(COMMANDS)}"),
        (["--nonsense"], "refbss: error: No such option"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Usage: refbss ")
    assert printed.err.splitlines()[-1].startswith(message)


def test_without_a_command_there_is_help_and_an_error_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) in (0, 2)  # click 8.1 and later ones differ
    printed = capsys.readouterr()
    assert "separate" in printed.out + printed.err


def test_input_errors_are_one_line(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(raising(InputError("a.wav: 16000 Hz,\nwanted 8000 Hz")))
    assert main(["probe"]) == 2
    assert capsys.readouterr() == ("", "refbss: error: a.wav: 16000 Hz, wanted 8000 Hz\n")


def test_debug_shows_where(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(raising(InputError("wrong")))
    assert main(["--debug", "probe"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown and shown.endswith("refbss: error: wrong\n")
    monkeypatch.setenv("REFBSS_DEBUG", "1")
    assert main(["probe"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_system_errors_name_the_file(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(raising(OSError(28, "No space left on device", "out/a.wav")))
    assert main(["probe"]) == 1
    assert capsys.readouterr().err == "refbss: error: out/a.wav: No space left on device\n"


def test_an_interrupt_is_130(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(raising(KeyboardInterrupt()))
    assert main(["probe"]) == 130
    assert capsys.readouterr().err.strip() == "refbss: interrupted"


def test_bugs_are_not_hidden(install: Install) -> None:
    install(raising(ValueError("a bug, not the user's input")))
    with pytest.raises(ValueError, match="a bug"):
        main(["probe"])


def test_the_code_of_a_command_is_the_exit_code(install: Install) -> None:
    install(lambda: 1)
    assert main(["probe"]) == 1
    install(lambda: click.get_current_context().exit(3))
    assert main(["probe"]) == 3


def test_a_closed_pipe_is_quiet() -> None:
    code = (
        "import os, sys; from refbss_cli.main import main\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "sys.exit(main(['--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_folder_is_not_a_package_of_its_own() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", "import cli"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: this folder is installed as refbss_cli")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Unable to allocate 7 TiB\nfor an array", "out of memory: Unable to allocate 7 TiB for an array"),
        ("", "out of memory"),
    ],
)
def test_too_little_memory_is_one_line(
    install: Install, capsys: pytest.CaptureFixture[str], message: str, shown: str
) -> None:
    install(raising(MemoryError(message)))
    assert main(["probe"]) == 1
    assert capsys.readouterr() == ("", f"refbss: error: {shown}\n")


def test_sigterm_unwinds_and_is_143(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    unwound = []

    def probe() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # a second one does not break off the cleaning up
            time.sleep(0.01)
            unwound.append(True)

    def own(_: int, __: object) -> None:
        raise AssertionError("the handler of before is restored, not called")

    before = signal.signal(signal.SIGTERM, own)
    try:
        install(probe)
        assert main(["probe"]) == 143 and unwound
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "refbss: terminated\n"


@pytest.mark.parametrize(
    ("arguments", "closed", "code"),
    [
        ("--version", ">&-", 0),
        ("info lvbd-tiny", "<&- >&- 2>&-", 0),
        ("info none", "2>&-", 2),
        ("data scan embedded", ">&- 2>&-", 0),
    ],
)
def test_closed_streams_change_nothing(arguments: str, closed: str, code: int) -> None:
    command = f"{shlex.quote(sys.executable)} -m refbss_cli.main {arguments} {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
