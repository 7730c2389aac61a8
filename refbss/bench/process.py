"""What the processes of a benchmark have in common: how they are started, how they answer, what they died of."""

from __future__ import annotations

import json
import os
import re
import site
import sys
from pathlib import Path
from typing import Any, TextIO

import refbss

_RAISED = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)(?::|$)")
"""How the line of a traceback begins that says what was raised."""
_SHOWN = 60
"""Characters of a line that nobody expected."""


class BenchError(RuntimeError):
    """A worker could not do its job, or a peer computes something else."""


def command(module: str, *arguments: object) -> list[str]:
    """How a module is run by the same Python; see :func:`environment` for where it is found."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def importing(module: str) -> list[str]:
    """How a module is imported and nothing else."""
    return [sys.executable, "-c", f"import {module}"]


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that imports the same refbss as this one, and nothing of the current directory.

    So are the processes that it starts itself. A tree that is not installed is found through ``PYTHONPATH``.
    """
    found = {**os.environ, "PYTHONSAFEPATH": "1", **more}
    home = Path(refbss.__file__).resolve().parents[1]
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    if home in map(_resolved, sys.path) and home not in map(_resolved, installed):
        found["PYTHONPATH"] = os.pathsep.join([str(home), *filter(None, [found.get("PYTHONPATH")])])
    return found


def _resolved(folder: str) -> Path:
    return Path(folder).resolve()


def results_stream() -> TextIO:
    """What stdout was, for results alone. From here on what anybody else writes to stdout goes to stderr."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def answer(line: str, who: str) -> dict[str, Any]:
    """A line of results. Raises BenchError where it is none."""
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise stray(line, who)
    return said


def stray(line: str, who: str) -> BenchError:
    """The error for a line that should have been results."""
    line = line.strip()
    return BenchError(f"{who} wrote {line[:_SHOWN]!r}{'..' if len(line) > _SHOWN else ''}, wanted a line of results")


def cause(errors: str, code: int) -> str:
    """What a process died of: the last error that it named on stderr, else its last line, else its exit code."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    if raised or lines:
        return (raised or lines)[-1]
    return f"signal {-code} ended it" if code < 0 else f"it said nothing, exit code {code}"
