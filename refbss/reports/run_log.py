"""The folder of a run read for a report: its log as it is, whole or damaged, its configuration, its last checkpoint.

What cannot be used is left out and said, not guessed: a last line that a kill has torn, lines that are no JSON, steps
that were made again after a resume, values that are not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refbss._checks import InputError
from refbss._files import contents, opened, parse_json, parse_toml, read_text
from refbss._types import Array
from refbss.training.checkpoint import stored_checkpoint
from refbss.training.run_folder import log_line

LOG, CONFIG = "log.jsonl", "config.toml"
PLAIN = ("loss", "grad_norm", "learning_rate", "seconds", "validation_db")
"""Keys of a line that hold one number."""
MOST_NAMED = 5
"""Lines that are named by their numbers at most."""


LARGEST = 1e100
"""Beyond it a value counts as infinite, below its inverse as zero: axes would pass the range of floats."""


class Line(NamedTuple):
    """One step of a log; values by name, those of the memory bank as ``memory.m.0`` and so on."""

    step: int
    values: dict[str, float]


class Run(NamedTuple):
    """A run: what it is called, its steps in rising order (n,), every value (n,) by name with NaN where there is none.

    ``config`` holds the keys of config.toml as ``section.key``, ``text`` the file; ``state`` what the last checkpoint
    knows. ``notes`` are sentences on what was left out or is missing.
    """

    name: str
    steps: Array
    values: dict[str, Array]
    config: dict[str, Any]
    text: str
    state: dict[str, Any]
    notes: tuple[str, ...]

    def get(self, name: str) -> Array:
        """The values of that name; all NaN where the log has none."""
        return self.values.get(name, np.full(len(self.steps), np.nan))

    def number(self, key: str) -> float | None:
        """What the configuration has under a key; None where that is no number, or beyond LARGEST."""
        value = self.config.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
            return float(value)
        return None

    def members(self, prefix: str) -> list[str]:
        """The names that begin with this and a dot, in the order of the log."""
        return [name for name in self.values if name.startswith(f"{prefix}.")]


def read_run(folder: Path) -> Run:
    """Read the run in a folder. Raises InputError: there is no log, or no line in it is one of a log."""
    path = folder / LOG
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder, wanted that of a run")
    if not path.is_file():
        raise InputError(f"{folder}: holds no {LOG}, wanted the folder of a run")
    notes: list[str] = []
    lines = _in_order(list(_lines(path, notes)), notes)
    if not lines:
        raise InputError(f"{path}: holds no step, wanted a line of JSON for each")
    names = list(dict.fromkeys(name for line in lines for name in line.values))
    values = {name: np.array([line.values.get(name, math.nan) for line in lines]) for name in names}
    config, text = _config(folder / CONFIG, notes)
    return Run(str(folder), np.array([line.step for line in lines]), values, config, text, _state(folder), tuple(notes))


def _lines(path: Path, notes: list[str]) -> Iterator[Line]:
    damaged, odd = list[int](), 0
    number, torn = 0, False
    with opened(path) as file:
        for number, raw in enumerate(file, start=1):
            try:
                content = log_line(raw)
            except ValueError:
                torn = not raw.endswith(b"\n")
                damaged += [] if torn else [number]
                continue
            values = dict(_numbers(content))
            odd += sum(not math.isfinite(value) for value in values.values())
            yield Line(content["step"], values)
    if torn:
        notes.append(f"The last line of the log, {number}, is torn, as a kill leaves it: it is left out.")
    if damaged:
        named = ", ".join(map(str, damaged[:MOST_NAMED])) + (", .." if len(damaged) > MOST_NAMED else "")
        notes.append(f"{len(damaged)} lines of the log are damaged and left out: {named}.")
    if odd:
        notes.append(f"{odd} values of the log are not finite: curves have gaps there.")


def _numbers(content: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a line by name; null and whatever is no number are left out."""
    terms, memory = content.get("terms"), content.get("memory")
    found: list[tuple[str, Any]] = [(name, content.get(name)) for name in PLAIN]
    found += [(f"terms.{name}", value) for name, value in terms.items()] if isinstance(terms, dict) else []
    for name, value in memory.items() if isinstance(memory, dict) else ():
        many = enumerate(value) if isinstance(value, list) else [(0, value)]
        found += [(f"memory.{name}.{k}", one) for k, one in many]
    for name, value in found:
        if isinstance(value, int | float) and not isinstance(value, bool):
            seen = 0.0 if abs(value) < 1 / LARGEST else value
            yield name, math.copysign(math.inf, 1 if seen > 0 else -1) if abs(seen) > LARGEST else float(seen)


def _in_order(lines: list[Line], notes: list[str]) -> list[Line]:
    """Rising steps: where a resumed run made steps again, the later lines count."""
    kept: list[Line] = []
    again = 0
    for line in lines:
        while kept and kept[-1].step >= line.step:
            kept.pop()
            again += 1
        kept.append(line)
    if again:
        notes.append(f"{again} steps were made again after the run was resumed: the later lines count.")
    missing = kept[-1].step - kept[0].step + 1 - len(kept) if kept else 0
    if missing:
        notes.append(f"{missing} steps between the first and the last have no line.")
    return kept


def _config(path: Path, notes: list[str]) -> tuple[dict[str, Any], str]:
    try:
        text = read_text(path)
        sections = parse_toml(text)
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        notes.append(f"{path.name} cannot be read ({what}): there is no configuration to show.")
        return {}, ""
    flat: dict[str, Any] = {}
    for section, values in sections.items():
        flat |= {f"{section}.{key}": value for key, value in values.items()} if isinstance(values, dict) else {}
    return flat, text


def _state(folder: Path) -> dict[str, Any]:
    """What the last checkpoint knows of the run; nothing where there is none that can be read."""
    found = stored_checkpoint(folder / "last") or stored_checkpoint(folder / "best")
    try:
        state = parse_json(contents(found / "state.json")) if found else {}
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
