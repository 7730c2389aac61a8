"""Properties of the losses on signals: scale, permutation, silence, constant and swapped assignments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refbss.losses.mixture import mixture_consistency_backward, mixture_consistency_forward
from refbss.losses.si_sdr import si_sdr_backward, si_sdr_forward
from refbss.losses.silent import silent_backward, silent_forward
from refbss.losses.softmax_permutation import (
    similarity,
    softmax_permutation_backward,
    softmax_permutation_forward,
    utterance_similarity_backward,
    utterance_similarity_forward,
)
from refbss.verification.draw import generator, normal
from refbss.verification.specs.softmax_permutation import similarity_of

repeatable = settings(derandomize=True, deadline=None, max_examples=60)
scales = st.tuples(st.floats(1e-3, 1e3), st.sampled_from([-1.0, 1.0])).map(lambda pair: pair[0] * pair[1])
WEIGHTS = (1.0, 1.0, 1.0)


def signals(label: str, *shape: int) -> np.ndarray:
    """Normal numbers, the same for the same label."""
    return normal(generator(11, label), *shape)


@repeatable
@given(scales, scales, st.integers(0, 10_000))
def test_si_sdr_does_not_depend_on_the_scale(gain: float, other: float, seed: int) -> None:
    rng = generator(seed, "scale")
    ref = normal(rng, 1, 2, 16)
    est = ref + normal(rng, 1, 2, 16, scale=0.3)
    loss, _ = si_sdr_forward(est, ref)
    scaled, _ = si_sdr_forward(gain * est, other * ref)
    assert np.allclose(scaled, loss, rtol=1e-10, atol=1e-9)


@repeatable
@given(scales, st.integers(0, 10_000))
def test_similarity_does_not_depend_on_the_scale(gain: float, seed: int) -> None:
    rng = generator(seed, "similarity")
    est, ref = normal(rng, 1, 2, 12), normal(rng, 1, 2, 12)
    for forward in (
        lambda e, s: utterance_similarity_forward(e, s)[0],
        lambda e, s: softmax_permutation_forward(e, s, frame=2, temp=0.1, weights=WEIGHTS)[0],
        lambda e, s: similarity(e, s, 3, 1e-3),
    ):
        assert np.allclose(forward(gain * est, ref), forward(est, ref), rtol=1e-9, atol=1e-12)
        assert np.allclose(forward(est, gain * ref), forward(est, ref), rtol=1e-9, atol=1e-12)


def test_si_sdr_is_bounded_by_eps_and_known_at_simple_pairs() -> None:
    e, s = np.array([[[1.0, 0.0]]]), np.array([[[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]])
    loss, _ = si_sdr_forward(e, s, eps=1e-8)
    assert loss[0, 0] == pytest.approx([-10.0 * np.log10(1e8 + 1.0), 10.0 * np.log10(1e8 + 1.0), 0.0], abs=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("silent", ["estimate", "reference", "both"])
def test_si_sdr_of_silence_is_zero_with_zero_gradient(silent: str, dtype: str) -> None:
    est, ref = signals("est", 1, 2, 8).astype(dtype), signals("ref", 1, 2, 8).astype(dtype)
    if silent in ("estimate", "both"):
        est[0, 0] = 0.0
    if silent in ("reference", "both"):
        ref[0, 0] = 0.0
    loss, cache = si_sdr_forward(est, ref)
    only = np.zeros_like(loss)
    only[0, 0, 0] = 1.0
    dest = si_sdr_backward(only, cache).dest
    assert loss[0, 0, 0] == 0.0 and not dest.any()
    assert np.all(np.isfinite(loss)) and np.all(np.isfinite(si_sdr_backward(np.ones_like(loss), cache).dest))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("est_gain", "other_gain"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1e-12, 1e-12)])
def test_value_and_gradient_are_finite_at_silence(est_gain: float, other_gain: float, dtype: str) -> None:
    est = (est_gain * signals("est", 2, 2, 9)).astype(dtype)
    ref, mix = ((other_gain * signals(name, *shape)).astype(dtype) for name, shape in (("r", (2, 2, 9)), ("x", (2, 9))))
    for outcome, backward in (
        (si_sdr_forward(est, ref), si_sdr_backward),
        (silent_forward(est, mix), silent_backward),
        (utterance_similarity_forward(est, ref), utterance_similarity_backward),
        (softmax_permutation_forward(est, ref, frame=2, temp=0.1, weights=WEIGHTS), softmax_permutation_backward),
        (mixture_consistency_forward(est, mix), mixture_consistency_backward),
    ):
        value, cache = outcome
        dest = backward(np.ones_like(value), cache).dest
        assert np.all(np.isfinite(value)), backward.__name__
        assert np.all(np.isfinite(dest)), backward.__name__


def test_silent_is_at_best_its_floor_and_zero_at_the_mixture() -> None:
    mix = signals("mix", 1, 20)
    est = np.stack([np.zeros_like(mix), mix], axis=1)
    loss, _ = silent_forward(est, mix, floor=1e-3)
    assert loss[0] == pytest.approx([-30.0, 10.0 * np.log10(1.001)], abs=1e-9)


def test_mixture_consistency_is_zero_for_outputs_that_add_up() -> None:
    est = signals("outputs", 2, 3, 10)
    loss, _ = mixture_consistency_forward(est, est.sum(axis=1))
    assert np.all(loss <= 1e-30)
    nothing, _ = mixture_consistency_forward(np.zeros_like(est), est.sum(axis=1))
    assert nothing == pytest.approx([1.0, 1.0], rel=1e-15)


@repeatable
@given(st.integers(1, 6), st.integers(2, 12), st.integers(0, 10_000))
def test_permutation_loss_is_zero_when_the_assignment_is_constant(frame: int, count: int, seed: int) -> None:
    rng = generator(seed, "constant")
    est, ref = (np.tile(normal(rng, 1, 2, frame), count) for _ in range(2))
    loss, cache = softmax_permutation_forward(est, ref, frame=frame, temp=0.1, weights=WEIGHTS)
    assert loss[0] <= 1e-24
    assert np.abs(softmax_permutation_backward(np.ones(1), cache).dest).max() <= 1e-11


@repeatable
@given(st.integers(2, 4), st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_permutation_loss_does_not_depend_on_the_order_of_outputs(sources: int, seed: int, random: object) -> None:
    rng = generator(seed, "order")
    est, ref = normal(rng, 1, sources, 24), normal(rng, 1, sources, 24)
    order = list(range(sources))
    random.shuffle(order)  # type: ignore[attr-defined]
    attributes = {"frame": 3, "temp": 0.2, "weights": WEIGHTS}
    loss, cache = softmax_permutation_forward(est, ref, **attributes)
    moved, moved_cache = softmax_permutation_forward(est[:, order], ref, **attributes)
    dest = softmax_permutation_backward(np.ones(1), cache).dest
    moved_dest = softmax_permutation_backward(np.ones(1), moved_cache).dest
    assert moved == pytest.approx(loss, rel=1e-11)
    assert np.allclose(moved_dest, dest[:, order], rtol=1e-9, atol=1e-12)


def swapped(ref: np.ndarray, at: int) -> np.ndarray:
    """Two outputs that change their speakers at a sample."""
    return np.concatenate([ref[:, :, :at], ref[:, ::-1, at:]], axis=2)


def test_an_output_that_changes_its_speaker_pays_at_every_resolution() -> None:
    ref = signals("speakers", 1, 2, 160)
    for r in range(4):
        weights = (0.0,) * r + (1.0,)
        kept, _ = softmax_permutation_forward(ref, ref, frame=10, temp=0.1, weights=weights)
        changed, _ = softmax_permutation_forward(swapped(ref, 80), ref, frame=10, temp=0.1, weights=weights)
        assert changed[0] > 10.0 * kept[0] and changed[0] > 0.05, f"resolution {r}: {kept} {changed}"


def test_similarity_against_frames_one_by_one() -> None:
    est, ref = signals("a", 2, 3, 17), signals("b", 2, 2, 17)
    c = similarity(est, ref, 4, 0.05)
    assert c.shape == (2, 3, 2, 4)
    for b, p, j in np.ndindex(2, 3, 2):
        wanted, _ = similarity_of(est[b, p, :16].reshape(4, 4), ref[b, j, :16].reshape(4, 4), 0.05)
        assert c[b, p, j] == pytest.approx(wanted, rel=1e-13)
    assert np.all(c >= 0.0) and np.all(c <= 1.0)


def test_samples_of_a_remainder_get_no_gradient() -> None:
    est, ref = signals("a", 1, 2, 17), signals("b", 1, 2, 17)
    loss, cache = softmax_permutation_forward(est, ref, frame=5, temp=0.3, weights=WEIGHTS)
    dest = softmax_permutation_backward(np.ones_like(loss), cache).dest
    assert not dest[:, :, 15:].any() and dest[:, :, :15].all()
