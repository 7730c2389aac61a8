"""The one decorator that turns a loop into machine code.

Kernels are plain Python: with ``NUMBA_DISABLE_JIT=1`` they run as the text you read. They compile at
their first call, never at import, and the machine code is cached beside the module or, when that folder
cannot be written, in the user's cache directory under the version of refbss. ``NUMBA_CACHE_DIR`` wins over both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from refbss._version import __version__

PACKAGE_DIR = Path(__file__).resolve().parent


def user_cache_dir() -> Path:
    """Folder for compiled kernels when the package directory is read-only."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData" / "Local")))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
    return base / "refbss" / __version__ / "kernels"


def _compile(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    config: Any = numba.config
    before = config.CACHE_DIR
    if not before and not os.access(PACKAGE_DIR, os.W_OK):
        config.CACHE_DIR = str(user_cache_dir())
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before
    return compiled


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a law kernel: IEEE arithmetic in the order written, no fast-math."""
    return _compile(function)


def fast_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel of ``refbss.fast``: fused multiply-add and reordered sums allowed.

    NaN and infinity keep their meaning: the flags that assume them away are not set.
    """
    return _compile(function, fastmath={"contract", "reassoc", "nsz", "arcp"})
