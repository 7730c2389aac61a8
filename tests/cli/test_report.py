"""refbss report: a page of one run or two, and its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps."""
    from refbss_cli.main import main

    folder = tmp_path_factory.mktemp("runs") / "one"
    small = [
        "mix.seconds=0.25",
        "train.batch=2",
        "train.shards=2",
        "train.validate_every=2",
        "train.validation_items=2",
    ]
    changes = [part for text in small for part in ("--set", text)]
    assert main(["train", "lvbd-tiny", "--data", "embedded", "--out", str(folder), "--steps", "6", *changes]) == 0
    return folder


def test_one_run(run: Run, trained: Path) -> None:
    ran = run("report", trained)
    path = trained / "report.html"
    assert (ran.code, ran.out, ran.err) == (0, f"wrote {path}\n", "")
    text = path.read_text(encoding="utf-8")
    for title in ("Loss", "Validation", "Gradient norm", "Learning rate", "Reconstruction", "Divergence"):
        assert f"<figcaption>{title}" in text, title
    for title in ("Permutation", "Mixture", "Activity", "First moments", "Effect on the separator"):
        assert f"<figcaption>{title}" in text, title
    assert "conv_channels = [12, 16, 16]" in text and 'src="http' not in text
    again = run("report", trained)
    assert again.code == 0 and path.read_text(encoding="utf-8") == text


def test_two_runs(run: Run, trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "<b>other"
    other.mkdir()
    lines = (trained / "log.jsonl").read_text().splitlines(keepends=True)
    (other / "log.jsonl").write_text("".join(lines[:4]) + lines[4][:30])
    ran = run("report", trained, other, "--out", tmp_path / "both.html", "--json")
    assert ran.code == 0 and ran.out.count("\n") == 1
    result = json.loads(ran.out)
    assert result["report"] == (tmp_path / "both.html").as_posix()
    one, two = result["runs"]
    assert (one["run"], one["steps"], one["notes"]) == (str(trained), 6, [])
    assert (two["run"], two["steps"]) == (str(other), 4) and "line of the log, 5, is torn" in two["notes"][0]
    assert one["best_validation_db"] == json.loads((trained / "best" / "state.json").read_text())["best"]
    text = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;other" in text and "<b>other" not in text
    said = run("report", other, "--out", tmp_path / "one.html")
    assert said.code == 0 and said.out.startswith(f"{other}: The last line of the log, 5, is torn")


def test_errors(run: Run, trained: Path, tmp_path: Path) -> None:
    for arguments, message in [
        ((tmp_path / "none",), "none: is no folder, wanted that of a run"),
        ((tmp_path,), "holds no log.jsonl, wanted the folder of a run"),
        (("bundled",), "bundled: is no folder, wanted that of a run"),
        ((trained, trained, trained), "3 runs came, wanted one or two"),
        ((), "Missing argument"),
        ((trained, "--out", tmp_path), "cannot be written, it is a folder; wanted a file name"),
        ((trained, "--out", tmp_path / "none" / "x.html"), "does not exist"),
    ]:
        ran = run("report", *arguments)
        assert (ran.code, ran.out) == (2, "") and message in ran.err.splitlines()[-1], ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("the page of before")

    def full(part: Path, *_: object, **__: object) -> None:
        part.write_bytes(b"half a pa")
        raise OSError(28, "No space left on device", str(part))

    monkeypatch.setattr(Path, "write_text", full)
    ran = run("report", trained, "--out", path)
    assert (ran.code, ran.out) == (1, "") and "No space left on device" in ran.err and ran.err.count("\n") == 1
    assert path.read_bytes() == b"the page of before" and list(tmp_path.iterdir()) == [path]
