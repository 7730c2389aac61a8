"""Reading a run: damaged, resumed, unfinished and old ones too, and what is said of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.reports.run_log import read_run

Write = Callable[..., Path]


def line(step: int, **more: Any) -> str:
    terms = {"reconstruction": -1.0 * step, "mixture": 0.5, "loss": -step}
    found = {"step": step, "loss": -step, "terms": terms, "grad_norm": 2.0, "learning_rate": 1e-3, "seconds": 0.1}
    return json.dumps({**found, "validation_db": None, "memory": None, **more}) + "\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a run of these lines and return its folder."""

    def write_run(*lines: str | bytes, config: str | None = "[train]\nclip_norm = 5.0\nsteps = 9\n") -> Path:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        content = b"".join(one if isinstance(one, bytes) else one.encode() for one in lines)
        (folder / "log.jsonl").write_bytes(content)
        if config is not None:
            (folder / "config.toml").write_text(config)
        return folder

    return write_run


def test_a_whole_log(write: Write) -> None:
    memory = {"activity": 0.5, "m": [1.0, 2.0], "q": [3.0, 4.0], "reading": [5.0, 6.0], "eta": [0.9, 0.1]}
    folder = write(line(1), line(2, validation_db=3.5, memory=memory))
    run = read_run(folder)
    assert run.name == str(folder) and run.steps.tolist() == [1, 2] and run.notes == ()
    assert run.get("loss").tolist() == [-1, -2] and run.get("terms.reconstruction").tolist() == [-1, -2]
    np.testing.assert_equal(run.get("validation_db"), [math.nan, 3.5])
    np.testing.assert_equal(run.get("memory.m.1"), [math.nan, 2.0])
    assert run.members("memory.m") == ["memory.m.0", "memory.m.1"]
    assert run.members("terms") == ["terms.reconstruction", "terms.mixture", "terms.loss"]
    assert np.isnan(run.get("nothing of that name")).all()
    assert run.config == {"train.clip_norm": 5.0, "train.steps": 9} and run.text.startswith("[train]")
    assert run.state == {}


def test_what_the_trainer_writes_is_read(write: Write) -> None:
    """Lines of before the memory bank was logged too."""
    old = json.loads(line(1))
    del old["memory"]
    run = read_run(write(json.dumps(old) + "\n", line(2)))
    assert run.steps.tolist() == [1, 2] and not run.members("memory.m") and run.notes == ()


@pytest.mark.parametrize("torn", ['{"step": 3, "lo', "", '{"step": 3}{"st', b"\xff\xfe{"])
def test_a_torn_last_line(write: Write, torn: str | bytes) -> None:
    run = read_run(write(line(1), line(2), torn))
    assert run.steps.tolist() == [1, 2]
    assert len(run.notes) == bool(torn)
    assert all("The last line of the log, 3, is torn" in note for note in run.notes)


def test_a_last_line_that_is_whole_but_for_its_end(write: Write) -> None:
    assert read_run(write(line(1), line(2).rstrip("\n"))).steps.tolist() == [1, 2]


def test_damaged_lines(write: Write) -> None:
    bad: list[str | bytes] = ["no json\n", "[1]\n", "{}\n", b"\xff\n", '{"step": "2"}\n', '{"step": true}\n', "\n"]
    run = read_run(write(line(1), *bad, line(2)))
    assert run.steps.tolist() == [1, 2]
    assert run.notes == ("7 lines of the log are damaged and left out: 2, 3, 4, 5, 6, ...",)


def test_steps_made_again(write: Write) -> None:
    """A run that was killed at step 4 and went on from step 2, and a later one from step 3."""
    lines = [line(i, loss=10.0 * i) for i in (1, 2, 3, 4)] + [line(i, loss=100.0 * i) for i in (3, 4, 5)]
    run = read_run(write(*lines, line(4, loss=7.0), line(7)))
    assert run.steps.tolist() == [1, 2, 3, 4, 7]
    assert run.get("loss").tolist() == [10.0, 20.0, 300.0, 7.0, -7.0]
    assert run.notes == (
        "4 steps were made again after the run was resumed: the later lines count.",
        "2 steps between the first and the last have no line.",
    )


def test_values_that_are_not_finite_or_no_numbers(write: Write) -> None:
    text = line(1, loss=math.nan, grad_norm=math.inf, seconds="soon", terms=[1], memory={"activity": None, "m": 1})
    run = read_run(write(text, line(2, learning_rate=10**400, validation_db=True)))
    np.testing.assert_equal(run.get("loss"), [math.nan, -2])
    np.testing.assert_equal(run.get("grad_norm"), [math.inf, 2])
    assert math.isnan(run.get("seconds")[0]) and np.isnan(run.get("validation_db")).all()
    assert run.members("memory.m") == ["memory.m.0"] and math.isinf(run.get("learning_rate")[1])
    assert run.notes == ("3 values of the log are not finite: curves have gaps there.",)


def test_a_configuration_that_cannot_be_read(write: Write) -> None:
    for text, why in ((None, "No such file"), ("not = = toml", "Invalid"), ("x = 1\n", "")):
        folder = write(line(1), config=text)
        run = read_run(folder)
        if why:
            assert run.config == {} and "config.toml cannot be read" in run.notes[0] and why in run.notes[0]
        else:
            assert run.config == {} and run.text == text and not run.notes


def test_the_last_checkpoint(write: Write) -> None:
    folder = write(line(1))
    for text, wanted in (("{", {}), ("[]", {}), ('{"step": 1, "steps": 7}', {"step": 1, "steps": 7})):
        (folder / "last").mkdir(exist_ok=True)
        (folder / "last" / "state.json").write_text(text)
        assert read_run(folder).state == wanted


def test_no_run(tmp_path: Path, write: Write) -> None:
    with pytest.raises(InputError, match="none: is no folder, wanted that of a run"):
        read_run(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no log\.jsonl, wanted the folder of a run"):
        read_run(tmp_path)
    for lines in ([], ["nothing\n"], ['{"step": 1, ']):
        with pytest.raises(InputError, match=r"log\.jsonl: holds no step, wanted a line of JSON for each"):
            read_run(write(*lines))
