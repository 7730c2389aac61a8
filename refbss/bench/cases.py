"""What is timed: operators at the shapes of a training step of lvbd-small, and the model itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refbss._types import Array

Draw = Callable[[np.random.Generator], dict[str, Array]]
EACH: Mapping[str, float] = {"torch": 1.0, "torch-compile": 1.0, "jax": 1.0}
"""The goal where no other is named: nowhere slower than a peer."""


@dataclass(frozen=True)
class OpCase:
    """One operator at one size. Arguments named in ``shared`` belong to all items of the batch."""

    name: str
    op: str
    draw: Draw
    shared: tuple[str, ...]
    """Arguments without a batch axis."""
    differentiate: tuple[str, ...]
    """Arguments whose gradients are part of forward+backward."""
    flops: float
    """Of the forward pass's matrix products; 0 where there are none."""
    attributes: dict[str, Any] = field(default_factory=dict)
    goals: Mapping[str, float] = field(default_factory=lambda: EACH)
    """Wanted of forward+backward: how many times as fast as each peer."""
    channels_last: bool = False
    """Signals lie in memory as the layers of refbss hand them on; a peer lays them out as its own layers do."""


def _normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Array:
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def _convolution(rng: np.random.Generator, x: tuple[int, ...], w: tuple[int, ...], outputs: int) -> dict[str, Array]:
    scale = (w[1] * w[2]) ** -0.5
    return {"x": _normal(rng, *x), "w": _normal(rng, *w, scale=scale), "b": _normal(rng, outputs)}


def _recurrent(rng: np.random.Generator, gates: int, frames: int, states: tuple[str, ...]) -> dict[str, Array]:
    rows = gates * HIDDEN
    arrays = {"x": _normal(rng, BATCH, frames, HIDDEN)}
    arrays |= {name: _normal(rng, rows, HIDDEN, scale=HIDDEN**-0.5) for name in ("w_ih", "w_hh")}
    arrays |= {name: _normal(rng, rows, scale=0.1) for name in ("b_ih", "b_hh")}
    return arrays | {name: _normal(rng, BATCH, HIDDEN, scale=0.3) for name in states}


def _separator(rng: np.random.Generator) -> dict[str, Array]:
    moments = 2 * CONSTANTS * LATENT
    return {
        "x": _normal(rng, BATCH, FRAMES, CHANNELS),
        "g": _normal(rng, BATCH, FRAMES, HIDDEN),
        "a": _normal(rng, SOURCES, CHANNELS, HIDDEN, scale=HIDDEN**-0.5),
        "c": _normal(rng, SOURCES, CHANNELS, scale=0.1),
        "read": _normal(rng, CHANNELS, moments, scale=moments**-0.5),
        "v": _normal(rng, 2 * LATENT, CHANNELS, scale=CHANNELS**-0.5),
        "b": _normal(rng, 2 * LATENT, scale=0.1),
        "m0": _normal(rng, BATCH, SOURCES, CONSTANTS, LATENT, scale=0.1),
        "q0": np.abs(_normal(rng, BATCH, SOURCES, CONSTANTS, LATENT, scale=0.1)),
        "theta": np.array([2.0, 0.0, -2.0], np.float32),
    }


def _fisher(rng: np.random.Generator) -> dict[str, Array]:
    rows = (BATCH, SOURCES, FRAMES, LATENT)
    return {
        "mu": _normal(rng, *rows),
        "log_var": _normal(rng, *rows, scale=0.3) - 4,
        "eps": _normal(rng, *rows),
        "log_r": np.zeros((1, 1, 1, LATENT), np.float32),
        "shape": np.array([4.0], np.float32),
    }


def _signals(rng: np.random.Generator) -> dict[str, Array]:
    return {name: _normal(rng, BATCH, SOURCES, SAMPLES, scale=0.1) for name in ("est", "ref")}


BATCH, SOURCES, SAMPLES, HOP = 8, 2, 16000, 16
"""Mixtures of a step, sources, samples of 2 s at 8 kHz, samples of a frame."""
FRAMES, HIDDEN, LATENT, CHANNELS, CONSTANTS, BLOCK = SAMPLES // HOP, 96, 96, 384, 3, 32
ENCODER = ((1, 64, 8, 4), (64, 96, 4, 2), (96, 96, 4, 2))
DECODER = ((96, 96, 4, 2), (96, 64, 4, 2), (64, 1, 8, 4))
"""(channels in, channels out, taps, stride) of lvbd-small's layers."""
_CONV_GOALS = {"torch": 1.1, "torch-compile": 1.0, "jax": 1.1}


