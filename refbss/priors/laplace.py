"""Symmetric multivariate Laplace prior, a Gaussian whose variance is exponentially distributed. It has no parameter.

u is an array of any shape, float64; w = u + offset must be above 0; D = dim. With the modified Bessel function K:

    v = D/2 - 1,  x = sqrt(2 w),  log f(u) = (2 - D)/4 log w + log K_v(x)         (laplace.1)
    r_v = K_{v+1}(x) / K_v(x):  r_0 = K_1 / K_0,  r_{-1/2} = 1                    (laplace.2)
    r_v = 2 v / x + 1 / r_{v-1}                                                   (laplace.3)
    phi = 2 r_v / x                                                               (laplace.4)
    phi' = phi^2 / 2 - (D/2) phi / w - 1 / w                                      (laplace.5)
    phi'' = phi phi' - (D/2) (phi' / w - phi / w^2) + 1 / w^2                     (laplace.6)

Derivation of (laplace.5): K_v' = (v/x) K_v - K_{v+1} and K_{v+1}' = -K_v - ((v+1)/x) K_{v+1} give
r' = r^2 - (2v+1) r / x - 1. By u, x' = 1/x, so phi' = 2 (r' - r/x) / x^2 = 2 r^2 / x^2 - 4 (v+1) r / x^3 - 2 / x^2,
which with r = x phi / 2, x^2 = 2 w and v + 1 = D/2 is (laplace.5). Its derivative by u, w' = 1, is (laplace.6).

Only ratios of K are formed, so nothing overflows; the upward recurrence is stable. Even D starts at order 0, odd D at
order -1/2. Source: [std], Kotz, Kozubowski & Podgorski 2001 for the density, DLMF 10.29 for the recurrences and the
derivatives of K; the offset, against the singularity at 0, [ours].
"""

from __future__ import annotations

import numpy as np
import scipy

from refbss._types import Array

HAS_SHAPE = False
SINGULAR_AT_ZERO = True


def _ratios(x: Array, dim: int) -> list[Array]:
    """Return r of the orders v = 0, 1, .. or -1/2, 1/2, .. up to D/2 - 1, so the last one is wanted."""
    first = 0.0 if dim % 2 == 0 else -0.5
    bessel = scipy.special  # loaded where it is first asked for
    ratios = [np.asarray(bessel.k1e(x) / bessel.k0e(x)) if dim % 2 == 0 else np.ones_like(x)]  # (laplace.2)
    for step in range(1, (dim + 1) // 2):
        ratios.append(2.0 * (first + step) / x + 1.0 / ratios[-1])  # (laplace.3)
    return ratios


def log_f(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Logarithm of f, without the normalising constant."""
    w = u + offset
    x = np.sqrt(2.0 * w)
    log_k = np.log(scipy.special.k0e(x)) - x if dim % 2 == 0 else 0.5 * np.log(np.pi / (2.0 * x)) - x
    log_k = log_k + sum(np.log(ratio) for ratio in _ratios(x, dim)[:-1])
    log_density: Array = (2.0 - dim) / 4.0 * np.log(w) + log_k  # (laplace.1)
    return log_density


def phi(u: Array, dim: int, shape: float, offset: float) -> Array:
    """phi = -2 f' / f."""
    x = np.sqrt(2.0 * (u + offset))
    value: Array = 2.0 * _ratios(x, dim)[-1] / x  # (laplace.4)
    return value


def phi_1(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi by u."""
    w, p = u + offset, phi(u, dim, shape, offset)
    return p**2 / 2.0 - dim / 2.0 * p / w - 1.0 / w  # (laplace.5)


def phi_2(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Second derivative of phi by u."""
    w, p, p_1 = u + offset, phi(u, dim, shape, offset), phi_1(u, dim, shape, offset)
    return p * p_1 - dim / 2.0 * (p_1 / w - p / w**2) + 1.0 / w**2  # (laplace.6)


def phi_shape(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi by the parameter: there is none, zero."""
    return np.zeros_like(u)


def phi_1_shape(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi_1 by the parameter: there is none, zero."""
    return np.zeros_like(u)
