"""SI-SIR and SI-SAR: the identity with SI-SDR, closed forms, and BSS Eval with one tap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from refbss._checks import InputError
from refbss._types import Array
from refbss.evaluation.bss_eval import bss_eval_v3_sources
from refbss.evaluation.si_sdr import si_sdr
from refbss.evaluation.si_sir import si_sar, si_sir


def drawn(seed: int, sources: int, *batch: int) -> tuple[Array, Array]:
    rng = np.random.Generator(np.random.Philox(seed))
    ref = rng.standard_normal((*batch, sources, 40)) + 0.3
    return ref, ref + 0.5 * ref.mean(axis=-2, keepdims=True) + 0.2 * rng.standard_normal(ref.shape)


@given(seed=st.integers(0, 2**32 - 1), sources=st.integers(2, 5), level=st.floats(-8, 8))
def test_the_ratios_add_up(seed: int, sources: int, level: float) -> None:
    ref, est = drawn(seed, sources, 2)
    est = 10**level * est
    parts = [10 ** (-ratio(ref=ref, est=est) / 10) for ratio in (si_sdr, si_sir, si_sar)]
    assert_allclose(parts[0], parts[1] + parts[2], rtol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), sources=st.integers(2, 4))
def test_bss_eval_with_one_tap(seed: int, sources: int) -> None:
    ref, est = drawn(seed, sources)
    wanted = bss_eval_v3_sources(ref=ref, est=est, taps=1, permute=False)
    for convention in ("leroux", "bss_eval_l1"):
        assert_allclose(si_sir(ref=ref, est=est, convention=convention), wanted.sir_db, rtol=0, atol=1e-8)
    assert_allclose(si_sar(ref=ref, est=est, convention="bss_eval_l1"), wanted.sar_db, rtol=0, atol=1e-8)
    assert (si_sar(ref=ref, est=est) < wanted.sar_db).all()


def test_any_level() -> None:
    ref, est = drawn(3, 2)
    for ratio in (si_sir, si_sar):
        faint = ratio(ref=np.ldexp(ref, 900), est=np.ldexp(est, -900))
        assert_allclose(faint, ratio(ref=ref, est=est), rtol=0, atol=1e-9)


def test_orthogonal_signals() -> None:
    first, second, third = np.eye(3, 9)
    est = np.stack([2 * first + 0.2 * second + 0.02 * third, second])
    ref = np.stack([first, second])
    assert_allclose(si_sir(ref=ref, est=est)[0], 20.0, rtol=0, atol=1e-12)
    assert_allclose(si_sar(ref=ref, est=est)[0], 40.0, rtol=0, atol=1e-12)
    assert_allclose(si_sar(ref=ref, est=est, convention="bss_eval_l1")[0], 10 * np.log10(10100), rtol=0, atol=1e-12)
    assert np.isposinf(si_sir(ref=ref, est=est)[1]) and np.isposinf(si_sar(ref=ref, est=est)[1])


def test_one_source_has_no_interference_and_equal_references_are_one() -> None:
    ref, est = drawn(1, 1, 3)
    assert si_sir(ref=ref, est=est).shape == (3, 1) and np.isnan(si_sir(ref=ref, est=est)).all()
    assert_allclose(si_sar(ref=ref, est=est), si_sdr(ref=ref, est=est), rtol=0, atol=1e-9)
    twice = si_sar(ref=np.repeat(ref, 2, axis=1), est=np.repeat(est, 2, axis=1))
    assert_allclose(twice, np.repeat(si_sdr(ref=ref, est=est), 2, axis=1), rtol=0, atol=1e-9)


def test_silence_and_refusals() -> None:
    ref, est = drawn(2, 2, 2)
    est[1, 0] = 0.0
    for ratio in (si_sir, si_sar):
        one_of_two = np.stack([ref[0, 0], np.zeros(40)])
        assert np.isnan(ratio(ref=one_of_two, est=est[0], silent="nan")).all()
        found = ratio(ref=ref, est=est, silent="nan")
        assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()
        name = ratio.__name__
        with pytest.raises(InputError, match=rf"{name}: est is silent at index \(1, 0\)"):
            ratio(ref=ref, est=est)
        with pytest.raises(InputError, match=rf"{name}: ref has shape \(40,\), wanted"):
            ratio(ref=ref[0, 0], est=est[0, 1])
        with pytest.raises(InputError, match=rf"{name}: convention is 'vincent', wanted one of leroux, bss_eval_l1"):
            ratio(ref=ref, est=est, convention="vincent")
