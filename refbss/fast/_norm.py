"""The layer norm of one frame, for a whole signal and for a hop."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._jit import helper
from refbss.fast._sums import inner, total


@helper
def normalise(x: Any, gamma: Any, beta: Any, eps: Any, xhat: Any, y: Any) -> Any:
    """xhat, the normalised x (C,), and y = gamma xhat + beta; returns one over the deviation. y may be x."""
    share = x.dtype.type(1.0 / x.shape[0])
    mean = total(x) * share
    for c in range(x.shape[0]):
        xhat[c] = x[c] - mean
    inverse = x.dtype.type(1.0) / np.sqrt(inner(xhat, xhat) * share + eps)
    for c in range(x.shape[0]):
        v = xhat[c] * inverse
        xhat[c] = v
        y[c] = v * gamma[c] + beta[c]
    return inverse
