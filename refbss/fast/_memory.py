"""The memory's write of one block of one source, each way in one pass over the block; the law: ops.memory_bank."""

from __future__ import annotations

from typing import Any

from refbss._jit import helper
from refbss.fast._sums import inner


@helper
def write_block(
    m: Any, q: Any, mu: Any, eta: Any, e0: Any, delta: Any, m_new: Any, q_new: Any, e: Any, a: Any, mean: Any
) -> Any:
    """From m, q (K, D) and mu (L, D or more) the new ones, energies e, activities a (L,), mean (2, D), the total.

    The last axis of mu may be longer than D, so that it lies in memory without gaps; the rest is not looked at.
    """
    frames, latent = mu.shape[0], mean.shape[1]
    one = mu.dtype.type(1.0)
    active = mu.dtype.type(0.0)
    zbar, qbar = mean[0], mean[1]
    for d in range(latent):
        zbar[d] = mu.dtype.type(0.0)
        qbar[d] = mu.dtype.type(0.0)
    for t in range(frames):
        row = mu[t, :latent]
        energy = inner(row, row) / mu.dtype.type(latent)
        e[t] = energy
        weight = energy / (energy + e0)
        a[t] = weight
        active += weight
        for d in range(latent):
            weighted = weight * row[d]
            zbar[d] += weighted
            qbar[d] += weighted * row[d]
    total = active + delta
    share = one / total
    gain = active / mu.dtype.type(frames)
    for d in range(latent):
        zbar[d] *= share
        qbar[d] *= share
    for k in range(eta.shape[0]):
        rate = eta[k] * gain
        for d in range(latent):
            m_new[k, d] = m[k, d] + rate * (zbar[d] - m[k, d])
            q_new[k, d] = q[k, d] + rate * (qbar[d] - q[k, d])
    return total


@helper
def write_block_backward(
    dm_new: Any, dq_new: Any, m: Any, q: Any, mu: Any, eta: Any, e0: Any, e: Any, a: Any, total: Any, mean: Any,
    dm: Any, dq: Any, dmu: Any, deta: Any, dmean: Any,
) -> None:  # fmt: skip
    """Gradients of the state after the write: dm, dq (K, D), dmu (L, D), added to deta (K,). Scratch: dmean (4, D)."""
    frames, latent = mu.shape[0], mean.shape[1]
    zero, one, two = mu.dtype.type(0.0), mu.dtype.type(1.0), mu.dtype.type(2.0)
    zbar, qbar, dzbar, dqbar, of_m, of_q = mean[0], mean[1], dmean[0], dmean[1], dmean[2], dmean[3]
    active = zero
    for t in range(frames):
        active += a[t]
    gain = active / mu.dtype.type(frames)
    dgain = zero
    for d in range(latent):
        dzbar[d] = zero
        dqbar[d] = zero
    for k in range(eta.shape[0]):
        rate = eta[k] * gain
        for d in range(latent):
            gm, gq = dm_new[k, d], dq_new[k, d]
            of_m[d] = zbar[d] - m[k, d]
            of_q[d] = qbar[d] - q[k, d]
            dm[k, d] = (one - rate) * gm
            dq[k, d] = (one - rate) * gq
            dzbar[d] += rate * gm
            dqbar[d] += rate * gq
        pull = inner(of_m, dm_new[k]) + inner(of_q, dq_new[k])
        dgain += eta[k] * pull
        deta[k] += gain * pull
    share = one / total
    for t in range(frames):
        for d in range(latent):
            v = mu[t, d]
            of_m[d] = v - zbar[d]
            of_q[d] = v * v - qbar[d]
        moved = inner(of_m, dzbar) + inner(of_q, dqbar)
        da = dgain / mu.dtype.type(frames) + moved * share
        energy = e[t] + e0
        of_energy = two * da * e0 / (energy * energy) / mu.dtype.type(latent)
        weight = a[t] * share
        for d in range(latent):
            v = mu[t, d]
            dmu[t, d] = weight * (dzbar[d] + two * v * dqbar[d]) + of_energy * v
