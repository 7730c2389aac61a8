"""SI-SDR: known values, exact rational arithmetic as the oracle, invariances, refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from refbss._checks import InputError
from refbss.evaluation.si_sdr import CONVENTION, mean_db, si_sdr, si_sdr_i

REF = [3.0, -0.5, 2.0, 7.0]
EST = [2.5, 0.0, 2.0, 8.0]


def exact(ref: Sequence[float], est: Sequence[float], *, zero_mean: bool = False) -> float:
    """SI-SDR with every sum exact; only the final logarithm rounds."""
    s, e = [Fraction(v) for v in ref], [Fraction(v) for v in est]
    if zero_mean:
        s, e = [v - sum(s) / len(s) for v in s], [v - sum(e) / len(e) for v in e]
    alpha = sum(a * b for a, b in zip(e, s, strict=True)) / sum(a * a for a in s)
    target = [alpha * a for a in s]
    ratio = sum(t * t for t in target) / sum((b - t) ** 2 for b, t in zip(e, target, strict=True))
    return 10.0 * math.log10(ratio)


def test_known_values() -> None:
    assert_allclose(si_sdr(ref=REF, est=EST), 18.40299157, rtol=0, atol=5e-9)
    assert_allclose(si_sdr(ref=REF, est=EST, zero_mean=True), 15.09175617, rtol=0, atol=5e-9)


def test_a_faint_pair_keeps_its_value() -> None:
    rng = np.random.default_rng(0)
    ref = 1e-4 * rng.standard_normal(32000)
    est = ref + 1e-5 * rng.standard_normal(32000)
    assert f"{float(si_sdr(ref=ref, est=est)):.3f}" == "19.957"
    assert f"{float(si_sdr(ref=ref.astype(np.float32), est=est.astype(np.float32))):.3f}" == "19.957"


@pytest.mark.parametrize("zero_mean", [False, True])
def test_batches_agree_with_exact_arithmetic(zero_mean: bool) -> None:
    rng = np.random.default_rng(1)
    ref, est = rng.standard_normal((2, 3, 2, 40)) + 0.3
    want = [
        [exact(s, e, zero_mean=zero_mean) for s, e in zip(a, b, strict=True)] for a, b in zip(ref, est, strict=True)
    ]
    assert_allclose(si_sdr(ref=ref, est=est, zero_mean=zero_mean), want, rtol=0, atol=1e-10)


def test_perfect_is_infinite_and_orthogonal_minus_infinite() -> None:
    rng = np.random.default_rng(2)
    ref = rng.standard_normal((3, 1001))
    assert_array_equal(si_sdr(ref=ref, est=ref.copy()), np.full(3, np.inf))
    assert_array_equal(si_sdr(ref=ref, est=-2.0 * ref), np.full(3, np.inf))
    assert si_sdr(ref=[1.0, 1.0, 0.0], est=[1.0, -1.0, 2.0]) == -np.inf


finite = st.floats(-1.0, 1.0, width=32).map(lambda v: round(v, 3))
signal = st.lists(finite, min_size=8, max_size=8).filter(lambda values: any(values))


@given(signal, signal, st.integers(-150, 150), st.integers(-150, 150))
def test_scale_does_not_matter(ref: list[float], est: list[float], a: int, b: int) -> None:
    value = si_sdr(ref=ref, est=est)
    assert_array_equal(si_sdr(ref=np.ldexp(ref, a), est=-np.ldexp(est, b)), value)
    other = float(si_sdr(ref=10.0**a * np.array(ref), est=10.0**b * np.array(est)))
    # Where the distortion is at the level of rounding (300 dB) the decimal scaling decides its size.
    assert abs(float(value)) > 200.0 or math.isclose(other, float(value), abs_tol=1e-3)


@given(st.integers(0, 10_000), st.integers(2, 6), st.data())
def test_the_permutation_is_found(seed: int, sources: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    ref = rng.standard_normal((sources, 64))
    order = data.draw(st.permutations(range(sources)))
    est = ref[order] + 0.1 * rng.standard_normal((sources, 64))
    mix = ref.sum(axis=0)
    result = si_sdr_i(ref=ref, est=est, mix=mix)
    assert_array_equal(result.permutation, np.argsort(order))
    assert_array_equal(result.si_sdr_db, si_sdr(ref=ref, est=est[result.permutation]))
    gain = result.si_sdr_db - [float(si_sdr(ref=s, est=mix)) for s in ref]
    assert_allclose(result.si_sdr_i_db, gain, rtol=0, atol=1e-12)
    straight = si_sdr_i(ref=ref, est=est[result.permutation], mix=mix)
    assert_array_equal(straight.permutation, np.arange(sources))
    assert_array_equal(straight.si_sdr_db, result.si_sdr_db)


@pytest.mark.parametrize("sources", [2, 3, 4, 5])
def test_the_permutation_is_the_best_of_all(sources: int) -> None:
    rng = np.random.default_rng(sources)
    ref, est = rng.standard_normal((2, 3, sources, 30))
    result = si_sdr_i(ref=ref, est=est, mix=ref.sum(axis=-2))
    for item in range(3):
        score = [[exact(s, e) for e in est[item]] for s in ref[item]]
        best = max(permutations(range(sources)), key=lambda order: sum(score[j][p] for j, p in enumerate(order)))
        assert tuple(result.permutation[item]) == best
        assert_allclose(result.si_sdr_db[item], [score[j][p] for j, p in enumerate(best)], rtol=0, atol=1e-10)


@pytest.mark.parametrize("sources", [2, 4, 6])
def test_equal_estimates_keep_their_order(sources: int) -> None:
    rng = np.random.default_rng(3)
    ref = rng.standard_normal((sources, 50))
    mix = ref.sum(axis=0)
    result = si_sdr_i(ref=ref, est=np.stack([mix] * sources), mix=mix)
    assert_array_equal(result.permutation, np.arange(sources))
    assert_array_equal(result.si_sdr_i_db, np.zeros(sources))


def test_one_perfect_estimate_does_not_hide_the_others() -> None:
    rng = np.random.default_rng(4)
    ref = rng.standard_normal((3, 60))
    est = np.stack([ref[2] + 0.1 * rng.standard_normal(60), ref[0], ref[1] + 0.1 * rng.standard_normal(60)])
    result = si_sdr_i(ref=ref, est=est, mix=ref.sum(axis=0))
    assert_array_equal(result.permutation, [1, 2, 0])
    assert result.si_sdr_db[0] == np.inf


def test_silence() -> None:
    rng = np.random.default_rng(5)
    ref = rng.standard_normal((2, 3, 50))
    est = ref[:, ::-1] + 0.1 * rng.standard_normal((2, 3, 50))
    ref[1, 0] = 0.0
    mix = ref.sum(axis=-2)
    with pytest.raises(InputError, match=r"ref is silent at index \(1, 0\), wanted sound"):
        si_sdr(ref=ref, est=est)
    with pytest.raises(InputError, match="est is silent, wanted sound"):
        si_sdr(ref=REF, est=np.zeros(4))
    with pytest.raises(InputError, match="est is silent, wanted sound"):
        si_sdr(ref=REF, est=np.full(4, 0.1), zero_mean=True)
    with pytest.raises(InputError, match=r"mix is silent at index \(0,\)"):
        si_sdr_i(ref=ref, est=est, mix=mix * [[0.0], [1.0]], silent="skip")
    result = si_sdr_i(ref=ref, est=est, mix=mix, silent="skip")
    assert_array_equal(np.isnan(result.si_sdr_db), [[False] * 3, [True, False, False]])
    assert_array_equal(result.permutation, [[2, 1, 0]] * 2)
    mean, skipped = mean_db(result.si_sdr_db, silent="skip")
    assert skipped == 1
    assert_allclose(mean, np.mean([result.si_sdr_db[0].mean(), result.si_sdr_db[1, 1:].mean()]))
    assert math.isnan(mean_db(result.si_sdr_db, silent="nan")[0])
    assert math.isnan(mean_db([[np.nan, np.nan]], silent="skip")[0])


def test_a_silent_estimate_goes_to_the_silent_reference() -> None:
    rng = np.random.default_rng(6)
    ref = rng.standard_normal((3, 40))
    ref[0] = 0.0
    est = np.stack([-ref[1] + 3.0 * rng.standard_normal(40), ref[2], np.zeros(40)])
    assert_array_equal(si_sdr_i(ref=ref, est=est, mix=ref.sum(axis=0), silent="nan").permutation, [2, 0, 1])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((40, 2), r"ref has shape \(40, 2\), that is 40 sources of 2 samples: .* Is it transposed\?"),
        ((3, 3), "fewer sources P than samples N"),
        ((21, 100), "P at most 20"),
        ((1,), "N of at least 2"),
        ((), "N of at least 2"),
    ],
)
def test_shapes_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        si_sdr(ref=np.ones(shape), est=np.ones(shape))


def test_other_mistakes_are_named() -> None:
    est = np.ones((2, 4))
    with pytest.raises(InputError, match=r"est has shape \(2, 4\), wanted \(4,\) as ref has"):
        si_sdr(ref=REF, est=est)
    est[1, 2] = np.nan
    with pytest.raises(InputError, match=r"est is nan at index \(1, 2\), wanted finite samples"):
        si_sdr(ref=np.ones((2, 4)), est=est)
    with pytest.raises(InputError, match="silent is 'drop', wanted one of raise, nan, skip"):
        si_sdr(ref=REF, est=EST, silent="drop")
    with pytest.raises(InputError, match=r"mix has shape \(2, 4\), wanted \(4,\)"):
        si_sdr_i(ref=np.ones((2, 4)), est=np.ones((2, 4)), mix=np.ones((2, 4)))
    with pytest.raises(InputError, match=r"wanted \(\.\.\., P, N\) for both"):
        si_sdr_i(ref=REF, est=EST, mix=REF)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("text", "has dtype <U4, wanted real numbers"),
        (["1", "2"], "has dtype <U1, wanted real numbers"),
        ([[1.0, 2.0, 3.0], [1.0]], "is no array .*, wanted real numbers"),
        ([object(), 1.0], "has dtype object, wanted real numbers"),
        (None, "has dtype object, wanted real numbers"),
        (np.ones(4, complex), "has dtype complex128, wanted real numbers"),
        (np.ma.masked_less(REF, 0.0), "is a masked array, wanted one without a mask"),
        (np.ones((0, 4)), r"has shape \(0, 4\), wanted .* at least one source"),
    ],
)
def test_what_is_no_signal_is_refused_by_name(bad: Any, message: str) -> None:
    pair = np.array([REF, EST])
    for name in ("ref", "est"):
        given = {"ref": pair, "est": pair, name: bad}
        with pytest.raises(InputError, match=f"{name} {message}"):
            si_sdr(**given)
        with pytest.raises(InputError, match=f"{name} {message}"):
            si_sdr_i(**given, mix=REF)


def test_arguments_are_left_alone_and_the_convention_is_one_line() -> None:
    ref, est = np.array(REF), np.array(EST)
    si_sdr(ref=ref, est=est, zero_mean=True)
    assert_array_equal(ref, REF)
    assert_array_equal(est, EST)
    assert "\n" not in CONVENTION and "no epsilon" in CONVENTION
