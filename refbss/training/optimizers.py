"""Adam, and the clipping of the gradient's norm.

    (adam.1)  norm = sqrt(sum over all tensors of g^2),   g <- g min(1, clip / norm)
    (adam.2)  m <- beta1 m + (1 - beta1) g
    (adam.3)  v <- beta2 v + (1 - beta2) g^2
    (adam.4)  theta <- theta - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps),   t = 1, 2, ..

Source: [std] Kingma and Ba 2015; eps outside the root as in torch.optim.Adam.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss.models.params import Params


class AdamState(NamedTuple):
    """First and second moments by parameter name, and the number of steps taken."""

    m: Params
    v: Params
    t: int


def adam_init(params: Params) -> AdamState:
    """Moments of zero."""
    return AdamState(
        {k: np.zeros_like(p) for k, p in params.items()}, {k: np.zeros_like(p) for k, p in params.items()}, 0
    )


def gradient_norm(grads: Params) -> float:
    """Euclidean norm of all gradients together, summed in float64."""
    return float(np.sqrt(sum(float(np.square(g.astype(np.float64)).sum()) for g in grads.values())))


def clip_gradients(grads: Params, clip: float) -> tuple[Params, float]:
    """Scale the gradients down to the norm ``clip`` where it is larger. Returns them and the norm before."""
    norm = gradient_norm(grads)
    scale = min(1.0, clip / norm) if norm > 0 else 1.0  # (adam.1)
    return {name: g * g.dtype.type(scale) for name, g in grads.items()}, norm


def adam_step(
    params: Params, grads: Params, state: AdamState, *, learning_rate: float, beta1: float, beta2: float, eps: float
) -> tuple[Params, AdamState]:
    """One step. Returns new parameters and a new state; the old ones are left as they were."""
    t = state.t + 1
    new: Params = {}
    m_new: Params = {}
    v_new: Params = {}
    for name, p in params.items():
        g = grads[name]
        one = p.dtype.type
        m = m_new[name] = one(beta1) * state.m[name] + one(1 - beta1) * g  # (adam.2)
        v = v_new[name] = one(beta2) * state.v[name] + one(1 - beta2) * g * g  # (adam.3)
        step = (m / one(1 - beta1**t)) / (np.sqrt(v / one(1 - beta2**t)) + one(eps))
        new[name] = p - one(learning_rate) * step  # (adam.4)
    return new, AdamState(m_new, v_new, t)
