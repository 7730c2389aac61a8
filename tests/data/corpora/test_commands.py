"""The commands on mixtures ready made: scan names the layout, verify judges, evaluate and train take all of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.data.audio_io import read_audio, write_audio
from refbss_cli.main import main

Capture = pytest.CaptureFixture[str]
TREES = [
    *("refbss", "wsj0-mix", "wham", "whamr", "librimix", "librimix lists"),
    *("plain", "asteroid", "speechbrain", "kaldi"),
]
TINY = ("--set", "mix.seconds=0.25", "--set", "train.batch=2", "--set", "train.workers=1", "--set", "train.shards=2")
BRIEF = ("--steps", "2", "--set", "train.validate_every=1", "--set", "train.validation_items=2")


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def as_json(ran: tuple[int, str, str], code: int = 0) -> dict[str, Any]:
    assert ran[0] == code, ran[2]
    assert ran[1].count("\n") == 1
    loaded: dict[str, Any] = json.loads(ran[1])
    return loaded


def root_of(options: list[str]) -> list[str]:
    return options[options.index("--root") :] if "--root" in options else []


@pytest.mark.parametrize("tree", [*TREES, "stems"])
def test_scan_and_verify(capsys: Capture, trees: Any, tree: str) -> None:
    path, options = trees.every(tree)
    result = as_json(run(capsys, "data", "scan", path, *root_of(options), "--json"))
    assert result["layout"] == tree.split()[0] and result["problems"] == []
    assert {part["mixtures"] for part in result["parts"]} == {3}
    assert {tuple(part["rates_hz"].items()) for part in result["parts"]} == {(("8000", 3),)}
    chosen = as_json(run(capsys, "data", "scan", path, *options, "--json"))["parts"]
    assert {part["condition"] for part in chosen} == {
        "mix_both" if "--condition" in options else chosen[0]["condition"]
    }
    checked = as_json(run(capsys, "data", "verify", path, *root_of(options), "--json"))
    assert checked["ok"] and checked["items"] == checked["sums"] and checked["layout"] == result["layout"]


def test_scan_prints_a_table(capsys: Capture, trees: Any) -> None:
    root = trees.librimix()
    code, out, err = run(capsys, "data", "scan", root, "--condition", "mix_single", "--subset", "8k, min")
    assert code == 0 and "scanning" in err
    assert out.splitlines() == [
        f"{root}: layout librimix, 9 mixtures ready made",
        "subset     folder     split       condition   sources  mixtures  hours  rates",
        "wav8k,min  train-100  train       mix_single  s1       3         0.00   8000 Hz",
        "wav8k,min  dev        validation  mix_single  s1       3         0.00   8000 Hz",
        "wav8k,min  test       test        mix_single  s1       3         0.00   8000 Hz",
        "problems: none",
    ]


def test_scan_names_what_cannot_be_used(capsys: Capture, trees: Any) -> None:
    root = trees.plain()
    for name in ("mix", "s1"):
        (sorted((root / "test" / name).iterdir())[0 if name == "mix" else 1]).write_bytes(b"")
    (sorted((root / "test" / "s2").iterdir())[2]).unlink()
    result = as_json(run(capsys, "data", "scan", root, "--json"))
    assert [problem["kind"] for problem in result["problems"]] == ["missing", "unreadable"]  # s1 is not opened
    assert [part["mixtures"] for part in result["parts"]] == [3, 3, 2]


def test_verify_exits_with_1(capsys: Capture, trees: Any) -> None:
    root = trees.wham()
    path = sorted((root / "wav8k" / "min" / "tt" / "mix_both").iterdir())[0]
    write_audio(path, 0.9 * read_audio(path)[0], 8000)
    code, out, err = run(capsys, "data", "verify", root, "--condition", "mix_both")
    assert code == 1 and "verifying" in err
    lines = out.splitlines()
    assert lines[:3] == [
        f"{root}: 9 items, 36 files, 8000 Hz",
        "sums: 9 of 9 mixtures held against their parts",
        "problems: 1",
    ]
    assert lines[3].startswith(f"  sum: {path}: differs from the sum of its parts by ")


@pytest.mark.parametrize("tree", TREES)
def test_evaluate(capsys: Capture, trees: Any, tree: str) -> None:
    path, options = trees.every(tree)
    command = ("evaluate", "--data", path, *options, "--json")
    result = as_json(run(capsys, *command))
    again = as_json(run(capsys, *command, "--threads", 2))
    assert {**result, "rtf": 0} == {**again, "rtf": 0}
    assert (result["n"], result["set"], result["layout"]) == (3, True, tree.split()[0])
    assert result["splits"] == {"test": 3}
    assert result["clean"] == (0 if result["condition"] == "mix_both" else 3)
    assert result["si_sdr_i_db"] > 3  # the embedded test sentences, which the bundled model separates
    if tree != "refbss":
        other = as_json(run(capsys, *command, "--split", "validation"))
        assert other["splits"] == {"validation": 3} and other["si_sdr_db"] != result["si_sdr_db"]


def test_layouts_of_the_same_mixtures_score_alike(capsys: Capture, trees: Any) -> None:
    """Bit for bit, whether folders or lists name them."""
    root = trees.wham()
    scores = set()
    for path, options in [
        (root, ()),
        (trees.asteroid_lists(), ("--root", root)),
        (trees.refbss(), ()),
    ]:
        condition = () if path.name == "eval" else ("--condition", "mix_both")
        result = as_json(run(capsys, "evaluate", "--data", path, *options, *condition, "--json"))
        scores.add((result["si_sdr_db"], result["si_sdr_i_db"], result["permutation_error_rate"]))
    assert len(scores) == 1


@pytest.mark.parametrize("tree", [*TREES, "stems"])
def test_train(capsys: Capture, trees: Any, tree: str, tmp_path: Path) -> None:
    path, options = trees.every(tree)
    command = ["train", "lvbd-tiny", "--data", path, *options, *TINY, *BRIEF, "--out", tmp_path / "run", "--json"]
    if tree == "stems":
        command += ["--set", "model.sources=3", "--set", "mix.sources=3"]
    ran = run(capsys, *command)
    if tree == "refbss":
        assert ran[0] == 2 and "holds no mixtures of split 'train', it has 3 of test" in ran[2]
        return
    result = as_json(ran)
    assert (result["step"], result["reason"]) == (2, "finished")
    state = json.loads((tmp_path / "run" / "last" / "state.json").read_text())
    (facts,) = state["data"]
    assert facts["layout"] == tree.split()[0] and facts["mixtures"] in (6, 9)
    again = as_json(run(capsys, *command, "--resume"))
    assert again["step"] == 2


def test_one_source_and_noise_trains_a_model_of_one_source(capsys: Capture, trees: Any, tmp_path: Path) -> None:
    data = ("--data", trees.wham(), "--condition", "mix_single")
    one = ("--set", "model.sources=1", "--set", "mix.sources=1")
    command = ("train", "lvbd-tiny", *data, *TINY, *BRIEF, "--out", tmp_path / "run", "--json")
    code, _, err = run(capsys, *command)
    assert code == 2 and "has 1 sources (s1), wanted 2 as mix.sources is" in err
    assert as_json(run(capsys, *command, *one))["step"] == 2
    scored = as_json(run(capsys, "evaluate", "--model", tmp_path / "run", *data, "--json"))
    assert scored["n"] == 3 and np.isfinite(scored["si_sdr_db"])


def test_recordings_and_mixtures_train_together(capsys: Capture, trees: Any, tmp_path: Path) -> None:
    command = ["train", "lvbd-tiny", "--data", "embedded", "--data", trees.wham(), "--condition", "mix_both", *TINY]
    command += [*BRIEF, "--set", "train.data_weights=[1.0, 3.0]", "--out", tmp_path / "run", "--json"]
    assert as_json(run(capsys, *command))["step"] == 2
    state = json.loads((tmp_path / "run" / "last" / "state.json").read_text())
    assert [facts["layout"] for facts in state["data"]] == ["embedded", "wham"]
    assert state["data"][1] | {"digest": ""} == {
        "layout": "wham",
        "subset": "wav8k,min",
        "condition": "mix_both",
        "mixtures": 9,
        "digest": "",
    }
    other = [*(("mix_clean" if word == "mix_both" else word) for word in command), "--resume"]
    code, _, err = run(capsys, *other)
    assert code == 2 and "train: --data holds" in err and "mix_clean" in err


def test_other_rates_want_resample(capsys: Capture, trees: Any, tmp_path: Path) -> None:
    root = trees.plain()
    for path in root.rglob("*.wav"):
        write_audio(path, read_audio(path)[0], 16000)
    code, _, err = run(capsys, "evaluate", "--data", root)
    assert code == 2 and "sample rate is 16000 Hz, wanted 8000 Hz as the model has, or the option --resample" in err
    assert as_json(run(capsys, "evaluate", "--data", root, "--resample", "--json"))["n"] == 3
    command = ("train", "lvbd-tiny", "--data", root, *TINY, *BRIEF, "--out", tmp_path / "run", "--json")
    code, _, err = run(capsys, *command)
    assert code == 2 and "sample rate is 16000 Hz, wanted 8000 Hz or the option resample" in err
    assert as_json(run(capsys, *command, "--set", "mix.resample=true"))["step"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("evaluate", "--data", "wham_original"),
            "holds the conditions mix_clean, mix_both, mix_single; wanted --cond",
        ),
        (("evaluate", "--data", "wham_original", "--condition", "mix_loud"), "'mix_loud' is not one of 'mix_clean'"),
        (("evaluate", "--data", "wham_original", "--subset", "16k"), "has no subset '16k', wanted one of cv, min, tr,"),
        (("evaluate", "--data", "wham_original", "--root", "gone"), "--root: gone is no folder, wanted the one that"),
        (
            ("evaluate", "--data", "wham_original", "--condition", "mix_single"),
            "number of sources is 1, wanted 2 as the",
        ),
        (
            ("evaluate", "--data", "embedded", "--condition", "mix_both"),
            "embedded: holds recordings, wanted --condition",
        ),
        (("evaluate", "--data", "embedded", "--subset", "8k"), "embedded: holds recordings, wanted --subset for"),
        (
            ("data", "scan", "embedded", "--condition", "mix_both"),
            "embedded: holds no mixtures ready made, which alone",
        ),
        (("data", "verify", "embedded"), "embedded: no such folder, wanted mixtures ready made"),
        (("data", "mix", "--data", "wham_original", "--out", "x"), "holds mixtures ready made (layout wham), wanted a"),
        (
            ("train", "lvbd-tiny", "--data", "wham_original", "--out", "x"),
            "holds the conditions mix_clean, mix_both, mi",
        ),
        (("data", "scan", "wham_original", "--root", "."), "holds its files themselves, wanted --root for lists"),
    ],
)
def test_errors_are_one_line(
    capsys: Capture, trees: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    trees.wham()
    monkeypatch.chdir(trees.folder)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("refbss: error: ") and message in last
    assert [path.name for path in trees.folder.iterdir()] == ["wham_original"]


def test_options_of_mixing_are_refused(capsys: Capture, trees: Any) -> None:
    root = trees.plain()
    for option, value in (("--seconds", 1), ("--gain-db", 1), ("--noise", "white"), ("--seed", 2)):
        code, _, err = run(capsys, "evaluate", "--data", root, option, value)
        assert code == 2 and f"{option} cannot be used: {root} is a fixed evaluation set" in err


def test_a_damaged_file_ends_a_training_in_one_line(capsys: Capture, trees: Any, tmp_path: Path) -> None:
    root = trees.plain()
    shutil.rmtree(root / "validation")
    for path in (root / "train" / "s1").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    command = ("train", "lvbd-tiny", "--data", root, *TINY, "--steps", 2, "--set", "train.validate_every=0")
    code, out, err = run(capsys, *command, "--out", tmp_path / "run")
    assert (code, out) == (2, "") and "is truncated, holds" in err.splitlines()[-1]
