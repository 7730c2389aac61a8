"""What softmax_assignment must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from refbss._types import Array
from refbss.losses.assignment import softmax_assignment_backward, softmax_assignment_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(cost: Array, score: Array, *, temp: float) -> tuple[Array, ...]:
    """SciPy's softmax of every reference's column, and the weighted mean cost."""
    assignment = np.empty(cost.shape)
    for b, j in np.ndindex(cost.shape[0], cost.shape[2]):
        assignment[b, :, j] = softmax(score[b, :, j] / temp)
    return np.einsum("bpj,bpj->b", assignment, cost) / cost.shape[2], assignment


def draw(batch: int, outputs: int, references: int) -> Any:
    """Return the function that draws costs in dB and scores in [0, 1]."""

    def arrays(rng: np.random.Generator) -> Arrays:
        shape = (batch, outputs, references)
        return {"cost": normal(rng, *shape, scale=8.0), "score": rng.random(shape)}

    return arrays


def softmax_over_references(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The softmax runs over the references of an output; forward and backward agree."""

    def turned(array: Array) -> Array:
        return array.swapaxes(1, 2).copy()

    def faulty_forward(cost: Array, score: Array, *, temp: float) -> tuple[Any, ...]:
        loss, assignment, cache = forward(turned(cost), turned(score), temp=temp)
        return loss, turned(assignment), cache

    def faulty_backward(dloss: Array, cache: Any) -> Any:
        grads = backward(dloss, cache)
        return grads._replace(dcost=turned(grads.dcost), dscore=turned(grads.dscore))

    return faulty_forward, faulty_backward


SPEC = OpSpec(
    name="softmax_assignment",
    forward=softmax_assignment_forward,
    backward=softmax_assignment_backward,
    oracle=oracle,
    outputs=("loss", "assignment"),
    reported=("assignment",),
    differentiable=("cost", "score"),
    cases=(
        Case("square", draw(2, 3, 3), {"temp": 0.5}),
        Case("more outputs", draw(2, 3, 2), {"temp": 0.2}),
        Case("warm", draw(1, 2, 2), {"temp": 10.0}),
    ),
    linear=("cost",),
    faults=(Fault("softmax over the references, gradient alike", "oracle", softmax_over_references),),
    bad_calls=(
        BadCall(
            "references", r"score has shape \(2, 3, 2\).*, wanted J = 3 as cost has", {"score": np.zeros((2, 3, 2))}
        ),
        BadCall("temp 0", r"temp is 0\.0, wanted a finite number above 0", attributes={"temp": 0.0}),
    ),
)
