"""A run small enough for tests: lvbd-tiny on two shipped voices, quarter-second mixtures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.config import load_config
from refbss.data.layouts import Corpus, only_speakers, open_corpus
from refbss.training.config import PRESETS, RunConfig
from refbss.training.loop import Trainer

SMALL = {
    "mix": {"seconds": 0.25},
    "train": {
        "steps": 7,
        "batch": 3,
        "shards": 2,
        "workers": 1,
        "warmup_steps": 2,
        "checkpoint_every": 2,
        "validate_every": 3,
        "validation_items": 2,
        "epoch_items": 5,
    },
}


@pytest.fixture(scope="session")
def voices() -> list[Corpus]:
    """Two of the shipped voices."""
    return only_speakers([open_corpus("embedded")], ["bella", "craig"])


@pytest.fixture(scope="session")
def small() -> Callable[..., RunConfig]:
    """The configuration, with keys of [train] changed."""

    def config(**train: Any) -> RunConfig:
        return load_config(RunConfig, PRESETS["lvbd-tiny"], SMALL, {"train": train})

    return config


@pytest.fixture
def trainer(small: Callable[..., RunConfig], voices: list[Corpus], tmp_path: Path) -> Callable[..., Trainer]:
    """Make a trainer for the run of that name."""

    def make(name: str = "run", *, resume: bool = False, minutes: float | None = None, **train: Any) -> Trainer:
        return Trainer(small(**train), voices, tmp_path / name, resume=resume, minutes=minutes)

    return make


@pytest.fixture(scope="session")
def same_end() -> Callable[[Trainer, Trainer], None]:
    """Assert that two runs have the same parameters, moments, files and logs, bit for bit (times excepted)."""

    def lines(run: Path) -> list[dict[str, Any]]:
        return [json.loads(line) | {"seconds": 0} for line in (run / "log.jsonl").read_text().splitlines()]

    def check(one: Trainer, other: Trainer) -> None:
        assert one.step == other.step == one.optimizer.t == other.optimizer.t
        for a, b in (
            (one.params, other.params),
            (one.optimizer.m, other.optimizer.m),
            (one.optimizer.v, other.optimizer.v),
        ):
            assert a.keys() == b.keys()
            assert not [name for name in a if not np.array_equal(a[name], b[name])]
        for name in ("model.safetensors", "optim.safetensors"):
            for folder in ("last", "best"):
                paths = [run.out / folder / name for run in (one, other)]
                assert paths[0].read_bytes() == paths[1].read_bytes(), paths
        assert lines(one.out) == lines(other.out)

    return check
