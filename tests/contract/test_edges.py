"""Where an operator bends, saturates or takes a default: single points that random numbers never meet."""

from __future__ import annotations

import numpy as np
import pytest

from refbss._checks import InputError
from refbss.losses.assignment import sinkhorn_assignment_forward, softmax_assignment_forward
from refbss.losses.fisher import fisher_backward, fisher_forward
from refbss.losses.mixture import mixture_consistency_forward
from refbss.losses.softmax_permutation import similarity, softmax_permutation_forward, utterance_similarity_forward
from refbss.ops.activations import softplus_backward, softplus_forward
from refbss.ops.lstm import lstm_backward, lstm_forward
from refbss.ops.prelu import prelu_backward, prelu_forward
from refbss.verification.draw import generator, normal
from refbss.verification.specs.softmax_permutation import similarity_of


def test_prelu_has_the_slope_a_at_zero() -> None:
    x = np.array([[[0.0, -0.0, 1.0, -1.0]]])
    y, cache = prelu_forward(x, np.array([0.25]))
    grads = prelu_backward(np.ones_like(x), cache)
    assert np.array_equal(y, [[[0.0, 0.0, 1.0, -0.25]]])
    assert np.array_equal(grads.dx, [[[0.25, 0.25, 1.0, 0.25]]])
    assert np.array_equal(grads.da, [-1.0])


def test_softplus_keeps_its_digits_far_out() -> None:
    x = np.array([-700.0, -40.0, 40.0, 1e300])
    y, cache = softplus_forward(x)
    assert y == pytest.approx([np.exp(-700.0), np.exp(-40.0), 40.0, 1e300], rel=1e-15, abs=0.0)
    dx = softplus_backward(np.ones(4), cache).dx
    assert dx == pytest.approx([np.exp(-700.0), np.exp(-40.0), 1.0, 1.0], rel=1e-15, abs=0.0)


def test_the_last_cell_of_an_lstm_may_be_changed() -> None:
    rng = generator(0, "last cell")
    shapes = {"x": (1, 2, 1), "w_ih": (4, 1), "w_hh": (4, 1), "b_ih": (4,), "b_hh": (4,), "h0": (1, 1), "c0": (1, 1)}
    y, h_n, c_n, cache = lstm_forward(**{name: normal(rng, *shape) for name, shape in shapes.items()})
    cotangents = [np.ones_like(output) for output in (y, h_n, c_n)]
    before = lstm_backward(*cotangents, cache)
    c_n += 1.0
    for first, second in zip(before, lstm_backward(*cotangents, cache), strict=True):
        assert np.array_equal(first, second) and np.any(first)


def test_a_cold_softmax_takes_the_best_and_does_not_overflow() -> None:
    cost = np.array([[[3.0, 2.0], [1.0, 4.0]]])
    loss, assignment, _ = softmax_assignment_forward(cost, 1e5 * cost, temp=1.0)
    assert np.array_equal(assignment, [[[1.0, 0.0], [0.0, 1.0]]]) and loss[0] == 3.5
    loss, assignment, _ = sinkhorn_assignment_forward(1e5 * cost, temp=1.0, steps=2)
    assert np.array_equal(assignment, [[[0.0, 1.0], [1.0, 0.0]]]) and loss[0] == 1.5e5


def test_a_cold_permutation_loss_does_not_overflow() -> None:
    ref = normal(generator(0, "cold"), 1, 2, 8)
    est = np.concatenate([ref[:, :, :4], ref[:, ::-1, 4:]], axis=2)
    losses = [
        softmax_permutation_forward(est, ref, frame=4, temp=temp, weights=(1.0,), floor=1e-6)[0]
        for temp in (1e-4, 1e-3)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9) and 1.9 < losses[0][0] < 2.0  # both outputs change places


@pytest.mark.parametrize(("est_gain", "ref_gain"), [(1e-15, 1.0), (1.0, 1e-15), (1e-15, 1e-15)])
def test_similarity_of_faint_signals(est_gain: float, ref_gain: float) -> None:
    """Energies near tiny: it is added, once to each energy."""
    est, ref = (gain * normal(generator(0, name), 1, 2, 6) for gain, name in ((est_gain, "est"), (ref_gain, "ref")))
    c, whole = similarity(est, ref, 3, 0.01), utterance_similarity_forward(est, ref, floor=0.01)[0]
    for p, j in np.ndindex(2, 2):
        wanted, _ = similarity_of(est[0, p].reshape(2, 3), ref[0, j].reshape(2, 3), 0.01)
        assert c[0, p, j] == pytest.approx(wanted, rel=1e-12)
        assert whole[0, p, j] == pytest.approx(
            similarity_of(est[0, p : p + 1], ref[0, j : j + 1], 0.01)[0][0], rel=1e-12
        )


def test_similarity_keeps_the_dtype() -> None:
    est = normal(generator(0, "dtype"), 1, 2, 6).astype(np.float32)
    assert similarity(est, est, 3, 0.01).dtype == np.float32


def test_mixture_consistency_of_a_silent_mixture() -> None:
    est = np.full((1, 2, 3), 0.5)
    loss, _ = mixture_consistency_forward(est, np.zeros((1, 3)))
    assert loss == pytest.approx([3.0 / 1e-30], rel=1e-15)


def posterior(mean: float) -> dict[str, np.ndarray]:
    """Arguments of fisher: two vectors of one mean, no noise."""
    ones = np.ones((2, 3))
    return {"mu": mean * ones, "log_var": 0.0 * ones, "eps": 0.0 * ones, "log_r": np.zeros(3), "shape": np.array([2.0])}


@pytest.mark.parametrize("family", ["power", "laplace"])
def test_fisher_adds_no_offset_unless_told(family: str) -> None:
    given = posterior(0.7)
    none, _ = fisher_forward(**given, family=family)
    zero, _ = fisher_forward(**given, family=family, offset=0.0)
    moved, _ = fisher_forward(**given, family=family, offset=0.5)
    assert np.array_equal(none, zero) and not np.allclose(none, moved, rtol=1e-3)


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_families_without_a_parameter_do_not_look_at_it(family: str) -> None:
    given = posterior(0.7)
    values = [fisher_forward(**given | {"shape": np.array([shape])}, family=family) for shape in (2.0, -1.0)]
    assert np.array_equal(values[0][0], values[1][0])
    assert fisher_backward(np.ones(2), values[1][1]).dshape == [0.0]


@pytest.mark.parametrize("family", ["student", "power"])
def test_families_with_a_parameter_refuse_one_that_is_not_above_zero(family: str) -> None:
    with pytest.raises(InputError, match=r"fisher: shape\[0\] is -1\.0, wanted a finite number above 0"):
        fisher_forward(**posterior(0.7) | {"shape": np.array([-1.0])}, family=family)


@pytest.mark.parametrize("family", ["gaussian", "student"])
def test_families_that_are_smooth_take_a_zero_sample(family: str) -> None:
    """phi is 1 and (nu + D) / nu there, so psi = 0 and nothing but the noise is left, which is zero."""
    value, cache = fisher_forward(**posterior(0.0), family=family)
    assert np.array_equal(value, [0.0, 0.0])
    assert not fisher_backward(np.ones(2), cache).dmu.any()
