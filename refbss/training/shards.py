"""A batch cut into shards that threads work on; losses and gradients are summed in the order of the shards.

The number of shards is part of the configuration, the number of workers is not: the sums, and so the run, are the same
bit for bit for any number of workers. BLAS is held to one thread while a pool is open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

from threadpoolctl import threadpool_limits

S = TypeVar("S")
R = TypeVar("R")


@contextmanager
def workers(count: int) -> Iterator[Callable[[Callable[[S], R], Sequence[S]], list[R]]]:
    """A function that maps over shards with ``count`` threads (0: one per processor), in order."""
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(count or os.cpu_count() or 1) as pool:
        yield lambda work, shards: list(pool.map(work, shards))


def split(count: int, shards: int) -> list[range]:
    """Ranges of nearly equal length that cover 0 .. count - 1; empty ones are left out."""
    edges = [count * i // shards for i in range(shards + 1)]
    return [range(a, b) for a, b in pairwise(edges) if b > a]
