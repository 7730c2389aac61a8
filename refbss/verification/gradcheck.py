"""Backward passes against extrapolated central differences.

The objective is sum over outputs of <cotangent, output>, with random cotangents on all outputs. Its derivative
along a direction is taken from central differences at steps h, h/2 and h/4 and Richardson extrapolation, whose
truncation error falls as h^6. Source: [std], Richardson 1911; Press et al., Numerical Recipes, 5.7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.verification.compare import Worst, worst
from refbss.verification.draw import generator
from refbss.verification.spec import Arrays, Case, OpSpec

LIMIT = 1e-7
"""Largest relative error of a float64 gradient against differences."""
LEAST = 1e-4
"""Gradients are of order one. Where all of an argument's are below this, the error is relative to this instead: the
differences of an exact zero carry rounding errors of about 1e-13."""


@dataclass(frozen=True)
class GradientReport:
    """Gradient check of one case: the worst error of every argument, relative to its largest gradient."""

    op: str
    case: str
    seed: int
    errors: dict[str, Worst]
    directional: float

    @property
    def worst_argument(self) -> str:
        """Name of the argument with the largest error."""
        return max(self.errors, key=lambda name: self.errors[name].error)

    @property
    def worst_error(self) -> float:
        """The largest error of all arguments and of the directional derivative."""
        return max(self.directional, self.errors[self.worst_argument].error)

    def __str__(self) -> str:
        name = self.worst_argument
        place = f"{self.op} case {self.case!r} seed {self.seed} float64"
        return f"{place}: d{name} {self.errors[name]}; directional derivative {self.directional:.3e}"


def derivative(change: Callable[[float], float], step: float) -> float:
    """Return the derivative at 0 from ``change(h) = f(h) - f(-h)``, by extrapolation over h, h/2 and h/4."""
    wide, middle, narrow = (change(step / split) * split / (2.0 * step) for split in (1.0, 2.0, 4.0))
    first, second = middle + (middle - wide) / 3.0, narrow + (narrow - middle) / 3.0
    return second + (second - first) / 15.0


class Objective:
    """f(arrays) = sum of <cotangent, output>, differenced output by output so that little cancels."""

    def __init__(self, spec: OpSpec, case: Case, arrays: Arrays, cotangents: Arrays) -> None:
        self.spec, self.case, self.arrays, self.cotangents = spec, case, arrays, cotangents

    def outputs(self, direction: Arrays, step: float) -> Arrays:
        """Return the outputs at arrays + step * direction."""
        moved = {name: self.arrays[name] + step * array for name, array in direction.items()}
        return self.spec.run({**self.arrays, **moved}, self.case.attributes)[0]

    def along(self, direction: Arrays) -> float:
        """Return the derivative of the objective along a direction, given for some of the arguments."""

        def change(step: float) -> float:
            plus, minus = self.outputs(direction, step), self.outputs(direction, -step)
            return sum(float(np.sum(v * (plus[name] - minus[name]))) for name, v in self.cotangents.items())

        return derivative(change, self.spec.step)

    def gradient(self, name: str) -> Array:
        """Return the gradient for one argument, element by element."""
        shape = self.arrays[name].shape
        numeric = np.zeros(shape)
        for index in np.ndindex(shape):
            unit = np.zeros(shape)
            unit[index] = 1.0
            numeric[index] = self.along({name: unit})
        return numeric


def directional_error(objective: Objective, grads: Arrays, rng: np.random.Generator) -> float:
    """Return the error of <gradient, u> for one random u over all arguments, relative to the sum of its terms."""
    direction = {name: rng.standard_normal(grad.shape) / np.sqrt(grad.size) for name, grad in grads.items()}
    terms = [grads[name] * u for name, u in direction.items()]
    scale = sum(float(np.sum(np.abs(term))) for term in terms)
    gap = abs(sum(float(np.sum(term)) for term in terms) - objective.along(direction))
    return gap / max(scale, LEAST)


def check_gradients(spec: OpSpec, rng: np.random.Generator | int, *, case: str | None = None) -> GradientReport:
    """Check every element of every gradient of one case in float64.

    Args:
        spec: the op.
        rng: a seed, or a generator from which a seed is drawn. The report names the seed: passing it replays.
        case: name of the case; the first one if not given. Raises KeyError on an unknown name.
    """
    seed = rng if isinstance(rng, int) else int(rng.integers(2**31))
    chosen = spec.cases[0] if case is None else spec.case(case)
    arrays = spec.draw(chosen, seed, "float64")
    outputs, cache = spec.run(arrays, chosen.attributes)
    cotangents = spec.draw_cotangents(chosen, seed, outputs)
    grads = spec.pull(cotangents, cache)
    objective = Objective(spec, chosen, arrays, cotangents)
    errors = {name: worst(grads[name], objective.gradient(name), LEAST) for name in spec.differentiable}
    direction = generator(seed, spec.name, chosen.name, "direction")
    return GradientReport(spec.name, chosen.name, seed, errors, directional_error(objective, grads, direction))


def worst_errors(specs: dict[str, OpSpec], seed: int = 0) -> list[dict[str, Any]]:
    """Return one row an op and argument: the worst error over the op's cases, with case, index and seed."""
    rows: list[dict[str, Any]] = []
    for spec in specs.values():
        reports = [check_gradients(spec, seed, case=case.name) for case in spec.cases]
        for name in spec.differentiable:
            report = max(reports, key=lambda r: r.errors[name].error)
            found = report.errors[name]
            rows.append(
                {
                    "op": spec.name,
                    "argument": name,
                    "error": found.error,
                    "case": report.case,
                    "index": found.place,
                    "seed": seed,
                }
            )
    return rows
