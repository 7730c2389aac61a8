"""A disk that is full: one line that names the file, exit code 1 or 2, what was there stays, nothing half written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import trees

from refbss import InputError
from refbss.data.audio_io import read_audio, write_audio
from refbss.training.checkpoint import load_checkpoint

KB = 1024
PAGE_KB = 4


class Disk:
    """A file system of its own, in memory, with as much room as a test leaves."""

    def __init__(self, root: Path) -> None:
        self.root, self._filling = root, root / "filling"

    def leave(self, kb: int) -> None:
        """Fill it up but for so many kilobytes."""
        self._filling.unlink(missing_ok=True)
        free = os.statvfs(self.root).f_bavail * os.statvfs(self.root).f_frsize
        self._filling.write_bytes(bytes(max(0, free - kb * KB)))

    def files(self) -> dict[str, bytes]:
        """What lies there, the filling left out."""
        found = (path for path in self.root.rglob("*") if path.is_file() and path != self._filling)
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """One of 2 MB. Skips where nothing may be mounted."""
    root = tmp_path / "disk"
    root.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(root)]
    if mount is None or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("only who may mount has a disk that is full")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


class Ran(NamedTuple):
    """Exit code and what was said to the two streams."""

    code: int
    out: str
    err: str


@pytest.fixture
def fails() -> Callable[..., Ran]:
    """Run a command that must fail by one line that names a file, and leave nothing of a temporary name."""

    def run(disk: Disk, named: str, *arguments: object) -> Ran:
        command = [sys.executable, "-m", "refbss_cli.main", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        errors = [line for line in done.stderr.splitlines() if line.startswith("refbss: error: ")]
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
        assert len(errors) == 1 and named in errors[0], (named, done.stderr)
        left = [path for path in disk.root.rglob("*") if path.name.startswith(".") or ".part" in path.name]
        assert not left, left
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("before", [False, True])
def test_audio_is_whole_or_not_there(disk: Disk, suffix: str, before: bool) -> None:
    """At every room that a disk can have. libsndfile keeps the last samples of FLAC to itself and drops the error."""
    x = (0.1 * np.random.default_rng(0).standard_normal(6000)).astype(np.float32)
    path, seen = disk.root / f"a.{suffix}", set()
    for room in range(0, 60, PAGE_KB):
        path.unlink(missing_ok=True)
        if before:
            write_audio(path, x[:100], 8000)
        disk.leave(room)
        try:
            write_audio(path, x, 8000)
            assert np.abs(read_audio(path)[0][0] - x).max() < 1e-6
            seen.add("written")
        except InputError as error:
            assert f"a.{suffix}: cannot be written" in str(error)
            assert set(disk.files()) == ({path.name} if before else set())
            assert not before or read_audio(path)[0].shape == (1, 100)
            seen.add("refused")
    assert seen == {"written", "refused"}


def test_separate(disk: Disk, tmp_path: Path, fails: Callable[..., Ran]) -> None:
    write_audio(tmp_path / "talk.wav", 0.1 * np.random.default_rng(0).standard_normal(40_000), 8000)
    (disk.root / "talk_est1.wav").write_bytes(b"of before")
    disk.leave(100)
    fails(disk, "talk_est", "separate", tmp_path / "talk.wav", "--out", disk.root)
    assert disk.files() == {"talk_est1.wav": b"of before"}


@pytest.mark.parametrize("room", [60, 100, 140])
def test_a_stream_into_files(disk: Disk, tmp_path: Path, fails: Callable[..., Ran], room: int) -> None:
    """Whichever of the files is full first, none of them takes its name."""
    write_audio(tmp_path / "talk.wav", 0.1 * np.random.default_rng(0).standard_normal(40_000), 8000)
    (disk.root / "talk_est2.wav").write_bytes(b"of before")
    disk.leave(room)
    fails(disk, "talk_est", "stream", "--in", tmp_path / "talk.wav", "--out", disk.root / "talk", "--chunk", 3000)
    assert disk.files() == {"talk_est2.wav": b"of before"}


def test_a_stream_into_a_pipe_and_its_state(disk: Disk, tmp_path: Path) -> None:
    write_audio(tmp_path / "talk.wav", 0.1 * np.random.default_rng(0).standard_normal(40_000), 8000)
    (disk.root / "state").write_bytes(b"of before")
    disk.leave(40)
    command = [sys.executable, "-m", "refbss_cli.main", "stream", "--in", str(tmp_path / "talk.wav")]
    with (disk.root / "out.wav").open("wb") as out:
        done = subprocess.run([*command, "--save", str(disk.root / "state")], stdout=out, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"standard output: No space left on device" in done.stderr
    assert (disk.root / "state").read_bytes() == b"of before"


def test_data_mix(disk: Disk, fails: Callable[..., Ran]) -> None:
    disk.leave(300)
    fails(disk, ".wav: cannot be written", "data", "mix", "--data", "embedded", "--n", 30, "--out", disk.root / "set")
    assert disk.files() == {}


def test_a_report_of_an_evaluation(disk: Disk, fails: Callable[..., Ran]) -> None:
    (disk.root / "out").mkdir()
    (disk.root / "out" / "index.html").write_text("of before")
    disk.leave(8)
    arguments = ("evaluate", "--data", "embedded", "--n", 2, "--seconds", 1, "--report", disk.root / "out")
    fails(disk, "out/index.html: No space left on device", *arguments)
    assert disk.files() == {"out/index.html": b"of before"}


@pytest.mark.parametrize("room", [0, PAGE_KB])
def test_a_report_of_a_run(disk: Disk, tmp_path: Path, fails: Callable[..., Ran], room: int) -> None:
    (tmp_path / "run").mkdir()
    trees.run_log(tmp_path / "run")
    (disk.root / "page.html").write_text("of before")
    disk.leave(room)
    fails(disk, "page.html: No space left on device", "report", tmp_path / "run", "--out", disk.root / "page.html")
    assert disk.files() == {"page.html": b"of before"}


def test_score(disk: Disk, tmp_path: Path, fails: Callable[..., Ran]) -> None:
    trees.scored(tmp_path / "given")
    (disk.root / "scores.csv").write_text("of before")
    disk.leave(0)
    folders = ("--ref", tmp_path / "given" / "ref", "--est", tmp_path / "given" / "est")
    fails(disk, "scores.csv: No space left on device", "score", *folders, "--csv", disk.root / "scores.csv")
    assert disk.files() == {"scores.csv": b"of before"}


def test_evaluate_as_a_table(disk: Disk, fails: Callable[..., Ran]) -> None:
    disk.leave(0)
    arguments = ("evaluate", "--data", "embedded", "--n", 2, "--seconds", 1, "--csv", disk.root / "scores.csv")
    fails(disk, "scores.csv: No space left on device", *arguments)
    assert disk.files() == {}


def test_convert(disk: Disk, tmp_path: Path, fails: Callable[..., Ran]) -> None:
    trees.tensors(tmp_path)
    (disk.root / "out.npz").write_text("of before")
    disk.leave(0)
    files, layouts = (tmp_path / "in.safetensors", disk.root / "out.npz"), ("--from", "torch", "--to", "onnx")
    fails(disk, "out.npz: No space left on device", "convert", *files, *layouts)
    assert disk.files() == {"out.npz": b"of before"}


def test_an_export_of_vectors(disk: Disk, fails: Callable[..., Ran]) -> None:
    """What was cut short accounts for itself, so the next export may take its place."""
    disk.leave(40)
    fails(disk, "No space left on device", "vectors", "export", disk.root / "vectors", "gru")
    disk.leave(1500)
    command = [sys.executable, "-m", "refbss_cli.main", "vectors", "export", str(disk.root / "vectors"), "gru"]
    assert subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("as_json", [False, True])
def test_results_that_do_not_fit(as_json: bool) -> None:
    command = [sys.executable, "-m", "refbss_cli.main", "vectors", "list", "tanh", *["--json"] * as_json]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "refbss: error: standard output: No space left on device\n"


CONFIG = """
[model]
conv_channels = [12, 16, 16]
gru_hidden = 16
latent = 16
time_constants = 2
theta_init = [1.0, -1.0]
[mix]
seconds = 0.25
[train]
batch = 2
workers = 1
checkpoint_every = 1
validate_every = 0
"""


def test_train(disk: Disk, tmp_path: Path, fails: Callable[..., Ran]) -> None:
    """The checkpoint of before stays, can be used, and the run goes on from it once there is room."""
    (tmp_path / "tiny.toml").write_text(CONFIG)
    out = disk.root / "run"
    command = ["train", tmp_path / "tiny.toml", "--data", "embedded", "--out", out]
    disk.leave(100)
    fails(disk, "run/last: cannot be written", *command, "--steps", 4)
    assert sorted(disk.files()) == ["run/config.toml", "run/log.jsonl"]
    disk.leave(300)
    fails(disk, "run/last: cannot be written", *command, "--steps", 4, "--resume")
    assert load_checkpoint(out, optimizer=True).state["step"] == 1
    disk.leave(1500)
    whole = [sys.executable, "-m", "refbss_cli.main", *map(str, command), "--steps", "4", "--resume"]
    done = subprocess.run(whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(out, optimizer=True).state["step"] == 4
    assert (out / "log.jsonl").read_text().count("\n") == 4
