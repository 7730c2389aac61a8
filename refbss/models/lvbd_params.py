"""Initial parameters of LVBD, under PyTorch's names and layouts."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss.models.lvbd import decoder_shape
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
from refbss.models.params import Params, uniform


def inverse_softplus(value: float) -> float:
    """The x with log(1 + exp x) = value > 0."""
    return float(value + np.log(-np.expm1(-value)))


def parameter_count(config: LvbdConfig, loss_config: LvbdLossConfig | None = None) -> int:
    """How many values ``init_params`` would draw, without drawing one: a file can ask for more than memory holds."""
    inputs, hidden, width = [1, *config.conv_channels[:-1]], config.gru_hidden, config.conv_channels[-1]
    sources, channels, latent = config.sources, config.channels, config.latent
    convs = zip(inputs, config.conv_channels, config.conv_kernels, strict=True)
    encoder = sum(out * (into * kernel + 2) for into, out, kernel in convs) + 2 * width * config.norm
    sections = config.gru_sections * (6 * hidden * hidden + 6 * hidden + 2 * hidden * config.norm)
    sections += 3 * hidden * (width - hidden)  # the first reads the convolutions
    separator = sources * channels * (hidden + 1) + 2 * latent * (channels + 1)
    state = config.time_constants * latent
    memory = (2 * channels * state + 2 * sources * state + len(config.theta_init)) * config.memory
    decoder = sum(out * (into * kernel + 2) for into, out, kernel, _ in decoder_shape(config)) - 1
    prior = 0
    if loss_config is not None:
        prior = sources * latent * (loss_config.prior_r == "learned") + loss_config.learn_prior_shape
    return encoder + sections + separator + memory + decoder + prior


def init_params(
    config: LvbdConfig, seed: int, *, dtype: Any = np.float32, loss_config: LvbdLossConfig | None = None
) -> Params:
    """Draw the parameters from ``seed``.

    Weights are uniform in +-1/sqrt(fan in) [std]; the fan in of a transposed convolution is the number of products that
    make one of its outputs, into * kernel / stride [ours]. Biases of convolutions, transposed convolutions, the
    adaptive matrix and the fully connected layer start at zero [ours]: random ones put a fixed pattern far above the
    signal's trace into the untrained output. The memory's first moments differ between sources, which breaks the
    symmetry.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    params: Params = {}
    inputs = [1, *config.conv_channels[:-1]]
    for i, (into, out, kernel) in enumerate(zip(inputs, config.conv_channels, config.conv_kernels, strict=True)):
        params[f"encoder.conv.{i}.weight"] = uniform(rng, (out, into, kernel), into * kernel, dtype)
        params[f"encoder.conv.{i}.bias"] = np.zeros(out, dtype)
        params[f"encoder.act.{i}.weight"] = np.full(out, config.slope_init, dtype)
    width, hidden = config.conv_channels[-1], config.gru_hidden
    if config.norm:
        params["encoder.norm.weight"], params["encoder.norm.bias"] = np.ones(width, dtype), np.zeros(width, dtype)
    for i in range(config.gru_sections):
        name = f"encoder.gru.{i}"
        params[f"{name}.weight_ih_l0"] = uniform(rng, (3 * hidden, width if i == 0 else hidden), hidden, dtype)
        params[f"{name}.weight_hh_l0"] = uniform(rng, (3 * hidden, hidden), hidden, dtype)
        params[f"{name}.bias_ih_l0"] = uniform(rng, (3 * hidden,), hidden, dtype)
        params[f"{name}.bias_hh_l0"] = uniform(rng, (3 * hidden,), hidden, dtype)
        if config.norm:
            params[f"encoder.gru_norm.{i}.weight"] = np.ones(hidden, dtype)
            params[f"encoder.gru_norm.{i}.bias"] = np.zeros(hidden, dtype)
    sources, channels, constants, latent = config.sources, config.channels, config.time_constants, config.latent
    state = 2 * constants * latent
    params["separator.adapt.weight"] = uniform(rng, (sources, channels, hidden), hidden, dtype)
    params["separator.adapt.bias"] = np.zeros((sources, channels), dtype)
    if config.memory:
        params["separator.memory.weight"] = uniform(rng, (channels, state), state, dtype)
    params["separator.fc.weight"] = uniform(rng, (2 * latent, channels), channels, dtype)
    params["separator.fc.bias"] = np.zeros(2 * latent, dtype)
    if config.memory:
        params["memory.m0"] = (config.memory_init * rng.standard_normal((sources, constants, latent))).astype(dtype)
        params["memory.q0"] = np.full((sources, constants, latent), inverse_softplus(config.memory_init), dtype)
        params["memory.theta"] = np.array(config.theta_init, dtype)
    layers = decoder_shape(config)
    for i, (into, out, kernel, stride) in enumerate(layers):
        params[f"decoder.conv.{i}.weight"] = uniform(rng, (into, out, kernel), into * kernel / stride, dtype)
        params[f"decoder.conv.{i}.bias"] = np.zeros(out, dtype)
        if i < len(layers) - 1:
            params[f"decoder.act.{i}.weight"] = np.full(out, config.slope_init, dtype)
    if loss_config is not None and loss_config.prior_r == "learned":
        params["prior.log_r"] = np.zeros((sources, latent), dtype)
    if loss_config is not None and loss_config.learn_prior_shape:
        params["prior.shape"] = np.array([inverse_softplus(loss_config.prior_shape)], dtype)
    return params
