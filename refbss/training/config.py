"""The configuration of a run: model, loss, mixtures, training; and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refbss._checks import InputError, check_choice, check_integer, check_number
from refbss.data.mixing import MixConfig
from refbss.engine import ENGINES
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig


@dataclass(frozen=True)
class TrainConfig:
    """Optimiser, schedule, and how the work is shared out. Raises InputError when a field is out of range."""

    steps: int = 2000
    """Optimiser steps; a run given minutes instead finds its number of steps out after the first of them."""
    batch: int = 8
    """Mixtures a step."""
    shards: int = 4
    """Parts of the batch whose gradients are summed in fixed order; results depend on it, not on the workers."""
    workers: int = 0
    """Threads that work on the shards; 0: one per processor."""
    exact: bool = True
    """Sum the gradients of several ranks in the order of the shards, as one process does; off: as MPI likes."""
    engine: str = "fast"
    """fast or reference."""
    learning_rate: float = 3e-3
    """Peak learning rate of Adam."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises linearly."""
    final_fraction: float = 0.03
    """Learning rate at the last step, as a share of the peak; the fall is linear."""
    beta1: float = 0.9
    """Adam's decay of the gradient's mean."""
    beta2: float = 0.999
    """Adam's decay of the gradient's mean square."""
    adam_eps: float = 1e-8
    """Adam's floor under the root of the mean square."""
    clip_norm: float = 5.0
    """Largest norm of the whole gradient."""
    epoch_items: int = 1000
    """Mixtures that are called an epoch."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    validate_every: int = 200
    """Steps between validations; 0: never."""
    validation_items: int = 40
    """Mixtures of a validation."""
    seed: int = 0
    """Seed of the parameters, the mixtures and the posterior's samples."""
    data_weights: tuple[float, ...] = ()
    """Share of the mixtures that each data folder gives, in their order; empty: equal shares."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "shards", "epoch_items", "checkpoint_every", "validation_items"):
            check_integer("train", **{name: getattr(self, name)})
        for name in ("workers", "warmup_steps", "validate_every", "seed"):
            check_integer("train", least=0, **{name: getattr(self, name)})
        check_choice("train", ENGINES, engine=self.engine)
        check_number("train", above=0.0, learning_rate=self.learning_rate, clip_norm=self.clip_norm)
        check_number("train", above=0.0, adam_eps=self.adam_eps)
        check_number("train", least=0.0, most=1.0, final_fraction=self.final_fraction)
        check_number("train", least=0.0, most=0.999999, beta1=self.beta1, beta2=self.beta2)
        for weight in self.data_weights:
            check_number("train", above=0.0, data_weights=weight)


@dataclass(frozen=True)
class RunConfig:
    """Everything that defines a run. Raises InputError when the sections contradict each other."""

    model: LvbdConfig = field(default_factory=LvbdConfig)
    loss: LvbdLossConfig = field(default_factory=LvbdLossConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for name in ("sources", "sample_rate_hz"):
            mix, model = getattr(self.mix, name), getattr(self.model, name)
            if mix != model:
                raise InputError(f"config: mix.{name} is {mix}, wanted {model} as model.{name} is")
        loss, frame = self.loss, self.loss.permutation_frame
        if loss.permutation_weight and frame > self.mix.samples:
            raise InputError(f"config: loss.permutation_frame is {frame}, wanted at most {self.mix.samples} samples")
        if loss.prior_r == "memory" and not self.model.memory:
            raise InputError('config: loss.prior_r is "memory", wanted another for model.memory = false')
        if loss.fisher_weight and loss.divergence == "fisher" and not self.model.sample:
            raise InputError(
                f"config: loss.fisher_weight is {loss.fisher_weight}, wanted 0 for model.sample = false: "
                "the divergence is estimated from a sample"
            )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "lvbd-tiny": {
        "model": {
            "conv_channels": (12, 16, 16),
            "gru_hidden": 16,
            "latent": 16,
            "time_constants": 2,
            "theta_init": (1.0, -1.0),
        },
        "mix": {"seconds": 1.0},
        "train": {"batch": 4, "warmup_steps": 20, "checkpoint_every": 20, "validate_every": 50, "validation_items": 8},
    },
    "lvbd-small": {
        "mix": {"noise": ("white", "pink", "speech", "babble"), "noise_probability": 0.4},
        "train": {"steps": 5000},
    },
}
"""lvbd-tiny has 17 thousand parameters and is for tests; lvbd-small has 664 thousand and is the bundled one."""
