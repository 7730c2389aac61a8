"""A batch cut into shards that threads work on; losses and gradients are summed in the order of the shards.

The number of shards is part of the configuration, the number of workers is not: the sums, and so the run, are the same
bit for bit for any number of workers. BLAS is held to one thread while a pool is open.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from refbss.machine import Apart, cpus, keep_freed_memory
from refbss.models.params import Params

S = TypeVar("S")
R = TypeVar("R")
Pool = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Maps work over shards in order."""


@contextmanager
def team(count: int) -> Iterator[Callable[[Callable[[S], R], Sequence[S]], list[R]]]:
    """A function that maps over shards with ``count`` threads, in order; the calling thread is one of them."""
    apart = Apart()

    def begin() -> None:
        apart.threads.append(threading.get_native_id())

    with ThreadPoolExecutor(max(1, count - 1), initializer=begin) as pool:

        def run(work: Callable[[S], R], shards: Sequence[S]) -> list[R]:
            results: list[Any] = [None] * len(shards)
            numbers = itertools.count()  # handed out one by one: whoever is free takes the next shard

            def take() -> None:
                while (number := next(numbers)) < len(shards):
                    results[number] = work(shards[number])

            apart.settle()
            helpers = [pool.submit(take) for _ in range(min(count, len(shards)) - 1)]
            try:
                take()
            finally:
                wait(helpers)
            for helper in helpers:
                helper.result()
            return results

        yield run


@contextmanager
def workers(count: int) -> Iterator[Callable[[Callable[[S], R], Sequence[S]], list[R]]]:
    """A function that maps over shards with ``count`` threads (0: one per processor), in order."""
    keep_freed_memory()
    with threadpool_limits(limits=1, user_api="blas"), team(count or cpus()) as run:
        yield run


def split(count: int, shards: int) -> list[range]:
    """Ranges of nearly equal length that cover 0 .. count - 1; empty ones are left out."""
    edges = [count * i // shards for i in range(shards + 1)]
    return [range(a, b) for a, b in pairwise(edges) if b > a]


def total_gradients(shards: Sequence[Params]) -> Params:
    """Sum of the shards' gradients, in their order; the shards' own arrays are left as they are."""
    total = {name: grad.copy() for name, grad in shards[0].items()}
    for shard in shards[1:]:
        for name, grad in shard.items():
            np.add(total[name], grad, out=total[name])
    return total
