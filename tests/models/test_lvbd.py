"""The model: gradient of every parameter, chunks, engines, sizes, and what its configuration refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refbss._checks import InputError
from refbss.engine import engine
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
from refbss.models.lvbd_loss import LossResult, loss_and_grads
from refbss.models.lvbd_params import init_params
from refbss.models.params import Params, check_params, count
from refbss.training.config import PRESETS
from refbss.verification.compare import worst
from refbss.verification.draw import generator
from refbss.verification.gradcheck import derivative

TINY = LvbdConfig(
    conv_channels=(3, 4, 4), gru_hidden=4, latent=3, block=2, time_constants=2, theta_init=(1.0, -1.0), e0=0.3
)
LOSS = LvbdLossConfig(
    fisher_weight=0.1, permutation_weight=2.0, mixture_weight=0.5, permutation_frame=10, permutation_weights=(1.0, 0.5)
)
REFERENCE, FAST = engine("reference"), engine("fast")


def case(config: LvbdConfig, loss: LvbdLossConfig, samples: int, dtype: str = "float64") -> tuple[Any, ...]:
    rng = generator(3, "tiny model")
    params = init_params(config, 0, dtype=np.float64, loss_config=loss)
    params = {name: value + 0.2 * rng.standard_normal(value.shape) for name, value in params.items()}
    refs = 0.3 * rng.standard_normal((2, config.sources, samples))
    mix = refs.sum(axis=1) + 0.05 * rng.standard_normal((2, samples))
    eps = rng.standard_normal((2, config.sources, -(-samples // config.hop), config.latent))
    params = {name: value.astype(dtype) for name, value in params.items()}
    return params, mix.astype(dtype), refs.astype(dtype), eps.astype(dtype), np.array([True, False])


CONFIGS: dict[str, tuple[LvbdConfig, LvbdLossConfig]] = {
    "default": (TINY, LOSS),
    "learned prior": (
        TINY,
        LvbdLossConfig(**{**vars(LOSS), "prior_r": "learned", "learn_prior_shape": True, "fisher_form": "implicit"}),
    ),
    "sinkhorn, laplace": (
        TINY,
        LvbdLossConfig(**{**vars(LOSS), "assignment": "sinkhorn", "sinkhorn_temp_db": 3.0, "prior": "laplace"}),
    ),
    "softmax, kl": (
        TINY,
        LvbdLossConfig(**{**vars(LOSS), "assignment": "softmax", "prior": "gaussian", "divergence": "kl"}),
    ),
    "no memory": (LvbdConfig(**{**vars(TINY), "memory": False}), LOSS),
}


def directions(shape: tuple[int, ...], rng: np.random.Generator, *, every: bool) -> list[np.ndarray]:
    """Every unit vector, or two random directions."""
    if not every:
        return [rng.standard_normal(shape) / np.sqrt(np.prod(shape)) for _ in range(2)]
    return list(np.eye(int(np.prod(shape))).reshape(-1, *shape))


@pytest.mark.parametrize("name", CONFIGS)
def test_gradient_of_every_parameter(name: str, figures: dict[str, str]) -> None:
    """Every parameter against extrapolated differences, float64, at most 1e-7: all elements of the default
    configuration, two random directions in each tensor of the others.

    PReLU has a kink that differences of a whole network step over sooner or later. With slopes of one there is none,
    and everything else is as it was; the slopes that are not one are judged by PyTorch's autograd next door.
    """
    config, loss = CONFIGS[name]
    params, mix, refs, eps, clean = case(config, loss, samples=41)
    params = {key: np.ones_like(p) if ".act." in key else p for key, p in params.items()}

    def run(moved: Params) -> LossResult:
        return loss_and_grads(moved, mix, refs, eps, clean, config=config, loss_config=loss, ops=REFERENCE)

    grads = run(params).grads
    assert list(grads) == list(params)
    largest = 0.0
    for key, value in params.items():
        tried = directions(value.shape, generator(0, "directions", key), every=name == "default")

        def change(step: float, key: str, direction: np.ndarray) -> float:
            ahead, behind = ({**params, key: params[key] + sign * step * direction} for sign in (1.0, -1.0))
            return run(ahead).loss - run(behind).loss

        numeric = np.array([derivative(lambda h, k=key, d=d: change(h, k, d), 1e-3) for d in tried])
        found = worst(np.array([np.sum(grads[key] * d) for d in tried]), numeric, least=1e-3)
        largest = max(largest, found.error)
        assert found.error <= 1e-7, f"{name} {key}: {found}"
    figures[f"whole model against differences, {name}"] = f"{largest:.1e}, {count(params)} parameters"


def test_a_fault_in_the_model_is_seen() -> None:
    """The check above bites: the memory's gradient left out, as a truncation at every block does, shows up."""
    params, mix, refs, eps, clean = case(TINY, LOSS, samples=150)
    cut = LvbdConfig(**{**vars(TINY), "truncate": 1})
    whole, partial = (
        loss_and_grads(params, mix, refs, eps, clean, config=config, loss_config=LOSS, ops=REFERENCE)
        for config in (TINY, cut)
    )
    assert whole.loss == partial.loss
    assert worst(partial.grads["memory.theta"], whole.grads["memory.theta"]).error > 1e-3


