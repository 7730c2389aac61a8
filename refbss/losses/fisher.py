"""Fisher divergence of the posterior q = N(mu, diag sig^2) from a spherically invariant prior, by score matching.

Shapes: mu, log_var, eps (..., D); log_r broadcasts against mu; shape (1,); F (...,), summed over D, from the one
sample that the noise eps gives. shape is the family's parameter (student: nu, power: beta; gaussian, laplace: unused).

    sig = e^(log_var / 2),  z = mu + sig eps,  a = e^-log_r           (fisher.1)
    u = sum_d a z^2                                                   (fisher.2)
    psi = grad log p(z) = -phi(u) a z                                 (fisher.3)
    explicit  F = 1/2 |psi + eps / sig|^2,  eps / sig = -grad log q   (fisher.4)
    weighted  F = 1/2 |sig psi + eps|^2                               (fisher.5)
    implicit  F = 1/2 |psi|^2 + div psi + 1/2 sum_d 1 / sig^2,        (fisher.6)
              div psi = -(phi sum_d a + 2 phi' sum_d a^2 z^2)         (fisher.7)

Backward. Each form first, v being dF times the vector whose square is summed:

    explicit  dpsi = v,  dsig -= v eps / sig^2                        (fisher.14)
    weighted  dpsi = v sig,  dsig = v psi                             (fisher.15)
    implicit  dphi = -dF sum a,  dphi' = -2 dF sum a^2 z^2,           (fisher.16)
              dz = -4 dF phi' a^2 z,  da = -dF (phi + 4 phi' a z^2),
              du = dphi' phi'',  dshape = dphi' dphi'/dshape,         (fisher.17)
              dpsi = dF psi,  dsig = -dF / sig^3                      (fisher.18)

then one chain for all:

    dphi -= sum_d dpsi a z,  dz -= phi a dpsi,  da -= phi z dpsi      (fisher.8)
    du += dphi phi',  dshape += dphi dphi/dshape                      (fisher.9)
    dz += 2 du a z,  da += du z^2                                     (fisher.10)
    dmu = dz,  dsig += dz eps                                         (fisher.11)
    dlog_var = dsig sig / 2                                           (fisher.12)
    dlog_r = -da a, summed over the axes that were repeated           (fisher.13)

Fisher divergence in place of KL, SIRP prior [paper]; score of a SIRP: Brehm & Stammler 1987 [std]; implicit form:
Hyvarinen 2005, equal to the explicit one in expectation over eps [std]; weighted form [ours].
Families: refbss.priors. ``offset`` is added to u by power and laplace, which are singular at z = 0 without it.
Sums run in float64.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np

from refbss import priors
from refbss._checks import InputError, check_arrays, check_choice, check_cotangents, check_number
from refbss._types import Array
from refbss.losses._broadcast import axes_of, check_broadcast, sum_to_shape

FORMS = ("weighted", "explicit", "implicit")


class Score(NamedTuple):
    """The sample and the prior's score there, float64: u and phi (...,), the rest (..., D)."""

    eps: Array
    sig: Array
    z: Array
    a: Array
    u: Array
    phi: Array
    psi: Array


class Partials(NamedTuple):
    """Partial derivatives of F, times the cotangent: dphi, du (...,), dshape of any shape, the rest (..., D)."""

    dpsi: Array
    dsig: Array
    dz: Array
    da: Array
    dphi: Array
    du: Array
    dshape: Array


class FisherCache(NamedTuple):
    """The arrays whose gradient is wanted, the score in float64, the family's arguments and the form."""

    mu: Array
    log_r: Array
    shape: Array
    score: Score
    family: str
    form: str
    offset: float


class FisherGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to; the noise is no parameter."""

    dmu: Array
    dlog_var: Array
    dlog_r: Array
    dshape: Array


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
) -> tuple[Array, FisherCache]:
    """Return F (...,) and the cache.

    Raises InputError on shapes or dtypes, an unknown family or form, a negative offset, a family's parameter that is
    not above 0, and a sample at z = 0 where the family is singular.
    """
    prior = check_fisher(mu, log_var, eps, log_r, shape, family, form, offset)
    score = _score(mu, log_var, eps, log_r, shape, prior, offset)
    value = _value(form, score, prior, float(shape[0]), offset)
    return np.asarray(value, dtype=mu.dtype), FisherCache(mu, log_r, shape, score, family, form, offset)


def check_fisher(
    mu: Array, log_var: Array, eps: Array, log_r: Array, shape: Array, family: str, form: str, offset: float
) -> ModuleType:
    """The door of both engines: check every argument, return the family. Raises InputError."""
    check_arrays("fisher", mu=(mu, "... D"))
    same = axes_of(mu)
    check_arrays(
        "fisher", mu=(mu, same), log_var=(log_var, same), eps=(eps, same), log_r=(log_r, "..."), shape=(shape, "1")
    )
    check_broadcast("fisher", "log_r", log_r, mu.shape)
    check_choice("fisher", tuple(priors.FAMILIES), family=family)
    check_choice("fisher", FORMS, form=form)
    check_number("fisher", least=0.0, offset=offset)
    prior = priors.get(family)
    if prior.HAS_SHAPE:
        check_number("fisher", above=0.0, **{"shape[0]": float(shape[0])})
    return prior


def check_nonzero(prior: ModuleType, u: Array, offset: float) -> None:
    """Refuse a sample at z = 0 where the family is singular. Raises InputError."""
    if prior.SINGULAR_AT_ZERO and not np.all(u + offset > 0.0):
        name = prior.__name__.rpartition(".")[2]
        raise InputError(f"fisher: offset is {offset!r} and a sample is zero, wanted an offset above 0 for {name}")


def _score(
    mu: Array, log_var: Array, eps: Array, log_r: Array, shape: Array, prior: ModuleType, offset: float
) -> Score:
    noise, sig = eps.astype(np.float64), np.exp(log_var.astype(np.float64) / 2.0)
    z = mu.astype(np.float64) + sig * noise  # (fisher.1)
    a = np.broadcast_to(np.exp(-log_r.astype(np.float64)), z.shape)
    u = np.asarray(np.sum(a * z**2, axis=-1))  # (fisher.2)
    check_nonzero(prior, u, offset)
    phi = prior.phi(u, z.shape[-1], float(shape[0]), offset)
    psi = -phi[..., None] * a * z  # (fisher.3)
    return Score(noise, sig, z, a, u, phi, psi)


def _value(form: str, score: Score, prior: ModuleType, shape: float, offset: float) -> Array:
    eps, sig, z, a, u, phi, psi = score
    value: Array
    if form == "explicit":
        value = 0.5 * np.sum((psi + eps / sig) ** 2, axis=-1)  # (fisher.4)
    elif form == "weighted":
        value = 0.5 * np.sum((sig * psi + eps) ** 2, axis=-1)  # (fisher.5)
    else:
        phi_1 = prior.phi_1(u, z.shape[-1], shape, offset)
        divergence = -(phi * np.sum(a, axis=-1) + 2.0 * phi_1 * np.sum(a**2 * z**2, axis=-1))  # (fisher.7)
        value = 0.5 * np.sum(psi**2, axis=-1) + divergence + 0.5 * np.sum(sig**-2, axis=-1)  # (fisher.6)
    return value


def fisher_backward(df: Array, cache: FisherCache) -> FisherGrads:
    """Pull the cotangent df (...,) back to mu, log_var, log_r and shape. Raises InputError on shapes or dtypes."""
    mu, log_r, shape, score, family, form, offset = cache
    check_cotangents("fisher", mu.dtype, df=(df, mu.shape[:-1]))
    eps, sig, z, a, u, phi, _ = score
    prior, arguments = priors.get(family), (u, z.shape[-1], float(shape[0]), offset)
    d = df.astype(np.float64)
    dpsi, dsig, dz, da, dphi, du, dshape = _partials(form, d, score, prior, float(shape[0]), offset)
    dphi = dphi - np.sum(dpsi * a * z, axis=-1)  # (fisher.8): psi = -phi a z
    dz = dz - phi[..., None] * a * dpsi
    da = da - phi[..., None] * z * dpsi
    du = du + dphi * prior.phi_1(*arguments)  # (fisher.9): phi = phi(u, shape)
    dshape = dshape + dphi * prior.phi_shape(*arguments)
    dz = dz + 2.0 * du[..., None] * a * z  # (fisher.10): u = sum_d a z^2
    da = da + du[..., None] * z**2
    dmu = dz  # (fisher.11): z = mu + sig eps
    dsig = dsig + dz * eps
    dlog_var = dsig * sig / 2.0  # (fisher.12): sig = e^(log_var / 2)
    dlog_r = sum_to_shape(-da * a, log_r.shape)  # (fisher.13): a = e^-log_r
    total = np.sum(dshape).reshape(1)
    return FisherGrads(*(g.astype(mu.dtype) for g in (dmu, dlog_var, dlog_r, total)))


def _partials(form: str, d: Array, score: Score, prior: ModuleType, shape: float, offset: float) -> Partials:
    eps, sig, z, a, u, phi, psi = score
    row, zero_row, zero = d[..., None], np.zeros_like(d), np.zeros_like(z)
    if form == "explicit":
        v = row * (psi + eps / sig)  # (fisher.14)
        return Partials(v, -v * eps / sig**2, zero, zero, zero_row, zero_row, zero_row)
    if form == "weighted":
        v = row * (sig * psi + eps)  # (fisher.15)
        return Partials(v * sig, v * psi, zero, zero, zero_row, zero_row, zero_row)
    arguments = (u, z.shape[-1], shape, offset)
    phi_1 = prior.phi_1(*arguments)
    dphi = -d * np.sum(a, axis=-1)  # (fisher.16): div psi = -(phi sum a + 2 phi' sum a^2 z^2)
    dphi_1 = -2.0 * d * np.sum(a**2 * z**2, axis=-1)
    dz = -4.0 * row * phi_1[..., None] * a**2 * z
    da = -row * (phi[..., None] + 4.0 * phi_1[..., None] * a * z**2)
    du = dphi_1 * prior.phi_2(*arguments)  # (fisher.17): phi' = phi'(u, shape)
    dshape = dphi_1 * prior.phi_1_shape(*arguments)
    return Partials(row * psi, -row * sig**-3, dz, da, dphi, du, dshape)  # (fisher.18)
