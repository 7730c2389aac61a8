"""The separator: the virtual array times an adaptive matrix, then a fully connected layer.

Shapes: virtual array x (B, T, M), control g (B, T, H), memory reading r (B, P, R), a (P, M, H), c (P, M),
read (M, R), v (2D, M), b (2D,); out: mu (B, P, T, D) and l (B, P, T, D), the log-variance before its bounds.

    (separator.1)  w_{p,t} = sigm(A_p g_t + c_p + C r_p)              in (0, 1)^M; C is `read`
    (separator.2)  u_{p,t} = w_{p,t} * x_t
    (separator.3)  [mu_{p,t}; l_{p,t}] = V u_{p,t} + b

so the demixing matrix of source p at time t is V diag(w_{p,t}), the link to classical blind source separation.
Backward, dy = [dmu; dl]:

    (separator.4)  du = V' dy,   dV = sum_{b,p,t} dy u',   db = sum_{b,p,t} dy
    (separator.5)  dx_t = sum_p w * du,   dw = x * du
    (separator.6)  ds = dw * w * (1 - w)                              at the argument of sigm
    (separator.7)  dg_t = sum_p A_p' ds,   dA_p = sum_{b,t} ds g',   dc_p = sum_{b,t} ds
    (separator.8)  dr_p = C' sum_t ds,   dC = sum_{b,p} (sum_t ds) r_p'

Element-wise product with an adaptive matrix followed by a fully connected layer: [paper]. What drives the matrix and
what is shared between sources: [ours]. float64 inside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays, check_cotangents
from refbss._types import Array
from refbss.ops.activations import ActivationCache, sigmoid_backward, sigmoid_forward


class AdaptiveSeparatorCache(NamedTuple):
    """Inputs and the adaptive matrix, float64."""

    x: Array
    g: Array
    r: Array
    a: Array
    read: Array
    v: Array
    w: Array
    dtype: np.dtype[np.floating]


class AdaptiveSeparatorGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dx: Array
    dg: Array
    dr: Array
    da: Array
    dc: Array
    dread: Array
    dv: Array
    db: Array


def adaptive_separator_forward(
    x: Array, g: Array, r: Array, a: Array, c: Array, read: Array, v: Array, b: Array
) -> tuple[Array, Array, AdaptiveSeparatorCache]:
    """Separate one block of frames. Returns mu, l (B, P, T, D) and the cache. Raises InputError on shapes or dtypes."""
    check_arrays(
        "adaptive_separator",
        x=(x, "B T M"),
        g=(g, "B T H"),
        r=(r, "B P R"),
        a=(a, "P M H"),
        c=(c, "P M"),
        read=(read, "M R"),
        v=(v, "DD M"),
        b=(b, "DD"),
    )
    latent = v.shape[0] // 2
    check_arrays("adaptive_separator", v=(v, f"{2 * latent} M"))
    dtype = x.dtype
    x, g, r, a, c, read, v, b = (array.astype(np.float64) for array in (x, g, r, a, c, read, v, b))
    s = np.einsum("pmh,bth->bptm", a, g) + c[:, None, :] + np.einsum("mr,bpr->bpm", read, r)[:, :, None, :]
    w, _ = sigmoid_forward(s)  # (separator.1)
    u = w * x[:, None]  # (separator.2)
    y = np.einsum("dm,bptm->bptd", v, u) + b  # (separator.3)
    mu, log_var_raw = y[..., :latent].astype(dtype), y[..., latent:].astype(dtype)
    return mu, log_var_raw, AdaptiveSeparatorCache(x, g, r, a, read, v, w, dtype)


def adaptive_separator_backward(dmu: Array, dl: Array, cache: AdaptiveSeparatorCache) -> AdaptiveSeparatorGrads:
    """Pull the cotangents dmu and dl (B, P, T, D) back to all arrays. Raises InputError on shapes or dtypes."""
    x, g, r, a, read, v, w, dtype = cache
    shape = (*w.shape[:3], v.shape[0] // 2)
    check_cotangents("adaptive_separator", dtype, dmu=(dmu, shape), dl=(dl, shape))
    dy = np.concatenate([dmu, dl], axis=-1).astype(np.float64)
    du = np.einsum("dm,bptd->bptm", v, dy)  # (separator.4)
    dv = np.einsum("bptd,bptm->dm", dy, w * x[:, None])  # (separator.4)
    db = dy.sum(axis=(0, 1, 2))  # (separator.4)
    dx = (w * du).sum(axis=1)  # (separator.5)
    dw = x[:, None] * du  # (separator.5)
    ds = sigmoid_backward(dw, ActivationCache(w, w.dtype)).dx  # (separator.6)
    dg = np.einsum("pmh,bptm->bth", a, ds)  # (separator.7)
    da = np.einsum("bptm,bth->pmh", ds, g)  # (separator.7)
    dc = ds.sum(axis=(0, 2))  # (separator.7)
    ds_block = ds.sum(axis=2)
    dr = np.einsum("mr,bpm->bpr", read, ds_block)  # (separator.8)
    dread = np.einsum("bpm,bpr->mr", ds_block, r)  # (separator.8)
    return AdaptiveSeparatorGrads(*(grad.astype(dtype) for grad in (dx, dg, dr, da, dc, dread, dv, db)))
