"""The one decorator that turns a loop into machine code.

Kernels are plain Python: with ``NUMBA_DISABLE_JIT=1`` they run as the text you read. They compile at
their first call, never at import, and the machine code is cached beside the module or, when that folder
cannot be written, in the user's cache directory under the version of refbss. ``NUMBA_CACHE_DIR`` wins over both.
Where nothing can be written, kernels are compiled in every process; ``refbss doctor`` says so.
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
from numba.core.caching import FunctionCache
from numba.extending import register_jitable

from refbss._version import __version__

PACKAGE_DIR = Path(__file__).resolve().parent
FULL_OPTIMIZATION = 3
"""Numba's ``NUMBA_OPT`` where it is not set."""
unkept: dict[str, str] = {}
"""Kernels that were compiled but could not be kept, as on a full disk, and why."""


def user_cache_dir() -> Path:
    """Folder for compiled kernels when the package directory is read-only."""
    if sys.platform == "darwin":
        base = _home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache")
    return base / "refbss" / __version__ / "kernels"


def _home() -> Path:
    """The user's folder; for a user without one, as some containers have, where nothing can be written."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull)


@cache
def _shared_modules() -> str:
    """Name of the folder for what calls the private modules of ``refbss.fast``: holds their checksum, and this one's.

    Numba's cache looks neither at what a kernel calls in other files nor at the flags that it is compiled with. Kernels
    that are compiled with less optimisation have a folder of their own, or they would stay when ``NUMBA_OPT`` is unset.
    """
    checksum = 0
    for path in (Path(__file__), *sorted((PACKAGE_DIR / "fast").glob("_*.py"))):
        checksum = zlib.crc32(path.read_bytes(), checksum)
    level = int(numba.config.OPT)  # type: ignore[attr-defined]
    return f"shared-{checksum:08x}" + ("" if level == FULL_OPTIMIZATION else f"-opt{level}")


def fast_cache_dir() -> Path:
    """Folder of the compiled kernels of ``refbss.fast``."""
    given: Any = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    if given:
        return Path(given) / _shared_modules()
    folder = PACKAGE_DIR / "fast" / "__pycache__" if os.access(PACKAGE_DIR, os.W_OK) else user_cache_dir()
    return folder / _shared_modules()


class _Kept(FunctionCache):
    """Numba's cache of one kernel. A folder that fails later on does not stop the work: the kernel is used uncached."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            unkept[f"{self._py_func.__module__}.{self._py_func.__qualname__}"] = error.strerror or str(error)


def _cache(function: Callable[..., Any], folder: Path | None) -> _Kept | None:
    """The cache of a kernel in a folder, by default the one that Numba chooses; None where it cannot be written.

    Numba would go on to folders of its own, whose names do not tell which shared modules the kernels were made of.
    """
    config: Any = numba.config
    before = config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = str(folder)
    try:
        found = _Kept(function)
    except RuntimeError:  # no locator available
        return None
    finally:
        config.CACHE_DIR = before
    return found if folder is None or Path(found.cache_path).is_relative_to(folder) else None


def _compile(function: Callable[..., Any], folder: Path | None, **options: Any) -> Callable[..., Any]:
    compiled: Any = numba.njit(nogil=True, error_model="numpy", **options)(function)
    if compiled is not function:  # as it is with NUMBA_DISABLE_JIT
        found = _cache(function, folder)
        if found is not None:
            compiled._cache = found
    made: Callable[..., Any] = compiled
    return made


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a law kernel: IEEE arithmetic in the order written, no fast-math."""
    given: Any = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    if given:
        return _compile(function, Path(given))
    return _compile(function, None if os.access(PACKAGE_DIR, os.W_OK) else user_cache_dir())


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
