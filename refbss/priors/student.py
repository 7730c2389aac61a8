"""Multivariate Student prior; shape is the number of degrees of freedom nu > 0. offset is unused.

u is an array of any shape, float64; D = dim.

    log f(u) = -(nu + D) / 2 log(1 + u / nu)                     (student.1)
    phi = (nu + D) / (nu + u)                                    (student.2)
    phi' = -(nu + D) / (nu + u)^2                                (student.3)
    phi'' = 2 (nu + D) / (nu + u)^3                              (student.4)
    d phi / d nu = (u - D) / (nu + u)^2                          (student.5)
    d phi' / d nu = (nu + 2 D - u) / (nu + u)^3                  (student.6)

Source: [std]; the derivatives by nu follow from (student.2).
"""

from __future__ import annotations

import numpy as np

from refbss._types import Array

HAS_SHAPE = True
SINGULAR_AT_ZERO = False


def log_f(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Logarithm of f, without the normalising constant (which depends on nu)."""
    log_density: Array = -0.5 * (shape + dim) * np.log1p(u / shape)  # (student.1)
    return log_density


def phi(u: Array, dim: int, shape: float, offset: float) -> Array:
    """phi = -2 f' / f."""
    return (shape + dim) / (shape + u)  # (student.2)


def phi_1(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi by u."""
    return -(shape + dim) / (shape + u) ** 2  # (student.3)


def phi_2(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Second derivative of phi by u."""
    return 2.0 * (shape + dim) / (shape + u) ** 3  # (student.4)


def phi_shape(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi by nu."""
    return (u - dim) / (shape + u) ** 2  # (student.5)


def phi_1_shape(u: Array, dim: int, shape: float, offset: float) -> Array:
    """Derivative of phi_1 by nu."""
    return (shape + 2.0 * dim - u) / (shape + u) ** 3  # (student.6)
