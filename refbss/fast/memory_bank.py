"""Fast twin of the write of refbss.ops.memory_bank: one pass over the block each way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents, check_number
from refbss._jit import fast_kernel, ordered_kernel
from refbss._types import Array
from refbss.fast._memory import write_block, write_block_backward
from refbss.ops.memory_bank import MemoryWriteGrads


class FastMemoryWriteCache(NamedTuple):
    """State and block before the write; eta (K,), e and a (B, P, L), total (B, P), mean (B, P, 2, D)."""

    m: Array
    q: Array
    mu: Array
    eta: Array
    e: Array
    a: Array
    total: Array
    mean: Array
    e0: float


@ordered_kernel
def _write(m, q, mu, eta, e0, delta, after, e, a, total, mean):  # type: ignore[no-untyped-def]
    for i in range(mu.shape[0]):
        for p in range(mu.shape[1]):
            total[i, p] = write_block(
                m[i, p], q[i, p], mu[i, p], eta, e0, delta, after[0, i, p], after[1, i, p], e[i, p], a[i, p], mean[i, p]
            )


@fast_kernel
def _write_backward(  # type: ignore[no-untyped-def]
    dm_new, dq_new, m, q, mu, eta, e0, e, a, total, mean, dm, dq, dmu, deta, dmean
):
    for i in range(mu.shape[0]):
        for p in range(mu.shape[1]):
            write_block_backward(
                dm_new[i, p], dq_new[i, p], m[i, p], q[i, p], mu[i, p], eta, e0, e[i, p], a[i, p], total[i, p],
                mean[i, p], dm[i, p], dq[i, p], dmu[i, p], deta, dmean,
            )  # fmt: skip


def memory_write_forward(
    m: Array, q: Array, mu: Array, theta: Array, *, e0: float, delta: float
) -> tuple[Array, Array, FastMemoryWriteCache]:
    """As refbss.ops.memory_bank.memory_write_forward."""
    check_arrays("memory_write", m=(m, "B P K D"), q=(q, "B P K D"), mu=(mu, "B P L D"), theta=(theta, "K"))
    check_number("memory_write", above=0.0, e0=e0, delta=delta)
    dtype, (batch, sources, frames, latent) = mu.dtype, mu.shape
    m, q, mu = np.ascontiguousarray(m), np.ascontiguousarray(q), np.ascontiguousarray(mu)
    eta = 1 / (1 + np.exp(-theta))
    after, mean = np.empty((2, *m.shape), dtype), np.empty((batch, sources, 2, latent), dtype)
    e, a = np.empty((batch, sources, frames), dtype), np.empty((batch, sources, frames), dtype)
    total = np.empty((batch, sources), dtype)
    _write(m, q, mu, eta, dtype.type(e0), dtype.type(delta), after, e, a, total, mean)
    return after[0], after[1], FastMemoryWriteCache(m, q, mu, eta, e, a, total, mean, e0)


def memory_write_backward(dm_new: Array, dq_new: Array, cache: FastMemoryWriteCache) -> MemoryWriteGrads:
    """As refbss.ops.memory_bank.memory_write_backward."""
    m, q, mu, eta, e, a, total, mean, e0 = cache
    check_cotangents("memory_write", m.dtype, dm_new=(dm_new, m.shape), dq_new=(dq_new, m.shape))
    dm, dq, dmu, deta = np.empty_like(m), np.empty_like(m), np.empty_like(mu), np.zeros_like(eta)
    new = (np.ascontiguousarray(dm_new), np.ascontiguousarray(dq_new))
    scratch = np.empty((4, mu.shape[-1]), mu.dtype)
    _write_backward(*new, m, q, mu, eta, mu.dtype.type(e0), e, a, total, mean, dm, dq, dmu, deta, scratch)
    return MemoryWriteGrads(dm, dq, dmu, eta * (1 - eta) * deta)
