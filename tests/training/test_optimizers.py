"""Adam and clipping, by hand and against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from refbss.models.params import Params
from refbss.training.optimizers import adam_init, adam_step, clip_gradients, gradient_norm

RATES = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-3}


def draw(rng: np.random.Generator) -> Params:
    return {"a": rng.standard_normal((3, 2)), "b": rng.standard_normal(4)}


def test_the_first_step_by_hand() -> None:
    """After bias correction m = g and v = g^2: the step is lr g / (|g| + eps)."""
    new, state = adam_step(
        {"p": np.array([1.0, 2.0])}, {"p": np.array([0.5, -4.0])}, adam_init({"p": np.zeros(2)}), **RATES
    )
    np.testing.assert_allclose(new["p"], [1.0 - 0.01 * 0.5 / 0.501, 2.0 + 0.01 * 4.0 / 4.001], rtol=1e-14)
    np.testing.assert_allclose(state.m["p"], [0.05, -0.4], rtol=1e-14)
    np.testing.assert_allclose(state.v["p"], [0.0025, 0.16], rtol=1e-14)
    assert state.t == 1


def test_nothing_is_changed_in_place() -> None:
    rng = np.random.default_rng(0)
    params, grads = draw(rng), draw(rng)
    state = adam_init(params)
    copies = [{name: value.copy() for name, value in d.items()} for d in (params, grads, state.m, state.v)]
    adam_step(params, grads, state, **RATES)
    clip_gradients(grads, 0.1)
    for before, now in zip(copies, (params, grads, state.m, state.v), strict=True):
        assert all(np.array_equal(before[name], now[name]) for name in before)


def test_float32_stays_float32() -> None:
    rng = np.random.default_rng(0)
    params, grads = ({name: v.astype(np.float32) for name, v in draw(rng).items()} for _ in range(2))
    grads, _ = clip_gradients(grads, 0.1)
    new, state = adam_step(params, grads, adam_init(params), **RATES)
    assert {v.dtype for d in (new, grads, state.m, state.v) for v in d.values()} == {np.dtype(np.float32)}


def test_clipping() -> None:
    grads = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    assert gradient_norm(grads) == 5.0
    clipped, norm = clip_gradients(grads, 2.5)
    assert norm == 5.0
    np.testing.assert_allclose(clipped["a"], [1.5, 0.0])
    np.testing.assert_allclose(clipped["b"], [[2.0]])
    untouched, _ = clip_gradients(grads, 10.0)
    assert np.array_equal(untouched["b"], grads["b"])
    nothing, norm = clip_gradients({"a": np.zeros(2)}, 1.0)
    assert norm == 0.0 and not nothing["a"].any()


def test_clipping_does_not_overflow() -> None:
    """Squares of float32 gradients may pass its range; the norm is summed in float64."""
    clipped, norm = clip_gradients({"a": np.full(4, 1e25, np.float32)}, 1.0)
    assert norm == pytest.approx(2e25)
    np.testing.assert_allclose(clipped["a"], 0.5, rtol=1e-6)


def test_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    params = draw(rng)
    theirs = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in params.items()}
    adam = torch.optim.Adam(theirs.values(), lr=0.01, betas=(0.9, 0.99), eps=1e-3)
    state = adam_init(params)
    for _ in range(20):
        grads = draw(rng)
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(grads[name])
        norm = torch.nn.utils.clip_grad_norm_(theirs.values(), 2.0)
        adam.step()
        clipped, ours = clip_gradients(grads, 2.0)
        params, state = adam_step(params, clipped, state, **RATES)
        assert ours == pytest.approx(norm.item(), rel=1e-12)
    for name, value in params.items():
        # clip_grad_norm_ divides by norm + 1e-6, a relative difference of 5e-7 in the gradient
        np.testing.assert_allclose(value, theirs[name].detach().numpy(), rtol=1e-6, atol=1e-8)