def _convolutions() -> list[OpCase]:
    found, samples, every = [], SAMPLES, ("x", "w", "b")
    for into, out, taps, stride in ENCODER:
        x, w = (BATCH, into, samples + taps - stride), (out, into, taps)
        samples //= stride
        found.append(
            OpCase(
                f"conv1d {into} to {out}, {taps} taps, stride {stride}",
                "conv1d",
                functools.partial(_convolution, x=x, w=w, outputs=out),
                ("w", "b"),
                every,
                2.0 * BATCH * samples * into * out * taps,
                {"stride": stride},
                _CONV_GOALS,
                True,
            )
        )
    frames, rows = FRAMES, BATCH * SOURCES
    for into, out, taps, stride in DECODER:
        found.append(
            OpCase(
                f"conv_transpose1d {into} to {out}, {taps} taps, stride {stride}",
                "conv_transpose1d",
                functools.partial(_convolution, x=(rows, into, frames), w=(into, out, taps), outputs=out),
                ("w", "b"),
                every,
                2.0 * rows * frames * into * out * taps,
                {"stride": stride, "trim_right": taps - stride},
                _CONV_GOALS,
                True,
            )
        )
        frames *= stride
    return found


def _recurrences() -> list[OpCase]:
    weights, found = ("w_ih", "w_hh", "b_ih", "b_hh"), []
    for op, gates, frames, states, goals in (
        ("gru", 3, FRAMES, ("h0",), {"torch": 4.0, "torch-compile": 1.0, "jax": 1.3}),
        ("gru", 3, 4 * FRAMES, ("h0",), {"torch": 6.0, "torch-compile": 1.0, "jax": 1.3}),
        ("lstm", 4, FRAMES, ("h0", "c0"), EACH),
    ):
        found.append(
            OpCase(
                f"{op} of {frames} frames",
                op,
                functools.partial(_recurrent, gates=gates, frames=frames, states=states),
                weights,
                ("x", *weights, *states),
                4.0 * BATCH * frames * gates * HIDDEN * HIDDEN,
                goals=goals,
            )
        )
    return found


def op_cases() -> list[OpCase]:
    """Every operator case, in the order of a forward pass."""
    blocks = -(-FRAMES // BLOCK)
    per_frame = SOURCES * CHANNELS * (HIDDEN + 2 * LATENT)
    per_block = SOURCES * CHANNELS * 2 * CONSTANTS * LATENT
    separator = OpCase(
        "memory_separator",
        "memory_separator",
        _separator,
        ("a", "c", "read", "v", "b", "theta"),
        ("x", "g", "a", "c", "read", "v", "b", "m0", "q0", "theta"),
        2.0 * BATCH * (FRAMES * per_frame + blocks * per_block),
        {"block": BLOCK, "e0": 0.1, "delta": 1e-3},
    )
    fisher = OpCase(
        "fisher, student, weighted",
        "fisher",
        _fisher,
        ("log_r", "shape"),
        ("mu", "log_var"),
        0.0,
        {"family": "student", "form": "weighted", "offset": 0.01},
    )
    permutation = OpCase(
        "softmax_permutation",
        "softmax_permutation",
        _signals,
        (),
        ("est",),
        0.0,
        {"frame": 160, "temp": 0.1, "weights": (1.0,) * 5, "floor": 1e-3},
    )
    return [*_convolutions(), *_recurrences(), separator, fisher, permutation]


GOAL_THREADS = 2
"""The number of threads that goals above 1 are set for."""
MODEL_CASES: Mapping[str, tuple[int, Mapping[str, float]]] = {
    "training step": (GOAL_THREADS, {"torch": 4.0, "torch-compile": 1.0, "jax": 1.5}),
    "separation of 10 s": (GOAL_THREADS, EACH),
    "streaming, a hop": (1, {"torch": 4.0, "torch-compile": 1.0, "jax": 2.0}),
}
"""The model's cases, and their goals on a number of threads. Streaming is one signal on one thread."""