@pytest.mark.parametrize("ops", [REFERENCE, FAST], ids=["reference", "fast"])
@pytest.mark.parametrize("samples", [1, 15, 16, 17, 500])
def test_chunks_of_whole_blocks_continue_exactly(ops: Any, samples: int) -> None:
    params, *_ = case(TINY, LOSS, samples=41)
    mix = generator(0, "chunks").standard_normal((2, samples))
    whole, _ = lvbd.forward(params, mix, None, config=TINY, ops=ops)
    state, parts = None, []
    chunk = 3 * TINY.block * TINY.hop
    for start in range(0, samples, chunk):
        out, _ = lvbd.forward(params, mix[:, start : start + chunk], None, config=TINY, ops=ops, state=state)
        state = out.state
        parts.append(out.est)
    joined = np.concatenate(parts, axis=2)
    assert joined.shape == (2, TINY.sources, samples)
    assert worst(joined, whole.est).error <= 1e-12


def test_output_is_causal_with_a_latency_of_one_hop() -> None:
    params, *_ = case(TINY, LOSS, samples=41)
    mix = generator(0, "causal").standard_normal((1, 320))
    before, _ = lvbd.forward(params, mix, None, config=TINY, ops=REFERENCE)
    for place in (160, 167, 175):
        moved = mix.copy()
        moved[0, place] += 1.0
        after, _ = lvbd.forward(params, moved, None, config=TINY, ops=REFERENCE)
        changed = np.flatnonzero(np.any(after.est != before.est, axis=(0, 1)))
        assert changed[0] == 160, f"sample {place} first changes output {changed[0]}"


def test_items_do_not_depend_on_batch_mates() -> None:
    params, mix, refs, eps, clean = case(TINY, LOSS, samples=150)
    both = loss_and_grads(params, mix, refs, eps, clean, config=TINY, loss_config=LOSS, ops=REFERENCE)
    for i in range(2):
        one = slice(i, i + 1)
        alone = loss_and_grads(
            params, mix[one], refs[one], eps[one], clean[one], config=TINY, loss_config=LOSS, ops=REFERENCE
        )
        assert alone.terms["loss"][0] == pytest.approx(both.terms["loss"][i], rel=1e-13)


def test_shards_add_up_to_the_batch() -> None:
    params, mix, refs, eps, clean = case(TINY, LOSS, samples=150)
    whole = loss_and_grads(params, mix, refs, eps, clean, config=TINY, loss_config=LOSS, ops=REFERENCE)
    parts = [
        loss_and_grads(
            params,
            mix[i : i + 1],
            refs[i : i + 1],
            eps[i : i + 1],
            clean[i : i + 1],
            config=TINY,
            loss_config=LOSS,
            ops=REFERENCE,
            items=2,
        )
        for i in range(2)
    ]
    assert parts[0].loss + parts[1].loss == pytest.approx(whole.loss, rel=1e-13)
    for name, grad in whole.grads.items():
        assert worst(parts[0].grads[name] + parts[1].grads[name], grad, least=1e-6).error <= 1e-11, name


def test_engines_agree_in_float32(figures: dict[str, str]) -> None:
    config = LvbdConfig(**PRESETS["lvbd-tiny"]["model"])
    params, mix, refs, eps, clean = case(config, LOSS, samples=1600, dtype="float32")
    law, fast = (
        loss_and_grads(params, mix, refs, eps, clean, config=config, loss_config=LOSS, ops=ops)
        for ops in (REFERENCE, FAST)
    )
    assert fast.loss == pytest.approx(law.loss, rel=1e-6)
    errors = {name: worst(fast.grads[name], grad).error for name, grad in law.grads.items()}
    name = max(errors, key=errors.__getitem__)
    figures["engines, float32 gradients of lvbd-tiny"] = f"{errors[name]:.1e} in {name}"
    assert errors[name] <= 6e-6, name  # four times what was measured


def test_sampling_is_off_without_noise_or_by_configuration() -> None:
    params, mix, _, eps, _ = case(TINY, LOSS, samples=41)
    drawn, _ = lvbd.forward(params, mix, eps, config=TINY, ops=REFERENCE)
    mean, _ = lvbd.forward(params, mix, None, config=TINY, ops=REFERENCE)
    off, _ = lvbd.forward(params, mix, eps, config=LvbdConfig(**{**vars(TINY), "sample": False}), ops=REFERENCE)
    assert not np.array_equal(drawn.z, drawn.mu)
    assert np.array_equal(mean.z, mean.mu)
    assert np.array_equal(off.est, mean.est)


