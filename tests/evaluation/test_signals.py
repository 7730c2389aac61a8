"""Levels of signals before they are scored: exact powers of two, extremes, silence."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from refbss._checks import InputError
from refbss._types import Array
from refbss.evaluation.bss_eval import bss_eval_v3_images
from refbss.evaluation.conventions import fast_bss_eval
from refbss.evaluation.si_sdr import si_sdr
from refbss.evaluation.signals import centred, checked, decibels, largest, scaled, scaled_together
from refbss.evaluation.snr import snr

REF, EST = np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])


def test_largest_is_of_either_sign_and_of_the_axes_asked_for() -> None:
    x = np.array([[[1.0, 4.0], [-9.0, 2.0]], [[0.0, 0.0], [3.0, -5.0]]])
    assert_array_equal(largest(x), [[[4.0], [9.0]], [[0.0], [5.0]]])
    assert_array_equal(largest(x, (-2, -1)), [[[9.0]], [[5.0]]])


def test_scaled_rows_are_between_a_half_and_one() -> None:
    x = np.array([[3.0, -12.0], [0.0, 0.0], [2.0**-900, 0.0]])
    assert_array_equal(scaled(x), [[0.1875, -0.75], [0.0, 0.0], [0.5, 0.0]])


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("which", [0, 1])
def test_what_belongs_together_has_one_scale(row: int, which: int) -> None:
    """Whichever of the two signals, and whichever of the rows, is out of range."""
    pair = [np.ones((2, 3)), np.ones((2, 3))]
    pair[which][row, 1] = 2.0**600
    s, e = scaled_together(pair[0], pair[1], rows=2)
    wanted = [np.full((2, 3), 2.0**-601), np.full((2, 3), 2.0**-601)]
    wanted[which][row, 1] = 0.5
    assert_array_equal((s, e), wanted)
    one, other = scaled_together(pair[0], pair[1], rows=1)
    assert_array_equal(one[1 - row], np.full(3, 0.5))
    assert_array_equal((one[row], other[row]), (wanted[0][row], wanted[1][row]))


@pytest.mark.parametrize("exponent", [-96, 0, 96])
def test_ordinary_signals_are_not_copied(exponent: int) -> None:
    ref, est = np.ldexp(REF, exponent), np.ldexp(EST, exponent)
    assert scaled_together(ref, est, rows=1)[0] is ref and scaled_together(ref, est, rows=1)[1] is est


def test_every_row_of_an_snr_has_a_level_of_its_own() -> None:
    levels = np.array([[2.0**-900], [1.0], [2.0**900]])
    assert_array_equal(snr(ref=levels * REF, est=levels * EST), np.full(3, snr(ref=REF, est=EST)))


def test_a_sample_of_zero_is_not_silence() -> None:
    ref = np.array([1.0, 0.0, 2.0, 3.0])
    assert np.isfinite(snr(ref=ref, est=REF)) and np.isfinite(snr(ref=REF, est=ref))


def test_one_silent_channel_or_sample_is_not_silence() -> None:
    rng = np.random.default_rng(0)
    ref, est = rng.standard_normal((2, 2, 2, 50))
    ref[..., 0] = est[..., 0] = 0.0
    ref[1, 0] = 0.0
    assert np.isfinite(bss_eval_v3_images(ref=ref, est=est, taps=2).sdr_db).all()
    ref[1] = 0.0
    with pytest.raises(InputError, match=r"ref is silent at index \(1,\)"):
        bss_eval_v3_images(ref=ref, est=est, taps=2)


@pytest.mark.parametrize("level", [1e-200, 1.0, 1e10, 1e200])
def test_a_constant_is_nothing_without_its_mean_at_any_level(level: float) -> None:
    constant = np.full(1000, 0.1) * level
    constant[::3] *= 1 + np.finfo(np.float64).eps
    assert not centred(constant).any()
    assert centred(np.array([1.0, 2.0]) * level).any()


def test_the_mean_is_removed_when_asked() -> None:
    x = [4.0, 5.0, 6.0, 9.0]
    kept = checked("op", "x", x, axes=("N",), scale=False, zero_mean=False)
    moved = checked("op", "x", x, axes=("N",), scale=False, zero_mean=True)
    assert_array_equal(kept, x)
    assert_array_equal(moved, [-2.0, -1.0, 0.0, 3.0])


def test_decibels() -> None:
    assert_array_equal(decibels(np.array([100.0, 1.0, 0.0, np.inf])), [20.0, 0.0, -np.inf, np.inf])


def test_rounding_takes_no_angle_beyond_nothing() -> None:
    """The cosine of the angle between a signal and its copy may round to more than 1."""
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((300, 7))
    found = fast_bss_eval(signals, rng.random((300, 1)) * signals)
    assert np.isposinf(found).any() and not np.isnan(found).any()


@pytest.mark.parametrize("name", ["asteroid", "torchmetrics", "fast_bss_eval", "speechbrain"])
def test_what_is_added_counts_for_faint_signals(name: str) -> None:
    def at(level: float) -> Array:
        return si_sdr(ref=level * REF, est=level * EST, convention=name)

    assert abs(at(1.0) - at(1e-8)) > 0.1 and abs(at(1.0) - at(8.0)) < 1e-6
