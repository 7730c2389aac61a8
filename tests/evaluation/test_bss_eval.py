"""BSS Eval: least squares on explicit delays as the oracle, closed forms, mir_eval's fixtures, windows, refusals."""

from __future__ import annotations

import itertools
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from refbss._checks import InputError
from refbss._types import Array
from refbss.data.audio_io import read_audio
from refbss.evaluation import projection
from refbss.evaluation.bss_eval import BssEval, bss_eval_v3_images, bss_eval_v3_sources, bss_eval_v4

CLOSE = 1e-9
"""dB; float64 sums of some hundred terms."""
RATIOS = ("sdr_db", "isr_db", "sir_db", "sar_db")


def delays(rows: Array, taps: int) -> Array:
    """All rows (R, N) at all delays: (R taps, N + taps - 1)."""
    return np.array([np.pad(row, (delay, taps - 1 - delay)) for row in rows for delay in range(taps)])


def projected(rows: Array, e: Array, taps: int, weights: Array | None = None) -> Array:
    """The projection of the channels e (C, N) on the rows' delays; of filters found for other signals where given."""
    basis = delays(rows, taps)
    if weights is None:
        weights = np.linalg.lstsq(basis.T, np.pad(e, ((0, 0), (0, taps - 1))).T, rcond=None)[0]
    return (basis.T @ weights).T


def energy(x: Array) -> float:
    return float(np.sum(x**2))


def oracle(ref: Array, est: Array, taps: int, *, images: bool) -> Array:
    """SDR, ISR, SIR, SAR (4, P, P) of every reference and estimate, both (P, C, N)."""
    found = np.empty((4, len(ref), len(ref)))
    for j, k in itertools.product(range(len(ref)), repeat=2):
        alone, joint = projected(ref[j], est[k], taps), projected(ref.reshape(-1, ref.shape[2]), est[k], taps)
        s, e = (np.pad(x, ((0, 0), (0, taps - 1))) for x in (ref[j], est[k]))
        target, rest = (s, e - s) if images else (alone, e - alone)
        pairs = [(target, rest), (s, alone - s), (alone, joint - alone), (joint, e - joint)]
        with np.errstate(divide="ignore"):  # nothing interferes with a single source
            found[:, j, k] = [10 * np.log10(np.divide(energy(a), energy(b))) for a, b in pairs]
    return found


def drawn(sources: int, channels: int, samples: int, seed: int = 0) -> tuple[Array, Array]:
    """References, and estimates in another order that are filtered, mixed and noisy."""
    rng = np.random.Generator(np.random.Philox(seed))
    ref = rng.standard_normal((sources, channels, samples))
    mixing = np.eye(sources) + 0.2 * rng.standard_normal((sources, sources))
    est = np.einsum("pq,qcn->pcn", mixing, ref)
    est = est + 0.3 * np.roll(est, 3, axis=2) + 0.1 * rng.standard_normal(est.shape)
    return ref, np.roll(est, 1, axis=0)


@pytest.mark.parametrize(("sources", "channels"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)])
@pytest.mark.parametrize("taps", [1, 2, 7])
def test_least_squares_on_explicit_delays(sources: int, channels: int, taps: int) -> None:
    ref, est = drawn(sources, channels, 61)
    for images in (True, False) if channels == 1 else (True,):
        wanted = oracle(ref, est, taps, images=images)
        order = max(itertools.permutations(range(sources)), key=lambda p: sum(wanted[2, range(sources), p]))
        if images:
            found = bss_eval_v3_images(ref=ref, est=est, taps=taps)
        else:
            found = bss_eval_v3_sources(ref=ref[:, 0], est=est[:, 0], taps=taps)
        assert_array_equal(found.permutation, order)
        for name, table in zip(RATIOS, wanted, strict=True):
            values = table[range(sources), order]
            absent = (name == "sir_db" and sources == 1) or (name == "isr_db" and not images)
            assert_allclose(getattr(found, name), np.full(sources, np.nan) if absent else values, rtol=0, atol=CLOSE)
        assert found.singular == 0 and 1 <= found.condition < 1e6


