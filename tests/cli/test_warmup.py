"""refbss warmup: afterwards nothing that the commands use has to be compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refbss.warmup import LOSSES, stages

AFTER = """
import sys
from numba.core import event
from refbss_cli.main import main

compiled = []

class Listener(event.Listener):
    def on_start(self, event):
        compiled.append(event.data["dispatcher"].py_func.__qualname__)
    def on_end(self, event):
        pass

with event.install_listener("numba:compile", Listener()):
    code = main(sys.argv[1:])
print("compiled", compiled)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A cache of kernels that warmup filled, and what it said."""
    folder = tmp_path_factory.mktemp("kernels")
    command = [sys.executable, "-m", "refbss_cli.main", "warmup", "--json"]
    done = subprocess.run(
        command, env={**os.environ, "NUMBA_CACHE_DIR": str(folder)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warmup" in done.stderr, "it shows how far it is"
    return folder, json.loads(done.stdout)


def run(cache: Path, *arguments: object) -> str:
    command = [sys.executable, "-c", AFTER, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_it_counts_the_kernels(cache: tuple[Path, dict[str, object]]) -> None:
    folder, said = cache
    assert said["kernels"] == sum(1 for path in folder.rglob("*.nbc") if "shared-" in str(path))
    assert int(str(said["kernels"])) > 20


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_training_compiles_nothing_more(cache: tuple[Path, dict[str, object]], engine: str, tmp_path: Path) -> None:
    options = ("--steps", 1, "--set", f'train.engine="{engine}"', "--set", "mix.seconds=0.1", "--set", "train.batch=2")
    small = ("--set", "train.validate_every=0", "--set", "loss.permutation_frame=80")
    assert (
        run(cache[0], "train", "lvbd-tiny", "--data", "embedded", "--out", tmp_path, *options, *small) == "compiled []"
    )


def test_separation_compiles_nothing_more(cache: tuple[Path, dict[str, object]]) -> None:
    assert run(cache[0], "evaluate", "--data", "embedded", "--n", 1, "--seconds", 0.5) == "compiled []"


def test_the_stages_cover_the_configuration() -> None:
    kinds = {(loss.assignment, loss.prior, loss.divergence) for loss in LOSSES.values()}
    assert {kind[0] for kind in kinds} == {"pit", "sinkhorn", "softmax"}
    assert {kind[1] for kind in kinds} == {"student", "power", "laplace", "gaussian"}
    assert {kind[2] for kind in kinds} == {"fisher", "kl"}
    names = [name for name, _ in stages()]
    assert len(set(names)) == len(names) and "streaming" in names
