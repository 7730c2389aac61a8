"""The training loop: what is stopped and resumed is what ran through, and nothing bad is ever saved."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.engine import engine
from refbss.training import loop
from refbss.training.loop import Step, Trainer, Validation
from refbss.training.together import TrainingError

Make = Callable[..., Trainer]
Same = Callable[[Trainer, Trainer], None]


class Crash(RuntimeError):
    """Stands for the end of the process."""


def quiet(step: Step, steps: int | None) -> None:
    """Hear of a step and do nothing."""


def crash_after(step: int) -> Callable[[Step, int | None], None]:
    def report(done: Step, _: int | None) -> None:
        if done.step == step:
            raise Crash

    return report


def read_state(run: Path, name: str = "last") -> dict[str, Any]:
    state: dict[str, Any] = json.loads((run / name / "state.json").read_text())
    return state


def stop_after(trainer: Trainer, step: int) -> Callable[[], bool]:
    return lambda: trainer.step >= step


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_stopped_and_resumed_is_unbroken(trainer: Make, same_end: Same, cut: int) -> None:
    whole = trainer("whole")
    assert whole.run(quiet).reason == "finished"
    first = trainer("cut")
    summary = first.run(quiet, stop_after(first, cut))
    assert (summary.reason, summary.step, summary.steps) == ("stopped", cut, 7)
    assert read_state(first.out)["step"] == cut
    second = trainer("cut", resume=True)
    assert second.step == cut
    assert second.run(quiet).reason == "finished"
    same_end(whole, second)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_killed_and_resumed_is_unbroken(trainer: Make, same_end: Same, cut: int) -> None:
    """Without a farewell: the steps since the last checkpoint are lost, made again, and come out the same."""
    whole = trainer("whole")
    whole.run(quiet)
    killed = trainer("killed")
    with pytest.raises(Crash):
        killed.run(crash_after(cut))
    again = trainer("killed", resume=True)
    assert again.step == cut // 2 * 2
    again.run(quiet)
    same_end(whole, again)


def test_the_number_of_workers_does_not_matter(trainer: Make, same_end: Same) -> None:
    one, two = trainer("one"), trainer("two", workers=2)
    one.run(quiet)
    two.run(quiet)
    same_end(one, two)
    resumed = trainer("one", resume=True, workers=2, checkpoint_every=5)
    assert resumed.run(quiet).reason == "finished"


def test_the_seed_matters(trainer: Make) -> None:
    one, other = trainer("one", steps=1), trainer("other", steps=1, seed=1)
    one.run(quiet)
    other.run(quiet)
    assert not np.array_equal(one.params["separator.fc.weight"], other.params["separator.fc.weight"])


def test_a_run_is_not_overwritten_and_not_changed(trainer: Make) -> None:
    run = trainer(steps=1)
    run.run(quiet)
    with pytest.raises(InputError, match=r"run holds a run, wanted another folder, or --resume"):
        trainer(steps=1)
    with pytest.raises(InputError, match=r"train: train\.batch is 4, wanted 3 as in .*last"):
        trainer(steps=1, batch=4, resume=True)
    assert trainer("fresh", resume=True, steps=1).step == 0


def test_torn_folders_are_ignored(trainer: Make, same_end: Same) -> None:
    whole = trainer("whole")
    whole.run(quiet)
    run = trainer("torn")
    run.run(quiet, stop_after(run, 2))
    for name in (".last.new", ".best.new"):
        (run.out / name).mkdir()
        (run.out / name / "model.safetensors").write_bytes(b"half a fi")
    (run.out / "last").rename(run.out / ".last.old")
    again = trainer("torn", resume=True)
    assert again.step == 2
    again.run(quiet)
    same_end(whole, again)
    assert sorted(path.name for path in again.out.iterdir()) == ["best", "config.toml", "last", "log.jsonl"]


def test_a_torn_line_of_the_log_is_dropped(trainer: Make, same_end: Same) -> None:
    whole = trainer("whole")
    whole.run(quiet)
    run = trainer("torn")
    run.run(quiet, stop_after(run, 3))
    log = run.out / "log.jsonl"
    text = log.read_text()
    for torn in ('{"step": 4, "loss": 1.', '{"step": 4, "loss": 1.5, "terms": {"loss": 1.5}'):
        log.write_text(text + torn)
        again = trainer("torn", resume=True)
        again.run(quiet, lambda: True)
        assert log.read_text() == text
    again = trainer("torn", resume=True)
    again.run(quiet)
    same_end(whole, again)


def test_best_is_the_best_validation(trainer: Make) -> None:
    run = trainer(steps=6, validate_every=1, checkpoint_every=100)
    scores = iter([-3.0, -1.0, -2.0, 0.5, 0.25, 0.0])
    run.validate = lambda pool: Validation(next(scores), None)  # type: ignore[method-assign]
    summary = run.run(quiet)
    assert summary.best_db == 0.5
    state = read_state(run.out, "best")
    assert (state["step"], state["best"]) == (4, 0.5)
    assert (read_state(run.out)["step"], read_state(run.out)["best"]) == (6, 0.5)
    log = [json.loads(line) for line in (run.out / "log.jsonl").read_text().splitlines()]
    assert [line["validation_db"] for line in log] == [-3.0, -1.0, -2.0, 0.5, 0.25, 0.0]
    assert [line["step"] for line in log] == [1, 2, 3, 4, 5, 6]


def test_without_validation_the_end_is_the_best(trainer: Make) -> None:
    run = trainer(steps=2, validate_every=0)
    assert run.run(quiet).best_db is None
    assert read_state(run.out, "best")["step"] == 2


def test_validation_is_fixed_and_held_out(trainer: Make) -> None:
    run = trainer()
    assert run.held_out is not None

    def serial(work: Callable[[Any], Any], many: Any) -> list[Any]:
        return [work(one) for one in many]

    assert run.validate(serial) == run.validate(serial)
    trained = {r.id for mixer in run.examples._mixers for rs in mixer.pool.recordings.values() for r in rs}
    held_out = {r.id for mixer in run.held_out._mixers for rs in mixer.pool.recordings.values() for r in rs}
    assert trained and held_out and not trained & held_out


def test_the_loss_falls(trainer: Make) -> None:
    run = trainer(steps=60, validate_every=0, checkpoint_every=60, warmup_steps=10)
    losses: list[float] = []
    run.run(lambda step, _: losses.append(step.loss))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 10.0


def plant(monkeypatch: pytest.MonkeyPatch, name: str, call: int, plant_in: Callable[[Any], Any]) -> None:
    """Let the operator ``name`` of the fast engine return a changed result in its call number ``call``."""
    ops = engine("fast")
    original, calls = getattr(ops, name), iter(range(1000))
    monkeypatch.setattr(
        ops, name, lambda *a, **k: (plant_in if next(calls) == call else lambda r: r)(original(*a, **k))
    )


def nan_like(value: Any) -> Any:
    return np.full_like(value, np.nan)


NOT_FINITE = {
    "loss": (
        "mixture_consistency_forward",
        lambda r: (nan_like(r[0]), r[1]),
        r"the loss of items s0e0i000004, s0e1i000000 ",
    ),
    "cost": (
        "si_sdr_forward",
        lambda r: (nan_like(r[0]), r[1]),
        r"the loss of items s0e0i000004, s0e1i000000 is .*\(pit: ",
    ),
    "gradient": (
        "mixture_consistency_backward",
        lambda r: r._replace(dest=nan_like(r.dest)),
        r"the gradient of items s0e0i000003, s0e0i000004, s0e1i000000 ",
    ),
}


@pytest.mark.parametrize("where", NOT_FINITE)
def test_a_value_that_is_not_finite_stops(
    trainer: Make, monkeypatch: pytest.MonkeyPatch, same_end: Same, where: str
) -> None:
    """In the second shard of step 2: items 3 and 4 of epoch 0 and item 0 of epoch 1, in shards of one and two."""
    whole = trainer("whole")
    whole.run(quiet)
    run = trainer("run", checkpoint_every=1)
    run.run(quiet, stop_after(run, 1))
    before = {path: path.read_bytes() for path in (run.out / "last").iterdir()}
    name, plant_in, message = NOT_FINITE[where]
    with monkeypatch.context() as patch:
        run = trainer("run", resume=True, checkpoint_every=1)
        plant(patch, name, 1, plant_in)
        with pytest.raises(TrainingError, match=r"^step 2: .*is not finite.*; kept: .*last, step 1$") as caught:
            run.run(quiet)
    assert re.search(message, str(caught.value))
    assert {path: path.read_bytes() for path in (run.out / "last").iterdir()} == before
    again = trainer("run", resume=True)
    again.run(quiet)
    same_end(whole, again)


def test_parameters_that_are_not_finite_stop(trainer: Make) -> None:
    run = trainer(learning_rate=1e39, warmup_steps=0, checkpoint_every=1, validate_every=0)
    with (
        pytest.raises(TrainingError, match=r"^step 1: the parameter .* is not finite; kept: nothing"),
        np.errstate(all="ignore"),
    ):
        run.run(quiet)
    assert not (run.out / "last").exists()


def test_a_model_that_diverged_stops(trainer: Make) -> None:
    run = trainer(learning_rate=1e30, warmup_steps=0, checkpoint_every=1, validate_every=1)
    with pytest.raises(
        TrainingError, match=r"^step 1: the estimate of validation item .* is not finite; kept: nothing"
    ):
        run.run(quiet)


def test_minutes_become_steps(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first steps are timed; then the number of steps is fixed, saved, and kept when the run goes on."""
    monkeypatch.setattr(loop, "UNTIMED_STEPS", 1)
    monkeypatch.setattr(loop, "TIMED_STEPS", 2)
    run = trainer(minutes=0.002, validate_every=0, checkpoint_every=1)
    heard: list[int | None] = []
    run.run(lambda step, total: heard.append(total), lambda: run.step >= 4)
    assert heard[:2] == [None, None] and heard[2] is not None and heard[2] > 3
    assert len(set(heard[2:])) == 1
    again = trainer(resume=True, minutes=0.002, validate_every=0, checkpoint_every=1)
    assert again.steps == heard[2] == read_state(run.out)["steps"]


def test_the_length_is_saved_as_soon_as_it_is_known(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a run that is killed before its next checkpoint would go on to another length."""
    monkeypatch.setattr(loop, "UNTIMED_STEPS", 1)
    monkeypatch.setattr(loop, "TIMED_STEPS", 2)
    run = trainer(minutes=0.002, validate_every=0, checkpoint_every=1000)

    def killed(step: Step, total: int | None) -> None:
        if step.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(killed)
    assert run.steps is not None and read_state(run.out)["steps"] == run.steps and read_state(run.out)["step"] == 3


def test_the_folder_of_a_run(trainer: Make) -> None:
    run = trainer(steps=2)
    run.run(quiet)
    assert "seconds = 0.25" in (run.out / "config.toml").read_text()
    state = read_state(run.out)
    assert state["format"] == "refbss-checkpoint/1" and state["sample_rate_hz"] == 8000
    assert state["rng"] == {"generator": "Philox", "seed": 0, "next_item": 6}
    line = json.loads((run.out / "log.jsonl").read_text().splitlines()[0])
    assert set(line) == {"step", "loss", "terms", "grad_norm", "learning_rate", "seconds", "validation_db", "memory"}
    assert line["terms"]["loss"] == pytest.approx(line["loss"])
