"""A short run over damaged files of every kind, and the harness itself: a number is a file, and faults show."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cases
import pytest
import runner
from cases import case_of
from child import outcome
from kinds import KINDS, Kind
from trees import built

COUNT = 100
NEVER_WHOLE = {"archive", "export"}
"""Kinds of which all damage may be refused: what is no archive of FSDD, an export that somebody has changed."""


def test_damaged_files_of_every_kind(figures: dict[str, str]) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        work = {name: pool.submit(runner.read_cases, name, 0, 0, round(COUNT * k.share)) for name, k in KINDS.items()}
        tallies = {name: one.result() for name, one in work.items()}
    defects = [defect for tally in tallies.values() for defect in tally.defects]
    assert not defects, "\n".join(
        f"python tests/robustness --replay {d.kind!r} {d.seed} {d.number}: {d.what}" for d in defects
    )
    for name, tally in tallies.items():
        assert tally.cases == round(COUNT * KINDS[name].share)
        assert tally.outcomes["refused"] or name == "answers", f"{name}: all damage is accepted"
        assert tally.outcomes["accepted"] or name in NEVER_WHOLE, f"{name}: all is refused, so little of it is read"
    figures["damaged files"] = (
        f"{sum(tally.cases for tally in tallies.values())} of {len(KINDS)} kinds in {time.monotonic() - began:.0f} s, "
        f"largest growth of memory {max(tally.peak_kb for tally in tallies.values()) / 1024:.0f} MB"
    )


@pytest.mark.parametrize("name", ["wav", "set", "npz", "kaldi"])
def test_a_number_is_a_file(name: str, tmp_path: Path) -> None:
    valid = built(KINDS[name].build, tmp_path / "valid")
    made = [case_of(KINDS[name], valid, 1, number) for number in range(30)]
    assert made == [case_of(KINDS[name], valid, 1, number) for number in range(30)]
    assert len({repr(case) for case in made}) > 25
    assert made != [case_of(KINDS[name], valid, 2, number) for number in range(30)]


def test_the_files_are_the_same_in_every_process(tmp_path: Path) -> None:
    """What replays a failure is kind, seed and number: hashes of strings, which differ by process, must not count."""
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from cases import case_of; from kinds import KINDS; from trees import built\n"
        "for name in ('toml', 'checkpoint', 'librimix', 'safetensors'):\n"
        "    valid = built(KINDS[name].build, Path(sys.argv[2]) / name)\n"
        "    print(hashlib.sha256(repr([case_of(KINDS[name], valid, 5, n) for n in range(40)]).encode()).hexdigest())\n"
    )
    said = []
    for one in "ab":
        (tmp_path / one).mkdir()
        command = [sys.executable, "-c", code, str(Path(cases.__file__).parent), str(tmp_path / one)]
        said.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert said[0] == said[1] and said[0].count("\n") == 4


def _kind(read: object) -> Kind:
    return KINDS["toml"]._replace(read=read)


def _raise(error: BaseException) -> object:
    def read(path: Path) -> None:
        raise error

    return read


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        RecursionError(),
        MemoryError(),
        OverflowError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        OSError(5, "names no file"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_counts_as_a_defect(tmp_path: Path, error: Exception) -> None:
    assert outcome(_kind(_raise(error)), tmp_path, "run.toml")[0] == "defect"


def test_what_counts_as_refused(tmp_path: Path) -> None:
    from refbss import InputError

    for error in (InputError(f"{tmp_path}/run.toml: is odd"), FileNotFoundError(2, "no", "run.toml")):
        assert outcome(_kind(_raise(error)), tmp_path, "run.toml")[0] == "refused"


CHILD = """
import os, sys, time
for number in range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[4])):
    print("begin", number, flush=True)
    if number == 3:
        os.kill(os.getpid(), 11)
    if number == 5:
        time.sleep(60)
    print("end", number, '"accepted"', '""', sep="\\t", flush=True)
print("peak", 7, flush=True)
"""


def test_a_crash_and_a_hang_are_seen_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setattr(runner, "HERE", tmp_path)
    monkeypatch.setattr(runner, "LIMIT_S", 0.5)
    tally = runner.read_cases("toml", 0, 0, 8)
    assert [(defect.number, defect.what[:25]) for defect in tally.defects] == [
        (3, "process ended with -11: "),
        (5, "no end after 0.5 s"),
    ]
    assert tally.outcomes == {"accepted": 6, "defect": 2} and tally.peak_kb == 7
