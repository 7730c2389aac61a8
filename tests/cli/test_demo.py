"""refbss demo: what it writes, what it prints, and that a seed fixes every number but the times."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss import si_sdr
from refbss.data.audio_io import read_audio
from refbss.data.mixing import mixture_of
from refbss_cli import demo

Run = Callable[..., Any]
SIGNALS = ("mix", "ref1", "ref2", "est1", "est2")


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    """The result without times and paths."""
    drop = {"seconds", "rtf", "files", "out"}
    return {
        name: timeless(value) if isinstance(value, dict) else value
        for name, value in result.items()
        if name not in drop
    }


def test_what_it_writes(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    ran = run("demo", "--model", tiny_model, "--out", tmp_path / "out", "--seconds", 1)
    assert ran.code == 0
    signals = {name: read_audio(tmp_path / "out" / f"{name}.wav")[0][0] for name in SIGNALS}
    refs = np.stack([signals["ref1"], signals["ref2"]])
    assert np.array_equal(signals["mix"], mixture_of(refs))
    scores = si_sdr(ref=refs, est=np.stack([signals["est1"], signals["est2"]]))
    for score in scores:
        assert f"{score:.2f} dB separated" in ran.out
    for number, word in enumerate(("Separate", "Train", "Check a gradient"), start=1):
        assert f"\n{number}. {word}" in f"\n{ran.out}"
    assert "mean loss" in ran.out and "passed" in ran.out and ran.out.splitlines()[-1].startswith("Done in ")
    pictures = ["spectrogram.png", "training.png"] if importlib.util.find_spec("matplotlib") else []
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        [f"{name}.wav" for name in SIGNALS] + pictures
    )


def test_a_seed_fixes_the_numbers(run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STEPS_A_SECOND", 2)

    def result(seed: int) -> dict[str, Any]:
        arguments = ("--model", tiny_model, "--out", tmp_path / "out", "--seconds", 10, "--seed", seed, "--json")
        ran = run("demo", *arguments)
        assert ran.code == 0 and ran.out.count("\n") == 1 and "1. Separate" in ran.err
        found: dict[str, Any] = json.loads(ran.out)
        assert all(Path(path).is_file() for part in ("separation", "training") for path in found[part]["files"])
        return timeless(found)

    first = result(0)
    assert first == result(0) and first["separation"] != result(1)["separation"]
    assert first["training"]["steps"] == 20 and first["training"]["finished"] is True
    assert first["training"]["last_loss_db"] < first["training"]["first_loss_db"]
    assert set(first["separation"]["speakers"]) == set(demo.VOICES)
    assert first["gradient"]["worst_relative_error"] < 1e-7 and first["gradient"]["passed"] is True


def test_the_time_ends_the_training(
    run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STEPS_A_SECOND", 100_000)
    ran = run("demo", "--model", tiny_model, "--out", tmp_path / "out", "--seconds", 0.3, "--json")
    found = json.loads(ran.out)["training"]
    assert ran.code == 0 and 0 < found["steps"] < 30_000 and found["finished"] is False


@pytest.mark.parametrize("seconds", ["nan", "inf"])
def test_the_time_is_finite(run: Run, tmp_path: Path, seconds: str) -> None:
    ran = run("demo", "--out", tmp_path / "out", "--seconds", seconds)
    assert (ran.code, ran.out) == (2, "") and f"{seconds} is not a finite number" in ran.err
    assert not (tmp_path / "out").exists()


def test_out_that_is_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    ran = run("demo", "--out", tmp_path / "out")
    assert (ran.code, ran.out) == (2, "") and ran.err.splitlines()[-1].endswith("is a file.")


def test_a_wrong_gradient_is_an_error(
    run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from refbss.verification import gradcheck

    monkeypatch.setattr(gradcheck, "LIMIT", 0.0)
    ran = run("demo", "--model", tiny_model, "--out", tmp_path / "out", "--seconds", 0.2)
    assert ran.code == 1 and "FAILED" in ran.out


def test_the_bundled_model_from_the_shell(tmp_path: Path, figures: dict[str, str]) -> None:
    command = [sys.executable, "-m", "refbss_cli.main", "demo", "--out", tmp_path, "--seconds", "1", "--json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    figures["demo, bundled model"] = f"SI-SDRi {found['separation']['si_sdr_i_db']:.2f} dB, {found['seconds']:.0f} s"
    assert found["separation"]["si_sdr_i_db"] > 5.0
