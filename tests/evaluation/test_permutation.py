"""The best permutation of a matrix of scores, and the share of frames that leave it, case by case."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.optimize import linear_sum_assignment

from refbss import InputError
from refbss.evaluation.permutation import best_permutation, permutation_error_rate


def first_best(score: np.ndarray) -> tuple[int, ...]:
    """The first permutation, in lexicographic order, of the highest sum."""
    rows = range(len(score))
    return max(permutations(rows), key=lambda order: sum(score[j, order[j]] for j in rows))


def ties(sources: int) -> np.ndarray:
    """Scores for which the Hungarian method does not find the first of the best permutations."""
    rng = np.random.default_rng(sources)
    while True:
        score = rng.integers(0, 2, (sources, sources)).astype(float)
        if tuple(linear_sum_assignment(score, maximize=True)[1]) != first_best(score):
            return score


@pytest.mark.parametrize("sources", [3, 4])
def test_among_equals_the_first_permutation_stays(sources: int) -> None:
    score = ties(sources)
    assert tuple(best_permutation(score)) == first_best(score)


def test_from_five_sources_the_hungarian_method_decides() -> None:
    score = ties(5)
    assert_array_equal(best_permutation(score), linear_sum_assignment(score, maximize=True)[1])


def test_every_matrix_of_a_batch_has_its_own_permutation() -> None:
    score = np.random.default_rng(0).standard_normal((4, 3, 2, 2))
    found = best_permutation(score)
    assert found.shape == (4, 3, 2) and found.dtype == np.int64
    for index in np.ndindex(4, 3):
        assert tuple(found[index]) == first_best(score[index])
    nothing = best_permutation(np.zeros((0, 3, 3)))
    assert nothing.shape == (0, 3) and nothing.dtype == np.int64


def test_a_lone_nan_counts_as_zero() -> None:
    assert_array_equal(best_permutation(np.array([[np.nan, 0.5], [0.2, 0.4]])), [1, 0])


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 2, 3), (2, 2, 3)])
def test_scores_that_are_not_square_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"best_permutation: score has shape .*, wanted \(\.\.\., P, P\)"):
        best_permutation(np.zeros(shape))


def noise(*shape: int) -> np.ndarray:
    """Independent normal numbers, the same in every call."""
    return np.random.default_rng(1).standard_normal(shape)


def rate(ref: np.ndarray, est: np.ndarray, floor: float = 1e-3) -> float:
    """The error rate of one utterance in frames of ten samples."""
    return float(permutation_error_rate(ref=ref[None], est=est[None], frame=10, floor=floor)[0])


def test_outputs_may_be_more_than_references() -> None:
    ref, extra = noise(2, 80), 0.1 * noise(3, 80)[2:]
    est = np.concatenate([extra, ref[::-1]])
    assert rate(ref, est) == 0.0
    est[1:, 60:] = est[:0:-1, 60:]
    assert rate(ref, est) == 2 / 8


def test_samples_of_a_remainder_do_not_count() -> None:
    ref = noise(2, 87)
    est = ref.copy()
    est[:, 80:] = est[::-1, 80:]
    assert rate(ref, est) == 0.0
    est[:, 70:80] = est[::-1, 70:80]
    assert rate(ref, est) == 1 / 8


def test_one_active_frame_is_enough() -> None:
    """The first output holds the reference where it speaks and noise elsewhere, the second one a noisy copy alone."""
    ref = np.zeros((1, 40))
    ref[0, :10] = noise(10)
    babble = 3.0 * noise(3, 40)[1:]
    exact = np.where(np.arange(40) < 10, ref[0], babble[0])
    noisy = np.where(np.arange(40) < 10, ref[0] + babble[1] / 3.0, 0.0)
    assert rate(ref, np.stack([exact, noisy])) == 1.0
    assert rate(ref, np.stack([exact, np.zeros(40)])) == 0.0


def test_a_frame_is_active_above_the_mean_energy_times_the_floor() -> None:
    """E > floor mean E: with frames of energy 1, 1, 1 and e the bound for e is floor (3 + e) / 4."""
    for e, active in ((0.08, True), (0.07, False)):
        frames = np.repeat(np.sqrt(np.array([1.0, 1.0, 1.0, e]) / 10.0), 10)
        ref = np.stack([frames, np.sign(noise(40)) * frames])
        est = ref.copy()
        est[:, 30:] = est[::-1, 30:]
        assert rate(ref, est, floor=0.1) == (2 / 8 if active else 0.0)


def test_precisions_may_differ() -> None:
    ref = noise(2, 40)
    for dtypes in (("float32", "float64"), ("float64", "float32")):
        pair = [array.astype(dtype) for array, dtype in zip((ref, ref[::-1]), dtypes, strict=True)]
        assert rate(*pair) == 0.0