def test_silence_has_a_finite_loss_and_gradient() -> None:
    params = init_params(TINY, 0)
    silence = np.zeros((1, 160), np.float32)
    result = loss_and_grads(
        params,
        silence,
        np.zeros((1, 2, 160), np.float32),
        None,
        np.array([True]),
        config=TINY,
        loss_config=LOSS,
        ops=REFERENCE,
    )
    assert np.isfinite(result.loss)
    assert all(np.isfinite(grad).all() for grad in result.grads.values())


def test_a_silent_reference_wants_a_silent_output() -> None:
    params, mix, refs, eps, clean = case(TINY, LOSS, samples=160)
    refs[:, 1] = 0.0
    result = loss_and_grads(params, mix, refs, eps, clean, config=TINY, loss_config=LOSS, ops=REFERENCE)
    outputs, _ = lvbd.forward(params, mix, eps, config=TINY, ops=REFERENCE)
    energy = np.square(outputs.est).sum(axis=2)
    floor = 1e-3 * np.square(mix).sum(axis=1)
    costs = REFERENCE.si_sdr_forward(outputs.est, refs)[0][:, :, 0]
    quiet = 10 * np.log10((energy + floor[:, None]) / np.square(mix).sum(axis=1)[:, None])
    wanted = np.minimum(costs[:, 0] + quiet[:, 1], costs[:, 1] + quiet[:, 0]) / 2
    assert result.terms["reconstruction"] == pytest.approx(wanted, rel=1e-12)


def test_sizes_of_the_presets() -> None:
    tiny = LvbdConfig(**PRESETS["lvbd-tiny"]["model"])
    small = LvbdConfig(**PRESETS["lvbd-small"].get("model", {}))
    assert count(init_params(tiny, 0)) < 30_000
    assert 600_000 < count(init_params(small, 0)) < 800_000
    assert (small.hop, small.sample_rate_hz, small.channels) == (16, 8000, 384)


def test_parameters_are_a_function_of_the_seed() -> None:
    first, again, other = init_params(TINY, 5), init_params(TINY, 5), init_params(TINY, 6)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["separator.fc.weight"], other["separator.fc.weight"])
    for name in ("encoder.conv.0.bias", "decoder.conv.2.bias", "separator.fc.bias", "separator.adapt.bias"):
        assert not first[name].any(), name
    assert not np.array_equal(first["memory.m0"][0], first["memory.m0"][1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gru_hidden": 5}, "gru_hidden is 5, wanted 4 for residual"),
        ({"conv_kernels": (8, 4)}, "conv_kernels has 2 values"),
        ({"conv_kernels": (8, 4, 1)}, "conv_kernels has 1 below its stride 2"),
        ({"theta_init": (1.0,)}, "theta_init has 1 values, wanted time_constants = 2"),
        ({"log_var_max": -9.0}, "log_var_max is -9.0, wanted a finite number above -8.0"),
        ({"sources": 0}, "sources is 0, wanted an integer of at least 1"),
        ({"e0": 0.0}, "e0 is 0.0"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LvbdConfig(**{**vars(TINY), **change})


def test_bad_arrays_are_named() -> None:
    params, mix, refs, eps, clean = case(TINY, LOSS, samples=41)
    kwargs: dict[str, Any] = {"config": TINY, "loss_config": LOSS, "ops": REFERENCE}
    with pytest.raises(InputError, match=r"refs has shape \(2, 3, 41\).*wanted 2"):
        loss_and_grads(params, mix, np.zeros((2, 3, 41)), eps, clean, **kwargs)
    with pytest.raises(InputError, match=r"eps has shape \(2, 2, 2, 3\)"):
        loss_and_grads(params, mix, refs, eps[:, :, :2], clean, **kwargs)
    with pytest.raises(InputError, match="mix has dtype int64"):
        loss_and_grads(params, np.zeros((2, 41), np.int64), refs, eps, clean, **kwargs)
    with pytest.raises(InputError, match=r"clean has shape \(1,\), wanted \(2,\)"):
        loss_and_grads(params, mix, refs, eps, np.array([True]), **kwargs)
    with pytest.raises(InputError, match="state is of a batch of 1, wanted 2"):
        state = lvbd.forward(params, mix[:1], None, config=TINY, ops=REFERENCE)[0].state
        lvbd.forward(params, mix, None, config=TINY, ops=REFERENCE, state=state)


def test_damaged_parameters_are_named() -> None:
    wanted = init_params(TINY, 0)
    name = "separator.fc.weight"
    for change, message in [
        ({name: wanted[name][:1]}, f"tensor {name} has shape"),
        ({name: wanted[name].astype(np.float64)}, f"tensor {name} has dtype float64, wanted float32"),
        ({name: wanted[name] * np.float32(np.nan)}, f"tensor {name} holds NaN"),
        ({"surplus": wanted[name]}, "unknown tensors"),
    ]:
        with pytest.raises(InputError, match=message):
            check_params({**wanted, **change}, wanted, "model.safetensors")
    with pytest.raises(InputError, match="missing tensors"):
        check_params({}, wanted, "model.safetensors")
