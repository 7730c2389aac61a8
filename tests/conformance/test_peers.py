"""What refbss is timed against computes what refbss computes: odd sizes, where the benchmark has only round ones."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss._types import Array
from refbss.conformance.peers_jax import JaxPeer
from refbss.conformance.peers_torch import TorchPeer
from refbss.engine import engine
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
from refbss.models.lvbd_loss import loss_and_grads
from refbss.models.lvbd_params import init_params
from refbss.models.params import Params
from refbss.streaming import HopStream
from refbss.training.config import RunConfig, TrainConfig
from refbss.training.optimizers import adam_init, adam_step, clip_gradients
from refbss.verification.compare import worst
from refbss.verification.draw import generator, normal

pytestmark = pytest.mark.skipif(not os.environ.get("REFBSS_TORCH"), reason="REFBSS_TORCH is not set")
OPS = engine("reference")
CLOSE = 2e-5
"""Float32 sums of at most some hundred terms, in another order than the reference engine's in float64."""
STEP_CLOSE = 5e-4
"""Of a step's loss, in dB, and gradients: logarithms and quotients of energies multiply roundings."""
PEERS = {"torch": TorchPeer, "torch, GRU written out": lambda threads: TorchPeer(threads, written=True), "jax": JaxPeer}


@pytest.fixture(scope="module", params=PEERS)
def peer(request: pytest.FixtureRequest) -> Any:
    return PEERS[request.param](2)


def conv(batch: int, into: int, samples: int, w: tuple[int, int, int], outputs: int) -> dict[str, tuple[int, ...]]:
    return {"x": (batch, into, samples), "w": w, "b": (outputs,)}


