"""Shards: they cover the batch, keep their order, and hold BLAS to one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from refbss.training.shards import split, workers


@pytest.mark.parametrize("count", [1, 3, 8, 10])
@pytest.mark.parametrize("shards", [1, 3, 4, 20])
def test_the_shards_cover_the_batch(count: int, shards: int) -> None:
    parts = split(count, shards)
    assert [i for part in parts for i in part] == list(range(count))
    assert all(parts) and len(parts) <= shards
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_results_keep_their_order() -> None:
    def work(delay: float) -> tuple[float, str]:
        time.sleep(delay)
        return delay, threading.current_thread().name

    with workers(3) as pool:
        results = pool(work, [0.03, 0.01, 0.0])
    assert [delay for delay, _ in results] == [0.03, 0.01, 0.0]
    assert len({name for _, name in results}) > 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity of threads")
def test_helpers_stay_off_the_callers_processor() -> None:
    home, caller = os.sched_getaffinity(0), threading.get_ident()

    def allowed(_: int) -> tuple[int, set[int]]:
        time.sleep(0.02)
        return threading.get_ident(), os.sched_getaffinity(0)

    for count in sorted({2, len(home), len(home) + 1} - {1}):
        with workers(count) as pool:
            for _ in range(2):  # the first round starts the threads, the second finds them settled
                found = dict(pool(allowed, range(count)))
        helpers = [cpus for thread, cpus in found.items() if thread != caller]
        assert found[caller] == home and len(helpers) == count - 1
        if count > len(home):
            assert all(cpus == home for cpus in helpers)
        else:
            assert sum(map(len, helpers)) == len(home) - 1 == len(set().union(*helpers))


def test_errors_come_through() -> None:
    with workers(2) as pool, pytest.raises(ZeroDivisionError):
        pool(lambda x: 1 / x, [1, 0])


def test_blas_has_one_thread() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))

    def threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before = threads()
    with workers(0) as pool:
        assert pool(lambda _: threads(), [0]) == [{1}]
    assert threads() == before


BUSY = """
import sys, time
import numpy as np
from refbss.bench.scaling import _step
from refbss.training.shards import workers
from threadpoolctl import threadpool_info

count = int(sys.argv[1])
_step(0.5, 8, 2, count, 0)
wall, cpu = time.perf_counter(), time.process_time()
with workers(count) as pool:
    assert {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"} == {1}
    big = np.ones((600, 600), np.float32)
    pool(lambda _: [big @ big for _ in range(60)], range(4))
print((time.process_time() - cpu) / (time.perf_counter() - wall))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
@pytest.mark.parametrize("count", [1, 2])
def test_no_more_threads_work_than_were_asked_for(count: int, figures: dict[str, str]) -> None:
    """Whatever the environment asks of BLAS and OpenMP: the processors' time stays within that of the workers."""
    asked = {name: "8" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    command = [sys.executable, "-c", BUSY, str(count)]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    busy = float(done.stdout)
    figures[f"processors kept busy by {count} workers, eight asked for"] = f"{busy:.2f}"
    assert busy < count + 0.2
