"""What adaptive_separator must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from refbss._types import Array
from refbss.ops.adaptive_separator import adaptive_separator_backward, adaptive_separator_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(x: Array, g: Array, r: Array, a: Array, c: Array, read: Array, v: Array, b: Array) -> tuple[Array, ...]:
    """The demixing matrix V diag(w_{p,t}) of every source and frame, applied to the virtual array."""
    latent = v.shape[0] // 2
    y = np.empty((x.shape[0], a.shape[0], x.shape[1], 2 * latent))
    for i, p, t in np.ndindex(y.shape[:3]):
        w = expit(a[p] @ g[i, t] + c[p] + read @ r[i, p])
        demixing = v @ np.diag(w)
        y[i, p, t] = demixing @ x[i, t] + b
    return y[..., :latent], y[..., latent:]


def draw(batch: int, frames: int, channels: int, hidden: int, sources: int, reading: int, latent: int) -> Any:
    """Return the function that draws arrays of these sizes."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {
            "x": normal(rng, batch, frames, channels),
            "g": normal(rng, batch, frames, hidden),
            "r": normal(rng, batch, sources, reading),
            "a": normal(rng, sources, channels, hidden, scale=0.5),
            "c": normal(rng, sources, channels),
            "read": normal(rng, channels, reading, scale=0.5),
            "v": normal(rng, 2 * latent, channels),
            "b": normal(rng, 2 * latent),
        }

    return arrays


def first_source_only(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient of the control g leaves out the sum over sources."""

    def faulty_backward(dmu: Array, dl: Array, cache: Any) -> Any:
        first = (np.arange(dmu.shape[1]) == 0).astype(dmu.dtype)[:, None, None]
        return backward(dmu, dl, cache)._replace(dg=backward(dmu * first, dl * first, cache).dg)

    return forward, faulty_backward


SPEC = OpSpec(
    name="adaptive_separator",
    forward=adaptive_separator_forward,
    backward=adaptive_separator_backward,
    oracle=oracle,
    outputs=("mu", "l"),
    differentiable=("x", "g", "r", "a", "c", "read", "v", "b"),
    cases=(
        Case("plain", draw(2, 3, 4, 2, 2, 3, 2)),
        Case("three sources, one frame", draw(1, 1, 3, 2, 3, 2, 1)),
        Case("more channels than latents", draw(1, 2, 5, 2, 2, 2, 1)),
    ),
    linear=("x", "v", "b"),
    faults=(Fault("gradient of g from the first source only", "differences", first_source_only),),
    bad_calls=(
        BadCall("frames", r"g has shape \(2, 4, 2\).*, wanted T = 3 as x has", {"g": np.zeros((2, 4, 2))}),
        BadCall("sources", r"a has shape \(3, 4, 2\).*, wanted P = 2 as r has", {"a": np.zeros((3, 4, 2))}),
        BadCall("reading", r"read has shape \(4, 2\).*, wanted R = 3 as r has", {"read": np.zeros((4, 2))}),
        BadCall("odd rows", r"v has shape \(5, 4\).*, wanted", {"v": np.zeros((5, 4)), "b": np.zeros(5)}),
    ),
)
