"""The parameters and the state of LVBD as the kernel of a hop wants them: matrices, in the order in which it reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.fast._layout import kernel_rows, kernel_slices
from refbss.fast._products import is_narrow, stacked


def decoder_layer(inputs: int, outputs: int, taps: int, stride: int, dtype: Any) -> tuple[int, int, int, int, bool]:
    """A decoder layer for the kernel: channels in and out, frames that reach an output, stride, is it narrow."""
    reach = -(-taps // stride)
    return inputs, outputs, reach, stride, is_narrow(reach, stride * outputs, dtype)


def weights_in_order(
    params: dict[str, Array], config: Any, layers: list[tuple[int, int, int, int, bool]]
) -> list[Array]:
    """The parameters in the order in which the kernel reads them, as the matrices that it multiplies with."""
    parts = []
    for i in range(len(config.conv_strides)):
        parts += [kernel_rows(params[f"encoder.conv.{i}.weight"]), params[f"encoder.conv.{i}.bias"]]
        parts.append(np.broadcast_to(params[f"encoder.act.{i}.weight"], (config.conv_channels[i],)))
    if config.norm:
        parts += [params["encoder.norm.weight"], params["encoder.norm.bias"]]
    for i in range(config.gru_sections):
        name = f"encoder.gru.{i}"
        parts += [params[f"{name}.weight_ih_l0"].T, params[f"{name}.bias_ih_l0"]]
        parts += [params[f"{name}.weight_hh_l0"].T, params[f"{name}.bias_hh_l0"]]
        if config.norm:
            parts += [params[f"encoder.gru_norm.{i}.weight"], params[f"encoder.gru_norm.{i}.bias"]]
    adapt, latent = params["separator.adapt.weight"], config.latent
    parts.append(adapt.transpose(2, 0, 1))
    parts += [params["separator.fc.weight"][:latent].T, params["separator.fc.bias"][:latent]]
    parts.append(params["separator.adapt.bias"])
    if config.memory:
        parts += [params["separator.memory.weight"].T, 1 / (1 + np.exp(-params["memory.theta"]))]
    else:
        parts += [np.zeros((2 * config.time_constants * latent, config.channels)), np.zeros(config.time_constants)]
    for i, (inputs, outputs, _, stride, narrow) in enumerate(layers):
        slices = kernel_slices(params[f"decoder.conv.{i}.weight"], stride)
        parts.append(slices.reshape(-1, inputs).T if narrow else stacked(slices))
        parts.append(np.tile(params[f"decoder.conv.{i}.bias"], stride))
        if i < len(layers) - 1:
            parts.append(np.broadcast_to(params[f"decoder.act.{i}.weight"], (outputs,)))
    return parts


def state_in_order(
    config: Any,
    convs: list[tuple[int, int, int, int]],
    layers: list[tuple[int, int, int, int, bool]],
    initial: tuple[Array, Array],
) -> dict[str, Array]:
    """The state before the first sample by name, in the order in which the kernel walks through it."""
    parts, frames = {}, config.hop
    for i, (inputs, _, kernel, stride) in enumerate(convs):
        parts[f"encoder.conv.{i}"] = np.zeros((kernel - stride + frames, inputs))
        frames //= stride
    parts |= {f"encoder.gru.{i}": np.zeros(config.gru_hidden) for i in range(config.gru_sections)}
    parts["memory.m"], parts["memory.q"] = initial
    parts["separator.read"] = np.zeros((config.sources, config.channels))
    parts["separator.block"] = np.zeros((config.block, config.sources, config.latent))
    for i, (inputs, outputs, reach, stride, narrow) in enumerate(layers):
        row = reach * stride * outputs if narrow else inputs
        parts[f"decoder.conv.{i}"] = np.zeros((config.sources, reach - 1 + frames, row))
        frames *= stride
    return parts
