"""What si_sdr must satisfy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.losses.si_sdr import si_sdr_backward, si_sdr_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(est: Array, ref: Array, *, eps: float = 1e-8) -> tuple[Array, ...]:
    """Project on the reference and compare the energies of projection and rest; eps |e|^2 is added to both."""
    loss = np.zeros((*est.shape[:2], ref.shape[1]))
    for b, p, j in np.ndindex(loss.shape):
        e, s = est[b, p], ref[b, j]
        if np.any(s) and np.any(e):
            target = s * (math.fsum(e * s) / math.fsum(s * s))
            relative = eps * math.fsum(e * e)
            ratio = (math.fsum(target**2) + relative) / (math.fsum((e - target) ** 2) + relative)
            loss[b, p, j] = -10.0 * math.log10(ratio)
    return (loss,)


def draw(batch: int, outputs: int, references: int, samples: int, noise: float = 0.0, silent: bool = False) -> Any:
    """Return the function that draws signals: independent, or reference plus ``noise``; the last one zero."""

    def arrays(rng: np.random.Generator) -> Arrays:
        ref = normal(rng, batch, references, samples)
        est = normal(rng, batch, outputs, samples)
        if noise:
            est = 0.7 * ref[:, :outputs] + noise * est
        ref[:, -1] *= 0.0 if silent else 1.0
        return {"est": est, "ref": ref}

    return arrays


def zero_mean(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The estimate's mean is removed first, as some toolkits do; the gradient agrees."""

    def faulty_forward(est: Array, ref: Array, **attributes: Any) -> tuple[Any, ...]:
        return forward(est - est.mean(axis=-1, keepdims=True), ref, **attributes)

    def faulty_backward(dloss: Array, cache: Any) -> Any:
        grads = backward(dloss, cache)
        return grads._replace(dest=grads.dest - grads.dest.mean(axis=-1, keepdims=True))

    return faulty_forward, faulty_backward


SPEC = OpSpec(
    name="si_sdr",
    forward=si_sdr_forward,
    backward=si_sdr_backward,
    oracle=oracle,
    outputs=("loss",),
    differentiable=("est",),
    cases=(
        Case("unrelated", draw(2, 2, 3, 8)),
        Case("close", draw(1, 2, 2, 12, noise=0.3)),
        Case("large eps", draw(2, 1, 2, 5), {"eps": 0.1}),
        Case("silent reference", draw(1, 2, 2, 6, silent=True)),
    ),
    faults=(Fault("mean of the estimate removed, gradient alike", "oracle", zero_mean),),
    bad_calls=(
        BadCall("samples", r"ref has shape \(2, 3, 7\).*, wanted N = 8 as est has", {"ref": np.zeros((2, 3, 7))}),
        BadCall("eps 0", r"eps is 0\.0, wanted a finite number above 0", attributes={"eps": 0.0}),
    ),
    step=3e-4,
)
