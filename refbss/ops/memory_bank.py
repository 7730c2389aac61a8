"""The memory bank: running statistics of every separated latent, at K time constants.

State per source: first moments m (B, P, K, D) and mean squares q (B, P, K, D). A block is mu (B, P, L, D); theta (K,)
holds the time constants before their sigmoid. All sums over t run over the block's L frames.

    (memory.1)  r_p = [m_{p,1}; ..; m_{p,K}; q_{p,1}; ..; q_{p,K}]                      r (B, P, 2KD)     read
    (memory.2)  e_t = (1/D) sum_d mu_{t,d}^2,   a_t = e_t / (e_t + e0)                                    activity
    (memory.3)  G = (1/L) sum_t a_t,   S = sum_t a_t + delta
    (memory.4)  zbar = sum_t a_t mu_t / S,   qbar = sum_t a_t mu_t^2 / S
    (memory.5)  eta_k = sigm(theta_k)
    (memory.6)  m_k <- m_k + eta_k G (zbar - m_k),   q_k <- q_k + eta_k G (qbar - q_k)                    write

Backward of the write, dm' and dq' the cotangents of the new state:

    (memory.7)   dm_k = (1 - eta_k G) dm'_k,   dq_k likewise
    (memory.8)   dzbar = sum_k eta_k G dm'_k,   dqbar = sum_k eta_k G dq'_k
    (memory.9)   dG = sum_k eta_k (<zbar - m_k, dm'_k> + <qbar - q_k, dq'_k>)
    (memory.10)  dtheta_k = eta_k (1 - eta_k) sum_{b,p} G (<zbar - m_k, dm'_k> + <qbar - q_k, dq'_k>)
    (memory.11)  da_t = dG / L + (<mu_t - zbar, dzbar> + <mu_t^2 - qbar, dqbar>) / S
    (memory.12)  dmu_t = a_t (dzbar + 2 mu_t dqbar) / S + activity backward(da_t)
    (memory.13)  activity backward: dmu_t = (2 mu_t / D) da_t e0 / (e_t + e0)^2
    (memory.14)  read backward: dm, dq are the two halves of dr in the state's shape

The bank and its feedback are [paper]; these equations, activity weighting and time constants are [ours].
float64 inside.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents, check_number
from refbss._types import Array
from refbss.ops.activations import sigmoid_forward


class MemoryReadCache(NamedTuple):
    """Shape and dtype of the state."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class MemoryReadGrads(NamedTuple):
    """Gradients of the state."""

    dm: Array
    dq: Array


class MemoryActivityCache(NamedTuple):
    """mu, the frame energies e (B, P, L) in float64, and e0."""

    mu: Array
    e: Array
    e0: float


class MemoryActivityGrads(NamedTuple):
    """Gradient of the block."""

    dmu: Array


class MemoryWriteCache(NamedTuple):
    """Block and state before the write and the block's statistics, all float64, and the dtype of the call."""

    m: Array
    q: Array
    mu: Array
    eta: Array
    a: Array
    gain: Array
    total: Array
    zbar: Array
    qbar: Array
    activity: MemoryActivityCache
    dtype: np.dtype[Any]


class MemoryWriteGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dm: Array
    dq: Array
    dmu: Array
    dtheta: Array


def memory_read_forward(m: Array, q: Array) -> tuple[Array, MemoryReadCache]:
    """Lay the state of every source in one row: r (B, P, 2KD). Raises InputError on shapes or dtypes."""
    check_arrays("memory_read", m=(m, "B P K D"), q=(q, "B P K D"))
    batch, sources = m.shape[:2]
    r = np.concatenate([m.reshape(batch, sources, -1), q.reshape(batch, sources, -1)], axis=-1)  # (memory.1)
    return r, MemoryReadCache(m.shape, m.dtype)


def memory_read_backward(dr: Array, cache: MemoryReadCache) -> MemoryReadGrads:
    """Pull the cotangent dr (B, P, 2KD) back to m and q. Raises InputError on shape or dtype."""
    batch, sources, constants, latent = cache.shape
    check_cotangents("memory_read", cache.dtype, dr=(dr, (batch, sources, 2 * constants * latent)))
    dm, dq = np.split(dr, 2, axis=-1)  # (memory.14)
    return MemoryReadGrads(dm.reshape(cache.shape).copy(), dq.reshape(cache.shape).copy())


