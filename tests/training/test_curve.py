"""The curve of a run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from refbss.training import curve
from refbss.training.curve import draw_curve


def write_log(path: Path, steps: int, validated: bool) -> Path:
    lines = [
        {"step": i + 1, "loss": 1.0 / (i + 1), "validation_db": float(i) if validated and i % 3 == 2 else None}
        for i in range(steps)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
@pytest.mark.parametrize(("steps", "validated"), [(0, False), (1, False), (12, True)])
def test_the_picture(tmp_path: Path, steps: int, validated: bool) -> None:
    out = draw_curve(write_log(tmp_path / "log.jsonl", steps, validated), tmp_path / "curve.png")
    assert out == tmp_path / "curve.png" and out.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "log.jsonl"]


def test_without_matplotlib_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve, "find_spec", lambda name: None)
    assert draw_curve(write_log(tmp_path / "log.jsonl", 3, False), tmp_path / "curve.png") is None
    assert not (tmp_path / "curve.png").exists()
