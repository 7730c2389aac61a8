"""The processes of one job on one or several machines: who they are, and how they exchange what they found.

Started by ``mpiexec -n 8 refbss ...`` (or srun), every process is a rank; otherwise there is one rank and nothing to
exchange. mpi4py is needed only in the first case. Every exchange is collective: all ranks call it, in the same order.
While a rank waits it sleeps in short naps, so that its processor is free for the others' threads and signals reach it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import numpy as np

from refbss._checks import InputError
from refbss._types import Array

T = TypeVar("T")

LAUNCHERS = ("PMI_SIZE", "PMIX_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Variables in which launchers of MPI jobs say how many processes there are."""
SPIN_S, NAP_S = 0.002, 0.0002
"""A rank waits this long without sleeping, then in naps."""
PRINTED_S = 5.0
"""Longest wait for the launcher to read what was printed before an abort."""


class LostRank(RuntimeError):
    """Another process of the job ended, or does not answer any more."""


class Ranks:
    """One process of ``size``. The ranks of a job hold equal ``Ranks`` but for ``rank``."""

    def __init__(self, communicator: Any = None, mpi: Any = None) -> None:
        self._communicator, self._mpi = communicator, mpi
        self.rank: int = 0 if communicator is None else communicator.Get_rank()
        self.size: int = 1 if communicator is None else communicator.Get_size()
        self.stopping: Callable[[], int] = lambda: 0
        """How often this process was told to end; asked while it waits. After the second time it waits no longer."""

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and speaks to the user."""
        return self.rank == 0

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's consecutive part of the items; the parts' lengths differ by at most one."""
        return items[len(items) * self.rank // self.size : len(items) * (self.rank + 1) // self.size]

    def spread(self, pool: Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]) -> Callable[..., list[Any]]:
        """As ``pool``, which maps over a sequence in order, with the sequence shared out among the ranks."""
        return lambda work, many: [one for part in self.share(pool(work, self.mine(many))) for one in part]

    def local(self) -> int:
        """Number of ranks on this machine."""
        if self._communicator is None:
            return 1
        together = self._communicator.Split_type(self._mpi.COMM_TYPE_SHARED)
        size: int = together.Get_size()
        together.Free()
        return size

    def share(self, found: T) -> list[T]:
        """What every rank found, in their order, on every rank: small objects. Raises LostRank."""
        if self._communicator is None:
            return [found]
        packed = np.frombuffer(self._mpi.pickle.dumps(found), np.uint8)
        lengths = np.empty(self.size, np.int64)
        self._wait(self._communicator.Iallgather(np.array([packed.size], np.int64), lengths))
        together = np.empty(lengths.sum(), np.uint8)
        self._wait(self._communicator.Iallgatherv(packed, [together, lengths]))
        pieces = np.split(together, np.cumsum(lengths)[:-1])
        return [self._mpi.pickle.loads(piece.tobytes()) for piece in pieces]

    def gather_rows(self, rows: Array, total: int) -> Array:
        """Rows (n, size) of every rank in their order, (total, size) on every rank. Raises LostRank."""
        if self._communicator is None:
            return rows
        counts = np.array(self.share(len(rows))) * rows.shape[1]
        together = np.empty((total, rows.shape[1]), rows.dtype)
        self._wait(self._communicator.Iallgatherv(np.ascontiguousarray(rows), [together, counts]))
        return together

    def add_up(self, row: Array) -> Array:
        """The sum of a vector over the ranks, in an order that MPI chooses. Raises LostRank."""
        if self._communicator is None:
            return row
        total = np.empty_like(row)
        self._wait(self._communicator.Iallreduce(np.ascontiguousarray(row), total))
        return total

    def _wait(self, request: Any) -> None:
        began = time.monotonic()
        while not request.Test():
            if time.monotonic() - began > SPIN_S:
                time.sleep(NAP_S)
            if self.stopping() > 1:
                raise LostRank(f"rank {self.rank} was told to stop twice while another rank did not answer")

    def agree(self, op: str, facts: Mapping[str, Any]) -> None:
        """Raises InputError, on every rank, when one of them holds another value of a fact than the first."""
        first, *others = self.share(dict(facts))
        for rank, other in enumerate(others, start=1):
            for name, value in first.items():
                if other[name] != value:
                    raise InputError(f"{op}: {name} on rank {rank} is {other[name]}, wanted {value} as on rank 0")

    def abort(self, code: int) -> None:
        """End every process of the job at once, after an error that the others do not know of."""
        if self._communicator is not None:
            _let_the_launcher_read()
            self._communicator.Abort(code)


def _let_the_launcher_read() -> None:
    """Wait until what this process printed into pipes was taken out: MPICH's launcher may drop it on an abort.

    Seen in 2 of 1500 aborts right after a line on stderr, in none of 2500 that waited.
    """
    try:
        from fcntl import ioctl
        from termios import FIONREAD
    except ImportError:  # a system without POSIX terminals, and without this launcher
        return
    until = time.monotonic() + PRINTED_S
    for stream in (1, 2):
        with suppress(OSError):  # not a pipe: nobody has to read it
            while any(ioctl(stream, FIONREAD, bytes(4))) and time.monotonic() < until:
                time.sleep(NAP_S)
    time.sleep(SPIN_S)


@cache
def world() -> Ranks:
    """The ranks of this job. Raises InputError where a launcher started several processes and mpi4py is missing."""
    started = max((int(os.environ[name]) for name in LAUNCHERS if os.environ.get(name, "").isdecimal()), default=1)
    if started == 1:
        return Ranks()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"{started} processes were started by an MPI launcher and mpi4py cannot be used ({error}); "
            "wanted mpi4py and the launcher's own MPI library (pip install 'refbss[mpi]')"
        ) from None
    communicator = MPI.COMM_WORLD
    if communicator.Get_size() != started:
        raise InputError(
            f"{started} processes were started, and mpi4py sees {communicator.Get_size()}: "
            "it belongs to another MPI than the launcher; wanted the same"
        )
    return Ranks(communicator, MPI)
