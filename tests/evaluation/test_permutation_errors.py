"""The permutation error rate: frames in which an output holds another speaker than over the whole utterance."""

from __future__ import annotations

import numpy as np
import pytest

from refbss import InputError
from refbss.evaluation.permutation import permutation_error_rate
from refbss.verification.draw import generator


def signals(label: str) -> np.ndarray:
    return generator(0, "permutation errors", label).standard_normal((1, 2, 160))


def swapped(ref: np.ndarray, at: int) -> np.ndarray:
    """Two outputs that change their speakers at a sample."""
    return np.concatenate([ref[:, :, :at], ref[:, ::-1, at:]], axis=2)


def test_permutation_error_rate_counts_swapped_frames() -> None:
    ref = signals("speakers")
    assert permutation_error_rate(ref=ref, est=ref, frame=10)[0] == 0.0
    assert permutation_error_rate(ref=ref, est=ref[:, ::-1], frame=10)[0] == 0.0
    assert permutation_error_rate(ref=ref, est=swapped(ref, 120), frame=10)[0] == pytest.approx(4 / 16)


def test_permutation_error_rate_counts_active_frames_alone() -> None:
    ref = signals("speakers")
    ref[:, :, 120:] *= 1e-6
    assert permutation_error_rate(ref=ref, est=swapped(ref, 120), frame=10)[0] == 0.0
    ref[...] = 0.0
    assert np.isnan(permutation_error_rate(ref=ref, est=signals("est"), frame=10)[0])


def test_bad_signals_are_named() -> None:
    with pytest.raises(InputError, match="est has 160 samples, wanted at least one frame of 161"):
        permutation_error_rate(ref=signals("a"), est=signals("b"), frame=161)
