"""Properties of the assignments: brute force, permutation equivariance, doubly stochastic plans, ties."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refbss.losses.assignment import (
    pit_backward,
    pit_forward,
    sinkhorn_assignment_forward,
    softmax_assignment_forward,
)
from refbss.verification.draw import generator, normal

repeatable = settings(derandomize=True, deadline=None, max_examples=60)
costs = st.integers(1, 4).flatmap(lambda p: arrays(np.float64, (1, p, p), elements=st.floats(-60.0, 60.0)))


@repeatable
@given(costs)
def test_pit_is_the_least_of_all_permutations(cost: np.ndarray) -> None:
    sources = cost.shape[1]
    every = [
        math.fsum(cost[0, order[j], j] for j in range(sources)) / sources
        for order in itertools.permutations(range(sources))
    ]
    loss, assignment, _ = pit_forward(cost)
    assert abs(loss[0] - min(every)) <= 1e-13 * max(1.0, float(np.abs(cost).max()))
    assert np.array_equal(assignment.sum(axis=1), np.ones((1, sources)))
    assert np.array_equal(assignment.sum(axis=2), np.ones((1, sources)))


@repeatable
@given(st.integers(2, 4), st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_assignments_follow_a_permutation_of_the_outputs(sources: int, seed: int, random: object) -> None:
    cost = normal(generator(seed, "equivariance"), 2, sources, sources, scale=3.0)
    order = list(range(sources))
    random.shuffle(order)  # type: ignore[attr-defined]
    for forward in (
        pit_forward,
        lambda c: softmax_assignment_forward(c, -c, temp=0.7),
        lambda c: sinkhorn_assignment_forward(c, temp=0.7, steps=5),
    ):
        loss, assignment, _ = forward(cost)
        moved_loss, moved, _ = forward(cost[:, order])
        assert np.allclose(moved_loss, loss, rtol=1e-12, atol=1e-12)
        assert np.allclose(moved, assignment[:, order], rtol=1e-12, atol=1e-12)


@repeatable
@given(costs, st.floats(0.5, 4.0))
def test_sinkhorn_plans_are_doubly_stochastic(cost: np.ndarray, warmth: float) -> None:
    temp = warmth * max(1.0, float(np.ptp(cost)))  # colder plans converge too, after more steps
    _, plan, _ = sinkhorn_assignment_forward(cost, temp=temp, steps=100)
    assert np.all(plan >= 0.0)
    assert np.allclose(plan.sum(axis=1), 1.0, rtol=0.0, atol=1e-12)
    assert np.allclose(plan.sum(axis=2), 1.0, rtol=0.0, atol=1e-9)


def test_sinkhorn_rows_sum_to_one_as_steps_grow() -> None:
    cost = normal(generator(3, "sinkhorn"), 4, 3, 3)
    gaps = [
        float(np.abs(sinkhorn_assignment_forward(cost, temp=0.5, steps=steps)[1].sum(axis=2) - 1.0).max())
        for steps in (1, 10, 100)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-9


def test_sinkhorn_and_softmax_tend_to_pit_as_the_temperature_falls() -> None:
    cost = np.array([[[1.0, 5.0, 6.0], [7.0, 8.0, 2.0], [9.0, 3.0, 9.5]]])
    loss, assignment, _ = pit_forward(cost)
    assert loss[0] == 2.0
    for other in (
        sinkhorn_assignment_forward(cost, temp=0.02, steps=50),
        softmax_assignment_forward(cost, -cost, temp=0.02),
    ):
        assert np.allclose(other[1], assignment, atol=1e-12)
        assert np.allclose(other[0], loss, atol=1e-10)


@repeatable
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10_000), st.floats(0.05, 20.0))
def test_softmax_columns_sum_to_one(outputs: int, references: int, seed: int, temp: float) -> None:
    rng = generator(seed, "softmax")
    cost, score = normal(rng, 2, outputs, references), normal(rng, 2, outputs, references)
    loss, assignment, _ = softmax_assignment_forward(cost, score, temp=temp)
    assert np.allclose(assignment.sum(axis=1), 1.0, rtol=0.0, atol=1e-13)
    best, worst = cost.min(axis=1).mean(axis=1), cost.max(axis=1).mean(axis=1)
    assert np.all(loss >= best - 1e-12) and np.all(loss <= worst + 1e-12)


def test_pit_takes_the_first_permutation_among_equals() -> None:
    for sources in (2, 3, 4):
        loss, assignment, cache = pit_forward(np.full((2, sources, sources), 1.5))
        assert np.array_equal(loss, [1.5, 1.5])
        assert np.array_equal(assignment, np.tile(np.eye(sources), (2, 1, 1)))
        assert np.array_equal(pit_backward(np.ones(2), cache).dcost, assignment / sources)


def test_pit_lets_the_caller_change_the_assignment() -> None:
    cost = normal(generator(0, "own copy"), 2, 3, 3)
    _, assignment, cache = pit_forward(cost)
    kept = assignment.copy()
    assignment[...] = 0.0
    assert np.array_equal(pit_backward(np.ones(2), cache).dcost * 3.0, kept)
