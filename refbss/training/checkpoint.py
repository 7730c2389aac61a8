"""Checkpoints: a folder with model.safetensors, optim.safetensors and state.json, replaced whole or not at all.

A new checkpoint is written under a temporary name, flushed to the disk, and renamed. A folder cannot be replaced in one
step, so for an instant the old one stands under another name; whoever reads finds it there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.numpy import save_file

from refbss._checks import InputError, check_integer, check_number
from refbss._files import contents, naming, parse_json
from refbss._version import __version__
from refbss.config import load_config, to_dict
from refbss.models.lvbd_params import init_params, parameter_count
from refbss.models.params import Params, check_params, parse_tensors
from refbss.training.config import RunConfig
from refbss.training.optimizers import AdamState

FORMAT = "refbss-checkpoint/1"
MOST_STEPS = 2**53
"""Steps of a run; beyond it they could not be told apart as floats."""
BUNDLED = Path(__file__).resolve().parents[1] / "models" / "bundled" / "lvbd-small"


class Checkpoint(NamedTuple):
    """A model, what is known of its training, and, unless the checkpoint is for use only, its optimiser."""

    config: RunConfig
    params: Params
    optimizer: AdamState | None
    state: dict[str, Any]


def _temporary(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.new"


def _previous(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.old"


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_checkpoint(
    folder: Path, config: RunConfig, params: Params, optimizer: AdamState | None, state: dict[str, Any]
) -> None:
    """Write the checkpoint at ``folder``; at every instant a whole one, old or new, is on the disk.

    ``state`` holds step, best and whatever else the run needs; config, sample rate and versions are added. Raises
    OSError, which names the folder, where it cannot be written; what was there stays.
    """
    new, old = _temporary(folder), _previous(folder)
    shutil.rmtree(new, ignore_errors=True)
    try:
        with naming(folder):
            _write(new, config, params, optimizer, state)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    _flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _write(new: Path, config: RunConfig, params: Params, optimizer: AdamState | None, state: dict[str, Any]) -> None:
    new.mkdir(parents=True)
    try:
        save_file(params, new / "model.safetensors")
        if optimizer is not None:
            moments = {f"m.{k}": v for k, v in optimizer.m.items()} | {f"v.{k}": v for k, v in optimizer.v.items()}
            save_file(moments, new / "optim.safetensors")
    except SafetensorError as error:
        raise OSError(errno.EIO, f"cannot be written ({error})") from None
    record = {
        "format": FORMAT,
        "version": __version__,
        "sample_rate_hz": config.model.sample_rate_hz,
        **state,
        "config": to_dict(config),
    }
    (new / "state.json").write_text(json.dumps(record, indent=1) + "\n")
    for path in new.iterdir():
        path.chmod((new / "state.json").stat().st_mode)  # safetensors keeps its files from everybody else
        _flush(path)


def find_checkpoint(name: str | Path) -> Path:
    """The checkpoint folder that a user means: ``bundled``, a run (its best, else its last), or a checkpoint itself.

    Raises InputError when there is none.
    """
    if str(name) == "bundled":
        return BUNDLED
    run = Path(name)
    for folder in (run, run / "best", run / "last"):
        found = stored_checkpoint(folder)
        if found is not None:
            return found
    raise InputError(f"model: {run} holds no checkpoint, wanted a run with best/ or last/, a checkpoint, or bundled")


def stored_checkpoint(folder: Path) -> Path | None:
    """The checkpoint at ``folder``, or where it stands while it is being replaced; None where there is none."""
    for candidate in (folder, _previous(folder)):
        if (candidate / "state.json").is_file():
            return candidate
    return None


def _tensors(path: Path, least: int) -> Params:
    """The tensors of a file with room for ``least`` values, all of it in memory: a mapped one that is cut short while
    it is read would end the process."""
    wanted = "wanted the file of a checkpoint"
    try:
        content = contents(path)
        if 4 * least > len(content):
            raise ValueError(f"{len(content)} bytes are too few for {least} parameters")
        return parse_tensors(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), {wanted}") from None
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error}), {wanted}") from None


def _state(path: Path) -> dict[str, Any]:
    """The state of a checkpoint. Raises InputError where what is known of the training is not as it is stored."""
    try:
        state = parse_json(contents(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), wanted the state of a checkpoint") from None
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}), wanted the state of a checkpoint") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(
            f"{path}: format is {state.get('format') if isinstance(state, dict) else state!r}, wanted {FORMAT}"
        )
    if not isinstance(state.get("config"), dict):
        raise InputError(f"{path}: config is {state.get('config')!r}, wanted the configuration of a run")
    for name in ("step", "steps"):
        if state.get(name) is not None:
            check_integer(str(path), least=0, **{name: state[name]})
            check_number(str(path), most=MOST_STEPS, **{name: state[name]})
    for name, least in (("seconds", 0.0), ("minutes", 0.0), ("best", None)):
        if state.get(name) is not None:
            check_number(str(path), least=least, **{name: state[name]})
    if not isinstance(state.get("version", ""), str):
        raise InputError(f"{path}: version is {state['version']!r}, wanted that of refbss")
    return state


def load_checkpoint(name: str | Path, *, optimizer: bool = False) -> Checkpoint:
    """Read a checkpoint; with ``optimizer`` its moments too.

    Raises InputError that names the file when one is missing, damaged, or does not fit the configuration. A
    configuration takes no more memory than the files beside it have bytes.
    """
    folder = find_checkpoint(name)
    path = folder / "state.json"
    state = _state(path)
    if optimizer and state.get("step") is None:
        raise InputError(f"{path}: step is None, wanted an integer")
    try:
        config = load_config(RunConfig, state["config"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    size = parameter_count(config.model, config.loss)
    tensors = _tensors(folder / "model.safetensors", size)
    wanted = init_params(config.model, 0, loss_config=config.loss)
    params = check_params(tensors, wanted, str(folder / "model.safetensors"))
    moments = None
    if optimizer:
        path = folder / "optim.safetensors"
        names = [f"{kind}.{name}" for kind in "mv" for name in wanted]
        both = check_params(_tensors(path, 2 * size), {name: wanted[name[2:]] for name in names}, str(path))
        moments = AdamState(
            {k: both[f"m.{k}"] for k in wanted}, {k: both[f"v.{k}"] for k in wanted}, int(state["step"])
        )
    return Checkpoint(config, params, moments, state)
