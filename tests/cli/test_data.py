"""``refbss data``: scan, mix and verify from end to end, their JSON, and one line for every error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.data.audio_io import read_audio, write_audio
from refbss_cli.main import main

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    code = main(["data", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def as_json(out: str) -> dict[str, Any]:
    assert out.count("\n") == 1
    loaded: dict[str, Any] = json.loads(out)
    return loaded


def test_scan_prints_a_table(capsys: Capture) -> None:
    code, out, err = run(capsys, "scan", "embedded")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "embedded: layout embedded, 10 speakers, 300 files, 0.12 h"
    assert lines[1] == "rates: 8000 Hz (300 files)"
    assert lines[2] == "splits: train 220, validation 20, test 60"
    assert [line.split()[:2] for line in lines[4:-1]][:2] == [["arthur", "30"], ["bella", "30"]]
    assert lines[-1] == "problems: none"
    assert "scanning" in err


def test_scan_as_json_lists_problems(capsys: Capture, tmp_path: Path) -> None:
    for speaker, step in (("ann", 0.1), ("bob", 0.2)):
        (tmp_path / speaker).mkdir()
        write_audio(tmp_path / speaker / "a.wav", np.sin(np.arange(800) * step) / 2, 8000)
    (tmp_path / "ann" / "b.wav").write_bytes(b"")
    code, out, _ = run(capsys, "scan", tmp_path, "--json")
    result = as_json(out)
    assert code == 0
    assert (result["layout"], result["files"], result["rates_hz"]) == ("speakers", 2, {"8000": 2})
    assert result["speakers"]["ann"] == {"files": 1, "seconds": 0.1}
    assert [problem["kind"] for problem in result["problems"]] == ["unreadable"]
    assert result["problems"][0]["path"] == (tmp_path / "ann" / "b.wav").as_posix()


@pytest.mark.parametrize("fmt", ["wav", "flac"])
def test_mix_then_verify(capsys: Capture, tmp_path: Path, fmt: str) -> None:
    out_dir = tmp_path / "set"
    code, out, err = run(
        capsys,
        "mix",
        "--data",
        "embedded",
        "--out",
        out_dir,
        "--n",
        3,
        "--seconds",
        0.5,
        "--speakers",
        3,
        "--noise",
        "pink",
        "--snr-db",
        6,
        6,
        "--seed",
        4,
        "--format",
        fmt,
    )
    assert code == 0
    assert out == f"{out_dir}: 3 mixtures of 3 speakers, 0.5 s at 8000 Hz, split test, seed 4\n"
    assert "mixing" in err
    assert {path.name for path in out_dir.iterdir()} == {"mix", "s1", "s2", "s3", "noise", "manifest.json"}
    code, out, _ = run(capsys, "verify", out_dir)
    sums = "sums: 3 of 3 mixtures held against their parts"
    assert (code, out) == (0, f"{out_dir}: 3 items, 15 files, 8000 Hz\n{sums}\nproblems: none\n")

    path = out_dir / "mix" / f"s4e0i000001.{fmt}"
    x, rate_hz = read_audio(path, dtype="float64")
    x[0, 9] += 0.01
    write_audio(path, x, rate_hz)
    code, out, _ = run(capsys, "verify", out_dir)
    assert code == 1
    assert out.splitlines()[2] == "problems: 2"
    code, out, _ = run(capsys, "verify", out_dir, "--json")
    result = as_json(out)
    assert (code, result["ok"]) == (1, False)
    assert [problem["kind"] for problem in result["problems"]] == ["hash", "sum"]


def test_mix_as_json_with_every_option(capsys: Capture, tmp_path: Path) -> None:
    out_dir = tmp_path / "new" / "set"
    code, out, _ = run(
        capsys,
        "mix",
        "--data",
        "embedded",
        "--out",
        out_dir,
        "--n",
        2,
        "--seconds",
        1,
        "--sources",
        2,
        "--seed",
        1,
        "--only",
        "fay, gus",
        "--gain-db",
        0,
        "--level-dbfs",
        -25,
        -25,
        "--noise",
        "none",
        "--noise",
        "white",
        "--noise-probability",
        0.5,
        "--silence-s",
        0.2,
        0.3,
        "--silence-probability",
        1,
        "--split",
        "train",
        "--json",
    )
    assert code == 0
    assert as_json(out) == {
        "out": out_dir.as_posix(),
        "n": 2,
        "rate_hz": 8000,
        "seconds": 1.0,
        "sources": 2,
        "split": "train",
        "seed": 1,
        "format": "wav",
    }
    manifest = json.loads((out_dir / "manifest.json").read_text())
    assert manifest["speakers"] == {"embedded/fay": 22, "embedded/gus": 22}
    assert manifest["config"]["noise"] == ["none", "white"]
    for item in manifest["items"]:
        assert item["recipe"]["gains_db"] == [0.0, 0.0]
        assert item["recipe"]["level_dbfs"] == pytest.approx(-25)
        assert 1600 <= item["recipe"]["silence"]["frames"] <= 2400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "gone"], "gone: no such folder, wanted a folder of recordings, a CSV manifest or 'embedded'"),
        (["verify", "gone"], "gone: no such folder, wanted mixtures ready made in one of refbss, wsj0-mix, wham, "),
        (["mix", "--data", "gone", "--out", "x"], "gone: no such folder"),
        (["mix", "--out", "x"], "Missing option '--data'"),
        (["mix", "--data", "embedded", "--out", "x", "--sources", 11], "Mixer: split 'test' has 10 speakers, wanted"),
        (
            ["mix", "--data", "embedded", "--out", "x", "--seconds", 0],
            "Invalid value for '--seconds': 0.0 is not in the range",
        ),
        (["mix", "--data", "embedded", "--out", "x", "--noise", "pnik"], "pnik: no such folder, wanted a kind of"),
        (["mix", "--data", "embedded", "--out", "x", "--rate", 16000], "sample rate is 8000 Hz, wanted 16000 Hz"),
        (["mix", "--data", "embedded", "--out", "x", "--only", "eve"], "speaker is 'eve', wanted one of arthur"),
        (["mix", "--data", "embedded", "--out", "x", "--only", "fay,gus", "--only", "eve"], "speaker is 'eve', wanted"),
        (["mix", "--data", "embedded", "--out", "x", "--n", 1000001], "1000001 is not in the range 1<=x<=1000000"),
        (["mix", "--data", "embedded", "--out", "."], ".: is the current folder, wanted a new one"),
    ],
)
def test_errors_are_one_line(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("refbss: error: ") and message in last
    assert not list(tmp_path.iterdir())


def test_a_name_may_hold_a_comma(capsys: Capture, tmp_path: Path) -> None:
    for number, speaker in enumerate(("ann", "bob", "cy, jr")):
        (tmp_path / "corpus" / speaker).mkdir(parents=True)
        write_audio(tmp_path / "corpus" / speaker / "a.wav", np.sin(np.arange(800) * (number + 1) / 10) / 2, 8000)
    out_dir = tmp_path / "set"
    common = ("mix", "--data", tmp_path / "corpus", "--split", "train", "--n", 1, "--seconds", 0.1, "--out", out_dir)
    code, _, _ = run(capsys, *common, "--only", "cy, jr", "--only", "bob")
    assert code == 0
    manifest = json.loads((out_dir / "manifest.json").read_text())
    assert manifest["speakers"] == {"corpus/bob": 1, "corpus/cy, jr": 1}


def test_a_folder_that_holds_files_is_refused_before_anything_is_read(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    code, _, err = run(capsys, "mix", "--data", "gone", "--out", tmp_path)
    assert code == 2
    assert err == f"refbss: error: {tmp_path}: exists and is not an empty folder, wanted a new one\n"
