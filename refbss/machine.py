"""The machine as refbss sees it: processors, vectors, BLAS, compiled kernels, memory, and how fast it multiplies."""

from __future__ import annotations

import ctypes
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from refbss._jit import FULL_OPTIMIZATION, fast_cache_dir
from refbss._types import Array
from refbss._version import __version__
from refbss.fast._products import rows_times
from refbss.fast._tiles import VECTOR

_MALLOC = {-8: 1, -3: 1 << 30, -1: 1 << 30}
"""glibc's mallopt: one arena for all threads, nothing below 1 GB mapped by itself, nothing below returned."""
_PEAK_SIZES, _PEAK_SECONDS = (256, 512, 1024), 0.2
_ROOM = 1 << 20
"""Bytes that must fit into the folder of compiled kernels: twice what the largest takes."""


def cpus() -> int:
    """Processors that this process may use: its affinity, and a container's quota where one is set."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return count if quota is None else max(1, min(count, int(quota)))


def _quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that the control groups of this process grant, the tightest of them; None: no limit.

    A group is held to the limits of those that it lies in. Inside a container its path is often that of the machine,
    which is not there: then its parents are looked at all the same, up to the container's own.
    """
    mounts = root / "sys/fs/cgroup"
    groups = [(mounts, ""), (mounts / "cpu", "")]
    for line in _lines(root / "proc/self/cgroup"):
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            groups += [(mounts, path), (mounts / "unified", path)]
        elif "cpu" in controllers.split(","):
            groups += [(mounts / "cpu", path), (mounts / controllers, path)]
    granted = []
    for mount, path in groups:
        inner = Path(path.lstrip("/"))
        for group in (inner, *inner.parents):
            granted += [_granted(mount / group)]
    return min((processors for processors in granted if processors is not None), default=None)


def _granted(group: Path) -> float | None:
    """What one control group grants by itself, of version 2 or 1."""
    words = _lines(group / "cpu.max") or [
        " ".join(_lines(group / f"cpu.cfs_{what}_us")) for what in ("quota", "period")
    ]
    try:
        limit, period = map(int, " ".join(words).split())
    except ValueError:  # no such group, or no limit: max
        return None
    return limit / period if limit > 0 and period > 0 else None  # -1: no limit


def _lines(path: Path) -> list[str]:
    """The lines of a file of the system; none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def keep_freed_memory() -> bool:
    """Have the C library keep what arrays give back, where it is glibc; says whether it does.

    A training step allocates the same large arrays again and again. Returned to the system each time, their pages are
    cleared and mapped anew at every step.
    """
    try:
        library = ctypes.CDLL(None)
        return all(library.mallopt(name, value) == 1 for name, value in _MALLOC.items())
    except (AttributeError, OSError, TypeError):
        return False


class Apart:
    """Keeps threads off the processor of the thread that hands them work, and off each other's.

    A thread that is woken tends to land beside the one that woke it, above all in a virtual machine, where a processor
    at rest counts as taken; it then waits there until the other is done. Does nothing where the system cannot be asked
    (anywhere but on Linux) and where there are more threads than processors. What the calling thread may use now is
    what there is: it may have been given less, or more, since. Where the system refuses, the threads are left alone
    from then on.
    """

    def __init__(self) -> None:
        self.threads: list[int] = []
        """The threads' native identifiers, appended as they start."""
        self._settled: tuple[int | None, int, frozenset[int]] = None, 0, frozenset()
        """The processor kept free, the threads held off it, and what the caller may use; None, 0: nobody is held."""
        try:
            self._here: Callable[[], int] | None = ctypes.CDLL(None).sched_getcpu
            self._settled = None, 0, frozenset(os.sched_getaffinity(0))
        except (AttributeError, OSError, TypeError):
            self._here = None

    def settle(self) -> None:
        """Share out the processors that the calling thread leaves; cheap where nothing changed."""
        if self._here is None or not self.threads:
            return
        try:
            self._share(self._here())
        except OSError:  # no right to, or those processors are gone
            self._here = None

    def _share(self, here: int) -> None:
        home, threads = frozenset(os.sched_getaffinity(0)), list(self.threads)
        crowded = len(threads) >= len(home)
        wanted = (None, 0, home) if crowded else (here, len(threads), home)
        if self._settled == wanted or here not in home:
            return
        others = sorted(home - {here})
        for i, thread in enumerate(threads):
            os.sched_setaffinity(thread, home if crowded else others[i :: len(threads)])
        self._settled = wanted


class Peak(NamedTuple):
    """GFLOP/s of single-precision products of square matrices on a number of threads, at the best of some sizes."""

    threads: int
    fast: float
    """The tiles of refbss.fast."""
    blas: float
    """NumPy's matmul, a thread of BLAS for each."""

    @property
    def gflops(self) -> float:
        """The larger of both: what the machine can do, as far as anybody here knows."""
        return max(self.fast, self.blas)


