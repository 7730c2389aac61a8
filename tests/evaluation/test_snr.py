"""SNR: exact values, level, batches, silence."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from refbss._checks import InputError
from refbss.evaluation.snr import snr

REF, EST = np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])


def test_known_values() -> None:
    assert_allclose(snr(ref=REF, est=EST), 10 * np.log10(62.25 / 1.5), rtol=0, atol=1e-12)
    assert_allclose(snr(ref=REF, est=0.5 * REF), 20 * np.log10(2), rtol=0, atol=1e-12)
    assert np.isposinf(snr(ref=REF, est=REF))


@pytest.mark.parametrize("exponent", [-1000, 900])
def test_any_level_that_both_have(exponent: int) -> None:
    assert snr(ref=np.ldexp(REF, exponent), est=np.ldexp(EST, exponent)) == snr(ref=REF, est=EST)


def test_batches_and_silence() -> None:
    ref, est = np.stack([REF, EST, np.zeros(4)]), np.stack([EST, np.zeros(4), REF])
    found = snr(ref=ref, est=est, silent="skip")
    assert_array_equal(np.isnan(found), [False, True, True])
    assert found[0] == snr(ref=REF, est=EST)
    with pytest.raises(InputError, match=r"snr: ref is silent at index \(2,\)"):
        snr(ref=ref, est=est)
