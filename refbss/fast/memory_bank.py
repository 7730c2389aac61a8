"""Fast twin of the write of refbss.ops.memory_bank: one pass over the block each way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents, check_number
from refbss._jit import fast_kernel
from refbss._types import Array
from refbss.ops.memory_bank import MemoryWriteGrads


class FastMemoryWriteCache(NamedTuple):
    """State and block before the write; eta (K,), e and a (B, P, L), total (B, P), zbar and qbar (B, P, D)."""

    m: Array
    q: Array
    mu: Array
    eta: Array
    e: Array
    a: Array
    total: Array
    zbar: Array
    qbar: Array
    e0: float


@fast_kernel
def _write(m, q, mu, eta, e0, delta, m_new, q_new, e, a, total, zbar, qbar):  # type: ignore[no-untyped-def]
    batch, sources, frames, latent = mu.shape
    one = mu.dtype.type(1.0)
    for i in range(batch):
        for p in range(sources):
            active = mu.dtype.type(0.0)
            for t in range(frames):
                energy = mu.dtype.type(0.0)
                for d in range(latent):
                    energy += mu[i, p, t, d] * mu[i, p, t, d]
                energy /= mu.dtype.type(latent)
                e[i, p, t] = energy
                weight = energy / (energy + e0)
                a[i, p, t] = weight
                active += weight
                for d in range(latent):
                    zbar[i, p, d] += weight * mu[i, p, t, d]
                    qbar[i, p, d] += weight * mu[i, p, t, d] * mu[i, p, t, d]
            total[i, p] = active + delta
            share = one / total[i, p]
            gain = active / mu.dtype.type(frames)
            for d in range(latent):
                zbar[i, p, d] *= share
                qbar[i, p, d] *= share
            for k in range(eta.shape[0]):
                rate = eta[k] * gain
                for d in range(latent):
                    m_new[i, p, k, d] = m[i, p, k, d] + rate * (zbar[i, p, d] - m[i, p, k, d])
                    q_new[i, p, k, d] = q[i, p, k, d] + rate * (qbar[i, p, d] - q[i, p, k, d])


@fast_kernel
def _write_backward(  # type: ignore[no-untyped-def]
    dm_new, dq_new, m, q, mu, eta, e, a, total, zbar, qbar, e0, dm, dq, dmu, deta, dzbar, dqbar
):
    batch, sources, frames, latent = mu.shape
    zero, one, two = mu.dtype.type(0.0), mu.dtype.type(1.0), mu.dtype.type(2.0)
    for i in range(batch):
        for p in range(sources):
            active = zero
            for t in range(frames):
                active += a[i, p, t]
            gain = active / mu.dtype.type(frames)
            dgain = zero
            for d in range(latent):
                dzbar[d] = zero
                dqbar[d] = zero
            for k in range(eta.shape[0]):
                pull = zero
                rate = eta[k] * gain
                for d in range(latent):
                    gm, gq = dm_new[i, p, k, d], dq_new[i, p, k, d]
                    pull += (zbar[i, p, d] - m[i, p, k, d]) * gm + (qbar[i, p, d] - q[i, p, k, d]) * gq
                    dm[i, p, k, d] = (one - rate) * gm
                    dq[i, p, k, d] = (one - rate) * gq
                    dzbar[d] += rate * gm
                    dqbar[d] += rate * gq
                dgain += eta[k] * pull
                deta[k] += gain * pull
            share = one / total[i, p]
            for t in range(frames):
                moved = zero
                for d in range(latent):
                    v = mu[i, p, t, d]
                    moved += (v - zbar[i, p, d]) * dzbar[d] + (v * v - qbar[i, p, d]) * dqbar[d]
                da = dgain / mu.dtype.type(frames) + moved * share
                energy = e[i, p, t] + e0
                of_energy = two * da * e0 / (energy * energy) / mu.dtype.type(latent)
                weight = a[i, p, t] * share
                for d in range(latent):
                    v = mu[i, p, t, d]
                    dmu[i, p, t, d] = weight * (dzbar[d] + two * v * dqbar[d]) + of_energy * v


def memory_write_forward(
    m: Array, q: Array, mu: Array, theta: Array, *, e0: float, delta: float
) -> tuple[Array, Array, FastMemoryWriteCache]:
    """As refbss.ops.memory_bank.memory_write_forward."""
    check_arrays("memory_write", m=(m, "B P K D"), q=(q, "B P K D"), mu=(mu, "B P L D"), theta=(theta, "K"))
    check_number("memory_write", above=0.0, e0=e0, delta=delta)
    dtype, (batch, sources, frames, latent) = mu.dtype, mu.shape
    m, q = np.ascontiguousarray(m), np.ascontiguousarray(q)
    eta = 1 / (1 + np.exp(-theta))
    m_new, q_new = np.empty_like(m), np.empty_like(q)
    e, a = np.empty((batch, sources, frames), dtype), np.empty((batch, sources, frames), dtype)
    total = np.empty((batch, sources), dtype)
    zbar, qbar = np.zeros((batch, sources, latent), dtype), np.zeros((batch, sources, latent), dtype)
    _write(m, q, mu, eta, dtype.type(e0), dtype.type(delta), m_new, q_new, e, a, total, zbar, qbar)
    return m_new, q_new, FastMemoryWriteCache(m, q, mu, eta, e, a, total, zbar, qbar, e0)


def memory_write_backward(dm_new: Array, dq_new: Array, cache: FastMemoryWriteCache) -> MemoryWriteGrads:
    """As refbss.ops.memory_bank.memory_write_backward."""
    m, q, mu, eta, e, a, total, zbar, qbar, e0 = cache
    check_cotangents("memory_write", m.dtype, dm_new=(dm_new, m.shape), dq_new=(dq_new, m.shape))
    dtype = mu.dtype
    dm, dq, dmu = np.empty_like(m), np.empty_like(m), np.empty(mu.shape, dtype)
    deta, scratch = np.zeros(eta.shape, dtype), np.empty((2, mu.shape[-1]), dtype)
    new = (np.ascontiguousarray(dm_new), np.ascontiguousarray(dq_new))
    _write_backward(
        *new, m, q, mu, eta, e, a, total, zbar, qbar, dtype.type(e0), dm, dq, dmu, deta, scratch[0], scratch[1]
    )
    return MemoryWriteGrads(dm, dq, dmu, eta * (1 - eta) * deta)
