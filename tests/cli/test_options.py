"""What commands share: options, results as text or JSON, progress on and off a terminal."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from refbss_cli import options
from refbss_cli.options import Progress, clock, emit, plain


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(options, "time", moved)
    return moved


@dataclass
class Row:
    name: str
    value: float


def test_json_is_one_strict_line(capsys: pytest.CaptureFixture[str]) -> None:
    result = {
        "n": np.int64(3),
        "db": np.array([1.5, np.inf, np.nan], dtype=np.float32),
        "low": -math.inf,
        "path": Path("a") / "b",
        "row": Row("x", 0.5),
        "rows": (1, None, True),
    }
    emit(result, "text", as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {
        "n": 3,
        "db": [1.5, "inf", None],
        "low": "-inf",
        "path": "a/b",
        "row": {"name": "x", "value": 0.5},
        "rows": [1, None, True],
    }


def test_text_goes_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    emit({}, "one", as_json=False)
    emit({}, (f"line {i}" for i in range(2)), as_json=False)
    assert capsys.readouterr().out == "one\nline 0\nline 1\n"


def test_plain_leaves_simple_values_alone() -> None:
    assert plain({"a": [1, 2.5, "x", False, None]}) == {"a": [1, 2.5, "x", False, None]}


def test_the_shared_options() -> None:
    @click.command()
    @options.json_option
    @options.seed_option
    @options.engine_option
    @options.threads_option
    @options.set_option
    def probe(**given: object) -> None:
        click.echo(sorted(given.items()))

    run = CliRunner().invoke
    assert run(probe).output == (
        "[('as_json', False), ('engine', 'fast'), ('overrides', ()), ('seed', 0), ('threads', None)]\n"
    )
    arguments = "--json --seed 3 --engine reference --threads 2 --set a.b=1 --set c.d=2".split()
    assert run(probe, arguments).output == (
        "[('as_json', True), ('engine', 'reference'), ('overrides', ('a.b=1', 'c.d=2')), ('seed', 3), ('threads', 2)]\n"
    )
    for wrong in (["--seed", "-1"], ["--threads", "0"], ["--engine", "slow"]):
        assert run(probe, wrong).exit_code == 2


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "0", "x"])
def test_numbers_are_finite_and_within_bounds(value: str) -> None:
    @click.command()
    @click.option("--seconds", type=options.FiniteFloat(min=0, min_open=True), help="Length.")
    @click.option("--range", "bounds", type=(options.FiniteFloat(), options.FiniteFloat()), help="Bounds.")
    def probe(seconds: float, bounds: tuple[float, float]) -> None:
        click.echo((seconds, bounds))

    run = CliRunner().invoke
    assert run(probe, ["--seconds", "1.5", "--range", "-1", "0"]).output == "(1.5, (-1.0, 0.0))\n"
    assert run(probe, ["--seconds", value]).exit_code == 2
    assert run(probe, ["--range", "0", value]).exit_code == (0 if value in ("-1", "0") else 2)
    assert run(probe, ["--help"]).exit_code == 0


def test_off_a_terminal_lines_are_rare(hand: Clock) -> None:
    stream = io.StringIO()
    with Progress("training", total=100, stream=stream) as progress:
        for step in range(1, 101):
            progress.update(step, f"loss -{step}")
            hand.now += 0.5
        progress.say("saved")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training 1/100 0:00 left 0:00 loss -1"
    assert lines[1] == "training 11/100 0:05 left 0:40 loss -11"
    assert lines[-2:] == ["saved", "training 100/100 0:50 loss -100"]
    assert len(lines) == 12
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_what_was_done_before_took_no_time(hand: Clock) -> None:
    stream = io.StringIO()
    with Progress("training", total=100, begun=80, stream=stream) as progress:
        hand.now += 5.0
        progress.update(90)
    assert stream.getvalue() == "training 90/100 0:05 left 0:05\n"


def test_on_a_terminal_one_line_is_redrawn(hand: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    stream = Screen()
    with Progress("separating", total=4.0, stream=stream) as progress:
        for done in (1, 2, 3, 4):
            progress.update(done, "x" * 100)
            hand.now += 10.0
        progress.say("a.wav")
    text = stream.getvalue()
    assert "separating [#####...............] 1/4 0:00" in text
    assert text.endswith("\n") and text.count("\n") == 2
    assert "\r\x1b[Ka.wav\n" in text
    assert all(len(part.replace("\x1b[K", "")) <= 60 for part in text.replace("\n", "\r").split("\r"))


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Screen()
    with Progress("separating", total=1, stream=stream) as progress:
        progress.say("a.wav")
        progress.update(1)
    assert stream.getvalue() == "a.wav\nseparating 1/1 0:00\n"


def test_an_unknown_end_has_no_bar(hand: Clock) -> None:
    stream = io.StringIO()
    with Progress("reading", stream=stream) as progress:
        progress.update(3)
    assert stream.getvalue() == "reading 3 0:00\n"


def test_nothing_done_writes_nothing() -> None:
    for stream in (io.StringIO(), Screen()):
        with Progress("idle", total=3, stream=stream):
            pass
        assert stream.getvalue() == ""


def test_clock() -> None:
    assert [clock(s) for s in (0, 59.6, 61, 3599.4, 3661)] == ["0:00", "1:00", "1:01", "59:59", "1:01:01"]
