"""The folder of a run: one training at a time, a log that fits the checkpoint, and where to go on from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refbss._checks import InputError
from refbss._files import contents, parse_json, replaced
from refbss.training.checkpoint import MOST_STEPS, stored_checkpoint


def where_to_go_on(out: Path, *, resume: bool) -> Path | None:
    """The checkpoint that a run in ``out`` continues from: its last, else its best, else None for a new run.

    Raises InputError when ``out`` is no folder, or holds a run and ``resume`` is not set.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"train: {out} is a file, wanted a folder for the run")
    found = stored_checkpoint(out / "last") or stored_checkpoint(out / "best")
    log = out / "log.jsonl"
    if not resume and (found is not None or (log.is_file() and log.stat().st_size)):
        raise InputError(f"train: {out} holds a run, wanted another folder, or --resume to go on with it")
    return found


def log_line(line: bytes) -> dict[str, Any]:
    """A line of a log. Raises ValueError where it is no JSON object with a step from 0 to MOST_STEPS."""
    content = parse_json(line)
    step = content.get("step") if isinstance(content, dict) else None
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step <= MOST_STEPS:
        raise ValueError("has no step")
    return dict(content)


def cut_log(path: Path, step: int) -> None:
    """Drop the lines of the steps after ``step``: they will be made again. The last line may be torn.

    Raises InputError that names the file and the line when another line is not one of a log.
    """
    kept = []
    if path.exists():
        for number, line in enumerate(contents(path).splitlines(keepends=True), start=1):
            if not line.endswith(b"\n"):
                continue
            try:
                if log_line(line)["step"] <= step:
                    kept.append(line)
            except ValueError:
                raise InputError(f"{path}: line {number} is no line of a log, wanted JSON with a step") from None
    with replaced(path) as temporary:
        temporary.write_bytes(b"".join(kept))


@contextmanager
def only_training_in(out: Path) -> Iterator[None]:
    """Hold the folder for one training. Raises InputError when another one holds it; the system lets go at a kill."""
    try:
        import fcntl
    except ImportError:  # a system without POSIX locks
        yield
        return
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"train: another training works in {out}, wanted a folder of its own") from None
        yield
    finally:
        os.close(folder)
