"""Fast twin of refbss.ops.reparameterise: NumPy's vector loops in the dtype of the input."""

from __future__ import annotations

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array
from refbss.ops.reparameterise import ReparameteriseCache, ReparameteriseGrads


def reparameterise_forward(mu: Array, log_var: Array, eps: Array) -> tuple[Array, ReparameteriseCache]:
    """As refbss.ops.reparameterise.reparameterise_forward."""
    axes = " ".join(map(str, np.shape(mu)))
    check_arrays("reparameterise", mu=(mu, axes), log_var=(log_var, axes), eps=(eps, axes))
    deviation = np.exp(log_var / 2) * eps
    return mu + deviation, ReparameteriseCache(deviation, mu.dtype)


def reparameterise_backward(dz: Array, cache: ReparameteriseCache) -> ReparameteriseGrads:
    """As refbss.ops.reparameterise.reparameterise_backward."""
    check_cotangents("reparameterise", cache.dtype, dz=(dz, cache.deviation.shape))
    return ReparameteriseGrads(dz.copy(), dz * cache.deviation / 2)
