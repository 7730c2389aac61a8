"""Which estimate belongs to which reference: the permutation with the highest mean score; and how often that changes.

``permutation[..., j]`` is the index of the estimate of reference j. Up to four sources every permutation is tried,
in lexicographic order, and the first best one stays; above that the Hungarian method decides [std] (Kuhn 1955).
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from refbss._checks import InputError
from refbss._types import Array
from refbss.losses.softmax_permutation import similarity

EXHAUSTIVE_SOURCES = 4
LIMIT = 1e4
"""Stands for an infinite score in dB, so that sums of scores stay comparable; float64 cannot reach it."""


ACTIVE = 0.5
"""A frame of a reference counts as active where E / (E + floor mean E), E its energy, exceeds this."""


def permutation_error_rate(*, ref: Array, est: Array, frame: int, floor: float = 1e-3) -> Array:
    """Return the share (B,) of active frames whose most similar output is not that of the whole utterance [ours].

    ``ref`` (B, J, N) and ``est`` (B, P, N); ``frame`` in samples; similarity as in the softmax
    permutation loss. nan where no frame is active. Raises InputError as that loss does.
    """
    ref, est = ref.astype(np.float64), est.astype(np.float64)
    of_frames = similarity(est, ref, frame, floor)
    of_utterance = similarity(est, ref, est.shape[2], floor)
    whole = ref[:, :, : ref.shape[2] // frame * frame]
    energy = np.square(whole).reshape(*ref.shape[:2], -1, frame).sum(axis=3)
    level = energy + floor * energy.mean(axis=2, keepdims=True)
    active = energy > ACTIVE * level
    wrong = np.argmax(of_frames, axis=1) != np.argmax(of_utterance, axis=1)
    count = active.sum(axis=(1, 2))
    rate: Array = np.where(count > 0, (active & wrong).sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)
    return rate


def best_permutation(score: Array) -> NDArray[np.int64]:
    """Return the permutation (..., P) that maximises the mean of ``score`` (..., reference, estimate).

    Infinite scores count as ``LIMIT``. A NaN is no preference and counts as 0: silent references score NaN with every
    estimate, silent estimates with every reference, and the two are paired with each other first. Raises InputError
    unless square.
    """
    if score.ndim < 2 or score.shape[-1] != score.shape[-2]:
        raise InputError(f"best_permutation: score has shape {score.shape}, wanted (..., P, P)")
    sources = score.shape[-1]
    matrices = score.reshape(-1, sources, sources)
    choose = _try_all if sources <= EXHAUSTIVE_SOURCES else _hungarian
    result = np.array([choose(_comparable(matrix)) for matrix in matrices], dtype=np.int64)
    return result.reshape(score.shape[:-1])


def _comparable(matrix: Array) -> Array:
    undefined = np.isnan(matrix)
    silent_estimate = undefined.all(axis=0, keepdims=True) & ~undefined.all(axis=1, keepdims=True)
    return np.clip(np.where(silent_estimate, -LIMIT, np.where(undefined, 0.0, matrix)), -LIMIT, LIMIT)


def _try_all(matrix: Array) -> Any:
    rows = range(len(matrix))
    return max(permutations(rows), key=lambda order: sum(float(matrix[j, order[j]]) for j in rows))


def _hungarian(matrix: Array) -> Any:
    return scipy.optimize.linear_sum_assignment(matrix, maximize=True)[1]
