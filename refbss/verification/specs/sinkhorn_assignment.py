"""What sinkhorn_assignment must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.losses.assignment import sinkhorn_assignment_backward, sinkhorn_assignment_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec, Tolerances


def oracle(cost: Array, *, temp: float, steps: int) -> tuple[Array, ...]:
    """Sinkhorn's own iteration on positive matrices: divide rows by their sums, then columns by theirs."""
    plans = []
    for matrix in cost:
        plan = np.exp(-matrix / temp)
        for _ in range(steps):
            plan = np.diag(1.0 / plan.sum(axis=1)) @ plan
            plan = plan @ np.diag(1.0 / plan.sum(axis=0))
        plans.append(plan)
    assignment = np.array(plans)
    return np.einsum("bpj,bpj->b", assignment, cost) / cost.shape[1], assignment


def draw(batch: int, sources: int) -> Any:
    """Return the function that draws costs."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {"cost": normal(rng, batch, sources, sources, scale=2.0)}

    return arrays


def plan_as_constant(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient holds the plan fixed, as that of pit does."""

    def faulty_forward(cost: Array, **attributes: Any) -> tuple[Any, ...]:
        loss, assignment, cache = forward(cost, **attributes)
        return loss, assignment, (assignment.copy(), cache)

    def faulty_backward(dloss: Array, cache: Any) -> Any:
        assignment, inner = cache
        grads = backward(dloss, inner)
        return grads._replace(dcost=assignment * dloss[:, None, None] / assignment.dtype.type(assignment.shape[1]))

    return faulty_forward, faulty_backward


SPEC = OpSpec(
    name="sinkhorn_assignment",
    forward=sinkhorn_assignment_forward,
    backward=sinkhorn_assignment_backward,
    oracle=oracle,
    outputs=("loss", "assignment"),
    reported=("assignment",),
    differentiable=("cost",),
    cases=(
        Case("three", draw(2, 3), {"temp": 1.0, "steps": 4}),
        Case("two, one step", draw(2, 2), {"temp": 0.8, "steps": 1}),
        Case("four, many steps", draw(1, 4), {"temp": 1.5, "steps": 20}),
    ),
    faults=(Fault("gradient through the plan forgotten", "differences", plan_as_constant),),
    bad_calls=(
        BadCall("not square", r"cost has shape \(2, 3, 2\).*, wanted P = 3", {"cost": np.zeros((2, 3, 2))}),
        BadCall("temp negative", r"temp is -1\.0, wanted a finite number above 0", attributes={"temp": -1.0}),
        BadCall("steps 0", "steps is 0, wanted an integer of at least 1", attributes={"steps": 0}),
        BadCall("steps true", "steps is True, wanted an integer", attributes={"steps": True}),
    ),
    tolerances=Tolerances(oracle64=1e-12, reason="the oracle multiplies where the law adds logarithms, step by step"),
)
