"""refbss score: what it prints, the table it writes, what it refuses; the estimates of refbss separate fit."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.data.audio_io import write_audio

Run = Callable[..., Any]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two utterances of two sources: references, estimates named as refbss separate does, mixtures."""
    rng = np.random.Generator(np.random.Philox(1))
    ref, est, mix = tmp_path / "ref", tmp_path / "est", tmp_path / "mix"
    for folder in (ref / "s1", ref / "s2", est, mix):
        folder.mkdir(parents=True)
    for id in ("a", "b"):
        signals = 0.1 * rng.standard_normal((2, 1, 300))
        write_audio(mix / f"{id}.wav", signals.sum(axis=0), 8000)
        for j in range(2):
            write_audio(ref / f"s{j + 1}" / f"{id}.wav", signals[j], 8000)
            noisy = signals[1 - j] + 0.02 * rng.standard_normal((1, 300))
            write_audio(est / f"{id}_est{j + 1}.wav", noisy, 8000)
    return ref, est, mix


def test_text_json_and_csv_agree(run: Run, folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    ref, est, mix = map(str, folders)
    metrics = "si_sdr, si_sar,bss_eval_v3_sources"
    table = tmp_path / "scores.csv"
    asked = ("score", "--ref", ref, "--est", est, "--mix", mix, "--metrics", metrics, "--taps", "4")
    result = run(*asked, "--csv", str(table), "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["n"] == 2 and found["sources"] == ["s1", "s2"] and found["permutation"] == "best"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["source"], row["estimate"]) for row in rows] == [
        ("a", "s1", "2"), ("a", "s2", "1"), ("b", "s1", "2"), ("b", "s2", "1"),
    ]  # fmt: skip
    assert set(found["scores"]) <= set(rows[0])
    for name, column in found["scores"].items():
        values = np.array([float(row[name]) for row in rows])
        assert abs(column["mean_db"] - values.mean()) < 1e-5 and abs(column["median_db"] - np.median(values)) < 1e-5
    text = run(*asked)
    for name, column in found["scores"].items():
        (line,) = [line for line in text.out.splitlines() if line.split(" ")[0] == name]
        assert line.split()[1] == f"{column['mean_db']:.2f}"


def test_the_convention_counts(run: Run, folders: tuple[Path, Path, Path]) -> None:
    ref, est, _ = map(str, folders)
    means = {}
    for convention in ("leroux", "tasnet"):
        result = run("score", "--ref", ref, "--est", est, "--convention", convention, "--json")
        means[convention] = json.loads(result.out)["scores"]["si_sdr_db"]["mean_db"]
        assert json.loads(result.out)["convention"] == convention
    assert means["leroux"] != means["tasnet"]


def test_what_is_left_over_is_named(run: Run, folders: tuple[Path, Path, Path]) -> None:
    ref, est, _ = folders
    for number in range(1, 5):
        write_audio(est / f"c_est{number}.wav", np.ones((1, 300)) / 2, 8000)
    result = run("score", "--ref", str(ref), "--est", str(est))
    assert result.code == 0
    names = ", ".join(str(est / f"c_est{number}.wav") for number in (1, 2, 3))
    assert f"left out, belong to no reference: 4 files ({names}, ..)\n" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "sdr"], "score: metric is 'sdr', wanted one of si_sdr, si_sir, si_sar, snr"),
        (["--metrics", ","], "score: metrics is empty, wanted some of si_sdr"),
        (["--convention", "mine"], "score: convention is 'mine', wanted one of leroux"),
        (["--taps", "0", "--metrics", "bss_eval_v3_sources"], "score: taps is 0, wanted an integer of at least 1"),
        (["--mix", "nowhere"], "nowhere: is not a folder"),
        (["--csv", "no/such/folder.csv"], "no/such/folder.csv: cannot be written"),
    ],
)
def test_refusals(run: Run, folders: tuple[Path, Path, Path], options: list[str], message: str) -> None:
    ref, est, _ = map(str, folders)
    result = run("score", "--ref", ref, "--est", est, *options)
    assert result.code == 2 and message in result.err and "Traceback" not in result.err and not result.out


def test_a_damaged_file_leaves_no_table(run: Run, folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    ref, est, _ = folders
    (est / "b_est2.wav").write_bytes(b"RIFF")
    table = tmp_path / "scores.csv"
    result = run("score", "--ref", str(ref), "--est", str(est), "--csv", str(table))
    assert result.code == 2 and "b_est2.wav" in result.err and not table.exists()


def test_estimates_of_separate_are_taken(
    run: Run, folders: tuple[Path, Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    ref, _, mix = folders
    out = tmp_path / "out"
    assert run("separate", mix / "a.wav", mix / "b.wav", "--model", tiny_model, "--out", out).code == 0
    result = run("score", "--ref", ref, "--est", out, "--json")
    assert result.code == 0 and np.isfinite(json.loads(result.out)["scores"]["si_sdr_db"]["mean_db"])
