"""Golden cases of the Sinkhorn assignment: rows, then columns of a positive matrix divided by their sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from book import BadCase, Book, Case, Formula, Mistake, draw
from formulas_permutation import AXES, EDGE, tags, weighted
from pieces import gradient_of, stopped

Half = Callable[[Any], Any]


def rows_to_one(plan: Any) -> Any:
    """Every output's weights (..., P, J) divided by their sum."""
    return plan / np.sum(plan, axis=2)[:, :, None]


def columns_to_one(plan: Any) -> Any:
    """Every reference's weights divided by their sum."""
    return plan / np.sum(plan, axis=1)[:, None]


def plan_of(cost: Any, temp: float, steps: int, halves: tuple[Half, ...] = (rows_to_one, columns_to_one)) -> Any:
    """The assignment (B, P, P) after so many steps, each of them all ``halves`` in order."""
    plan = np.exp(-cost / temp)
    for _ in range(steps):
        for half in halves:
            plan = half(plan)
    return plan


def sinkhorn_assignment(cost: Any, *, temp: float, steps: int, **how: Any) -> dict[str, Any]:
    """cost (B, P, P) -> loss (B,), assignment (B, P, P)."""
    return weighted(cost, plan_of(cost, temp, steps, **how), cost.shape[1])


def with_halves(*halves: Half) -> Formula:
    """The formula with other halves of a step."""
    return lambda cost, *, temp, steps: sinkhorn_assignment(cost, temp=temp, steps=steps, halves=halves)


def constant_plan(cost: Any, *, temp: float, steps: int) -> dict[str, Any]:
    """The gradient sees the weighted cost alone."""
    return weighted(cost, stopped(plan_of(cost, temp, steps)), cost.shape[1])


def constant_sums(cost: Any, *, temp: float, steps: int) -> dict[str, Any]:
    """The gradient sees exp(-cost/temp), but no sum that it was divided by."""
    kernel = np.exp(-cost / temp)
    divisors = stopped(kernel) / stopped(plan_of(cost, temp, steps))
    return weighted(cost, kernel / stopped(divisors), cost.shape[1])


def with_entropy(cost: Any, *, temp: float, steps: int) -> dict[str, Any]:
    """The objective that the plan minimises: cost less temperature times entropy."""
    plan = plan_of(cost, temp, steps)
    return {**weighted(cost + temp * np.log(plan), plan, cost.shape[1]), "assignment": plan}


def sinkhorn_case(
    name: str, batch: int, sources: int, temp: float, steps: int, cost: Any = None, scale: float = 4.0, **more: Any
) -> Case:
    """A case of this size, with costs up to ``scale`` dB or those given."""
    drawn = draw(f"sinkhorn_assignment/{name}/cost", batch, sources, sources) * scale
    return Case(name, {"cost": drawn if cost is None else cost}, {"temp": temp, "steps": steps}, **more)


SINKHORN_ASSIGNMENT = Book(
    op="sinkhorn_assignment",
    inputs=("cost",),
    outputs=("loss", "assignment"),
    reported=("assignment",),
    differentiable=("cost",),
    equations=tags(9, 16),
    formula=sinkhorn_assignment,
    cases=(
        sinkhorn_case("plain", 2, 3, 2.0, 4),
        sinkhorn_case("four", 1, 4, 10.0, 10, scale=16.0),
        sinkhorn_case("one-step", 2, 3, 4.0, 1),
        sinkhorn_case("sharp", 1, 3, 0.25, 6, flags=EDGE),
        sinkhorn_case("soft", 1, 3, 64.0, 3, flags=EDGE),
        sinkhorn_case("overflow", 1, 3, 2.0**-6, 3, scale=32.0, flags=EDGE),
        sinkhorn_case("one-source", 2, 1, 1.0, 3, flags=EDGE),
        sinkhorn_case("equal-costs", 1, 3, 1.0, 2, np.full((1, 3, 3), -2.5), flags=EDGE),
        sinkhorn_case("amplitude-1e-4", 1, 2, 2.0**-12, 2, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "columns-first",
            "you normalise columns, then rows; the case wants rows (over references) first, columns last",
            with_halves(columns_to_one, rows_to_one),
        ),
        Mistake(
            "rows-only", "you normalise rows only; the case wants rows, then columns, in turn", with_halves(rows_to_one)
        ),
        Mistake(
            "columns-only",
            "you normalise columns only; the case wants rows, then columns, in turn",
            with_halves(columns_to_one),
        ),
        Mistake(
            "one-step-fewer",
            "you make one step fewer; a step is rows and columns, and the case counts from one",
            lambda cost, *, temp, steps: sinkhorn_assignment(cost, temp=temp, steps=steps - 1),
        ),
        Mistake(
            "one-step-more",
            "you make one step more; the case makes exactly as many as it says",
            lambda cost, *, temp, steps: sinkhorn_assignment(cost, temp=temp, steps=steps + 1),
        ),
        Mistake(
            "temperature-multiplied",
            "you multiply the cost by the temperature; the case divides it",
            lambda cost, *, temp, steps: sinkhorn_assignment(cost, temp=1 / temp, steps=steps),
        ),
        Mistake(
            "similarity-for-cost",
            "you start from exp(cost/temp), as if the cost were a similarity; the case wants exp(-cost/temp)",
            lambda cost, *, temp, steps: sinkhorn_assignment(cost, temp=-temp, steps=steps),
        ),
        Mistake(
            "sum-for-mean",
            "you sum the weighted costs; the case divides by the number of sources",
            lambda cost, *, temp, steps: weighted(cost, plan_of(cost, temp, steps), 1),
        ),
        Mistake(
            "entropy-added",
            "you add temp / P times sum Pi log Pi to the loss; the case wants the weighted cost alone",
            with_entropy,
        ),
        Mistake(
            "plan-held-constant",
            "your gradient holds the assignment constant; the case differentiates it through every step",
            gradient=gradient_of(constant_plan, "cost"),
        ),
        Mistake(
            "sums-held-constant",
            "your gradient holds the sums of rows and columns constant; the case differentiates them too",
            gradient=gradient_of(constant_sums, "cost"),
        ),
    ),
    bad_cases=(
        BadCase(
            "not-square", "3 outputs, 2 references: the plan is square", {"cost": draw("sinkhorn/bad/cost", 2, 3, 2)}
        ),
    ),
    generator="golden/generate/formulas_sinkhorn.py",
    axes={name: AXES[name].replace("J", "P") for name in ("cost", "loss", "assignment")},
)

BOOKS = (SINKHORN_ASSIGNMENT,)
