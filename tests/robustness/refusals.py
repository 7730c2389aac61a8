"""How a test says that a file is refused: by a line that matches, without taking memory, and soon."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from refbss import InputError

MEGABYTE = 2**20


@contextmanager
def in_little_memory(most: int = 64 * MEGABYTE) -> Iterator[None]:
    """Fails where Python or NumPy take more than ``most`` bytes at a time, touched or not."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak / MEGABYTE:.0f} MB were taken"


def refused(read: Callable[[], object], message: str) -> None:
    """Wants an InputError or OSError that matches, within little memory and time."""
    began = time.monotonic()
    with in_little_memory(), pytest.raises((InputError, OSError), match=message):
        read()
    assert time.monotonic() - began < 10.0
