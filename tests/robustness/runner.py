"""Starts the processes that read damaged files, watches the clock, and goes on after one that died."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
LIMIT_S = 10.0
"""Wall seconds for one file, on a machine that does other work too."""
START_S = 600.0
"""Wall seconds until the first file: kernels may have to be compiled."""


class Defect(NamedTuple):
    """A case whose reading ended as it must not; ``kind seed number`` replays it."""

    kind: str
    seed: int
    number: int
    what: str


@dataclass
class Tally:
    """What became of the cases of a kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    defects: list[Defect] = field(default_factory=list)
    seconds: float = 0.0
    peak_kb: int = 0
    slowest_s: float = 0.0

    @property
    def cases(self) -> int:
        """How many were read."""
        return self.outcomes.total()


class _Child:
    """A process and its lines, with a clock."""

    def __init__(self, kind: str, seed: int, first: int, count: int) -> None:
        command = [sys.executable, str(HERE / "child.py"), kind, str(seed), str(first), str(count)]
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "NUMBA")}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **threads}
        )
        assert self.process.stdout is not None
        self._pipe, self._held = self.process.stdout.fileno(), b""

    def lines(self) -> Iterator[str | None]:
        """Its lines; None where it says nothing in time, and then nothing more."""
        limit = START_S
        while True:
            ready, _, _ = select.select([self._pipe], [], [], limit)
            if not ready:
                self.process.kill()
                yield None
                return
            came = os.read(self._pipe, 2**16)
            if not came:
                return
            *whole, self._held = (self._held + came).split(b"\n")
            for line in whole:
                limit = LIMIT_S
                yield line.decode()

    def ended(self) -> str:
        """How it ended, with the last it said on stderr."""
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode(errors="replace")[-1500:]
        return f"process ended with {self.process.wait()}: {said}"


def read_cases(kind: str, seed: int, first: int, count: int) -> Tally:
    """Read so many cases of a kind, each in a process whose death is noticed. Raises RuntimeError: none can be read."""
    tally, began, last = Tally(), time.monotonic(), first + count
    while first < last:
        child, number, since, late = _Child(kind, seed, first, last - first), None, 0.0, False
        for line in child.lines():
            late = line is None
            word, *rest = (line or "late").split(None if (line or "").startswith("begin") else "\t")
            if word == "begin":
                number, since = int(rest[0]), time.monotonic()
            elif word == "end":
                _count(tally, kind, seed, int(rest[0]), json.loads(rest[1]), json.loads(rest[2]))
                tally.slowest_s, number = max(tally.slowest_s, time.monotonic() - since), None
                first = int(rest[0]) + 1
            elif word.startswith("peak"):
                tally.peak_kb = max(tally.peak_kb, int(word.split()[1]))
        how = child.ended()
        if number is not None:
            _count(tally, kind, seed, number, "defect", f"no end after {LIMIT_S:g} s" if late else how)
            first = number + 1
        elif first < last:
            raise RuntimeError(f"{kind}: {how}")
    tally.seconds = time.monotonic() - began
    return tally


def _count(tally: Tally, kind: str, seed: int, number: int, outcome: str, what: str) -> None:
    tally.outcomes[outcome] += 1
    if outcome == "defect":
        tally.defects.append(Defect(kind, seed, number, what))
