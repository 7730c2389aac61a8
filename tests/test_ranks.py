"""Several processes are one: training, evaluation and separation give the same bits on any number of ranks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from refbss import InputError
from refbss.data.audio_io import write_audio
from refbss.ranks import LAUNCHERS, Ranks, world

MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
TRAIN = (
    "train", "lvbd-tiny", "--data", "embedded", "--seed", "3", "--set", "mix.seconds=0.25",
    "--set", "train.validate_every=4", "--set", "train.validation_items=3", "--set", "train.checkpoint_every=2",
)  # fmt: skip

pytest.importorskip("mpi4py")
needs_mpi = pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is not installed")


def start(ranks: int, *arguments: object, **more: Any) -> subprocess.Popen[str]:
    """Start the command line on so many ranks, a worker thread each; without mpiexec where ``ranks`` is 0."""
    command = [sys.executable, "-m", "refbss_cli.main", *map(str, arguments)]
    if ranks:
        assert MPIEXEC is not None
        command = [MPIEXEC, "-n", str(ranks), *command]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def run(ranks: int, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    process = start(ranks, *arguments)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def trained(folder: Path, ranks: int, *more: str) -> Path:
    code, _, err = run(ranks, *TRAIN, "--steps", "6", "--set", "train.workers=1", "--out", folder, *more)
    assert code == 0, err
    return folder


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Parameters and the optimiser's moments of the last checkpoint."""
    return load_file(folder / "last" / "model.safetensors") | load_file(folder / "last" / "optim.safetensors")


def log(folder: Path) -> list[dict[str, Any]]:
    """The log without its times."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a single process."""
    return trained(tmp_path_factory.mktemp("alone") / "run", 0)


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 3])
def test_training_on_ranks_is_training(alone: Path, tmp_path: Path, ranks: int) -> None:
    folder = trained(tmp_path / "run", ranks)
    assert log(folder) == log(alone)
    wanted, got = weights(alone), weights(folder)
    assert wanted.keys() == got.keys() and len(wanted) > 100
    for name, array in wanted.items():
        assert np.array_equal(got[name], array), name


@needs_mpi
def test_inexact_sums_are_close(alone: Path, tmp_path: Path, figures: dict[str, str]) -> None:
    folder = trained(tmp_path / "run", 2, "--set", "train.exact=false")
    wanted, got = np.array([line["loss"] for line in log(alone)]), np.array([line["loss"] for line in log(folder)])
    difference = float(np.abs(wanted - got).max() / np.abs(wanted).max())
    same = all(np.array_equal(a, b) for a, b in zip(weights(alone).values(), weights(folder).values(), strict=True))
    assert not same, "two sums of two and a sum of four must round differently somewhere"
    figures["losses of six steps, Allreduce against one process"] = f"{difference:.1e}"
    assert difference < 1e-4


def processes(parent: int) -> list[int]:
    """The ranks: processes below ``parent`` that run Python."""
    found, waiting = [], [parent]
    while waiting:
        pid = waiting.pop()
        children = Path(f"/proc/{pid}/task/{pid}/children")
        try:
            below = [int(child) for child in children.read_text().split()]
        except OSError:
            continue
        waiting += below
        for child in below:
            try:
                if "refbss_cli.main" in Path(f"/proc/{child}/cmdline").read_text():
                    found.append(child)
            except OSError:
                continue
    return [pid for pid in found if "mpiexec" not in Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]]


@needs_mpi
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the ranks are found in /proc")
def test_a_rank_that_is_killed_ends_the_job_and_keeps_the_checkpoint(alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    steps = ("--steps", "6", "--set", "train.workers=1", "--out", str(folder))
    process = start(2, *TRAIN, *steps)
    deadline = time.monotonic() + 120
    while not (folder / "last" / "state.json").exists():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.001)
    last = processes(process.pid)[-1:]
    for pid in last:
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    if last:
        assert process.returncode != 0
        assert "Killed" in err or "KILLED" in err.upper() or "signal 9" in err
    code, _, err = run(0, *TRAIN, *steps, "--resume")
    assert code == 0, err
    for name, array in weights(alone).items():
        assert np.array_equal(weights(folder)[name], array), f"{name}: resumed on one process, begun on two ranks"


