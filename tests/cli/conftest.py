"""What the tests of the commands share: a small model, recordings, and a way to run the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from refbss._types import Array
from refbss.config import load_config
from refbss.data.audio_io import write_audio
from refbss.models.lvbd_params import init_params
from refbss.training.checkpoint import save_checkpoint
from refbss.training.config import PRESETS, RunConfig
from refbss_cli.main import main

RATE_HZ = 8000


class Ran(NamedTuple):
    """Exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``refbss`` with these arguments in this process."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an untrained lvbd-tiny as its best checkpoint. Its last layer is turned up: estimates can pass 1."""
    config = load_config(RunConfig, PRESETS["lvbd-tiny"])
    params = init_params(config.model, 0)
    params["decoder.conv.2.weight"] *= np.float32(20.0)
    folder = tmp_path_factory.mktemp("model") / "run"
    state = {"step": 3, "steps": 10, "seconds": 61.0, "best": -1.5}
    save_checkpoint(folder / "best", config, params, None, state)
    return folder


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Write a recording of white noise (channels, N) and return its path."""

    def write(
        name: str, seconds: float = 0.5, *, rate_hz: int = RATE_HZ, channels: int = 1, level: float = 0.1
    ) -> Path:
        rng = np.random.default_rng(len(name))
        x: Array = level * rng.standard_normal((channels, round(seconds * rate_hz)), dtype=np.float32)
        write_audio(tmp_path / name, x, rate_hz)
        return tmp_path / name

    return write
