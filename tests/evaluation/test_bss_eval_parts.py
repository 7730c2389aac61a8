"""The parts of BSS Eval by themselves: linear systems, blocks, windows, permutations over windows, medians."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from refbss._checks import InputError
from refbss._types import Array
from refbss.evaluation import bss_eval, projection
from refbss.evaluation.bss_eval import BssEval, bss_eval_v3_images, bss_eval_v3_sources, bss_eval_v4

RATIOS = ("sdr_db", "isr_db", "sir_db", "sar_db")


def drawn(*shape: int, seed: int = 0) -> tuple[Array, Array]:
    """References and estimates (.., P, .., N): each estimate is its reference, some of the other, and noise."""
    rng = np.random.Generator(np.random.Philox(seed))
    ref = rng.standard_normal(shape)
    return ref, ref + 0.3 * np.roll(ref, 3, axis=-1) + 0.2 * rng.standard_normal(shape)


@pytest.mark.parametrize(
    ("matrix", "condition"),
    [
        ([[4.0, -1.0], [-1.0, 3.0]], 25 / 11),
        ([[1.0, 0.0], [0.0, 1.0]], 1.0),
        ([[9.0, 0.0], [0.0, 1.0]], 9.0),
        ([[2.0]], 1.0),
    ],
)
def test_a_system_and_its_condition(matrix: list[list[float]], condition: float) -> None:
    """In the norm of column sums, |A| |A^-1|."""
    a = np.array(matrix)
    x, found, singular = projection._solve(a, a @ np.ones((len(a), 1)))
    assert_allclose(x, np.ones((len(a), 1)), rtol=1e-14)
    assert_allclose(found, condition, rtol=1e-14)
    assert singular == 0


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, 1.0], [1.0, 1.0 + 2.0**-52]],  # has a factor, and a condition that float64 does not carry
        [[1.0, 2.0], [2.0, 1.0]],  # of no delays at all: its factor breaks off and looks well conditioned
    ],
)
def test_a_system_without_a_solution_of_its_own(matrix: list[list[float]]) -> None:
    x, condition, singular = projection._solve(np.array(matrix), np.array([[1.0], [1.0]]))
    assert condition == np.inf and singular == 1
    assert np.count_nonzero(x) == 1


@pytest.mark.parametrize("start", [-9, -4, -3, -1, 0, 2, 4, 5, 9])
@pytest.mark.parametrize("length", [1, 3, 8])
def test_cut_pads_with_zeros_on_both_sides(start: int, length: int) -> None:
    x = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]])
    wanted = [[row[n] if 0 <= n < 5 else 0.0 for n in range(start, start + length)] for row in x]
    assert_array_equal(projection._cut(x, start, length), wanted)


@pytest.mark.parametrize(("sources", "systems"), [(1, 1), (2, 3)])
def test_every_system_without_a_unique_solution_is_counted_once(sources: int, systems: int) -> None:
    """One of all references, and one of each where there are several."""
    ref, est = drawn(sources, 1, 300)
    ref, est = np.repeat(ref, 2, axis=1), np.repeat(est, 2, axis=1)
    assert bss_eval_v3_images(ref=ref, est=est, taps=4).singular == systems
    assert bss_eval_v4(ref=ref, est=est, rate_hz=100, taps=4).singular == systems  # three windows, one filter
    windowed = bss_eval_v3_images(ref=ref, est=est, rate_hz=100, window_s=1.0, hop_s=1.0, taps=4)
    assert windowed.singular == 3 * systems


def test_512_taps_unless_asked_otherwise() -> None:
    ref, est = drawn(2, 2000)
    usual = bss_eval_v3_sources(ref=ref, est=est).sdr_db
    assert_array_equal(usual, bss_eval_v3_sources(ref=ref, est=est, taps=512).sdr_db)
    for taps in (511, 513):
        assert (usual != bss_eval_v3_sources(ref=ref, est=est, taps=taps).sdr_db).any()


def test_images_find_their_filters_in_every_window() -> None:
    ref, est = drawn(2, 2, 600)
    found = bss_eval_v3_images(ref=ref, est=est, rate_hz=100, window_s=3.0, hop_s=3.0, taps=4, permute=False)
    assert_array_equal(found.permutation, [[0, 0], [1, 1]])
    for place in range(2):
        cut = slice(300 * place, 300 * (place + 1))
        alone = bss_eval_v3_images(ref=ref[..., cut], est=est[..., cut], taps=4, permute=False)
        for name in RATIOS:
            assert_array_equal(getattr(found, name)[:, place], getattr(alone, name))


def test_version_4_has_windows_of_a_second_side_by_side_or_as_asked() -> None:
    ref, est = drawn(2, 1, 450)
    assert bss_eval_v4(ref=ref, est=est, rate_hz=100, taps=4).sdr_db.shape == (2, 4)
    assert bss_eval_v4(ref=ref, est=est, rate_hz=100, hop_s=0.5, taps=4).sdr_db.shape == (2, 8)


@pytest.mark.parametrize(("samples", "windows"), [(4, 1), (5, 1), (6, 1), (7, 2), (9, 2), (10, 3)])
def test_windows_are_whole(samples: int, windows: int) -> None:
    """Of 4 samples, every 3; a signal that is shorter than a window is one."""
    found = bss_eval._windows("op", samples, 10, 0.4, 0.3)
    assert found == [slice(3 * i, 3 * i + 4) for i in range(windows)]
    assert bss_eval._windows("op", 3, 10, 0.4, 0.3) == [slice(0, 3)]


def test_a_window_may_be_a_sample() -> None:
    assert bss_eval._windows("op", 3, 10, 0.1, 0.1) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert bss_eval._windows("op", 5, 10, 0.4, None) == [slice(0, 4)]
    assert bss_eval._windows("op", 6, 10, 0.4, None) == [slice(0, 4), slice(2, 6)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate_hz": 8000.5, "window_s": 1.0}, "rate_hz is 8000.5"),
        ({"rate_hz": 0, "window_s": 1.0}, "rate_hz is 0"),
        ({"rate_hz": 100, "window_s": -1.0, "hop_s": 1.0}, "window and hop are -100 and 100 samples"),
        ({"rate_hz": 100, "window_s": float("nan")}, "window_s is nan"),
        ({"rate_hz": 100, "window_s": "long", "hop_s": 1.0}, "window_s is 'long'"),
        ({"rate_hz": 100, "window_s": 1.0, "hop_s": -1.0}, "window and hop are 100 and -100 samples"),
        ({"rate_hz": 100, "window_s": 1.0, "hop_s": float("inf")}, "hop_s is inf"),
        ({"rate_hz": 100, "window_s": 1.0, "hop_s": 0.001}, "window and hop are 100 and 0 samples"),
        ({"rate_hz": 100, "window_s": 0.001, "hop_s": 1.0}, "window and hop are 0 and 100 samples"),
    ],
)
def test_windows_that_are_none(given: dict[str, Any], message: str) -> None:
    ref, est = drawn(2, 60)
    with pytest.raises(InputError) as error:
        bss_eval_v3_sources(ref=ref, est=est, **given)
    assert message in str(error.value)


def test_a_sample_of_zero_does_not_silence_a_window() -> None:
    ref, est = drawn(2, 200)
    est[:, 50] = ref[:, 60] = 0.0
    assert np.isfinite(bss_eval_v3_sources(ref=ref, est=est, rate_hz=100, window_s=1.0, taps=2).sdr_db).all()


def test_one_permutation_by_the_mean_of_sir_over_windows() -> None:
    """The first window alone would choose otherwise (drawn until it would)."""
    rng = np.random.Generator(np.random.Philox(28))
    ref = rng.standard_normal((3, 1, 900)) * 10 ** rng.uniform(-1, 1, (3, 1, 3)).repeat(300, axis=2)
    est = np.einsum("jk,jcn->kcn", rng.standard_normal((3, 3)), ref) + 0.01 * rng.standard_normal(ref.shape)
    sir_db = {
        order: bss_eval_v4(ref=ref, est=est[list(order)], rate_hz=100, window_s=3.0, taps=2, permute=False).sir_db
        for order in itertools.permutations(range(3))
    }
    best = max(sir_db, key=lambda order: float(sir_db[order].mean()))
    assert best != max(sir_db, key=lambda order: float(sir_db[order][:, 0].mean()))
    found = bss_eval_v4(ref=ref, est=est, rate_hz=100, window_s=3.0, taps=2)
    assert_array_equal(found.permutation, best)
    assert_array_equal(found.sir_db, sir_db[best])


def test_estimates_that_are_turned_over_keep_their_place() -> None:
    """By ISR they would not: a source turned over is further from itself than silence is."""
    ref, noise = drawn(2, 1, 900)
    found = bss_eval_v4(ref=ref, est=0.05 * noise[::-1] - ref, rate_hz=100, window_s=3.0, taps=2)
    assert_array_equal(found.permutation, [0, 1])
    assert (found.isr_db < -5).all()


def test_the_mean_over_windows_leaves_out_what_has_no_value() -> None:
    sir = np.array([[[1.0, np.nan, 5.0], [np.nan] * 3], [[8.0, -2.0, np.nan], [4.0, 4.0, 7.0]]])
    assert_array_equal(bss_eval._mean_over_windows(sir), [[[3.0], [np.nan]], [[3.0], [5.0]]])


def test_medians_of_a_batch_leave_out_what_has_no_value() -> None:
    rng = np.random.default_rng(4)
    tables = rng.standard_normal((4, 3, 2, 5))
    tables[:, 0, 0, 1] = tables[:, 1, 1, :4] = tables[:, 2, 0] = np.nan
    found = BssEval(*tables, permutation=np.zeros((3, 2), np.int64), condition=1.0, singular=0).medians()
    for name, table in zip(RATIOS, tables, strict=True):
        for place in np.ndindex(3, 2):
            known = sorted(table[place][~np.isnan(table[place])])
            half = len(known) // 2
            wanted = np.nan if not known else known[half] if len(known) % 2 else (known[half - 1] + known[half]) / 2
            assert_allclose(getattr(found, name)[place], wanted, rtol=1e-15)


def test_a_batch_reports_its_worst_system() -> None:
    ref, est = drawn(2, 2, 300)
    ref[1, 1] = ref[1, 0] + 1e-3 * ref[1, 1]
    alone = [bss_eval_v3_sources(ref=r, est=e, taps=2).condition for r, e in zip(ref, est, strict=True)]
    assert alone[1] > 100 * alone[0]
    assert bss_eval_v3_sources(ref=ref, est=est, taps=2).condition == alone[1]


def test_nothing_solved_is_no_condition() -> None:
    ref, est = drawn(2, 50)
    ref[0] = 0.0
    found = bss_eval_v3_sources(ref=ref, est=est, taps=2, silent="nan")
    assert found.condition == 0.0 and found.singular == 0 and isinstance(found.singular, int)
