"""Gaussian prior. u is an array of any shape, float64; dim, shape and offset are unused.

    log f(u) = -u / 2    (gaussian.1)
    phi(u) = 1           (gaussian.2)

Source: [std].
"""

from __future__ import annotations

import numpy as np

from refbss._types import Array

HAS_SHAPE = False
SINGULAR_AT_ZERO = False


def log_f(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Logarithm of f, without the normalising constant."""
    return -u / 2.0  # (gaussian.1)


def phi(u: Array, dim: int, shape: float, offset: float) -> Array:
    """phi = -2 f' / f."""
    return np.ones_like(u)  # (gaussian.2)


def phi_1(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi by u: zero."""
    return np.zeros_like(u)


def phi_2(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Second derivative of phi by u: zero."""
    return np.zeros_like(u)


def phi_shape(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi by the parameter: there is none, zero."""
    return np.zeros_like(u)


def phi_1_shape(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi_1 by the parameter: there is none, zero."""
    return np.zeros_like(u)
