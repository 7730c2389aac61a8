"""refbss info: runs, checkpoints, presets and the bundled model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refbss.training.checkpoint import BUNDLED

Run = Callable[..., Any]


def test_a_run(run: Run, tiny_model: Path) -> None:
    ran = run("info", tiny_model)
    assert ran.code == 0 and ran.err == ""
    lines = ran.out.splitlines()
    assert lines[0] == f"{tiny_model}: 2 sources at 8000 Hz"
    assert [line.split()[0] for line in lines[2:7]] == ["total", "encoder", "separator", "memory", "decoder"]
    assert "hop: 16 samples, algorithmic latency 2 ms" in lines
    assert any(line.startswith("receptive field: 76 samples (9.5 ms)") and "unbounded" in line for line in lines)
    assert lines[-1].startswith("training: 3 of 10 steps in 1:01, best validation SI-SDR -1.50 dB, refbss ")


def test_json(run: Run, tiny_model: Path) -> None:
    result = json.loads(run("info", tiny_model / "best", "--json").out)
    assert sum(result["parameters"].values()) == result["total_parameters"] < 30_000
    assert sum(result["multiply_adds_per_s"].values()) == result["total_multiply_adds_per_s"]
    assert (result["hop_samples"], result["latency_ms"], result["receptive_field_samples"]) == (16, 2.0, 76)
    assert result["unbounded_through"] == ["gru", "memory"]
    assert result["training"]["step"] == 3 and result["training"]["best"] == -1.5


@pytest.mark.parametrize(("preset", "least", "most"), [("lvbd-tiny", 10_000, 30_000), ("lvbd-small", 600_000, 800_000)])
def test_presets(run: Run, preset: str, least: int, most: int) -> None:
    result = json.loads(run("info", preset, "--json").out)
    assert least < result["total_parameters"] < most and result["training"] is None
    assert "training: none, this is a preset" in run("info", preset).out


def test_here(run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_model)
    assert run("info", ".").code == 0


def test_nothing_there(run: Run, tmp_path: Path) -> None:
    ran = run("info", tmp_path / "none")
    assert ran.code == 2 and ran.err.startswith("refbss: error: model: ") and ran.err.count("\n") == 1


def test_the_bundled_model(run: Run) -> None:
    result = json.loads(run("info", "--json").out)
    assert result["model"] == "bundled" and result["total_parameters"] == 663_876
    assert result["training"]["step"] > 0
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 4e6
