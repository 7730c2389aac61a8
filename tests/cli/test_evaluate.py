"""refbss evaluate: the numbers are those of the mixtures, whoever computes them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.data.layouts import open_corpus
from refbss.data.mixing import MixConfig, Mixer
from refbss.data.sets import write_set
from refbss.evaluation.si_sdr import CONVENTION, si_sdr_i
from refbss.separation import Separator

Run = Callable[..., Any]
MIXTURES = ("--n", 3, "--seconds", 0.5)


@pytest.fixture(scope="module")
def mixer() -> Mixer:
    return Mixer([open_corpus("embedded")], MixConfig(seconds=0.5), seed=1, split="test")


def as_json(ran: Any) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    assert ran.out.count("\n") == 1
    result: dict[str, Any] = json.loads(ran.out)
    return result


def test_the_scores_are_those_of_the_mixtures(run: Run, tiny_model: Path, mixer: Mixer, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    result = as_json(run("evaluate", "--model", tiny_model, "--data", "embedded", *MIXTURES, "--csv", table, "--json"))
    separator, scores = Separator(tiny_model), []
    for index in range(3):
        item = mixer.item(0, index)
        est = separator.separate(item.mix, 8000)
        scores.append(si_sdr_i(ref=item.sources, est=est, mix=item.mix))
    assert result["n"] == 3 and result["convention"] == CONVENTION and result["clean"] == 3
    assert result["si_sdr_db"] == pytest.approx(np.mean([s.si_sdr_db for s in scores]), abs=1e-9)
    assert result["si_sdr_i_db"] == pytest.approx(np.mean([s.si_sdr_i_db for s in scores]), abs=1e-9)
    assert 0 < result["rtf"] < 5 and "Student t" in result["interval"]
    low, high = result["si_sdr_interval_db"]
    assert low < result["si_sdr_db"] < high
    assert (result["seed"], result["split"], result["gain_db"], result["set"]) == (1, "test", 2.5, False)
    rows = list(csv.DictReader(table.open()))
    for row, score in zip(rows, scores, strict=True):
        assert float(row["si_sdr_db_1"]) == pytest.approx(score.si_sdr_db[0], abs=1e-6)


def test_text(run: Run, tiny_model: Path) -> None:
    ran = run("evaluate", "--model", tiny_model, "--data", "embedded", *MIXTURES)
    assert ran.code == 0
    assert "3 mixtures, 3 clean and 0 noisy" in ran.out and CONVENTION in ran.out and "95 percent" in ran.out
    assert "SI-SDR " in ran.out and "SI-SDRi" in ran.out


def test_threads_and_time_do_not_matter(run: Run, tiny_model: Path) -> None:
    def result(*more: object) -> dict[str, Any]:
        found = as_json(run("evaluate", "--model", tiny_model, "--data", "embedded", *MIXTURES, *more, "--json"))
        return {name: value for name, value in found.items() if name != "rtf"}

    assert result("--threads", 1) == result("--threads", 3)
    assert result()["si_sdr_db"] != result("--seed", 2)["si_sdr_db"]


def test_noise(run: Run, tiny_model: Path) -> None:
    arguments = ("evaluate", "--model", tiny_model, "--data", "embedded", *MIXTURES, "--json")
    noisy = as_json(run(*arguments, "--noise", "white", "--noise", "babble", "--snr-db", 0, 5))
    assert noisy["clean"] == 0 and noisy["noise"] == ["white", "babble"] and noisy["snr_db"] == [0, 5]
    assert noisy["si_sdr_db"] != as_json(run(*arguments))["si_sdr_db"]


def test_a_fixed_set_scores_as_the_mixtures_it_was_made_of(
    run: Run, tiny_model: Path, mixer: Mixer, tmp_path: Path
) -> None:
    folder = write_set(mixer, 3, tmp_path / "set")
    drawn = as_json(run("evaluate", "--model", tiny_model, "--data", "embedded", *MIXTURES, "--json"))
    fixed = as_json(run("evaluate", "--model", tiny_model, "--data", folder, "--json"))
    assert fixed["set"] is True and fixed["n"] == 3
    for name in ("si_sdr_db", "si_sdr_i_db", "si_sdr_interval_db"):
        assert fixed[name] == drawn[name]
    assert as_json(run("evaluate", "--model", tiny_model, "--data", folder, "--n", 2, "--json"))["n"] == 2
    for arguments, message in [
        (("--n", 4), f"n is 4, the set {folder} has 3 mixtures"),
        (("--seed", 3), f"--seed cannot be used: {folder} is a fixed evaluation set"),
        (("--noise", "white"), f"--noise cannot be used: {folder} is a fixed evaluation set"),
        (("--data", "embedded"), f"{folder} is a fixed evaluation set, wanted it as the only --data"),
    ]:
        ran = run("evaluate", "--model", tiny_model, "--data", folder, *arguments)
        assert ran.code == 2 and message in ran.err


def test_a_set_of_another_rate(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    config = MixConfig(seconds=0.1, sample_rate_hz=16000, resample=True)
    folder = write_set(Mixer([open_corpus("embedded")], config, seed=1, split="test"), 1, tmp_path / "set")
    ran = run("evaluate", "--model", tiny_model, "--data", folder)
    assert ran.code == 2 and "sample rate is 16000 Hz, wanted 8000 Hz as the model has" in ran.err


def test_bad_input(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    for arguments, message in [
        (("--data", tmp_path / "none"), "no such folder"),
        (("--data", "embedded", "--noise", "pnik"), "pnik"),
        (("--data", "embedded", "--seconds", "nan"), "nan is not a finite number"),
        (("--data", "embedded", "--gain-db", "inf"), "inf is not a finite number"),
        (("--data", "embedded", "--snr-db", "0", "nan"), "nan is not a finite number"),
        ((), "Missing option '--data'"),
    ]:
        ran = run("evaluate", "--model", tiny_model, *arguments)
        assert (ran.code, ran.out) == (2, "") and message in ran.err.splitlines()[-1]


def test_a_table_that_cannot_be_written(
    run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("evaluate", "--model", tiny_model, "--data", "embedded", *MIXTURES, "--json", "--csv")
    for path, message in [(tmp_path / "none" / "x.csv", "does not exist"), (tmp_path, "it is a folder")]:
        ran = run(*arguments, path)
        assert (ran.code, ran.out) == (2, "") and message in ran.err
        assert "evaluating" not in ran.err  # nothing was separated

    def full(path: Path, _: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", full)
    ran = run(*arguments, tmp_path / "x.csv")
    assert ran.code == 1 and json.loads(ran.out)["n"] == 3 and "No space left" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_the_bundled_model_separates_unseen_sentences(run: Run, figures: dict[str, str]) -> None:
    """Four mixtures are few: the mean over 200 is far above the limit that this test can promise."""
    result = as_json(run("evaluate", "--data", "embedded", "--n", 4, "--json"))
    figures["bundled model, 4 mixtures of embedded voices"] = f"SI-SDRi {result['si_sdr_i_db']:.2f} dB"
    assert result["si_sdr_i_db"] > 5.0
