"""SI-SDR at the edges: levels at the end of float64, a mean that leaves nothing but rounding, types, sizes, means."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from refbss._checks import InputError
from refbss.evaluation.si_sdr import mean_db, si_sdr, si_sdr_i
from refbss.evaluation.signals import MOST_SOURCES

REF = np.array([3.0, -0.5, 2.0, 7.0, 0.0])
EST = np.array([2.5, 0.0, 2.0, 8.0, -1.0])
ULP = float(np.finfo(np.float64).eps)


@pytest.mark.parametrize("exponents", [(-1000, -1000), (1000, 1000), (-1000, 1000), (600, 0), (0, -600)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_level_may_be_anything_that_float64_holds(exponents: tuple[int, int], sign: float) -> None:
    ref, est = sign * np.ldexp(REF, exponents[0]), np.ldexp(EST, exponents[1])
    for zero_mean in (False, True):
        wanted = si_sdr(ref=REF, est=EST, zero_mean=zero_mean)
        assert_array_equal(si_sdr(ref=ref, est=est, zero_mean=zero_mean), wanted)


def test_one_negative_peak_decides_the_level() -> None:
    ref = np.array([-(2.0**600), 2.0**-600, 0.0])
    assert math.isclose(float(si_sdr(ref=ref, est=[1.0, 0.0, 1.0])), 0.0, abs_tol=1e-12)


def near_constant(ulps: float, samples: int) -> np.ndarray:
    """Three quarters, the first sample lower by so many units of 2^-52: the mean and what it leaves are exact."""
    signal = np.full(samples, 0.75)
    signal[0] -= ulps * ULP
    return signal


@pytest.mark.parametrize(
    ("ulps", "samples", "silent"), [(4.0, 4, True), (8.0, 2, True), (6.0, 4, False), (8.0, 4, False), (16.0, 2, False)]
)
def test_what_the_mean_leaves_counts_from_four_roundings(ulps: float, samples: int, silent: bool) -> None:
    """The largest departure from the mean is ulps (samples - 1) / samples; up to four it is rounding."""
    ref = near_constant(ulps, samples)
    est = np.arange(float(samples)) ** 2
    assert np.isnan(si_sdr(ref=ref, est=est, zero_mean=True, silent="nan")) == silent
    assert not np.isnan(si_sdr(ref=ref, est=est, silent="nan"))


def test_every_source_has_a_mean_of_its_own() -> None:
    ref = np.stack([[0.1, 0.9, -0.3, 0.0], near_constant(4.0, 4)])
    assert_array_equal(np.isnan(si_sdr(ref=ref, est=ref[::-1] + ref, zero_mean=True, silent="nan")), [False, True])


def test_a_sample_at_the_mean_is_no_silence() -> None:
    assert np.isfinite(si_sdr(ref=[1.0, 0.0, -1.0, 0.0], est=EST[:4], zero_mean=True))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int64", "uint8", "bool", "float16", "float32"])
def test_every_real_dtype_is_taken_as_float64(dtype: str) -> None:
    ref, est = (np.array(values).astype(dtype) for values in ([1, 0, 5, 7, 0], [2, 0, 3, 6, 1]))
    wanted = si_sdr(ref=ref.astype(np.float64), est=est.astype(np.float64))
    found = si_sdr(ref=ref, est=est)
    assert found.dtype == np.float64 and isinstance(found, np.ndarray) and found.shape == ()
    assert_array_equal(found, wanted)


def test_twenty_sources_are_allowed() -> None:
    ref = np.random.default_rng(0).standard_normal((MOST_SOURCES, 30))
    assert_array_equal(si_sdr(ref=ref, est=ref), np.full(MOST_SOURCES, np.inf))


def test_a_batch_may_be_larger_than_a_set_of_sources_and_may_be_empty() -> None:
    """The axis before the samples of a mixture counts utterances, not sources."""
    ref = np.random.default_rng(1).standard_normal((40, 2, 30))
    result = si_sdr_i(ref=ref, est=ref, mix=ref.sum(axis=1))
    assert result.si_sdr_i_db.shape == (40, 2) and np.all(result.si_sdr_db == np.inf)
    nothing = si_sdr_i(ref=ref[:0], est=ref[:0], mix=ref[:0, 0])
    assert nothing.si_sdr_i_db.shape == (0, 2) and nothing.permutation.dtype == np.int64


def test_estimates_of_another_number_are_refused() -> None:
    ref = np.random.default_rng(2).standard_normal((3, 30))
    with pytest.raises(InputError, match=r"si_sdr_i: est has shape \(2, 30\), wanted \(3, 30\) as ref has"):
        si_sdr_i(ref=ref, est=ref[:2], mix=ref[0])


def test_unknown_ways_with_silence_are_refused_everywhere() -> None:
    ref = np.eye(2, 5)
    with pytest.raises(InputError, match="si_sdr_i: silent is 'drop', wanted one of raise, nan, skip"):
        si_sdr_i(ref=ref, est=ref, mix=ref[0], silent="drop")
    with pytest.raises(InputError, match="mean_db: silent is 'drop', wanted one of raise, nan, skip"):
        mean_db([1.0], silent="drop")


def test_the_mean_goes_over_sources_first() -> None:
    table = np.array([[[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]], [[np.nan] * 3, [10.0, 20.0, 60.0]]])
    mean, skipped = mean_db(table, silent="skip")
    assert mean == pytest.approx((1.5 + 3.0 + 30.0) / 3.0, rel=1e-15) and skipped == 6
    whole = np.arange(12.0).reshape(2, 2, 3)
    assert mean_db(whole) == (5.5, 0) and mean_db(whole[0, 0]) == (1.0, 0) and mean_db(whole, silent="nan") == (5.5, 0)
    assert mean_db([2, 4]) == (3.0, 0)


def test_the_mean_runs_in_float64() -> None:
    values = np.random.default_rng(3).standard_normal((7, 3)).astype(np.float32)
    assert_allclose(mean_db(values)[0], values.astype(np.float64).mean(), rtol=1e-14)


def test_nothing_left_is_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, skipped = mean_db([[np.nan, np.nan]], silent="skip")
    assert math.isnan(mean) and skipped == 2
