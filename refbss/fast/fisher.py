"""Fast twin of refbss.losses.fisher, weighted form: one pass over the latents each way. Other forms are the law's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refbss import priors
from refbss._checks import check_cotangents
from refbss._jit import fast_kernel
from refbss._types import Array
from refbss.fast._elementary import exp
from refbss.losses import fisher as law
from refbss.losses._broadcast import sum_to_shape
from refbss.losses.fisher import FisherCache, FisherGrads, check_fisher


class FastFisherCache(NamedTuple):
    """Rows (R, D) of the noise, the deviation and the sample; 1 / R in rows of its own, and which of them each row has.

    u (R,) in float64, the log-scatter for its shape, and the family's arguments.
    """

    log_r: Array
    shape: Array
    dims: tuple[int, ...]
    eps: Array
    sig: Array
    z: Array
    a: Array
    row: NDArray[np.intp]
    u: Array
    family: str
    offset: float


@fast_kernel
def _sample(mu, log_var, eps, a, row, sig, z, u):  # type: ignore[no-untyped-def]
    rows, latent = mu.shape
    half = mu.dtype.type(0.5)
    for i in range(rows):
        total = mu.dtype.type(0.0)
        k = row[i]
        for d in range(latent):
            deviation = exp(log_var[i, d] * half)
            v = mu[i, d] + deviation * eps[i, d]
            sig[i, d] = deviation
            z[i, d] = v
            total += a[k, d] * v * v
        u[i] = total


@fast_kernel
def _value(sig, eps, z, a, row, phi, value):  # type: ignore[no-untyped-def]
    rows, latent = z.shape
    for i in range(rows):
        total = z.dtype.type(0.0)
        p, k = phi[i], row[i]
        for d in range(latent):
            v = eps[i, d] - sig[i, d] * p * a[k, d] * z[i, d]
            total += v * v
        value[i] = total * z.dtype.type(0.5)


@fast_kernel
def _backward(df, sig, eps, z, a, row, phi, phi_1, dmu, dlog_var, dlog_r, along):  # type: ignore[no-untyped-def]
    rows, latent = z.shape
    two, half = z.dtype.type(2.0), z.dtype.type(0.5)
    for i in range(rows):
        p, g, k = phi[i], df[i], row[i]
        total = z.dtype.type(0.0)
        for d in range(latent):
            az = a[k, d] * z[i, d]
            total += (eps[i, d] - sig[i, d] * p * az) * sig[i, d] * az
        along[i] = total * g
        du = -total * g * phi_1[i] * two
        for d in range(latent):
            az = a[k, d] * z[i, d]
            v = g * (eps[i, d] - sig[i, d] * p * az)
            dz = du * az - p * a[k, d] * v * sig[i, d]
            dmu[i, d] = dz
            dlog_var[i, d] = (dz * eps[i, d] - v * p * az) * sig[i, d] * half
            dlog_r[k, d] += p * az * v * sig[i, d] - half * du * az * z[i, d]


def fisher_forward(
    mu: Array,
    log_var: Array,
    eps: Array,
    log_r: Array,
    shape: Array,
    *,
    family: str,
    form: str = "weighted",
    offset: float = 0.0,
) -> tuple[Array, FastFisherCache | FisherCache]:
    """As refbss.losses.fisher.fisher_forward."""
    if form != "weighted":
        return law.fisher_forward(mu, log_var, eps, log_r, shape, family=family, form=form, offset=offset)
    prior = check_fisher(mu, log_var, eps, log_r, shape, family, form, offset)
    flat = (-1, mu.shape[-1])
    scatter = np.broadcast_to(log_r, (*log_r.shape[:-1], mu.shape[-1])).reshape(flat)
    own = np.arange(len(scatter)).reshape(log_r.shape[:-1])
    row = np.broadcast_to(own, mu.shape[:-1]).reshape(-1)
    rows, spread, noise = (np.ascontiguousarray(array).reshape(flat) for array in (mu, log_var, eps))
    a, sig, z = np.exp(-scatter), np.empty_like(rows), np.empty_like(rows)
    u, value = np.empty(len(rows), mu.dtype), np.empty(len(rows), mu.dtype)
    _sample(rows, spread, noise, a, row, sig, z, u)
    law.check_nonzero(prior, u, offset)
    wide = u.astype(np.float64)
    phi = prior.phi(wide, flat[1], float(shape[0]), offset).astype(mu.dtype)
    _value(sig, noise, z, a, row, phi, value)
    cache = FastFisherCache(log_r, shape, mu.shape, noise, sig, z, a, row, wide, family, offset)
    return value.reshape(mu.shape[:-1]), cache


def fisher_backward(df: Array, cache: FastFisherCache | FisherCache) -> FisherGrads:
    """As refbss.losses.fisher.fisher_backward."""
    if isinstance(cache, FisherCache):
        return law.fisher_backward(df, cache)
    log_r, shape, dims, eps, sig, z, a, row, u, family, offset = cache
    check_cotangents("fisher", z.dtype, df=(df, dims[:-1]))
    prior, arguments = priors.get(family), (u, dims[-1], float(shape[0]), offset)
    phi, phi_1 = (f(*arguments).astype(z.dtype) for f in (prior.phi, prior.phi_1))
    dmu, dlog_var, dlog_r = np.empty_like(z), np.empty_like(z), np.zeros(a.shape)  # sums of many rows
    along = np.empty(len(z), z.dtype)
    _backward(np.ascontiguousarray(df).reshape(-1), sig, eps, z, a, row, phi, phi_1, dmu, dlog_var, dlog_r, along)
    dshape = -np.sum(along * prior.phi_shape(*arguments)).reshape(1)
    of_scatter = dlog_r.reshape(*log_r.shape[:-1], dims[-1])
    return FisherGrads(
        dmu.reshape(dims),
        dlog_var.reshape(dims),
        sum_to_shape(of_scatter, log_r.shape).astype(z.dtype),
        dshape.astype(z.dtype),
    )