@needs_mpi
def test_an_error_is_said_once_and_ends_the_job(tmp_path: Path) -> None:
    code, out, err = run(5, *TRAIN, "--steps", "2", "--out", tmp_path / "run")
    assert code == 2 and out == ""
    assert err.count("refbss: error: train: train.shards is 4, wanted at least 5, one for each rank") == 1


@needs_mpi
def test_a_batch_has_an_item_for_each_rank(tmp_path: Path) -> None:
    code, _, err = run(2, *TRAIN, "--steps", "2", "--out", tmp_path / "run", "--set", "train.batch=1")
    assert code == 2 and "Traceback" not in err
    assert err.count("refbss: error: train: train.batch is 1, wanted at least 2, one for each rank") == 1


ABORT = """
import os, sys
from refbss.ranks import Ranks

class Job:
    Get_rank, Get_size = (lambda self: 0), (lambda self: 2)
    Abort = staticmethod(os._exit)

print("what went wrong", file=sys.stderr, flush=True)
Ranks(Job()).abort(3)
"""


def test_an_abort_waits_until_the_launcher_has_read_why() -> None:
    process = subprocess.Popen([sys.executable, "-c", ABORT], stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3.0)
    assert process.stderr is not None and process.stderr.readline() == "what went wrong\n"
    assert process.wait(10.0) == 3


def test_an_abort_does_not_wait_for_a_launcher_that_hangs() -> None:
    with subprocess.Popen([sys.executable, "-c", ABORT], stderr=subprocess.PIPE) as process:
        assert process.wait(60.0) == 3


