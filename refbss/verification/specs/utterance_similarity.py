"""What utterance_similarity must satisfy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.losses.softmax_permutation import utterance_similarity_backward, utterance_similarity_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(est: Array, ref: Array, *, floor: float = 1e-3) -> tuple[Array, ...]:
    """The squared cosine of the two signals over (1 + floor)^2; 0 where one of them is zero."""
    c = np.zeros((*est.shape[:2], ref.shape[1]))
    for b, p, j in np.ndindex(c.shape):
        y, s = est[b, p], ref[b, j]
        if np.any(y) and np.any(s):
            cosine = math.fsum(y * s) / (np.linalg.norm(y) * np.linalg.norm(s))
            c[b, p, j] = (cosine / (1.0 + floor)) ** 2
    return (c,)


def draw(batch: int, outputs: int, references: int, samples: int, silent: bool = False) -> Any:
    """Return the function that draws signals, the first reference zero if ``silent``."""

    def arrays(rng: np.random.Generator) -> Arrays:
        ref = normal(rng, batch, references, samples)
        mixed = np.einsum("pj,bjn->bpn", normal(rng, outputs, references), ref)
        ref[:, 0] *= 0.0 if silent else 1.0
        return {"est": mixed + normal(rng, batch, outputs, samples, scale=0.5), "ref": ref}

    return arrays


def swapped_cotangent(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The cotangent is read as (reference, output)."""

    def faulty_backward(dc: Array, cache: Any) -> Any:
        return backward(dc.swapaxes(1, 2).copy() if dc.shape[1] == dc.shape[2] else dc, cache)

    return forward, faulty_backward


SPEC = OpSpec(
    name="utterance_similarity",
    forward=utterance_similarity_forward,
    backward=utterance_similarity_backward,
    oracle=oracle,
    outputs=("c",),
    differentiable=("est",),
    cases=(
        Case("square", draw(2, 2, 2, 7)),
        Case("more outputs", draw(1, 3, 2, 5), {"floor": 0.1}),
        Case("silent reference", draw(1, 2, 2, 5, silent=True)),
    ),
    faults=(Fault("cotangent transposed", "differences", swapped_cotangent),),
    bad_calls=(
        BadCall("samples", r"ref has shape \(2, 2, 6\).*, wanted N = 7 as est has", {"ref": np.zeros((2, 2, 6))}),
        BadCall("floor 0", r"floor is 0\.0, wanted a finite number above 0", attributes={"floor": 0.0}),
    ),
)
