"""Hop by hop equals the whole signal, in both engines and for every switch of the network."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss._checks import NotFiniteError
from refbss.engine import engine
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.lvbd_params import init_params
from refbss.models.params import Params
from refbss.streaming import HopStream
from refbss.verification.compare import worst
from refbss.verification.draw import generator, normal

TINY = LvbdConfig(
    conv_channels=(5, 6, 7),
    conv_kernels=(9, 5, 4),
    conv_strides=(4, 2, 2),
    gru_hidden=7,
    gru_sections=2,
    latent=6,
    block=5,
    time_constants=2,
    theta_init=(1.0, -1.0),
)
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "no memory": {"memory": False},
    "no norm": {"norm": False},
    "no residual, other width": {"residual": False, "gru_hidden": 9},
    "narrow GRU": {"residual": False, "gru_hidden": 3},
    "no convolution in the array": {"concat_conv": False},
    "three sources, two layers": {
        "sources": 3,
        "conv_channels": (4, 7),
        "conv_kernels": (4, 3),
        "conv_strides": (4, 1),
    },
    "block of one frame": {"block": 1},
    "block longer than wide": {"block": 11, "latent": 3},
    "wide": {"conv_channels": (33, 40, 70), "gru_hidden": 70, "latent": 36, "block": 7},
}


def drawn(config: LvbdConfig, dtype: str) -> Params:
    """Parameters without a zero among them, so that no bias and no slope can be forgotten."""
    params = init_params(config, 3, dtype=dtype)
    return {
        name: (value + 0.1 * normal(generator(0, "stream", name), *value.shape)).astype(dtype)
        for name, value in params.items()
    }


def whole_and_hops(
    config: LvbdConfig, dtype: str, name: str, hops: int = 23, whole: str = "reference"
) -> tuple[np.ndarray, np.ndarray]:
    params = drawn(config, dtype)
    mix = (0.3 * normal(generator(1, "stream"), hops * config.hop)).astype(dtype)
    outputs, _ = lvbd.forward(params, mix[None], None, config=config, ops=engine(whole))
    stream = HopStream(params, config, engine=name)
    est = [stream.step(mix[i : i + config.hop]) for i in range(0, len(mix), config.hop)]
    return outputs.est[0], np.concatenate(est, axis=1)


@pytest.mark.parametrize("name", ["fast", "reference"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_hops_are_the_whole(variant: str, name: str, figures: dict[str, str]) -> None:
    config = dataclasses.replace(TINY, **VARIANTS[variant])
    whole, hops = whole_and_hops(config, "float64", name)
    found = worst(hops, whole)
    figures[f"hop by hop against the whole, {name}, {variant}"] = f"{found.error:.1e}"
    assert np.abs(whole).max() > 1e-3
    assert found.error <= 1e-13


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_single_precision_bit_for_bit(variant: str) -> None:
    """The fast engine's hop takes the same sums in the same order as its operators on a whole signal."""
    config = dataclasses.replace(TINY, **VARIANTS[variant])
    whole, hops = whole_and_hops(config, "float32", "fast", whole="fast")
    assert hops.dtype == np.float32
    assert np.array_equal(hops, whole), worst(hops, whole)


def test_in_single_precision_by_the_reference() -> None:
    whole, hops = whole_and_hops(TINY, "float32", "reference")
    assert hops.dtype == np.float32
    assert worst(hops, whole).error <= 3e-7


@pytest.mark.parametrize("name", ["fast", "reference"])
def test_reset_forgets(name: str) -> None:
    params = drawn(TINY, "float32")
    stream = HopStream(params, TINY, engine=name)
    mix = normal(generator(2, "stream"), 17, stream.hop).astype(np.float32)
    first = [stream.step(hop) for hop in mix]
    again = [stream.step(hop) for hop in mix]
    assert not np.array_equal(first, again), "the state must matter"
    stream.reset()
    assert np.array_equal(first, [stream.step(hop) for hop in mix])


def test_two_streams_do_not_share_their_state() -> None:
    params = drawn(TINY, "float32")
    mix = normal(generator(3, "stream"), 12, TINY.hop).astype(np.float32)
    alone = HopStream(params, TINY)
    wanted = [alone.step(hop) for hop in mix]
    one, other = HopStream(params, TINY), HopStream(params, TINY)
    got = []
    for hop in mix:
        got.append(one.step(hop))
        other.step(-hop)
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize(
    "samples", [
        np.zeros(15, np.float32), np.zeros(16), np.zeros((1, 16), np.float32), [0.0] * 16,
        np.ma.masked_array(np.zeros(16, np.float32)),
    ],
)  # fmt: skip
def test_other_samples_are_refused(samples: Any) -> None:
    stream = HopStream(drawn(TINY, "float32"), TINY)
    with pytest.raises(InputError, match=r"stream: samples is .*, wanted (an unmasked )?float32 of shape \(16,\)"):
        stream.step(samples)


def test_other_engines_are_refused() -> None:
    with pytest.raises(InputError, match="engine"):
        HopStream(drawn(TINY, "float32"), TINY, engine="faster")


@pytest.mark.parametrize("name", ["fast", "reference"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_leave_the_stream_as_it_was(name: str, bad: float) -> None:
    stream, other = (HopStream(drawn(TINY, "float32"), TINY, engine=name) for _ in range(2))
    mix = normal(generator(4, "stream"), 12, TINY.hop).astype(np.float32)
    for hop in mix:
        with pytest.raises(NotFiniteError, match="stream: samples holds NaN or infinity"):
            stream.step(np.where(np.arange(TINY.hop) == 9, np.float32(bad), hop))
        assert np.array_equal(stream.step(hop), other.step(hop))


@pytest.mark.parametrize("name", ["fast", "reference"])
def test_parameters_are_checked_and_copied(name: str) -> None:
    params = drawn(TINY, "float32")
    short = params | {"encoder.conv.0.bias": params["encoder.conv.0.bias"][:-1]}
    for wrong, message in (
        ({}, "missing tensors"),
        (short, "tensor encoder.conv.0.bias has shape"),
        (params | {"memory.m0": params["memory.m0"].astype(float)}, "tensor memory.m0 has dtype float64"),
        (drawn(dataclasses.replace(TINY, sources=3), "float32"), "has shape"),
    ):
        with pytest.raises(InputError, match=f"stream: params: .*{message}"):
            HopStream(wrong, TINY, engine=name)
    mix = np.full(TINY.hop, 0.1, np.float32)
    stream = HopStream(params, TINY, engine=name)
    wanted = HopStream(drawn(TINY, "float32"), TINY, engine=name).step(mix)
    for array in params.values():
        array[...] = 0.0
    assert np.array_equal(stream.step(mix), wanted)
