"""What mixtures ready made a path holds: every part of it, with the headers of its mixtures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from refbss._checks import InputError
from refbss.data.audio_io import AudioReader
from refbss.data.corpora.part import Choice, Part, within
from refbss.data.corpora.registry import Found
from refbss.data.problems import Problem, Progress


@dataclass(frozen=True)
class Row:
    """One part: how many mixtures it has, their length together, and how many have which sample rate."""

    part: Part
    mixtures: int
    seconds: float
    rates_hz: dict[int, int]


@dataclass(frozen=True)
class Inventory:
    """The parts of a path, and the lists, folders and mixtures that cannot be used."""

    root: str
    layout: str
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]


def inventory(path: str | Path, found: Found, choice: Choice, progress: Progress | None = None) -> Inventory:
    """Read the header of every mixture, not its sources. Raises InputError: ``choice`` does not fit, a damaged list."""
    parts = within(path, found.parts, choice)
    contents = [part.read() for part in parts]
    problems = [problem for content in contents for problem in content.problems]
    total, done, rows = sum(len(content.mixtures) for content in contents), 0, list[Row]()
    for part, content in zip(parts, contents, strict=True):
        seconds, rates = 0.0, Counter[int]()
        for mixture in content.mixtures:
            try:
                with AudioReader(mixture.files["mix"]) as reader:
                    seconds += reader.frames / reader.rate_hz
                    rates[reader.rate_hz] += 1
            except InputError as error:
                problems.append(Problem("unreadable", Path(mixture.files["mix"]), str(error)))
            done += 1
            if progress:
                progress(done, total)
        rows.append(Row(part, len(content.mixtures), seconds, dict(sorted(rates.items()))))
    return Inventory(str(path), found.layout, tuple(rows), tuple(problems))
