"""The folder of a run: nothing that is in it is lost, and what is damaged is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from refbss import InputError
from refbss.training.loop import Step, Trainer

Make = Callable[..., Trainer]
Same = Callable[[Trainer, Trainer], None]


def quiet(step: Step, steps: int | None) -> None:
    """Hear of a step and do nothing."""


def test_a_run_without_last_goes_on_from_its_best(trainer: Make, same_end: Same) -> None:
    whole = trainer("whole")
    whole.run(quiet)
    first = trainer("cut")
    first.run(quiet, lambda: first.step == 5)
    shutil.rmtree(first.out / "last")
    with pytest.raises(InputError, match="holds a run, wanted another folder, or --resume"):
        trainer("cut")
    again = trainer("cut", resume=True)
    assert again.step == 3  # the only validation so far
    again.run(quiet)
    same_end(whole, again)


def test_a_run_that_died_before_its_first_checkpoint_is_not_overwritten_unasked(trainer: Make) -> None:
    made = trainer("run")
    (made.out / "log.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(InputError, match="holds a run"):
        trainer("run")
    assert trainer("run", resume=True).step == 0


def test_a_lost_best_is_made_again(trainer: Make) -> None:
    made = trainer("run")
    made.run(quiet)
    shutil.rmtree(made.out / "best")
    again = trainer("run", resume=True)
    assert again.best is None
    again.run(quiet)
    assert (made.out / "best" / "state.json").is_file()


def test_one_training_a_folder(trainer: Make, same_end: Same) -> None:
    """A second one is refused, whenever it was made, and the first one's log and files are not touched."""
    whole = trainer("whole")
    whole.run(quiet)
    first, early = trainer("run"), trainer("run")

    def report(step: Step, steps: int | None) -> None:
        for second in (early, trainer("run", resume=True)):
            with pytest.raises(InputError, match="another training works in"):
                second.run(quiet)

    first.run(report)
    assert early.step == 0
    same_end(whole, first)


@pytest.mark.parametrize("line", [b"no json\n", b"[1]\n", b"{}\n", b"\xff\xfe\n"])
def test_a_damaged_log_is_named(trainer: Make, line: bytes) -> None:
    made = trainer("run")
    made.run(quiet)
    log = made.out / "log.jsonl"
    log.write_bytes(line + log.read_bytes())
    with pytest.raises(InputError, match=r"log\.jsonl: line 1 is no line of a log"):
        trainer("run", resume=True).run(quiet)
    assert log.read_bytes().startswith(line)


@pytest.mark.parametrize("key", ["step", "steps", "minutes", "seconds", "best", "config"])
def test_a_damaged_state_is_named(trainer: Make, key: str) -> None:
    made = trainer("run")
    made.run(quiet)
    path = made.out / "last" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: ["odd"]}))
    with pytest.raises(InputError, match=rf"state\.json: {key} is \['odd'\]"):
        trainer("run", resume=True)


def test_other_recordings_are_refused(trainer: Make) -> None:
    made = trainer("run")
    made.run(quiet)
    path = made.out / "last" / "state.json"
    state = json.loads(path.read_text())
    state["data"][0]["digest"] = "0" * 16
    path.write_text(json.dumps(state))
    with pytest.raises(InputError, match=r"--data holds .*, wanted .* as in"):
        trainer("run", resume=True)


def test_minutes_of_a_resumed_run_are_those_it_was_begun_with(trainer: Make) -> None:
    trainer("run").run(quiet)
    with pytest.raises(InputError, match=r"--minutes is 5, wanted --steps 7 as the run"):
        trainer("run", resume=True, minutes=5.0)


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_are_a_time(trainer: Make, minutes: float) -> None:
    with pytest.raises(InputError, match=r"minutes is .*, wanted a finite number above 0"):
        trainer("run", minutes=minutes)


def test_a_run_in_a_file_is_refused(trainer: Make) -> None:
    made = trainer("run")
    shutil.rmtree(made.out)
    made.out.write_text("")
    with pytest.raises(InputError, match="is a file, wanted a folder"):
        trainer("run")