def recurrent(gates: int, states: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    weights = {"w_ih": (gates * 5, 4), "w_hh": (gates * 5, 5), "b_ih": (gates * 5,), "b_hh": (gates * 5,)}
    return {"x": (3, 23, 4), **weights, **dict.fromkeys(states, (3, 5))}


SEPARATOR = {
    "x": (2, 17, 6), "g": (2, 17, 5), "a": (3, 6, 5), "c": (3, 6), "read": (6, 16), "v": (8, 6), "b": (8,),
    "m0": (2, 3, 2, 4), "q0": (2, 3, 2, 4), "theta": (2,),
}  # fmt: skip
LATENTS = {"mu": (2, 3, 5, 4), "log_var": (2, 3, 5, 4), "eps": (2, 3, 5, 4), "log_r": (1, 1, 1, 4), "shape": (1,)}
Case = tuple[str, dict[str, tuple[int, ...]], tuple[str, ...], dict[str, Any]]
BLOCKS = {"block": 5, "e0": 0.1, "delta": 1e-3}
FRAMES = {"frame": 7, "temp": 0.5, "weights": (1.0, 0.5, 0.25), "floor": 1e-3}
CASES: dict[str, Case] = {
    "conv1d": ("conv1d", conv(2, 3, 18, (5, 3, 4), 5), ("x", "w", "b"), {"stride": 2, "pad_left": 2}),
    "conv1d, samples left over": ("conv1d", conv(1, 1, 21, (3, 1, 5), 3), ("x", "w", "b"), {"stride": 3}),
    "conv_transpose1d": ("conv_transpose1d", conv(2, 3, 7, (3, 5, 5), 5), ("x", "w", "b"), {"stride": 2}),
    "conv_transpose1d, narrow, trimmed": (
        "conv_transpose1d", conv(3, 6, 9, (6, 1, 8), 1), ("x", "w", "b"), {"stride": 4, "trim_right": 4},
    ),
    "conv_transpose1d, trimmed within a row": (
        "conv_transpose1d", conv(1, 2, 1, (2, 3, 5), 3), ("x", "w", "b"), {"stride": 3, "trim_right": 1},
    ),
    "gru": ("gru", recurrent(3, ("h0",)), ("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0"), {}),
    "lstm": ("lstm", recurrent(4, ("h0", "c0")), ("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0", "c0"), {}),
    "memory_separator": ("memory_separator", SEPARATOR, tuple(SEPARATOR), BLOCKS),
    "memory_separator, truncated": ("memory_separator", SEPARATOR, tuple(SEPARATOR), BLOCKS | {"truncate": 2}),
    "memory_separator, no memory": (
        "memory_separator", SEPARATOR, tuple(SEPARATOR), BLOCKS | {"memory": False},
    ),
    "fisher": ("fisher", LATENTS, ("mu", "log_var"), {"family": "student", "form": "weighted", "offset": 0.01}),
    "softmax_permutation": ("softmax_permutation", {"est": (2, 3, 60), "ref": (2, 3, 60)}, ("est",), FRAMES),
    "softmax_permutation, shorter than a window": (
        "softmax_permutation", {"est": (1, 2, 30), "ref": (1, 2, 30)}, ("est",), FRAMES,
    ),
}  # fmt: skip


def drawn(name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    rng = generator(0, "peers", name)
    arrays = {key: normal(rng, *shape, scale=0.5) for key, shape in shapes.items()}
    for positive in {"q0", "shape"} & set(arrays):
        arrays[positive] = np.abs(arrays[positive]) + 0.1
    return arrays


def single(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {key: array.astype(np.float32) for key, array in arrays.items()}


@pytest.mark.parametrize("name", CASES)
def test_an_operator(peer: Any, name: str) -> None:
    op, shapes, wanted, attributes = CASES[name]
    arrays = single(drawn(name, shapes))
    exact = {key: array.astype(np.float64) for key, array in arrays.items()}
    *outputs, cache = getattr(OPS, f"{op}_forward")(*exact.values(), **attributes)
    rng = generator(1, "peers", name)
    cotangents = [normal(rng, *output.shape).astype(np.float32) for output in outputs]
    grads = getattr(OPS, f"{op}_backward")(*(c.astype(np.float64) for c in cotangents), cache)

    found, _ = peer.arrays_of(peer.op(op, arrays, (), [], attributes)())
    again, slopes = peer.arrays_of(peer.op(op, arrays, wanted, cotangents, attributes)())
    assert len(found) == len(again) == len(outputs) and set(slopes) == set(wanted)
    for way in (found, again):
        for got, output in zip(way, outputs, strict=True):
            assert got.dtype == np.float32 and worst(got, output).error <= CLOSE, worst(got, output)
    for key in wanted:
        assert worst(slopes[key], getattr(grads, f"d{key}")).error <= CLOSE, (
            key,
            worst(slopes[key], getattr(grads, f"d{key}")),
        )


WIDTHS = {"conv_channels": (5, 8), "conv_kernels": (9, 5), "conv_strides": (4, 3), "gru_hidden": 8, "latent": 6}
CONFIG = RunConfig(
    model=LvbdConfig(**WIDTHS, gru_sections=2, block=5, time_constants=2, theta_init=(1.0, -1.0)),  # type: ignore[arg-type]
    loss=LvbdLossConfig(permutation_frame=32, permutation_weights=(1.0, 1.0)),
    train=TrainConfig(learning_rate=1e-3, clip_norm=0.5),
)


def parameters(dtype: str = "float32") -> Params:
    """Without a zero among them, so that no bias and no slope can be forgotten."""
    params = init_params(CONFIG.model, 3, dtype="float32", loss_config=CONFIG.loss)
    return {
        name: (value + 0.1 * normal(generator(0, "peers", name), *value.shape)).astype(np.float32).astype(dtype)
        for name, value in params.items()
    }


def batch() -> tuple[Array, Array, Array, Array]:
    """Three mixtures of a length that no hop divides; one reference is silent, one mixture not clean."""
    refs = 0.3 * normal(generator(2, "peers"), 3, 2, 443)
    refs[1, 0] = 0.0
    eps = normal(generator(3, "peers"), 3, 2, -(-443 // CONFIG.model.hop), CONFIG.model.latent)
    refs, eps = refs.astype(np.float32), eps.astype(np.float32)
    return refs.sum(1), refs, eps, np.array([True, True, False])


def test_three_training_steps(peer: Any) -> None:
    mix, refs, eps, clean = batch()
    params = parameters("float64")
    state, train = adam_init(params), CONFIG.train
    step = peer.training_step(parameters(), mix, refs, eps, clean, CONFIG)
    for _ in range(3):
        result = loss_and_grads(
            params, mix.astype(np.float64), refs.astype(np.float64), eps.astype(np.float64), clean,
            config=CONFIG.model, loss_config=CONFIG.loss, ops=OPS,
        )  # fmt: skip
        grads, _ = clip_gradients(result.grads, train.clip_norm)
        params, state = adam_step(
            params, grads, state, learning_rate=train.learning_rate, beta1=train.beta1, beta2=train.beta2,
            eps=train.adam_eps,
        )  # fmt: skip
        returned = step()
        assert abs(peer.losses_of(returned) - result.loss) <= STEP_CLOSE
        slopes, after = peer.gradients_of(returned), peer.parameters_of(returned)
        assert set(slopes) == set(after) == set(params)
        for name, grad in grads.items():
            assert worst(slopes[name], grad).error <= STEP_CLOSE, (name, worst(slopes[name], grad))
            assert worst(after[name], params[name]).error <= CLOSE, (name, worst(after[name], params[name]))


def test_separation(peer: Any) -> None:
    mix = batch()[0]
    outputs, _ = lvbd.forward(parameters("float64"), mix.astype(np.float64), None, config=CONFIG.model, ops=OPS)
    got = np.array(peer.separation(parameters(), mix, CONFIG.model)())
    assert worst(got, outputs.est).error <= CLOSE, worst(got, outputs.est)


def test_streaming(peer: Any) -> None:
    mix = batch()[0][0, : 23 * CONFIG.model.hop].reshape(23, -1)
    ours = HopStream(parameters("float64"), CONFIG.model, engine="reference")
    theirs = peer.streaming(parameters(), CONFIG.model)
    for samples in mix:
        wanted, got = ours.step(samples.astype(np.float64)), np.array(theirs(samples))
        assert worst(got, wanted).error <= CLOSE, worst(got, wanted)


@pytest.mark.parametrize(("section", "change"), [("model", {"residual": False}), ("loss", {"assignment": "sinkhorn"})])
def test_what_a_peer_does_not_have(peer: Any, section: str, change: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **{section: dataclasses.replace(getattr(CONFIG, section), **change)})
    with pytest.raises(InputError, match=rf"peer: {section}\.{next(iter(change))} is .*, wanted"):
        peer.training_step(parameters(), *batch(), config)