def test_short_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ref, est = drawn(2, 2, 500)
    whole = bss_eval_v3_images(ref=ref, est=est, taps=9)
    for factor in (1, 3):
        monkeypatch.setattr(projection, "BLOCK_TAPS", factor)
        cut = bss_eval_v3_images(ref=ref, est=est, taps=9)
        for name in RATIOS:
            assert_allclose(getattr(cut, name), getattr(whole, name), rtol=0, atol=CLOSE)


@given(
    interference_db=st.floats(-40, 60),
    artifacts_db=st.floats(-40, 60),
    level=st.floats(-6, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_orthogonal_signals_have_closed_forms(
    interference_db: float, artifacts_db: float, level: float, seed: int
) -> None:
    """With one tap and orthonormal signals every ratio follows from the weights of the sum."""
    rng = np.random.Generator(np.random.Philox(seed))
    first, second, third = np.linalg.qr(rng.standard_normal((64, 3)))[0].T
    i, a = 10 ** (-interference_db / 20), 10 ** (-artifacts_db / 20)
    est = 10**level * np.stack([first + i * second + a * third, second])
    found = bss_eval_v3_sources(ref=np.stack([first, second]), est=est, taps=1, permute=False)
    assert_allclose(found.sir_db[0], interference_db, rtol=0, atol=1e-7)
    assert_allclose(found.sdr_db[0], -10 * np.log10(i * i + a * a), rtol=0, atol=1e-7)
    assert_allclose(found.sar_db[0], 10 * np.log10((1 + i * i) / (a * a)), rtol=0, atol=1e-7)


def test_a_filtered_source_is_forgiven_by_sources_and_not_by_images() -> None:
    ref, _ = drawn(2, 1, 400)
    est = np.apply_along_axis(lambda s: np.convolve(s, [1.0, -0.5, 0.25])[:400], 2, ref)
    forgiven = bss_eval_v3_sources(ref=ref[:, 0], est=est[:, 0], taps=3)
    assert (forgiven.sdr_db > 20).all()
    assert (bss_eval_v3_images(ref=ref, est=est, taps=3).sdr_db < 6).all()


def test_windows_are_signals_of_their_own() -> None:
    ref, est = drawn(2, 1, 1000)
    found = bss_eval_v3_sources(ref=ref[:, 0], est=est[:, 0], rate_hz=1000, window_s=0.4, hop_s=0.25, taps=5)
    assert found.sdr_db.shape == (2, 3) and found.permutation.shape == (2, 3)
    for place, start in enumerate((0, 250, 500)):
        cut = slice(start, start + 400)
        alone = bss_eval_v3_sources(ref=ref[:, 0, cut], est=est[:, 0, cut], taps=5)
        for name in ("sdr_db", "sir_db", "sar_db", "permutation"):
            assert_array_equal(getattr(found, name)[:, place], getattr(alone, name))
    half = bss_eval_v3_sources(ref=ref[:, 0], est=est[:, 0], rate_hz=1000, window_s=0.4, taps=5)
    assert half.sdr_db.shape == (2, 4)
    long = bss_eval_v3_sources(ref=ref[:, 0], est=est[:, 0], rate_hz=1000, window_s=9.0, taps=5)
    assert_array_equal(long.sdr_db[:, 0], bss_eval_v3_sources(ref=ref[:, 0], est=est[:, 0], taps=5).sdr_db)


def test_version_4_has_one_filter_for_all_windows() -> None:
    ref, est = drawn(2, 2, 900)
    found = bss_eval_v4(ref=ref, est=est, rate_hz=1000, window_s=0.3, taps=4, permute=False)
    assert found.sdr_db.shape == (2, 3) and found.permutation.shape == (2,)
    taps, lines = 4, ref.reshape(4, -1)
    padded = np.pad(est, ((0, 0), (0, 0), (0, taps - 1)))
    for j in range(2):
        own, every = (np.linalg.lstsq(delays(rows, taps).T, padded[j].T, rcond=None)[0] for rows in (ref[j], lines))
        for place in range(3):
            cut = slice(300 * place, 300 * (place + 1))
            s, e = (np.pad(x[..., cut], ((0, 0), (0, taps - 1))) for x in (ref[j], est[j]))
            alone = projected(ref[j, :, cut], est[j], taps, own)
            joint = projected(lines[:, cut], est[j], taps, every)
            pairs = [(s, e - s), (s, alone - s), (alone, joint - alone), (joint, e - joint)]
            wanted = [10 * np.log10(energy(a) / energy(b)) for a, b in pairs]
            assert_allclose([getattr(found, name)[j, place] for name in RATIOS], wanted, rtol=0, atol=CLOSE)
    middle = found.medians()
    assert_array_equal(middle.sdr_db, np.median(found.sdr_db, axis=1))
    assert middle.condition == found.condition


def test_version_4_chooses_one_permutation_for_all_windows() -> None:
    ref, est = drawn(3, 1, 900)
    found = bss_eval_v4(ref=ref, est=est, rate_hz=1000, window_s=0.3, taps=4)
    assert_array_equal(found.permutation, [1, 2, 0])
    straight = bss_eval_v4(ref=ref, est=est[[1, 2, 0]], rate_hz=1000, window_s=0.3, taps=4, permute=False)
    assert_array_equal(found.sdr_db, straight.sdr_db)


def test_silent_windows_have_no_value_and_medians_leave_them_out() -> None:
    ref, est = drawn(2, 1, 1000)
    ref[1, :, 250:500] = 0.0
    est[0, :, 750:] = 0.0
    for call in (bss_eval_v3_images, bss_eval_v4):
        found = call(ref=ref, est=est, rate_hz=1000, window_s=0.25, hop_s=0.25, taps=4)
        for name in RATIOS:
            values = getattr(found, name)
            assert_array_equal(np.isnan(values), [[False, True, False, True]] * 2)
            assert_array_equal(getattr(found.medians(), name), 0.5 * (values[:, 0] + values[:, 2]))


def test_silence_throughout() -> None:
    ref, est = drawn(2, 1, 200)
    ref, est = np.stack([ref[:, 0], ref[:, 0]]), np.stack([est[:, 0], est[:, 0]])
    est[1, 0] = 0.0
    with pytest.raises(InputError, match=r"bss_eval_v3_sources: est is silent at index \(1, 0\), wanted sound"):
        bss_eval_v3_sources(ref=ref, est=est, taps=3)
    for silent in ("nan", "skip"):
        found = bss_eval_v3_sources(ref=ref, est=est, taps=3, silent=silent)
        assert np.isfinite(found.sdr_db[0]).all() and np.isnan(found.sdr_db[1]).all()
        assert_array_equal(found.permutation, [[1, 0], [0, 1]])
        later = bss_eval_v4(ref=ref[:, :, None], est=est[:, :, None], rate_hz=100, taps=3, silent=silent)
        assert np.isnan(later.medians().sir_db[1]).all()


@pytest.mark.parametrize("pair", ["equal", "shifted", "silent channel"])
def test_references_that_do_not_tell_apart(pair: str) -> None:
    """The projection is the same whichever of several equal delays carries it; the system is reported."""
    ref, est = drawn(2, 1, 300)
    ref, est = np.repeat(ref, 2, axis=1), np.repeat(est, 2, axis=1)
    one = bss_eval_v3_sources(ref=ref[:, 0], est=est[:, 0], taps=6)
    if pair == "shifted":
        ref[:, 1, 1:], ref[:, 1, 0] = ref[:, 0, :-1], 0.0
    elif pair == "silent channel":
        ref[:, 1] = 0.0
    found = bss_eval_v3_images(ref=ref, est=est, taps=6)
    assert found.singular > 0 and found.condition == np.inf
    if pair != "shifted":
        assert_allclose(found.sir_db, one.sir_db, rtol=0, atol=1e-8)
        assert_allclose(found.sar_db, one.sar_db, rtol=0, atol=1e-8)
    wanted = oracle(ref, est, 6, images=True)[:, range(2), found.permutation]
    assert_allclose([getattr(found, name) for name in RATIOS], wanted, rtol=0, atol=1e-7)


def test_a_perfect_estimate_is_limited_by_rounding_alone() -> None:
    ref, _ = drawn(2, 1, 300)
    found = bss_eval_v3_sources(ref=ref[:, 0], est=ref[::-1, 0], taps=4)
    assert (found.sdr_db > 250).all() and (found.sir_db > 250).all()
    assert_array_equal(found.permutation, [1, 0])
    assert np.isposinf(bss_eval_v3_images(ref=ref, est=ref, taps=4).sdr_db).all()


@pytest.mark.parametrize("exponent", [-500, 400])
def test_the_level_of_a_pair_does_not_matter(exponent: int) -> None:
    ref, est = drawn(2, 2, 100)
    loud = bss_eval_v3_images(ref=np.ldexp(ref, exponent), est=np.ldexp(est, exponent), taps=3)
    for name in RATIOS:
        assert_array_equal(getattr(loud, name), getattr(bss_eval_v3_images(ref=ref, est=est, taps=3), name))


def test_the_level_of_one_source_beside_the_other_does_matter() -> None:
    ref, est = drawn(2, 1, 100)
    ref[0] = np.ldexp(ref[0], 60)
    far, near = (bss_eval_v3_images(ref=np.ldexp(ref, up), est=np.ldexp(est, up), taps=3) for up in (50, 0))
    assert_array_equal(near.permutation, [1, 0])
    for name in RATIOS:
        assert_array_equal(getattr(far, name), getattr(near, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taps": 0}, "taps is 0, wanted an integer of at least 1"),
        ({"taps": 2.5}, "taps is 2.5"),
        ({"hop_s": 1.0}, "hop_s is 1 and window_s None, wanted a window too"),
        ({"window_s": 1.0}, "rate_hz is None, wanted the sample rate"),
        ({"window_s": 1e-5, "rate_hz": 1000}, "window and hop are 0 and 0 samples at 1000 Hz, wanted at least 1"),
        ({"silent": "maybe"}, "silent is 'maybe', wanted one of raise, nan, skip"),
        ({"est": np.ones((2, 50))}, r"est has shape (2, 50), wanted (2, 60) as ref has"),
        ({"ref": np.ones((60, 2)), "est": np.ones((60, 2))}, "60 sources of 2 samples"),
        ({"ref": np.ones((21, 60)), "est": np.ones((21, 60))}, "21 sources of 60 samples"),
        ({"ref": np.ones(60), "est": np.ones(60)}, "ref has shape (60,), wanted (..., P, N)"),
        ({"est": np.full((2, 60), np.nan)}, "est is nan at index (0, 0), wanted finite samples"),
    ],
)
def test_refusals(change: dict[str, Any], message: str) -> None:
    ref, est = drawn(2, 1, 60)
    with pytest.raises(InputError) as error:
        bss_eval_v3_sources(**({"ref": ref[:, 0], "est": est[:, 0]} | change))
    assert str(error.value).startswith("bss_eval_v3_sources: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 60), "ref has shape (2, 60), wanted (..., P, C, N)"),
        ((2, 60, 2), "60 channels of 2 samples: wanted (..., P, C, N)"),
        ((2, 0, 60), "at least one channel C"),
        ((0, 2, 60), "at least one source P"),
    ],
)
def test_images_need_channels(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError) as error:
        bss_eval_v3_images(ref=np.ones(shape), est=np.ones(shape))
    assert message in str(error.value)


FIXTURES = Path(os.environ.get("REFBSS_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
FIXTURES = FIXTURES / "mir_eval_separation"
KEYS = {
    "Source to Distortion": "sdr_db",
    "Image to Spatial": "isr_db",
    "Source to Interference": "sir_db",
    "Source to Artifact": "sar_db",
}


def fixture_signals(folder: str) -> tuple[Array, int]:
    """The sources of a folder, their channels averaged: (P, N), and the sample rate."""
    read = [read_audio(path) for path in sorted((FIXTURES / folder).glob("*.wav"))]
    return np.stack([x.mean(axis=0, dtype=np.float64) for x, _ in read]), read[0][1]


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="no mir_eval_separation in $REFBSS_DATA or beside the checkout")
@pytest.mark.parametrize("key", ["Sources", "Framewise", "Images", "Images Framewise"])
@pytest.mark.parametrize("number", ["01", "02", "03", "05", "06", "09"])
def test_the_fixtures_of_mir_eval(number: str, key: str, figures: dict[str, str]) -> None:
    """To 1e-6 dB. Its images are copies of a source in every channel, which leaves filters open: there the ratios that
    copies do not change are compared with those of the sources, since upstream's own solution is up to 1.4e-4 dB off.
    """
    golden = json.loads((FIXTURES / f"output{number}.json").read_text(encoding="utf-8"))
    wanted = golden[key]
    (ref, rate_hz), (est, _) = fixture_signals(f"ref{number}"), fixture_signals(f"est{number}")
    windows: dict[str, Any] = {}
    if "win" in wanted:
        windows = {"rate_hz": rate_hz, "window_s": wanted["win"] / rate_hz, "hop_s": wanted["hop"] / rate_hz}
    found: BssEval
    if key.startswith("Images"):
        gains = np.array([1.0] + [wanted["gain"]] * (wanted["nchan"] - 1))[:: -1 if wanted["reverse"] else 1]
        ref, est = np.repeat(ref[:, None], len(gains), axis=1), est[:, None] * gains[:, None]
        found = bss_eval_v3_images(ref=ref, est=est, permute=not windows, **windows)
    else:
        found = bss_eval_v3_sources(ref=ref, est=est, permute=not windows, **windows)
    assert_array_equal(found.permutation.reshape(-1), np.reshape(wanted["Source permutation"], -1))
    largest = 0.0
    for name, field in KEYS.items():
        if name in wanted and not (field == "sir_db" and len(ref) == 1):
            difference = np.abs(getattr(found, field).reshape(-1) - np.reshape(wanted[name], -1)).max()
            if found.singular and field in ("sir_db", "sar_db"):
                assert difference < 1e-3
                continue
            largest = max(largest, float(difference))
    assert largest < 1e-6
    if found.singular and not windows and len(ref) > 1:
        same = np.array([golden["Sources"][name] for name in ("Source to Interference", "Source to Artifact")])
        assert_allclose([found.sir_db, found.sar_db], same, rtol=0, atol=1e-6)
    figures[f"mir_eval {number}, {key}"] = f"largest difference {largest:.1e} dB, {found.singular} singular systems"


@pytest.mark.parametrize("images", [False, True])
def test_memory_does_not_grow_with_the_length(images: bool, figures: dict[str, str]) -> None:
    def peak(samples: int) -> int:
        ref, est = np.random.default_rng(3).standard_normal((2, 2, samples))
        tracemalloc.start()
        if images:
            bss_eval_v4(ref=ref[:, np.newaxis], est=est[:, np.newaxis], rate_hz=samples, taps=64)
        else:
            bss_eval_v3_sources(ref=ref, est=est, taps=64)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    short, long = peak(40_000), peak(400_000)
    figures[f"BSS Eval of 2 x 400000 samples, {'images' if images else 'sources'}"] = (
        f"{long / 1e6:.1f} MB beyond the signals, of ten times fewer samples {short / 1e6:.1f} MB"
    )
    assert long < 1.05 * short + 0.8e6  # finite or not is asked with a byte a sample
