"""Keeping stdout clean: what a target prints by any means, native code and subprocesses too, goes to stderr."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

OUT, ERR = 1, 2
"""File descriptors of stdout and stderr."""


@contextmanager
def diverted() -> Iterator[None]:
    """Let everything that is printed to stdout go to stderr; afterwards stdout is what it was.

    What is printed when the process ends, by functions that were registered for that on the way, goes to stderr too.
    """
    _flush()
    try:
        kept = os.dup(OUT)
    except OSError:  # closed: nothing that is printed there arrives
        with redirect_stdout(sys.stderr):
            yield
        return
    try:
        _divert()
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(kept, OUT)
        os.close(kept)
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)  # the last one registered is the first one called


def _divert() -> None:
    try:
        os.dup2(ERR, OUT)
    except OSError:  # stderr is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, OUT)
        os.close(nowhere)


def _at_exit() -> None:
    _flush()
    _divert()


def _flush() -> None:
    """Write out what Python and the C library hold back for stdout."""
    for stream in (sys.stdout, sys.__stdout__):
        with suppress(OSError, ValueError, AttributeError):  # broken, closed, or None
            stream.flush()  # type: ignore[union-attr]
    with suppress(OSError, TypeError, AttributeError):  # no such library
        ctypes.CDLL(None).fflush(None)