def peak(threads: int) -> Peak:
    """Measure the peak on so many threads at once; takes about a second."""
    rng = np.random.Generator(np.random.Philox(0))

    def rate(multiply: Callable[[Array, Array], Array], size: int) -> float:
        a, b = rng.standard_normal((2, 1, size, size), dtype=np.float32)

        def repeat(_: int) -> float:
            shortest, end = float("inf"), time.perf_counter() + _PEAK_SECONDS
            while time.perf_counter() < end:
                began = time.perf_counter()
                multiply(a, b[0])
                shortest = min(shortest, time.perf_counter() - began)
            return 2 * size**3 / shortest / 1e9

        multiply(a, b[0])
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(repeat, range(threads)))

    with threadpool_limits(limits=1, user_api="blas"):
        fast, other = (max(rate(multiply, size) for size in _PEAK_SIZES) for multiply in (rows_times, np.matmul))
        return Peak(threads, fast, other)


def compiling() -> bool:
    """Whether kernels are compiled; with NUMBA_DISABLE_JIT they run as Python."""
    return not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


class Kernels(NamedTuple):
    """The folder of compiled kernels, how many lie there, and why no more can be put there; empty where they can."""

    folder: Path
    compiled: int
    refused: str


def kernels() -> Kernels:
    """State of the cache of compiled kernels; whether it can be written is tried out."""
    folder = fast_cache_dir()
    count = sum(name.endswith(".nbc") for _, _, names in os.walk(folder) for name in names)
    return Kernels(folder, count, _refusal(folder))


def _refusal(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_ROOM))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def blas() -> list[dict[str, Any]]:
    """The BLAS libraries that are loaded: their names, versions, kernels and threads."""
    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return [
        {
            "name": info["internal_api"],
            "version": info.get("version"),
            "kernels": info.get("architecture"),
            "threads": info["num_threads"],
        }
        for info in found
    ]


def memory_gb() -> float | None:
    """Memory that is free for a new process, in GB, where the system tells."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / 1e9
    except (OSError, ValueError):
        pass
    return None


def describe() -> dict[str, Any]:
    """Everything above but the peak, which takes a while to measure."""
    cache = kernels()
    cached = {"folder": cache.folder, "count": cache.compiled, "writable": not cache.refused, "refused": cache.refused}
    return {
        "refbss": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "processors": cpus(),
        "processors_of_the_machine": os.cpu_count(),
        "vector_bits": 8 * VECTOR,
        "memory_gb": memory_gb(),
        "blas": blas(),
        "kernels": cached,
        "compiled": compiling(),
        "optimization": int(numba.config.OPT),  # type: ignore[attr-defined]
    }


def processor() -> str:
    """Name of the processor, and what the compiler takes it for."""
    from llvmlite import binding

    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{name} ({binding.get_host_cpu_name()})"


def costs(facts: dict[str, Any], measured: Peak | None = None) -> list[str]:
    """What costs speed here, each in a sentence with what to do about it; empty where nothing does."""
    found = []
    if not facts["compiled"]:
        found.append("NUMBA_DISABLE_JIT is set: kernels run as Python, hundreds of times slower; unset it")
    if facts["optimization"] < FULL_OPTIMIZATION:
        found.append(
            f"NUMBA_OPT is {facts['optimization']}: kernels are compiled to run several times slower; unset it"
        )
    folder = facts["kernels"]["folder"]
    if not facts["kernels"]["writable"]:
        found.append(
            f"{folder} cannot be written ({facts['kernels']['refused']}): kernels are compiled in every process; "
            "set NUMBA_CACHE_DIR to a folder that can be"
        )
    elif not facts["kernels"]["count"]:
        found.append("no kernel is compiled yet: the first run of a command compiles; refbss warmup does it ahead")
    if facts["vector_bits"] < 256:
        found.append("the processor has no AVX: vectors are 128 bits wide and products several times slower")
    if facts["processors"] < (facts["processors_of_the_machine"] or 1):
        all_of = facts["processors_of_the_machine"]
        found.append(f"only {facts['processors']} of {all_of} processors may be used: affinity or a container's quota")
    if os.environ.get("NUMBA_CPU_NAME") or os.environ.get("NUMBA_CPU_FEATURES"):
        found.append(
            "NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is set: kernels are not compiled for this processor; unset it"
        )
    if facts["memory_gb"] is not None and facts["memory_gb"] < 2:
        found.append(f"{facts['memory_gb']:.1f} GB of memory are free: training lvbd-small takes about 0.5 GB")
    if measured is not None and measured.blas < 0.7 * measured.fast:
        found.append(
            f"NumPy's BLAS multiplies at {measured.blas:.0f} GFLOP/s where the fast engine has {measured.fast:.0f}: "
            "the reference engine pays for that, the fast one uses no BLAS"
            + _other_kernels(facts["blas"], facts["vector_bits"])
        )
    if measured is not None and measured.fast < 0.7 * measured.blas:
        found.append(
            f"the fast engine multiplies at {measured.fast:.0f} GFLOP/s where NumPy's BLAS has {measured.blas:.0f}: "
            f"its kernels are slow here, or other work came in between; if that stays, remove {folder}"
        )
    return found


def _other_kernels(libraries: list[dict[str, Any]], vector_bits: int) -> str:
    """OpenBLAS does not know every processor and falls back to older kernels."""
    narrow = any(library["kernels"] in ("Haswell", "Zen") for library in libraries)
    return "; OPENBLAS_CORETYPE=SKYLAKEX has it use 512-bit vectors" if narrow and vector_bits == 512 else ""