def memory_activity_forward(mu: Array, *, e0: float) -> tuple[Array, MemoryActivityCache]:
    """Activity of every frame: a (B, P, L) in [0, 1). Raises InputError on shape, dtype or e0."""
    check_arrays("memory_activity", mu=(mu, "B P L D"))
    check_number("memory_activity", above=0.0, e0=e0)
    e = np.square(mu.astype(np.float64)).mean(axis=-1)
    a = e / (e + e0)  # (memory.2)
    return a.astype(mu.dtype), MemoryActivityCache(mu, e, e0)


def memory_activity_backward(da: Array, cache: MemoryActivityCache) -> MemoryActivityGrads:
    """Pull the cotangent da (B, P, L) back to mu. Raises InputError on shape or dtype."""
    mu, e, e0 = cache
    check_cotangents("memory_activity", mu.dtype, da=(da, e.shape))
    de = da.astype(np.float64) * e0 / np.square(e + e0)
    dmu = de[..., None] * 2.0 * mu / mu.shape[-1]  # (memory.13)
    return MemoryActivityGrads(dmu.astype(mu.dtype))


def memory_write_forward(
    m: Array, q: Array, mu: Array, theta: Array, *, e0: float, delta: float
) -> tuple[Array, Array, MemoryWriteCache]:
    """Write one block. Returns the new m and q (B, P, K, D) and the cache.

    Silent frames have no activity and leave the state as it was. Raises InputError on shapes, dtypes, e0 or delta.
    """
    check_arrays("memory_write", m=(m, "B P K D"), q=(q, "B P K D"), mu=(mu, "B P L D"), theta=(theta, "K"))
    check_number("memory_write", above=0.0, delta=delta)
    m64, q64, mu64 = m.astype(np.float64), q.astype(np.float64), mu.astype(np.float64)
    a, activity = memory_activity_forward(mu64, e0=e0)
    gain = a.mean(axis=-1)[..., None, None]  # (memory.3)
    total = a.sum(axis=-1)[..., None] + delta  # (memory.3)
    zbar = (a[..., None] * mu64).sum(axis=2) / total  # (memory.4)
    qbar = (a[..., None] * mu64**2).sum(axis=2) / total  # (memory.4)
    eta = sigmoid_forward(theta.astype(np.float64))[0][:, None]  # (memory.5)
    m_new = m64 + eta * gain * (zbar[:, :, None] - m64)  # (memory.6)
    q_new = q64 + eta * gain * (qbar[:, :, None] - q64)  # (memory.6)
    cache = MemoryWriteCache(m64, q64, mu64, eta, a, gain, total, zbar, qbar, activity, m.dtype)
    return m_new.astype(m.dtype), q_new.astype(m.dtype), cache


def memory_write_backward(dm_new: Array, dq_new: Array, cache: MemoryWriteCache) -> MemoryWriteGrads:
    """Pull the cotangents of the new state back to m, q, mu and theta. Raises InputError on shapes or dtypes."""
    m, q, mu, eta, a, gain, total, zbar, qbar, activity, dtype = cache
    check_cotangents("memory_write", dtype, dm_new=(dm_new, m.shape), dq_new=(dq_new, m.shape))
    dm64, dq64 = dm_new.astype(np.float64), dq_new.astype(np.float64)
    dm, dq = (1.0 - eta * gain) * dm64, (1.0 - eta * gain) * dq64  # (memory.7)
    dzbar, dqbar = (eta * gain * dm64).sum(axis=2), (eta * gain * dq64).sum(axis=2)  # (memory.8)
    pull = ((zbar[:, :, None] - m) * dm64 + (qbar[:, :, None] - q) * dq64).sum(axis=-1, keepdims=True)
    dgain = (eta * pull).sum(axis=(2, 3))  # (memory.9)
    deta = (gain * pull).sum(axis=(0, 1, 3))
    dtheta = eta[:, 0] * (1.0 - eta[:, 0]) * deta  # (memory.10)
    dz, dsq, frames = dzbar[:, :, None], dqbar[:, :, None], mu.shape[2]
    moved = ((mu - zbar[:, :, None]) * dz + (mu**2 - qbar[:, :, None]) * dsq).sum(axis=-1)
    da = dgain[..., None] / frames + moved / total  # (memory.11)
    direct = a[..., None] * (dz + 2.0 * mu * dsq) / total[..., None]
    dmu = direct + memory_activity_backward(da, activity).dmu  # (memory.12)
    return MemoryWriteGrads(*(grad.astype(dm_new.dtype) for grad in (dm, dq, dmu, dtheta)))
