"""What is said of a model, against the model itself."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from refbss.config import load_config
from refbss.engine import engine
from refbss.models import lvbd
from refbss.models.info import model_info, multiply_adds, receptive_field
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.lvbd_params import init_params
from refbss.training.config import PRESETS, RunConfig

SMALL = LvbdConfig()


def tiny(**changes: Any) -> LvbdConfig:
    return replace(load_config(RunConfig, PRESETS["lvbd-tiny"]).model, **changes)


def test_lvbd_small_by_hand() -> None:
    """The counts of the bundled model's shapes, worked out on paper."""
    info = model_info(SMALL, init_params(SMALL, 0))
    convolutions = 64 * 8 + 2 * 64 + 64 * 96 * 4 + 2 * 96 + 96 * 96 * 4 + 2 * 96
    recurrent = 3 * (288 * 96 * 2 + 288 * 2) + 4 * 2 * 96
    decoder = 96 * 96 * 4 + 2 * 96 + 96 * 64 * 4 + 2 * 64 + 64 * 8 + 1
    assert info.parameters == {
        "encoder": convolutions + recurrent,
        "separator": 2 * 384 * 96 + 2 * 384 + 384 * 192 + 192,
        "memory": 384 * 576 + 2 * 2 * 3 * 96 + 3,
        "decoder": decoder,
    }
    assert info.total_parameters == 663_876
    assert (info.hop_samples, info.latency_ms) == (16, 2.0)
    # convolutions at 2000, 1000, 500 steps a second; everything of a frame 500 times; the memory 500 / 32 times
    assert info.multiply_adds_per_s == {
        "encoder": 2000 * 512 + 1000 * 24576 + 500 * 36864 + 500 * 3 * 288 * 192,
        "separator": 500 * 2 * (384 * 96 + 384 + 384 * 192),
        "memory": 2 * 384 * 576 * 500 // 32,
        "decoder": 2 * (500 * 36864 + 1000 * 24576 + 2000 * 512),
    }
    assert info.total_multiply_adds_per_s == sum(info.multiply_adds_per_s.values())
    # encoder: 1 + 7 + 3 * 4 + 3 * 8 = 44 samples for a frame; decoder: 3 frames, two hops more
    assert info.receptive_field_samples == 44 + 2 * 16
    assert info.receptive_field_ms == 9.5


def test_without_memory() -> None:
    config = tiny(memory=False)
    info = model_info(config, init_params(config, 0))
    assert "memory" not in info.parameters and info.multiply_adds_per_s["memory"] == 0
    assert info.total_parameters == sum(value.size for value in init_params(config, 0).values())


def test_multiply_adds_against_the_arrays_that_pass() -> None:
    """Convolutions and GRUs of one second, counted where they are called."""
    config = tiny(conv_channels=(5, 7, 6), conv_kernels=(10, 4, 3), gru_hidden=6, latent=9)
    counted = {"conv1d_forward": 0, "gru_forward": 0, "conv_transpose1d_forward": 0}
    ops = engine("reference")

    def conv1d_forward(x: Any, w: Any, b: Any, **sizes: Any) -> Any:
        y, cache = ops.conv1d_forward(x, w, b, **sizes)
        counted["conv1d_forward"] += y.shape[0] * y.shape[2] * w.size
        return y, cache

    def gru_forward(x: Any, w_ih: Any, w_hh: Any, *rest: Any) -> Any:
        counted["gru_forward"] += x.shape[0] * x.shape[1] * (w_ih.size + w_hh.size)
        return ops.gru_forward(x, w_ih, w_hh, *rest)

    def conv_transpose1d_forward(x: Any, w: Any, b: Any, **sizes: Any) -> Any:
        context = -(-w.shape[2] // sizes["stride"]) - 1
        counted["conv_transpose1d_forward"] += x.shape[0] * (x.shape[2] - context) * w.size
        return ops.conv_transpose1d_forward(x, w, b, **sizes)

    counting = SimpleNamespace(
        **vars(ops) | {f.__name__: f for f in (conv1d_forward, gru_forward, conv_transpose1d_forward)}
    )
    lvbd.forward(init_params(config, 0), np.zeros((1, 8000), np.float32), None, config=config, ops=counting)
    found = multiply_adds(config)
    assert counted["conv1d_forward"] + counted["gru_forward"] == found["encoder"]
    assert counted["conv_transpose1d_forward"] == found["decoder"]


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"conv_kernels": (8, 2, 2)},
        {"conv_kernels": (10, 5, 3)},
        {"conv_channels": (4, 16), "conv_kernels": (3, 7), "conv_strides": (1, 4)},
    ],
)
def test_the_receptive_field_is_what_changes_an_output(sizes: dict[str, Any]) -> None:
    """Each input sample is moved in turn. The GRUs' update gates are shut and the memory is off: no other past."""
    config = tiny(memory=False, **sizes)
    params = init_params(config, 0, dtype=np.float64)
    for i in range(config.gru_sections):
        params[f"encoder.gru.{i}.bias_ih_l0"][config.gru_hidden : 2 * config.gru_hidden] = -1e6
        params[f"encoder.gru.{i}.weight_hh_l0"][:] = 0.0
    rng = np.random.default_rng(0)
    samples = 8 * config.hop
    mix = rng.standard_normal(samples)
    moved = mix + np.concatenate([np.zeros((1, samples)), np.eye(samples)])

    with np.errstate(over="ignore"):
        est = lvbd.forward(params, moved, None, config=config, ops=engine("reference"))[0].est
    reaches = np.any(est[1:] != est[0], axis=1)  # (input sample, output sample)
    inputs = [np.flatnonzero(column) for column in reaches.T]
    assert max(int(found[-1] - found[0] + 1) for found in inputs if len(found)) == receptive_field(config)
    # the algorithmic latency: an output sample looks ahead to the end of its frame, not further
    assert max(int(found[-1]) - n for n, found in enumerate(inputs) if len(found)) == config.hop - 1
