"""What a model is made of and what it costs, from its configuration and the shapes of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from refbss._types import Array
from refbss.models.lvbd import decoder_shape
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.params import count

PARTS = {
    "encoder": ("encoder.",),
    "separator": ("separator.adapt.", "separator.fc."),
    "memory": ("memory.", "separator.memory."),
    "decoder": ("decoder.",),
    "prior": ("prior.",),
}
"""Parts of a model and how their parameters' names begin. The matrix that reads the memory counts as memory; the prior
is used in training only."""


@dataclass(frozen=True)
class Info:
    """Size, reach and cost of a model."""

    parameters: dict[str, int]
    """Parameters by part."""
    hop_samples: int
    """Samples of a frame."""
    latency_ms: float
    """Algorithmic latency: the first sample of a frame waits for its last one."""
    receptive_field_samples: int
    """Input samples that can reach one output sample through the convolutions alone."""
    receptive_field_ms: float
    """The same in ms. Through the GRU sections, and through the memory, the whole past reaches every output."""
    multiply_adds_per_s: dict[str, int]
    """Multiply-adds a second of signal, by part: convolutions and matrix products; pointwise work is left out."""

    @property
    def total_parameters(self) -> int:
        """All parameters."""
        return sum(self.parameters.values())

    @property
    def total_multiply_adds_per_s(self) -> int:
        """All multiply-adds a second of signal."""
        return sum(self.multiply_adds_per_s.values())


def model_info(config: LvbdConfig, params: Mapping[str, Array]) -> Info:
    """Describe the model of this configuration and these parameters."""
    rate = config.sample_rate_hz
    field = receptive_field(config)
    sizes = {part: sum(count(params, prefix) for prefix in prefixes) for part, prefixes in PARTS.items()}
    return Info(
        {part: size for part, size in sizes.items() if size},
        config.hop,
        1000.0 * config.hop / rate,
        field,
        1000.0 * field / rate,
        multiply_adds(config),
    )


def receptive_field(config: LvbdConfig) -> int:
    """Input samples that one output sample depends on through the convolutions and transposed convolutions.

    One frame of features sees 1 + sum_i (K_i - 1) prod_{j < i} S_j samples. One output sample of a transposed
    convolution sees up to floor((K - 1) / S) + 1 frames, w neighbouring ones up to floor((K + w - 2) / S) + 1. [std]
    """
    samples, stride = 1, 1
    for kernel, step in zip(config.conv_kernels, config.conv_strides, strict=True):
        samples += (kernel - 1) * stride
        stride *= step
    frames = 1
    for _, _, kernel, step in reversed(decoder_shape(config)):
        frames = (kernel + frames - 2) // step + 1
    return samples + (frames - 1) * config.hop


def multiply_adds(config: LvbdConfig) -> dict[str, int]:
    """Multiply-adds a second of signal by part, rounded: of convolutions and matrix products only."""
    rate = config.sample_rate_hz
    frames = rate / config.hop
    inputs = [1, *config.conv_channels[:-1]]
    convolutions, steps = 0.0, float(rate)
    for into, out, kernel, stride in zip(
        inputs, config.conv_channels, config.conv_kernels, config.conv_strides, strict=True
    ):
        steps /= stride
        convolutions += steps * into * out * kernel
    widths = [config.conv_channels[-1]] + [config.gru_hidden] * (config.gru_sections - 1)
    recurrent = sum(3 * config.gru_hidden * (width + config.gru_hidden) for width in widths)
    adapt = config.channels * config.gru_hidden
    weigh_and_connect = config.channels + config.channels * 2 * config.latent
    state = 2 * config.time_constants * config.latent
    decoding, steps = 0.0, frames
    for into, out, kernel, stride in decoder_shape(config):
        decoding += steps * into * out * kernel
        steps *= stride
    parts = {
        "encoder": convolutions + frames * recurrent,
        "separator": frames * config.sources * (adapt + weigh_and_connect),
        "memory": frames / config.block * config.sources * config.channels * state if config.memory else 0.0,
        "decoder": config.sources * decoding,
    }
    return {name: round(value) for name, value in parts.items()}