def unlike(first: list[object], second: list[object]) -> tuple[int, str]:
    """Exit code and stderr of two ranks that were started with different arguments."""
    assert MPIEXEC is not None
    command = [sys.executable, "-m", "refbss_cli.main"]
    parts = [MPIEXEC, "-n", "1", *command, *map(str, first), ":", "-n", "1", *command, *map(str, second)]
    done = subprocess.run(parts, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


@needs_mpi
@pytest.mark.parametrize(
    ("key", "value", "came"),
    [
        ("train.learning_rate", "0.5", "0.5"),
        ("train.exact", "false", "False"),
        ("mix.gain_db", "9.0", "9.0"),
        ("train.validate_every", "1", "1"),
    ],
)
def test_ranks_that_would_train_something_else_are_refused(tmp_path: Path, key: str, value: str, came: str) -> None:
    asked = [*TRAIN, "--steps", 2, "--out", tmp_path / "run"]
    code, err = unlike(asked, [*asked, "--set", f"{key}={value}"])
    assert code == 2 and f"train: {key} on rank 1 is {came}, wanted" in err and "Traceback" not in err, err


@needs_mpi
def test_only_the_number_of_workers_may_differ(alone: Path, tmp_path: Path) -> None:
    asked = [*TRAIN, "--steps", 6, "--out", tmp_path / "run"]
    code, err = unlike(asked, [*asked, "--set", "train.workers=1"])
    assert code == 0, err
    assert all(np.array_equal(weights(tmp_path / "run")[name], array) for name, array in weights(alone).items())


@needs_mpi
def test_ranks_that_would_score_or_separate_something_else_are_refused(tmp_path: Path) -> None:
    asked = ["evaluate", "--data", "embedded", "--n", 2, "--seconds", 1]
    code, err = unlike(asked, [*asked, "--seed", 77])
    assert code == 2 and "evaluate: seed on rank 1 is 77, wanted 1 as on rank 0" in err, err
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for file in files:
        write_audio(file, np.full((1, 4000), 0.1), 8000)
    asked = ["separate", "--out", tmp_path / "out", files[0]]
    code, err = unlike([*asked, files[1]], asked)
    assert code == 2 and "separate: files on rank 1 is" in err and not (tmp_path / "out").exists(), err


@needs_mpi
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the ranks are found in /proc")
@pytest.mark.parametrize("last", [False, True])
def test_a_rank_that_is_told_to_stop_ends_the_job(last: bool) -> None:
    process = start(2, "evaluate", "--data", "embedded", "--n", "2000")
    deadline = time.monotonic() + 60
    while len(processes(process.pid)) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    time.sleep(2.0)
    os.kill(processes(process.pid)[-1 if last else 0], signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode != 0


@needs_mpi
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the ranks are found in /proc")
def test_the_first_rank_says_what_stopped_another(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(2, *TRAIN, "--steps", "100000", "--out", folder)
    deadline = time.monotonic() + 120
    while not (folder / "last" / "state.json").exists():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(processes(process.pid)[-1], signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "Stopped by SIGTERM; saved" in err, err


@needs_mpi
def test_an_error_of_another_rank_is_said(tmp_path: Path) -> None:
    rate = "train.learning_rate=1e30"
    code, _, err = run(
        2, *TRAIN, "--steps", "9", "--out", tmp_path / "run", "--set", rate, "--set", "train.clip_norm=1e30"
    )
    assert code != 0
    assert err.count("is not finite") == 1 and "refbss: error: step" in err, err


@needs_mpi
def test_evaluation_on_ranks(tmp_path: Path) -> None:
    results = []
    for ranks in (0, 2):
        table = tmp_path / f"{ranks}.csv"
        code, out, err = run(
            ranks, "evaluate", "--data", "embedded", "--n", 5, "--seconds", 1, "--csv", table, "--json"
        )
        assert code == 0, err
        report = json.loads(out)
        del report["rtf"]
        results.append((report, table.read_text()))
    assert results[0] == results[1] and results[0][0]["n"] == 5


@needs_mpi
def test_separation_on_ranks(tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.Philox(5))
    files = []
    for name in "abc":
        files.append(tmp_path / f"{name}.wav")
        write_audio(files[-1], (0.1 * rng.standard_normal(3000)).astype(np.float32), 8000)
    files.insert(1, tmp_path / "missing.wav")
    said = []
    for ranks in (0, 2):
        code, out, err = run(ranks, "separate", *files, "--out", tmp_path / str(ranks), "--json")
        assert code == 1 and err.count("missing.wav: no such file") == 1, err
        report = json.loads(out)
        said.append([(Path(entry["file"]).name, entry["error"]) for entry in report["files"]])
        assert report["failed"] == 1
    assert said[0] == said[1]
    written = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert len(written) == 6 and written == sorted(path.name for path in (tmp_path / "2").iterdir())
    for name in written:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.parametrize("count", [0, 1, 7, 8])
def test_shares_cover_everything_in_order(count: int) -> None:
    ranks = Ranks()
    assert list(ranks.mine(range(count))) == list(range(count))
    together: list[int] = []
    for rank in range(3):
        ranks.rank, ranks.size = rank, 3
        together += ranks.mine(range(count))
    assert together == list(range(count))


def test_a_launcher_without_mpi4py_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    world.cache_clear()
    assert world().size == 1
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    world.cache_clear()
    with pytest.raises(InputError, match=r"2 processes were started .* wanted mpi4py"):
        world()
    world.cache_clear()


SCRIPT = """
import numpy as np
from refbss.ranks import world

ranks = world()
assert ranks.size == 3 and ranks.local() == 3
assert ranks.share({"rank": ranks.rank, "long": "x" * 1000 * ranks.rank})[2]["rank"] == 2
rows = np.arange(2 + ranks.rank, dtype=np.float32)[:, None] + 10 * ranks.rank + np.zeros(4, np.float32)
together = ranks.gather_rows(rows, 9)
assert np.array_equal(together[:, 3], [0, 1, 10, 11, 12, 20, 21, 22, 23]), together
assert np.array_equal(ranks.add_up(np.full(5, ranks.rank + 1.0)), np.full(5, 6.0))
doubled = ranks.spread(lambda work, many: [work(one) for one in many])(lambda one: 2 * one, range(10))
assert doubled == [2 * i for i in range(10)]
if ranks.first:
    print("well")
"""


@needs_mpi
def test_exchanges() -> None:
    assert MPIEXEC is not None
    command = [MPIEXEC, "-n", "3", sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
