"""The one decorator that turns a loop into machine code.

Kernels are plain Python: with ``NUMBA_DISABLE_JIT=1`` they run as the text you read. They compile at
their first call, never at import, and the machine code is cached beside the module or, when that folder
cannot be written, in the user's cache directory under the version of refbss. ``NUMBA_CACHE_DIR`` wins over both.
Numba notices a changed module by its file, but not a change in what the module calls: the kernels of ``refbss.fast``,
which share a few private modules, are cached in a folder whose name holds the checksum of those.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable
from functools import cache
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


@cache
def _shared_modules() -> str:
    """Checksum of the private modules of ``refbss.fast``."""
    checksum = 0
    for path in sorted((PACKAGE_DIR / "fast").glob("_*.py")):
        checksum = zlib.crc32(path.read_bytes(), checksum)
    return f"shared-{checksum:08x}"


def _compile(function: Callable[..., Any], *, shared: str = "", **options: Any) -> Callable[..., Any]:
    config: Any = numba.config
    before = config.CACHE_DIR
    if not before and not os.access(PACKAGE_DIR, os.W_OK):
        config.CACHE_DIR = str(user_cache_dir() / shared)
    elif shared:
        config.CACHE_DIR = str(Path(before or PACKAGE_DIR / "fast" / "__pycache__") / shared)
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
    return _compile(function, shared=_shared_modules(), fastmath={"contract", "reassoc", "nsz", "arcp"})
