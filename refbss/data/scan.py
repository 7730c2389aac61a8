"""What a folder of recordings holds, and what is wrong with it: every file is read to its end."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from refbss._checks import InputError, NotFiniteError
from refbss._types import Array
from refbss.data.audio_io import read_audio
from refbss.data.layouts import Entry, listing, with_splits
from refbss.data.problems import Problem, Progress
from refbss.data.speech import SILENT_PEAK
from refbss.data.splits import SPLITS


@dataclass
class ScanReport:
    """Counts of the recordings that can be read, and the problems of all of them.

    ``speakers``: name to (files, seconds). ``rates_hz`` and ``splits``: value to number of files. Kinds of problems:
    unreadable, not finite, silent, stereo, mixed rates, duplicate, ignored.
    """

    root: str
    layout: str
    files: int = 0
    seconds: float = 0.0
    speakers: dict[str, tuple[int, float]] = field(default_factory=dict)
    rates_hz: dict[int, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def hours(self) -> float:
        """Length of all recordings."""
        return self.seconds / 3600


def scan(path: str | Path, progress: Progress | None = None) -> ScanReport:
    """Read every recording of a folder, manifest or ``embedded``. Raises InputError when no layout fits."""
    found = listing(path)
    report = ScanReport(str(path), found.layout)
    rates: Counter[int] = Counter()
    splits: Counter[str] = Counter()
    first: dict[bytes, Entry] = {}
    for number, entry in enumerate(with_splits(found.entries), start=1):
        got = _read(entry, report)
        if got is not None:
            x, rate_hz = got
            rates[rate_hz] += 1
            splits[entry.split or "train"] += 1
            report.files += 1
            report.seconds += x.shape[1] / rate_hz
            files, seconds = report.speakers.get(entry.speaker, (0, 0.0))
            report.speakers[entry.speaker] = (files + 1, seconds + x.shape[1] / rate_hz)
            earlier = first.setdefault(hashlib.sha256(f"{rate_hz} {x.shape}".encode() + x.tobytes()).digest(), entry)
            if earlier is not entry:
                message = f"{entry.path}: {entry.id} has the same samples as {earlier.id}"
                report.problems.append(Problem("duplicate", entry.path, message))
        if progress:
            progress(number, len(found.entries))
    report.speakers = dict(sorted(report.speakers.items()))
    report.rates_hz = dict(sorted(rates.items()))
    report.splits = {split: splits[split] for split in SPLITS}
    if len(rates) > 1:
        counts = ", ".join(f"{rate_hz} Hz in {count} files" for rate_hz, count in report.rates_hz.items())
        report.problems.append(Problem("mixed rates", Path(path), f"{path}: has {counts}, wanted one rate"))
    for stray in found.ignored:
        message = f"{stray}: does not fit the layout {found.layout!r} and is left out"
        report.problems.append(Problem("ignored", stray, message))
    return report


def _read(entry: Entry, report: ScanReport) -> tuple[Array, int] | None:
    """Samples and rate of an entry, its own problems noted; None when it cannot be read."""

    def note(kind: str, message: str) -> None:
        report.problems.append(Problem(kind, entry.path, message))

    try:
        x, rate_hz = read_audio(entry.path, start=entry.start, frames=entry.frames)
    except NotFiniteError as error:
        note("not finite", str(error))
        return None
    except InputError as error:
        note("unreadable", str(error))
        return None
    if x.shape[0] > 1:
        note("stereo", f"{entry.path}: has {x.shape[0]} channels, wanted 1")
    peak = float(np.abs(x).max())
    if peak < SILENT_PEAK:
        note("silent", f"{entry.path}: {entry.id} is silent, its peak is {peak:.1e}")
    return x, rate_hz
