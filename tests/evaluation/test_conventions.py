"""SI-SDR as others print it: values that the libraries themselves gave for these pairs, and which level matters to."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from refbss._checks import InputError
from refbss._types import Array
from refbss.evaluation.conventions import CONVENTIONS
from refbss.evaluation.si_sdr import si_sdr, si_sdr_i

PRINTED = {
    "asteroid": (19.57712976, 7.09399428, 15.09175612),
    "torchmetrics": (16.09463692, 8.98116589, 18.40299225),
    "fast_bss_eval": (20.11809114, 8.98116502, 18.40299157),
    "speechbrain": (19.57712976, 7.09399428, 15.09175612),
}
"""By asteroid 0.7.0, torchmetrics 1.9.0 (float32, hence 2e-6 of rounding), fast_bss_eval 0.1.4, speechbrain 1.1.2."""


def pairs() -> list[tuple[Array, Array]]:
    """A faint pair, 20 dB at an amplitude of 1e-4; a loud one with a mean; the pair of TorchMetrics' own example."""
    rng = np.random.default_rng(5)
    faint = 1e-4 * rng.standard_normal(800)
    pair = (faint, faint + 1e-5 * rng.standard_normal(800))
    loud = rng.standard_normal(50) + 0.5
    return [
        pair,
        (loud, 0.7 * loud + 0.3 * rng.standard_normal(50)),
        (np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])),
    ]


@pytest.mark.parametrize("convention", PRINTED)
def test_what_the_libraries_print(convention: str) -> None:
    found = [float(si_sdr(ref=ref, est=est, convention=convention)) for ref, est in pairs()]
    assert_allclose(found, PRINTED[convention], rtol=0, atol=2e-6 if convention == "torchmetrics" else 1e-8)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_level_matters_where_something_is_added(convention: str) -> None:
    ref, est = pairs()[0]
    change = abs(
        si_sdr(ref=ref, est=est, convention=convention) - si_sdr(ref=1e4 * ref, est=1e4 * est, convention=convention)
    )
    assert change > 0.1 if convention in ("asteroid", "speechbrain", "torchmetrics") else change < 1e-9


def test_tasnet_is_the_definition_without_the_mean() -> None:
    for ref, est in pairs():
        assert si_sdr(ref=ref, est=est, convention="tasnet") == si_sdr(ref=ref, est=est, zero_mean=True)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_silence_is_no_number_in_any_convention(convention: str) -> None:
    ref, est = np.stack([pairs()[1][0], np.zeros(50)]), np.stack([pairs()[1][1]] * 2)
    found = si_sdr(ref=ref, est=est, convention=convention, silent="nan")
    assert np.isfinite(found[0]) and np.isnan(found[1])
    with pytest.raises(InputError, match="ref is silent at index"):
        si_sdr(ref=ref, est=est, convention=convention)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_improvement_keeps_to_the_convention(convention: str) -> None:
    rng = np.random.default_rng(1)
    ref = rng.standard_normal((2, 60)) + 0.2
    est, mix = ref[::-1] + 0.2 * rng.standard_normal((2, 60)), ref.sum(axis=0)
    found = si_sdr_i(ref=ref, est=est, mix=mix, convention=convention)
    assert found.permutation.tolist() == [1, 0]
    before = si_sdr(ref=ref, est=np.stack([mix, mix]), convention=convention)
    after = si_sdr(ref=ref, est=est[::-1], convention=convention)
    assert_allclose(found.si_sdr_i_db, after - before, rtol=0, atol=1e-12)


def test_refusals() -> None:
    ref, est = pairs()[1]
    with pytest.raises(InputError, match="si_sdr: convention is 'plain', wanted one of leroux, tasnet"):
        si_sdr(ref=ref, est=est, convention="plain")
    with pytest.raises(InputError, match="zero_mean is True and convention 'asteroid'"):
        si_sdr_i(ref=ref[None], est=est[None], mix=ref, convention="asteroid", zero_mean=True)
