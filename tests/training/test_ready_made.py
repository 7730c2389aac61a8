"""Training on mixtures ready made: the same run bit for bit, whoever works on it and however often it is killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.data.layouts import Corpus
from refbss.data.mixing import MixConfig, Mixer
from refbss.data.mixtures import MixtureSet, open_mixtures
from refbss.data.segments import Segments
from refbss.data.sets import write_set
from refbss.training.config import RunConfig
from refbss.training.examples import Examples, describe
from refbss.training.loop import Step, Trainer

Same = Callable[[Trainer, Trainer], None]
Make = Callable[..., Trainer]


@pytest.fixture(scope="module")
def ready(voices: list[Corpus], tmp_path_factory: pytest.TempPathFactory) -> MixtureSet:
    """Mixtures of the training split, some with noise."""
    mixer = Mixer(voices, MixConfig(seconds=0.5, noise="white", noise_probability=0.5), seed=4, split="train")
    return open_mixtures(write_set(mixer, 12, tmp_path_factory.mktemp("ready") / "set"))


@pytest.fixture
def make(small: Callable[..., RunConfig], ready: MixtureSet, tmp_path: Path) -> Make:
    """Make a trainer on them for the run of that name."""

    def trainer(name: str, *, resume: bool = False, **train: Any) -> Trainer:
        return Trainer(small(**train), [ready], tmp_path / name, resume=resume)

    return trainer


def quiet(step: Step, steps: int | None) -> None:
    """Hear of a step and do nothing."""


class Crash(RuntimeError):
    """Stands for the end of the process."""


def crash_after(step: int) -> Callable[[Step, int | None], None]:
    def report(done: Step, _: int | None) -> None:
        if done.step == step:
            raise Crash

    return report


@pytest.mark.parametrize("cut", [1, 5])
def test_killed_and_resumed_is_unbroken(make: Make, same_end: Same, cut: int) -> None:
    whole = make("whole")
    assert whole.run(quiet).reason == "finished"
    with pytest.raises(Crash):
        make("killed").run(crash_after(cut))
    again = make("killed", resume=True)
    again.run(quiet)
    same_end(whole, again)


def test_the_number_of_workers_does_not_matter(make: Make, same_end: Same) -> None:
    one, two = make("one"), make("two", workers=2)
    one.run(quiet)
    two.run(quiet)
    same_end(one, two)


def test_items_do_not_depend_on_their_batch(ready: MixtureSet, small: Callable[..., RunConfig]) -> None:
    examples = Examples([ready], small().mix, seed=5, split="train")
    whole = examples.batch(range(3, 9), epoch_items=5)
    parts = [examples.batch(numbers, epoch_items=5) for numbers in ([3], [4, 5], [6, 7, 8])]
    assert whole.ids == tuple(name for part in parts for name in part.ids)
    assert np.array_equal(whole.mix, np.concatenate([part.mix for part in parts]))
    assert set(whole.clean) <= {True, False} and whole.mix.shape == (6, 2000)


def test_validation_is_held_out(make: Make) -> None:
    run = make("run")
    assert run.held_out is not None
    (trained,), (held_out,) = run.examples._mixers, run.held_out._mixers
    assert isinstance(trained, Segments) and isinstance(held_out, Segments)
    ids = [{mixture.id for mixture in one.found.mixtures} for one in (trained, held_out)]
    assert len(ids[0]) == 11 and len(ids[1]) == 1 and not ids[0] & ids[1]


def test_other_data_do_not_go_on_with_a_run(make: Make, ready: MixtureSet, tmp_path: Path) -> None:
    make("run", steps=1).run(quiet)
    fewer = replace(ready, mixtures=ready.mixtures[1:])
    assert describe(fewer) != describe(ready) == describe(replace(ready, path="elsewhere"))
    config = make("other").config
    with pytest.raises(InputError, match=r"train: --data holds .*'mixtures': 11.*wanted .*'mixtures': 12"):
        Trainer(replace(config, train=replace(config.train, steps=1)), [fewer], tmp_path / "run", resume=True)


MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


@pytest.mark.skipif(MPIEXEC is None or find_spec("mpi4py") is None, reason="there is no MPI")
def test_the_number_of_ranks_does_not_matter(ready: MixtureSet, tmp_path: Path) -> None:
    assert MPIEXEC is not None
    command = [sys.executable, "-m", "refbss_cli.main", "train", "lvbd-tiny", "--data", ready.path, "--steps", "4"]
    for key in ("mix.seconds=0.25", "train.validate_every=2", "train.validation_items=3", "train.workers=1"):
        command += ["--set", key]
    for name, launcher in (("one", []), ("two", [MPIEXEC, "-n", "2"])):
        done = subprocess.run([*launcher, *command, "--out", tmp_path / name], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for name in ("last/model.safetensors", "last/optim.safetensors", "best/model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
