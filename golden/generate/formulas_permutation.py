"""Golden cases of the three assignments of outputs to references, and of the choices that are taken for them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
from book import BadCase, Book, Case, Formula, Mistake, draw

EDGE = ("edge",)
GENERATOR = "golden/generate/formulas_permutation.py"
Pairs = list[tuple[int, int]]
AXES = {"cost": "B P J", "score": "B P J", "loss": "B", "assignment": "B P J"}


def tags(first: int, last: int) -> tuple[str, ...]:
    """The tags of one of the assignments, which share a series."""
    return tuple(f"assignment.{i}" for i in range(first, last + 1))


# ---------------------------------------------------------------- one permutation


def total(matrix: Any, pairs: Pairs) -> Any:
    """Sum of the costs of these pairs (output, reference)."""
    return sum(matrix[p, j] for p, j in pairs)


def all_permutations(matrix: Any) -> list[Pairs]:
    """Every permutation, in lexicographic order of the references that outputs 0, 1, .. get."""
    return [list(enumerate(order)) for order in permutations(range(len(matrix)))]


def cheapest(matrix: Any) -> Pairs:
    """The first permutation of least cost."""
    return min(all_permutations(matrix), key=lambda pairs: total(matrix, pairs))


def dearest(matrix: Any) -> Pairs:
    """The permutation of largest cost."""
    return max(all_permutations(matrix), key=lambda pairs: total(matrix, pairs))


def greedy(matrix: Any) -> Pairs:
    """The smallest cost first, then the smallest among what is left."""
    left, pairs = [(p, j) for p in range(len(matrix)) for j in range(len(matrix))], []
    while left:
        best = min(left, key=lambda pair: matrix[pair])
        pairs.append(best)
        left = [(p, j) for p, j in left if p != best[0] and j != best[1]]
    return pairs


def best_output_of_each_reference(matrix: Any) -> Pairs:
    """No output is used up."""
    return [(min(range(len(matrix)), key=lambda p: matrix[p, j]), j) for j in range(len(matrix))]


def best_reference_of_each_output(matrix: Any) -> Pairs:
    """No reference is used up."""
    return [(p, min(range(len(matrix)), key=lambda j: matrix[p, j])) for p in range(len(matrix))]


def chosen(cost: Any, choices: list[Pairs], transposed: bool = False) -> dict[str, Any]:
    """Loss and assignment of chosen pairs, a list an item; ``transposed`` reports them as (reference, output)."""
    assignment = np.zeros(cost.shape)
    for item, pairs in enumerate(choices):
        for p, j in pairs:
            assignment[item][(j, p) if transposed else (p, j)] = 1.0
    losses = [total(matrix, pairs) / len(matrix) for matrix, pairs in zip(cost, choices, strict=True)]
    return {"loss": np.array(losses, dtype=object), "assignment": assignment}


def by_choice(choice: Callable[[Any], Pairs]) -> Formula:
    """cost (B, P, P) -> loss (B,), assignment (B, P, P), chosen item by item."""
    return lambda cost: chosen(cost, [choice(matrix) for matrix in cost])


def pit(cost: Any) -> dict[str, Any]:
    """The mean cost under the best permutation of every item."""
    return chosen(cost, [cheapest(matrix) for matrix in cost])


def summed(cost: Any) -> dict[str, Any]:
    """The loss is not divided by the number of sources."""
    right = pit(cost)
    return {**right, "loss": right["loss"] * cost.shape[1]}


def pit_case(name: str, batch: int, sources: int, cost: Any = None, **more: Any) -> Case:
    """A case of this size, with costs up to 8 dB or those given."""
    drawn = draw(f"pit/{name}/cost", batch, sources, sources) * 8.0
    return Case(name, {"cost": drawn if cost is None else np.array(cost)}, **more)


CYCLE = np.array([[3.0, -2.5, 4.0], [1.5, 2.0, -3.0], [-4.0, 0.5, 1.0]])
"""Output 0 is for reference 1, output 1 for 2, output 2 for 0."""

PIT = Book(
    op="pit",
    inputs=("cost",),
    outputs=("loss", "assignment"),
    reported=("assignment",),
    differentiable=("cost",),
    equations=tags(1, 3),
    formula=pit,
    cases=(
        pit_case("plain", 3, 3),
        pit_case("two", 4, 2),
        pit_case("four", 2, 4),
        pit_case(
            "cycle", 2, 3, [[[3.0, -2.5, 4.0], [1.5, 2.0, -3.0], [-4.0, 0.5, 1.0]]] + draw("pit/c", 1, 3, 3) * 2.0
        ),
        pit_case("one-source", 3, 1, flags=EDGE),
        pit_case("silence", 2, 2, np.zeros((2, 2, 2)), flags=("edge", "tie"), kinks=("cost",)),
        pit_case("tied", 1, 2, [[[1.0, 2.0], [3.0, 4.0]]], flags=("edge", "tie"), kinks=("cost",)),
        pit_case("amplitude-1e-4", 2, 3, draw("pit/small/cost", 2, 3, 3) * 2.0**-13, flags=EDGE),
        pit_case("far-below-zero", 2, 3, draw("pit/low/cost", 2, 3, 3) * 16.0 - 64.0, flags=EDGE),
    ),
    mistakes=(
        Mistake("sum-for-mean", "you sum the costs of the permutation; the case wants their mean over sources", summed),
        Mistake(
            "worst-permutation",
            "you take the permutation of largest cost; the case wants the least",
            by_choice(dearest),
        ),
        Mistake(
            "greedy",
            "you take the smallest cost first, then the next; the case wants the permutation of least total cost",
            by_choice(greedy),
        ),
        Mistake(
            "best-output-each",
            "you take the best output for each reference, one output perhaps twice; the case wants a permutation",
            by_choice(best_output_of_each_reference),
        ),
        Mistake(
            "best-reference-each",
            "you take the best reference for each output, one reference perhaps twice; the case wants a permutation",
            by_choice(best_reference_of_each_output),
        ),
        Mistake(
            "fixed-order",
            "you hold output p against reference p; the case wants the best permutation",
            by_choice(lambda matrix: [(p, p) for p in range(len(matrix))]),
        ),
        Mistake(
            "one-permutation-a-batch",
            "you choose one permutation for the whole batch; the case chooses one for every item",
            lambda cost: chosen(cost, [cheapest(np.sum(cost, axis=0))] * len(cost)),
        ),
        Mistake(
            "assignment-transposed",
            "your assignment has references first; the case wants (output, reference)",
            lambda cost: chosen(cost, [cheapest(matrix) for matrix in cost], transposed=True),
        ),
        Mistake(
            "gradient-not-divided",
            "your gradient is that of a sum over sources; the case's loss is the mean",
            gradient=lambda arrays, cotangents, grads, attrs: {"cost": grads["cost"] * arrays["cost"].shape[1]},
        ),
        Mistake(
            "gradient-transposed",
            "your gradient lies at (reference, output); the case wants it at (output, reference)",
            gradient=lambda arrays, cotangents, grads, attrs: {"cost": grads["cost"].swapaxes(1, 2)},
        ),
    ),
    bad_cases=(
        BadCase("not-square", "3 outputs, 2 references: there is no permutation", {"cost": draw("pit/bad", 2, 3, 2)}),
    ),
    generator=GENERATOR,
    axes={name: AXES[name].replace("J", "P") for name in ("cost", "loss", "assignment")},
)


# ---------------------------------------------------------------- softmax over outputs


def shares(score: Any, axis: int) -> Any:
    """Softmax over an axis: one over the sum of the exponentials of differences, which cannot overflow."""
    rows = np.moveaxis(score, axis, 0)
    return np.moveaxis(1 / np.sum(np.exp(rows[:, None] - rows[None]), axis=0), 0, axis)


def weighted(cost: Any, assignment: Any, count: int) -> dict[str, Any]:
    """The assigned cost, divided by a count."""
    return {"loss": np.sum(assignment * cost, axis=(1, 2)) / count, "assignment": assignment}


def softmax_assignment(cost: Any, score: Any, *, temp: float) -> dict[str, Any]:
    """cost, score (B, P, J) -> loss (B,), assignment (B, P, J) with columns that sum to one."""
    return weighted(cost, shares(score / temp, 1), cost.shape[2])


def hard(cost: Any, score: Any, *, temp: float) -> dict[str, Any]:
    """The best output of every reference alone."""
    best = np.argmax(np.array([[[float(s) for s in row] for row in matrix] for matrix in score]), axis=1)
    return weighted(cost, np.eye(cost.shape[1])[best].swapaxes(1, 2), cost.shape[2])


def jointly(cost: Any, score: Any, *, temp: float) -> dict[str, Any]:
    """One softmax over all pairs."""
    flat = shares((score / temp).reshape(len(score), -1), 1)
    return weighted(cost, flat.reshape(score.shape), cost.shape[2])


def softmax_case(name: str, *sizes: int, temp: float, score: Any = None, scale: float = 8.0, **more: Any) -> Case:
    """A case of this size (B, P, J), with scores in (0, 1) or those given and costs up to ``scale`` dB."""
    label = f"softmax_assignment/{name}"
    drawn = draw(f"{label}/score", *sizes, scale=0.5, mean=0.5) if score is None else score
    return Case(name, {"cost": draw(f"{label}/cost", *sizes) * scale, "score": drawn}, {"temp": temp}, **more)


SOFTMAX_ASSIGNMENT = Book(
    op="softmax_assignment",
    inputs=("cost", "score"),
    outputs=("loss", "assignment"),
    reported=("assignment",),
    differentiable=("cost", "score"),
    equations=tags(4, 8),
    formula=softmax_assignment,
    cases=(
        softmax_case("plain", 2, 2, 2, temp=0.1),
        softmax_case("more-outputs", 2, 3, 2, temp=0.5),
        softmax_case("more-references", 1, 2, 4, temp=0.125),
        softmax_case("sharp", 2, 2, 2, temp=2.0**-6, flags=EDGE),
        softmax_case("soft", 2, 3, 2, temp=8.0, flags=EDGE),
        softmax_case("one-source", 2, 1, 1, temp=0.5, flags=EDGE),
        softmax_case("equal-scores", 1, 3, 2, temp=0.1, score=np.full((1, 3, 2), 0.5), flags=EDGE),
        softmax_case(
            "overflow", 1, 3, 2, temp=2.0**-6, score=draw("softmax_assignment/high", 1, 3, 2) * 64.0, flags=EDGE
        ),
        softmax_case("amplitude-1e-4", 1, 2, 3, temp=0.5, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "softmax-over-references",
            "your softmax runs over references, so that rows sum to one; the case wants it over outputs",
            lambda cost, score, *, temp: weighted(cost, shares(score / temp, 2), cost.shape[2]),
        ),
        Mistake("softmax-over-pairs", "your softmax runs over all pairs; the case wants it over outputs", jointly),
        Mistake(
            "temperature-multiplied",
            "you multiply the scores by the temperature; the case divides them by it",
            lambda cost, score, *, temp: weighted(cost, shares(score * temp, 1), cost.shape[2]),
        ),
        Mistake(
            "temperature-ignored",
            "you leave the temperature out; the case divides the scores by it",
            lambda cost, score, *, temp: weighted(cost, shares(score, 1), cost.shape[2]),
        ),
        Mistake(
            "score-negated",
            "you take the softmax of -score; a high score means that the output is like the reference",
            lambda cost, score, *, temp: weighted(cost, shares(-score / temp, 1), cost.shape[2]),
        ),
        Mistake(
            "softmax-of-the-cost",
            "you take the softmax of -cost; the case wants that of the score, and weighs the cost with it",
            lambda cost, score, *, temp: weighted(cost, shares(-cost / temp, 1), cost.shape[2]),
        ),
        Mistake("hard-assignment", "you take the best output alone; the case weighs all of them", hard),
        Mistake(
            "sum-over-references",
            "you sum over references; the case wants their mean",
            lambda cost, score, *, temp: weighted(cost, shares(score / temp, 1), 1),
        ),
        Mistake(
            "mean-over-outputs",
            "you divide by the number of outputs; the case divides by the number of references",
            lambda cost, score, *, temp: weighted(cost, shares(score / temp, 1), cost.shape[1]),
        ),
        Mistake(
            "mean-over-pairs",
            "you take the mean over all pairs; weights sum to one over outputs, so the case divides by references only",
            lambda cost, score, *, temp: weighted(cost, shares(score / temp, 1), cost.shape[1] * cost.shape[2]),
        ),
        Mistake(
            "assignment-held-constant",
            "your gradient holds the assignment constant, so the score gets none; the case differentiates it",
            gradient=lambda arrays, cotangents, grads, attrs: {"score": 0.0 * grads["score"]},
        ),
    ),
    bad_cases=(
        BadCase(
            "wrong-score",
            "score has 3 references, cost has 2",
            {"score": draw("softmax_assignment/bad/score", 2, 2, 3)},
        ),
    ),
    generator=GENERATOR,
    axes=AXES,
)

BOOKS = (PIT, SOFTMAX_ASSIGNMENT)
