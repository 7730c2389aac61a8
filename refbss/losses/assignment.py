"""The reconstruction loss of a cost matrix: which output is held against which reference.

Shapes: cost (B, P, J), output p against reference j; loss (B,); assignment (B, P, J), a weight for every pair.
Three ways; in each the assignment weighs the cost and the loss is the mean over references.

    pit       Pi = the permutation matrix of least cost                           (assignment.1)
              loss = 1/P sum_pj Pi C                                              (assignment.2)
              dC = dloss Pi / P                                                   (assignment.3)
    softmax   Pi = softmax over p of score / temp                                 (assignment.4)
              loss = 1/J sum_pj Pi C                                              (assignment.5)
              dC = dloss Pi / J                                                   (assignment.6)
              dPi = dloss C / J                                                   (assignment.7)
              dscore = Pi (dPi - sum_p Pi dPi) / temp                             (assignment.8)
    sinkhorn  log Pi = -C / temp                                                  (assignment.9)
              `steps` times: log Pi -= log sum_j Pi, rows to one                  (assignment.10)
                             log Pi -= log sum_p Pi, columns to one               (assignment.11)
              loss = 1/P sum_pj Pi C                                              (assignment.12)
              dC = dloss Pi / P, dlogPi = dloss C Pi / P                          (assignment.13)
              backwards: dlogPi -= Pi sum_p dlogPi, Pi after the column half      (assignment.14)
                         dlogPi -= Pi sum_j dlogPi, Pi after the row half         (assignment.15)
              dC -= dlogPi / temp                                                 (assignment.16)

pit is utterance-level permutation invariant training (Kolbaek et al. 2017) [std]; sinkhorn follows SinkPIT
(Tachibana 2021) [std]; softmax across outputs [paper], its use as a weight on the cost [ours].
pit and sinkhorn want J = P. The assignment is a report: backward takes the cotangent of the loss alone.
Gradients: pit holds the permutation fixed (the loss is piecewise linear in C); softmax and sinkhorn differentiate the
assignment, sinkhorn through every step. Among permutations of equal cost pit takes the one that
scipy.optimize.linear_sum_assignment finds first. Sums run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy

from refbss._checks import NotFiniteError, check_arrays, check_cotangents, check_integer, check_number
from refbss._types import Array


class PitCache(NamedTuple):
    """The best permutation matrix (B, P, P), in the dtype of cost."""

    assignment: Array


class PitGrads(NamedTuple):
    """Gradient of the shape and dtype of cost."""

    dcost: Array


class SoftmaxAssignmentCache(NamedTuple):
    """The costs in the dtype of the call, and the assignment in float64, both (B, P, J)."""

    cost: Array
    assignment: Array
    temp: float


class SoftmaxAssignmentGrads(NamedTuple):
    """Gradients, each of the shape and dtype of what it belongs to."""

    dcost: Array
    dscore: Array


class SinkhornAssignmentCache(NamedTuple):
    """The costs in the dtype of the call; the plan after each half of every step, (steps, B, P, P), in float64."""

    cost: Array
    row_plans: Array
    column_plans: Array
    temp: float


class SinkhornAssignmentGrads(NamedTuple):
    """Gradient of the shape and dtype of cost."""

    dcost: Array


def _log_sum_exp(x: Array, axis: int) -> Array:
    peak = np.max(x, axis=axis, keepdims=True)
    total: Array = peak + np.log(np.sum(np.exp(x - peak), axis=axis, keepdims=True))
    return total


def pit_forward(cost: Array) -> tuple[Array, Array, PitCache]:
    """Return the loss (B,) under the best permutation, that permutation as a 0/1 matrix (B, P, P), and the cache.

    Raises InputError on shapes or dtypes, NotFiniteError on a cost that is not finite.
    """
    check_arrays("pit", cost=(cost, "B P P"))
    if not np.all(np.isfinite(cost)):
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(cost))[0])
        raise NotFiniteError(f"pit: cost{list(index)} is {cost[index]}, wanted finite numbers")
    assignment = np.zeros_like(cost)
    for item, matrix in enumerate(cost.astype(np.float64)):
        outputs, references = scipy.optimize.linear_sum_assignment(matrix)  # (assignment.1)
        assignment[item, outputs, references] = 1.0
    loss = np.sum(assignment * cost, axis=(1, 2), dtype=np.float64) / cost.shape[1]  # (assignment.2)
    return loss.astype(cost.dtype), assignment, PitCache(assignment.copy())


def pit_backward(dloss: Array, cache: PitCache) -> PitGrads:
    """Pull the cotangent dloss (B,) back to cost. Raises InputError on shapes or dtypes."""
    (assignment,) = cache
    check_cotangents("pit", assignment.dtype, dloss=(dloss, assignment.shape[:1]))
    dcost = dloss.astype(np.float64)[:, None, None] / assignment.shape[1] * assignment  # (assignment.3)
    return PitGrads(dcost.astype(assignment.dtype))


def softmax_assignment_forward(
    cost: Array, score: Array, *, temp: float
) -> tuple[Array, Array, SoftmaxAssignmentCache]:
    """Return the loss (B,), the assignment (B, P, J) with columns that sum to one, and the cache.

    A high score (B, P, J) means that output p is like reference j. Raises InputError on shapes, dtypes or temp.
    """
    check_arrays("softmax_assignment", cost=(cost, "B P J"), score=(score, "B P J"))
    check_number("softmax_assignment", above=0.0, temp=temp)
    cost64, logits = cost.astype(np.float64), score.astype(np.float64) / temp
    pi = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    pi /= np.sum(pi, axis=1, keepdims=True)  # (assignment.4)
    loss = np.sum(pi * cost64, axis=(1, 2)) / cost.shape[2]  # (assignment.5)
    return loss.astype(cost.dtype), pi.astype(cost.dtype), SoftmaxAssignmentCache(cost, pi, temp)


def softmax_assignment_backward(dloss: Array, cache: SoftmaxAssignmentCache) -> SoftmaxAssignmentGrads:
    """Pull the cotangent dloss (B,) back to cost and score. Raises InputError on shapes or dtypes."""
    cost, pi, temp = cache
    check_cotangents("softmax_assignment", cost.dtype, dloss=(dloss, cost.shape[:1]))
    dmean = dloss.astype(np.float64)[:, None, None] / cost.shape[2]
    dcost = dmean * pi  # (assignment.6)
    dpi = dmean * cost.astype(np.float64)  # (assignment.7)
    dscore = pi * (dpi - np.sum(pi * dpi, axis=1, keepdims=True)) / temp  # (assignment.8)
    return SoftmaxAssignmentGrads(dcost.astype(cost.dtype), dscore.astype(cost.dtype))


def sinkhorn_assignment_forward(
    cost: Array, *, temp: float, steps: int
) -> tuple[Array, Array, SinkhornAssignmentCache]:
    """Return the loss (B,), the nearly doubly stochastic assignment (B, P, P), and the cache.

    Columns sum to one but for rounding, rows as nearly as ``steps`` allows. Raises InputError on shapes, dtypes, temp
    or steps.
    """
    check_arrays("sinkhorn_assignment", cost=(cost, "B P P"))
    check_number("sinkhorn_assignment", above=0.0, temp=temp)
    check_integer("sinkhorn_assignment", steps=steps)
    cost64 = cost.astype(np.float64)
    row_plans, column_plans = np.empty((steps, *cost.shape)), np.empty((steps, *cost.shape))
    log_pi = -cost64 / temp  # (assignment.9)
    for step in range(steps):
        log_pi = log_pi - _log_sum_exp(log_pi, axis=2)  # (assignment.10)
        row_plans[step] = np.exp(log_pi)
        log_pi = log_pi - _log_sum_exp(log_pi, axis=1)  # (assignment.11)
        column_plans[step] = np.exp(log_pi)
    pi = column_plans[-1]
    loss = np.sum(pi * cost64, axis=(1, 2)) / cost.shape[1]  # (assignment.12)
    return loss.astype(cost.dtype), pi.astype(cost.dtype), SinkhornAssignmentCache(cost, row_plans, column_plans, temp)


def sinkhorn_assignment_backward(dloss: Array, cache: SinkhornAssignmentCache) -> SinkhornAssignmentGrads:
    """Pull the cotangent dloss (B,) back to cost, through every step. Raises InputError on shapes or dtypes."""
    cost, row_plans, column_plans, temp = cache
    check_cotangents("sinkhorn_assignment", cost.dtype, dloss=(dloss, cost.shape[:1]))
    dmean = dloss.astype(np.float64)[:, None, None] / cost.shape[1]
    pi = column_plans[-1]
    dcost = dmean * pi  # (assignment.13)
    dlog_pi = dmean * cost.astype(np.float64) * pi
    for rows, columns in zip(row_plans[::-1], column_plans[::-1], strict=True):
        dlog_pi = dlog_pi - columns * np.sum(dlog_pi, axis=1, keepdims=True)  # (assignment.14)
        dlog_pi = dlog_pi - rows * np.sum(dlog_pi, axis=2, keepdims=True)  # (assignment.15)
    dcost = dcost - dlog_pi / temp  # (assignment.16)
    return SinkhornAssignmentGrads(dcost.astype(cost.dtype))
