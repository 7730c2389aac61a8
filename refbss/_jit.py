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
from numba.extending import register_jitable

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
    """Name of the folder for what calls the private modules of ``refbss.fast``: holds their checksum, and this one's.

    Numba's cache looks neither at what a kernel calls in other files nor at the flags that it is compiled with.
    """
    checksum = 0
    for path in (Path(__file__), *sorted((PACKAGE_DIR / "fast").glob("_*.py"))):
        checksum = zlib.crc32(path.read_bytes(), checksum)
    return f"shared-{checksum:08x}"


def fast_cache_dir() -> Path:
    """Folder of the compiled kernels of ``refbss.fast``."""
    given: Any = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    if given:
        return Path(given) / _shared_modules()
    folder = PACKAGE_DIR / "fast" / "__pycache__" if os.access(PACKAGE_DIR, os.W_OK) else user_cache_dir()
    return folder / _shared_modules()


def _compile(function: Callable[..., Any], folder: Path | None, **options: Any) -> Callable[..., Any]:
    config: Any = numba.config
    before = config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = str(folder)
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before
    return compiled


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a law kernel: IEEE arithmetic in the order written, no fast-math."""
    given: Any = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    return _compile(function, None if given or os.access(PACKAGE_DIR, os.W_OK) else user_cache_dir())


def fast_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel of ``refbss.fast``: fused multiply-add and reordered sums allowed.

    NaN and infinity keep their meaning: the flags that assume them away are not set.
    """
    return _compile(function, fast_cache_dir(), fastmath={"contract", "reassoc", "nsz", "arcp"})


def ordered_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel of ``refbss.fast`` in IEEE arithmetic, in the order written; fused only where it says so itself.

    For what a whole signal and a hop compute alike: two kernels that write the same expressions get the same bits.
    """
    return _compile(function, fast_cache_dir())


STRICT: Any = {"fastmath": False}
"""Options of what fast kernels call. Left open, it would take its flags from whichever kernel compiles it first; and
with leave to reorder sums, the copy that runs where it is compiled and the copy that the cache keeps could differ."""


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function callable from kernels, in IEEE arithmetic whatever their own flags are."""
    made: Callable[..., Any] = register_jitable(**STRICT)(function)
    return made
