"""What all tests share: a wheel of this tree, a model, and figures that tests measure, printed after the run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIGURES = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the figures."""
    config.stash[FIGURES] = {}


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """A dict of name -> text; whatever a test stores is printed in the summary."""
    yield request.config.stash[FIGURES]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures, one line each."""
    measured = config.stash[FIGURES]
    if measured:
        terminalreporter.section("measured figures")
        for name, text in measured.items():
            terminalreporter.write_line(f"{name}: {text}")


@pytest.fixture(scope="session")
def wheel_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tree, so that no build folder is left behind."""
    copy = tmp_path_factory.mktemp("wheel") / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("refbss", "cli", "golden"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lvbd-tiny with random parameters, biases and slopes included, so that nothing is neutral."""
    import numpy as np

    from refbss.config import load_config
    from refbss.models.lvbd_params import init_params
    from refbss.training.checkpoint import save_checkpoint
    from refbss.training.config import PRESETS, RunConfig

    config = load_config(RunConfig, PRESETS["lvbd-tiny"])
    rng = np.random.default_rng(0)
    params = init_params(config.model, 0)
    params = {name: p + np.float32(0.05) * rng.standard_normal(p.shape, dtype=np.float32) for name, p in params.items()}
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    save_checkpoint(folder, config, params, None, {"step": 0})
    return folder
