"""What is wrong with a file or folder, as ``scan`` and ``verify`` report it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a file or folder. The message is a line that names it."""

    kind: str
    path: Path
    message: str
