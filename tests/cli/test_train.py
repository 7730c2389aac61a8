"""refbss train as a user meets it: real processes that are killed, stopped and resumed, and its errors."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

SMALL = [
    *("train", "lvbd-tiny", "--data", "embedded"),
    *("--set", "mix.seconds=0.25", "--set", "train.batch=2", "--set", "train.shards=2", "--set", "train.workers=1"),
    *("--set", "train.checkpoint_every=5", "--set", "train.validate_every=10", "--set", "train.validation_items=2"),
]


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "refbss_cli.main", *SMALL, "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def log(out: Path) -> list[dict[str, Any]]:
    path = out / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) | {"seconds": 0} for line in lines]


def wait_for_step(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        path = out / "log.jsonl"
        if path.exists() and path.read_text().count("\n") >= step:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    pytest.fail(f"step {step} did not come within a minute")


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_killed_and_terminated_and_resumed_is_unbroken(tmp_path: Path) -> None:
    """kill -9 in the middle, resume, SIGTERM, resume: the same bytes as the run that nobody disturbed."""
    steps = ("--steps", "300")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    undisturbed = start(whole, *steps)
    process = start(broken, *steps)
    wait_for_step(broken, 17, process)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    state = json.loads((broken / "last" / "state.json").read_text())
    assert state["step"] >= 15 and state["step"] % 5 == 0

    process = start(broken, *steps, "--resume")
    wait_for_step(broken, max(40, len(log(broken)) + 10), process)
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    stopped = json.loads((broken / "last" / "state.json").read_text())["step"]
    assert code == 128 + signal.SIGTERM == 143
    assert out.startswith(f"stopped at step {stopped}, ")
    assert err.splitlines()[-1] == f"Stopped by SIGTERM; saved {broken / 'last'}. Go on with --resume."
    assert stopped < 300 and len(log(broken)) == stopped

    code, out, err = finish(start(broken, *steps, "--resume", "--json"))
    assert code == 0, err
    assert json.loads(out)["step"] == 300 and json.loads(out)["reason"] == "finished"
    code, out, _ = finish(undisturbed)
    assert code == 0 and out.startswith("finished at step 300, ")
    for name in ("last/model.safetensors", "last/optim.safetensors", "best/model.safetensors", "config.toml"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert log(broken) == log(whole)
    assert not [path.name for path in broken.iterdir() if path.name.startswith(".")]


def test_control_c(tmp_path: Path) -> None:
    process = start(tmp_path / "run", "--steps", "5000")
    wait_for_step(tmp_path / "run", 2, process)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130 and "Stopped by SIGINT; saved" in err and "Traceback" not in err


def test_progress_goes_to_stderr_and_the_result_to_stdout(run: Run, tmp_path: Path) -> None:
    ran = run(*SMALL, "--out", tmp_path / "run", "--steps", 3, "--json")
    assert ran.code == 0 and ran.out.count("\n") == 1
    result = json.loads(ran.out)
    assert result["step"] == result["steps"] == 3 and result["run"] == str(tmp_path / "run")
    assert f"steps 1 to 3, run in {tmp_path / 'run'}" in ran.err and "train 3/3" in ran.err
    assert [line["step"] for line in log(tmp_path / "run")] == [1, 2, 3]
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
    again = run(*SMALL, "--out", tmp_path / "run", "--steps", 3)
    assert again.code == 2 and "holds a run, wanted another folder, or --resume" in again.err
    other = run(*SMALL, "--out", tmp_path / "run", "--steps", 4, "--resume")
    assert other.code == 2 and "train.steps is 4, wanted 3" in other.err


def test_a_loss_that_is_not_finite_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    diverging = (
        "--set",
        "train.learning_rate=1e30",
        "--set",
        "train.warmup_steps=0",
        "--set",
        "train.checkpoint_every=1",
    )
    ran = run(*SMALL, "--out", tmp_path / "run", "--steps", 9, *diverging)
    assert ran.code == 1 and ran.out == "" and "Traceback" not in ran.err
    last = ran.err.splitlines()[-1]
    assert last.startswith("refbss: error: step 2: the loss of items s0e0i00000")
    assert last.endswith(f"; kept: {tmp_path / 'run' / 'last'}, step 1")
    assert json.loads((tmp_path / "run" / "last" / "state.json").read_text())["step"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "train.larning_rate=1"), "unknown key train.larning_rate, did you mean train.learning_rate?"),
        (("--set", "train.steps=soon"), "train.steps is 'soon' (a string), wanted an integer"),
        (("--set", "model.latent=0"), "latent is 0, wanted an integer of at least 1"),
        (("--set", "model.sources=3"), "mix.sources is 2, wanted 3 as model.sources is"),
        (("--minutes", "1", "--steps", "2"), "--minutes and --steps exclude each other"),
        (("--data", "nowhere-at-all"), "nowhere-at-all: no such folder"),
    ],
)
def test_errors(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    ran = run(*SMALL, "--out", tmp_path / "run", *arguments)
    assert ran.code == 2 and message in ran.err.splitlines()[-1], ran.err
    assert not (tmp_path / "run").exists()


def test_what_can_be_trained(run: Run, tmp_path: Path) -> None:
    ran = run("train", "lvbd-huge", "--data", "embedded", "--out", tmp_path / "run")
    assert ran.code == 2 and "PRESET is 'lvbd-huge', wanted one of lvbd-tiny, lvbd-small, or a .toml file" in ran.err
    config = tmp_path / "mine.toml"
    config.write_text("[model]\nconv_channels = [4, 8, 8]\ngru_hiden = 8\n")
    ran = run("train", config, "--data", "embedded", "--out", tmp_path / "run")
    assert ran.code == 2 and f"{config}: unknown key model.gru_hiden, did you mean model.gru_hidden?" in ran.err
