"""Parametric rectifier with one slope a channel, or one slope shared by all channels.

Shapes: x (B, C, N), a (C,) or (1,), y (B, C, N).

    (prelu.1)  y = x where x > 0, a x elsewhere
    (prelu.2)  dx = dy where x > 0, a dy elsewhere
    (prelu.3)  da = sum of x dy where x <= 0, over batch and time (and channels when shared)

At x = 0 the slope a counts, as in PyTorch. Source: [std] He et al. 2015; parameters as torch.nn.PReLU.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array


class PreluCache(NamedTuple):
    """The inputs of the forward pass."""

    x: Array
    a: Array


class PreluGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    da: Array


def check_prelu(x: Array, a: Array) -> None:
    """The door of both engines. Raises InputError."""
    shared = isinstance(a, np.ndarray) and a.shape == (1,)
    check_arrays("prelu", x=(x, "B C N"), a=(a, "1" if shared else "C"))


def prelu_forward(x: Array, a: Array) -> tuple[Array, PreluCache]:
    """Rectify. Returns y (B, C, N) and the cache. Raises InputError on shapes or dtypes."""
    check_prelu(x, a)
    y = np.where(x > 0, x, a[:, None] * x)  # (prelu.1)
    return y, PreluCache(x, a)


def prelu_backward(dy: Array, cache: PreluCache) -> PreluGrads:
    """Pull the cotangent dy (B, C, N) back to x and a. Raises InputError on shape or dtype."""
    x, a = cache
    check_cotangents("prelu", x.dtype, dy=(dy, x.shape))
    dx = np.where(x > 0, dy, a[:, None] * dy)  # (prelu.2)
    below = np.where(x > 0, 0.0, x.astype(np.float64) * dy)
    da = below.sum(axis=(0, 2)) if a.shape != (1,) else below.sum().reshape(1)  # (prelu.3)
    return PreluGrads(dx, da.astype(a.dtype))
