"""Fast twin of refbss.losses.fisher, weighted form: one pass over the latents each way. Other forms are the law's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss import priors
from refbss._checks import check_cotangents
from refbss._jit import fast_kernel
from refbss._types import Array
from refbss.losses import fisher as law
from refbss.losses._broadcast import sum_to_shape
from refbss.losses.fisher import FisherCache, FisherGrads, check_fisher


class FastFisherCache(NamedTuple):
    """Rows (R, D) of the noise, the deviation, the sample and 1 / R; u (R,) in float64; the family's arguments."""

    mu: Array
    log_r: Array
    shape: Array
    eps: Array
    sig: Array
    z: Array
    a: Array
    u: Array
    family: str
    offset: float


@fast_kernel
def _sample(mu, sig, eps, a, z, u):  # type: ignore[no-untyped-def]
    rows, latent = mu.shape
    for i in range(rows):
        total = mu.dtype.type(0.0)
        for d in range(latent):
            v = mu[i, d] + sig[i, d] * eps[i, d]
            z[i, d] = v
            total += a[i, d] * v * v
        u[i] = total


@fast_kernel
def _value(sig, eps, z, a, phi, value):  # type: ignore[no-untyped-def]
    rows, latent = z.shape
    for i in range(rows):
        total = z.dtype.type(0.0)
        p = phi[i]
        for d in range(latent):
            v = eps[i, d] - sig[i, d] * p * a[i, d] * z[i, d]
            total += v * v
        value[i] = total * z.dtype.type(0.5)


@fast_kernel
def _backward(df, sig, eps, z, a, phi, phi_1, dmu, dlog_var, dlog_r, along):  # type: ignore[no-untyped-def]
    rows, latent = z.shape
    two, half = z.dtype.type(2.0), z.dtype.type(0.5)
    for i in range(rows):
        p, g = phi[i], df[i]
        total = z.dtype.type(0.0)
        for d in range(latent):
            az = a[i, d] * z[i, d]
            total += (eps[i, d] - sig[i, d] * p * az) * sig[i, d] * az
        along[i] = total * g
        du = -total * g * phi_1[i] * two
        for d in range(latent):
            az = a[i, d] * z[i, d]
            v = g * (eps[i, d] - sig[i, d] * p * az)
            dz = du * az - p * a[i, d] * v * sig[i, d]
            dmu[i, d] = dz
            dlog_var[i, d] = (dz * eps[i, d] - v * p * az) * sig[i, d] * half
            dlog_r[i, d] = p * az * v * sig[i, d] - half * du * az * z[i, d]


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
    a = np.ascontiguousarray(np.broadcast_to(np.exp(-log_r), mu.shape)).reshape(flat)
    rows, noise = (np.ascontiguousarray(array).reshape(flat) for array in (mu, eps))
    sig, z = np.exp(log_var.reshape(flat) / 2), np.empty_like(rows)
    u, value = np.empty(len(rows), mu.dtype), np.empty(len(rows), mu.dtype)
    _sample(rows, sig, noise, a, z, u)
    law.check_nonzero(prior, u, offset)
    phi = prior.phi(u.astype(np.float64), flat[1], float(shape[0]), offset).astype(mu.dtype)
    _value(sig, noise, z, a, phi, value)
    cache = FastFisherCache(mu, log_r, shape, noise, sig, z, a, u.astype(np.float64), family, offset)
    return value.reshape(mu.shape[:-1]), cache


def fisher_backward(df: Array, cache: FastFisherCache | FisherCache) -> FisherGrads:
    """As refbss.losses.fisher.fisher_backward."""
    if isinstance(cache, FisherCache):
        return law.fisher_backward(df, cache)
    mu, log_r, shape, eps, sig, z, a, u, family, offset = cache
    check_cotangents("fisher", mu.dtype, df=(df, mu.shape[:-1]))
    prior, arguments = priors.get(family), (u, mu.shape[-1], float(shape[0]), offset)
    phi, phi_1 = (f(*arguments).astype(mu.dtype) for f in (prior.phi, prior.phi_1))
    dmu, dlog_var, dlog_r = np.empty_like(z), np.empty_like(z), np.empty_like(z)
    along = np.empty(len(z), mu.dtype)
    _backward(np.ascontiguousarray(df).reshape(-1), sig, eps, z, a, phi, phi_1, dmu, dlog_var, dlog_r, along)
    dshape = -np.sum(along * prior.phi_shape(*arguments)).reshape(1)
    return FisherGrads(
        dmu.reshape(mu.shape),
        dlog_var.reshape(mu.shape),
        sum_to_shape(dlog_r.reshape(mu.shape), log_r.shape),
        dshape.astype(mu.dtype),
    )
