"""Checkpoints: what is read is what was written, and every kind of damage is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from refbss import InputError
from refbss.models.lvbd_params import init_params
from refbss.training import checkpoint
from refbss.training.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint, stored_checkpoint
from refbss.training.config import RunConfig
from refbss.training.optimizers import adam_init, adam_step


@pytest.fixture
def saved(small: Callable[..., RunConfig], tmp_path: Path) -> Path:
    """A checkpoint after one step with random gradients."""
    config = small()
    params = init_params(config.model, 3, loss_config=config.loss)
    rng = np.random.default_rng(0)
    grads = {name: rng.standard_normal(value.shape).astype(value.dtype) for name, value in params.items()}
    params, state = adam_step(params, grads, adam_init(params), learning_rate=0.1, beta1=0.9, beta2=0.99, eps=1e-8)
    save_checkpoint(tmp_path / "run" / "last", config, params, state, {"step": 1, "best": None})
    return tmp_path / "run" / "last"


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


def test_what_is_written_is_read(saved: Path, small: Callable[..., RunConfig]) -> None:
    found = load_checkpoint(saved, optimizer=True)
    assert found.config == small()
    assert found.optimizer is not None and found.optimizer.t == 1
    copy = saved.parent / "copy"
    save_checkpoint(copy, found.config, found.params, found.optimizer, {"step": 1, "best": None})
    for path in saved.iterdir():
        assert (copy / path.name).read_bytes() == path.read_bytes()
    assert load_checkpoint(saved).optimizer is None


def test_a_model_is_enough_to_use_it(saved: Path) -> None:
    (saved / "optim.safetensors").unlink()
    assert load_checkpoint(saved).params
    with pytest.raises(InputError, match=r"optim\.safetensors: cannot be read"):
        load_checkpoint(saved, optimizer=True)


def test_a_run_means_its_best(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = saved.parent
    assert find_checkpoint(run) == saved == stored_checkpoint(run / "last") == find_checkpoint(saved)
    config = load_checkpoint(saved).config
    save_checkpoint(run / "best", config, load_checkpoint(saved).params, None, {"step": 1})
    assert find_checkpoint(run) == run / "best"
    monkeypatch.chdir(saved)
    assert load_checkpoint(".").state["step"] == 1
    assert find_checkpoint("bundled") == checkpoint.BUNDLED


def test_between_two_renames_the_old_one_is_found(saved: Path) -> None:
    saved.rename(saved.parent / ".last.old")
    assert stored_checkpoint(saved) == find_checkpoint(saved.parent) == find_checkpoint(saved)
    assert load_checkpoint(saved).state["step"] == 1


def test_a_crash_while_writing_leaves_the_old_one(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    found = load_checkpoint(saved, optimizer=True)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for broken in ("save_file", "_flush"):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, broken, fail)
            with pytest.raises(OSError, match="No space"):
                save_checkpoint(saved, found.config, found.params, found.optimizer, {"step": 2})
        assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    save_checkpoint(saved, found.config, found.params, found.optimizer, {"step": 2})
    assert load_checkpoint(saved).state["step"] == 2
    assert [path.name for path in saved.parent.iterdir()] == ["last"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(b""), r"model\.safetensors: cannot be read as safetensors"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]),
            r"model\.safetensors: cannot be read as safetensors",
        ),
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors: cannot be read"),
        (
            lambda f: change(f / "model.safetensors", lambda t: t.pop("memory.theta")),
            r"model\.safetensors: missing tensors \['memory\.theta'\]",
        ),
        (
            lambda f: change(f / "model.safetensors", lambda t: t["memory.m0"].fill(np.nan)),
            r"model\.safetensors: tensor memory\.m0 holds NaN or infinity",
        ),
        (
            lambda f: change(f / "model.safetensors", lambda t: t.update({"memory.theta": np.zeros(5, np.float32)})),
            r"model\.safetensors: tensor memory\.theta has shape \(5,\), wanted \(2,\)",
        ),
        (lambda f: (f / "state.json").write_text("{"), r"state\.json: cannot be read"),
        (lambda f: (f / "state.json").write_text("[]"), r"state\.json: format is \[\], wanted refbss-checkpoint/1"),
        (lambda f: (f / "state.json").write_text('{"format": "x"}'), r"format is 'x', wanted refbss-checkpoint/1"),
    ],
)
def test_damage_is_named(saved: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(saved)
    with pytest.raises(InputError, match=message):
        load_checkpoint(saved)


def test_a_configuration_from_elsewhere_is_refused(saved: Path) -> None:
    state = json.loads((saved / "state.json").read_text())
    state["config"]["model"]["latnet"] = 3
    (saved / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match=r"unknown key model\.latnet, did you mean model\.latent\?"):
        load_checkpoint(saved)


def test_nothing_there(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="holds no checkpoint, wanted a run with best/ or last/"):
            find_checkpoint(name)
        assert stored_checkpoint(name) is None


FULL = """
import resource, sys
from pathlib import Path
from refbss.training.checkpoint import load_checkpoint, save_checkpoint
found = load_checkpoint(sys.argv[1], optimizer=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    save_checkpoint(Path(sys.argv[1]), found.config, found.params, found.optimizer, {"step": 2, "best": None})
except OSError as error:
    print(error.filename, error.strerror)
"""


@pytest.mark.skipif(os.name == "nt", reason="a file's size is limited by setrlimit")
@pytest.mark.parametrize("limit", [0, 10_000])
def test_where_a_checkpoint_does_not_fit_the_old_one_stays(saved: Path, limit: int) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    command = [sys.executable, "-c", FULL, str(saved), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(saved.parent) in done.stdout and ("cannot be written" in done.stdout or "large" in done.stdout)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["last"]
