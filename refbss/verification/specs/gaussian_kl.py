"""What gaussian_kl must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.losses.kl import gaussian_kl_backward, gaussian_kl_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(mu: Array, log_var: Array, log_r: Array) -> tuple[Array, ...]:
    """The divergence of two Gaussians with full covariance matrices, which here are diagonal."""
    prior = np.broadcast_to(log_r, mu.shape)
    kl = np.empty(mu.shape[:-1])
    for index in np.ndindex(kl.shape):
        q, p = np.diag(np.exp(log_var[index])), np.diag(np.exp(prior[index]))
        spread = np.trace(np.linalg.solve(p, q)) + mu[index] @ np.linalg.solve(p, mu[index]) - mu.shape[-1]
        kl[index] = 0.5 * (spread + np.linalg.slogdet(p)[1] - np.linalg.slogdet(q)[1])
    return (kl,)


def draw(shape: tuple[int, ...], prior: tuple[int, ...]) -> Any:
    """Return the function that draws arrays of this shape, log_r of the shape ``prior``."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {
            "mu": normal(rng, *shape),
            "log_var": normal(rng, *shape, mean=-1.0, scale=0.7),
            "log_r": normal(rng, *prior, scale=0.5),
        }

    return arrays


def prior_gradient_not_summed(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient of a repeated log_r keeps the shape of mu."""

    def faulty_backward(dkl: Array, cache: Any) -> Any:
        grads = backward(dkl, cache)
        return grads._replace(dlog_r=np.broadcast_to(grads.dlog_r, grads.dmu.shape).copy())

    return forward, faulty_backward


def prior_gradient_averaged(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient of a repeated log_r is a mean over the repetitions."""

    def faulty_backward(dkl: Array, cache: Any) -> Any:
        grads = backward(dkl, cache)
        count = grads.dmu.size // grads.dlog_r.size
        return grads._replace(dlog_r=grads.dlog_r / grads.dlog_r.dtype.type(count))

    return forward, faulty_backward


SPEC = OpSpec(
    name="gaussian_kl",
    forward=gaussian_kl_forward,
    backward=gaussian_kl_backward,
    oracle=oracle,
    outputs=("kl",),
    differentiable=("mu", "log_var", "log_r"),
    cases=(
        Case("same shape", draw((2, 3, 4), (2, 3, 4))),
        Case("one prior a source", draw((2, 2, 3, 2), (2, 1, 2))),
        Case("one prior", draw((3, 4), (4,))),
        Case("one number", draw((2, 3), (1,))),
        Case("one vector", draw((3,), (3,))),
    ),
    faults=(
        Fault("gradient of log_r not summed over repetitions", "shapes", prior_gradient_not_summed),
        Fault("gradient of log_r averaged over repetitions", "differences", prior_gradient_averaged),
    ),
    bad_calls=(
        BadCall("log_var shape", r"log_var has shape \(2, 3, 5\).*, wanted", {"log_var": np.zeros((2, 3, 5))}),
        BadCall(
            "log_r length", r"log_r has shape \(5,\), wanted one that broadcasts to \(2, 3, 4\)", {"log_r": np.zeros(5)}
        ),
        BadCall("log_r axes", r"log_r has shape \(2, 2, 3, 4\), wanted", {"log_r": np.zeros((2, 2, 3, 4))}),
    ),
    free_axes=("mu",),
)
