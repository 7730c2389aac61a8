"""Power-exponential prior; shape is the exponent beta > 0: 1 is the Gaussian, 1/2 a multivariate Laplacian.

u is an array of any shape, float64; w = u + offset must be above 0. dim is unused.

    log f(u) = -w^beta / 2                                                        (power.1)
    phi = beta w^(beta-1)                                                         (power.2)
    phi' = beta (beta-1) w^(beta-2)                                               (power.3)
    phi'' = beta (beta-1) (beta-2) w^(beta-3)                                     (power.4)
    d phi / d beta = w^(beta-1) (1 + beta log w)                                  (power.5)
    d phi' / d beta = w^(beta-2) (2 beta - 1 + beta (beta-1) log w)               (power.6)

Source: [std], multivariate power exponential (Gomez et al. 1998); the offset, against the singularity at 0, [ours].
"""

from __future__ import annotations

import numpy as np

from refbss._types import Array

HAS_SHAPE = True
SINGULAR_AT_ZERO = True


def log_f(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Logarithm of f, without the normalising constant (which depends on beta)."""
    return -0.5 * (u + offset) ** shape  # (power.1)


def phi(u: Array, dim: int, shape: float, offset: float) -> Array:
    """phi = -2 f' / f."""
    return shape * (u + offset) ** (shape - 1.0)  # (power.2)


def phi_1(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi by u."""
    return shape * (shape - 1.0) * (u + offset) ** (shape - 2.0)  # (power.3)


def phi_2(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Second derivative of phi by u."""
    return shape * (shape - 1.0) * (shape - 2.0) * (u + offset) ** (shape - 3.0)  # (power.4)


def phi_shape(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi by beta."""
    w = u + offset
    derivative: Array = w ** (shape - 1.0) * (1.0 + shape * np.log(w))  # (power.5)
    return derivative


def phi_1_shape(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi_1 by beta."""
    w = u + offset
    derivative: Array = w ** (shape - 2.0) * (2.0 * shape - 1.0 + shape * (shape - 1.0) * np.log(w))  # (power.6)
    return derivative
