"""What pit must satisfy."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.losses.assignment import pit_backward, pit_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(cost: Array) -> tuple[Array, ...]:
    """Try all P! permutations."""
    batch, sources, _ = cost.shape
    loss, assignment = np.empty(batch), np.zeros(cost.shape)
    for b in range(batch):
        means = {
            order: sum(cost[b, order[j], j] for j in range(sources)) / sources for order in permutations(range(sources))
        }
        best = min(means, key=lambda order: means[order])
        loss[b] = means[best]
        for j, p in enumerate(best):
            assignment[b, p, j] = 1.0
    return loss, assignment


def draw(batch: int, sources: int) -> Any:
    """Return the function that draws costs in dB."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"cost": normal(rng, batch, sources, sources, scale=8.0)}

    return arrays


def transposed_gradient(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient lies at (reference, output): right for every swap, wrong for a cycle of three."""

    def faulty_backward(dloss: Array, cache: Any) -> Any:
        grads = backward(dloss, cache)
        return grads._replace(dcost=grads.dcost.swapaxes(1, 2).copy())

    return forward, faulty_backward


def two_not_finite() -> Array:
    """Costs of which two are not finite, the later one earlier in its row."""
    cost = np.zeros((2, 2, 2))
    cost[0, 1, 0], cost[1, 0, 0] = np.inf, np.nan
    return cost


SPEC = OpSpec(
    name="pit",
    forward=pit_forward,
    backward=pit_backward,
    oracle=oracle,
    outputs=("loss", "assignment"),
    reported=("assignment",),
    differentiable=("cost",),
    cases=(Case("three", draw(8, 3)), Case("two", draw(3, 2)), Case("one", draw(2, 1)), Case("four", draw(3, 4))),
    faults=(Fault("gradient transposed", "differences", transposed_gradient),),
    bad_calls=(
        BadCall("not square", r"cost has shape \(2, 3, 2\).*, wanted P = 3", {"cost": np.zeros((2, 3, 2))}),
        BadCall("nan", r"cost.* is nan, wanted finite", {"cost": np.full((1, 2, 2), np.nan)}),
        BadCall("two not finite", r"cost\[0, 1, 0\] is inf, wanted finite", {"cost": two_not_finite()}),
    ),
)
