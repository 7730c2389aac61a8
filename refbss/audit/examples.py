"""One worked example for each operator, loss and prior, and for Adam: numbers that a pocket calculator can follow.

Sizes are as small as the equations allow, and no two numbers are equal where confusing them would change nothing.
Arrays are float64 and named as the law's arguments, in their order; attributes are its keyword arguments; cotangents
are named by output. An example ``fisher/explicit`` shows the operator ``fisher`` in another form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss._types import Array


@dataclass(frozen=True)
class Example:
    """What is given to an operator. ``page`` of docs/math shows what comes of it."""

    name: str
    page: str
    says: str
    """What is small about it, in a few words."""
    arrays: Mapping[str, Any]
    outputs: tuple[str, ...]
    cotangents: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def op(self) -> str:
        """The operator, ``<op>_forward`` in the code."""
        return self.name.split("/")[0]

    def inputs(self) -> dict[str, Array]:
        """The arrays, float64."""
        return {name: np.array(value, dtype=np.float64) for name, value in self.arrays.items()}

    def pulled(self) -> dict[str, Array]:
        """The cotangents, float64."""
        return {name: np.array(value, dtype=np.float64) for name, value in self.cotangents.items()}


def find(name: str) -> Example:
    """Return the example of that name. Raises InputError on an unknown one."""
    examples = load()
    if name not in examples:
        near = get_close_matches(name, examples, n=1)
        hint = f", did you mean {near[0]}?" if near else f", wanted one of {', '.join(examples)}"
        raise InputError(f"trace: no example is called {name!r}{hint}")
    return examples[name]


def load() -> dict[str, Example]:
    """Every example by its name: operators, then losses, then priors and Adam."""
    from refbss.audit.examples_losses import LOSSES, PRIORS_AND_ADAM

    return {example.name: example for example in (*OPERATORS, *LOSSES, *PRIORS_AND_ADAM)}


OPERATORS = (
    Example(
        "conv1d",
        "conv1d",
        "two channels, one output, three taps, stride 2, one zero on the left: two frames that share a sample",
        {
            "x": [[[1.0, -2.0, 0.5, 3.0], [0.25, 1.5, -1.0, 2.0]]],
            "w": [[[0.5, -1.0, 2.0], [1.5, 0.75, -0.5]]],
            "b": [0.1],
        },
        ("y",),
        {"y": [[[1.0, -0.5]]]},
        {"stride": 2, "pad_left": 1},
    ),
    Example(
        "conv_transpose1d",
        "conv_transpose1d",
        "two channels, one output, three taps, stride 2, one sample trimmed: two frames that share a sample",
        {"x": [[[1.0, -2.0], [0.5, 3.0]]], "w": [[[0.5, -1.0, 2.0]], [[1.5, 0.75, -0.5]]], "b": [0.1]},
        ("y",),
        {"y": [[[1.0, -0.5, 0.25, 2.0]]]},
        {"stride": 2, "trim_right": 1},
    ),
    Example(
        "gru",
        "gru",
        "one input, one unit, two frames",
        {
            "x": [[[0.5], [-1.0]]],
            "w_ih": [[0.5], [-0.25], [0.75]],
            "w_hh": [[-0.5], [0.25], [1.0]],
            "b_ih": [0.1, -0.2, 0.3],
            "b_hh": [0.05, 0.15, -0.1],
            "h0": [[0.4]],
        },
        ("y", "h_n"),
        {"y": [[[1.0], [-0.5]]], "h_n": [[0.25]]},
    ),
    Example(
        "lstm",
        "lstm",
        "one input, one unit, two frames",
        {
            "x": [[[0.5], [-1.0]]],
            "w_ih": [[0.5], [-0.25], [0.75], [1.25]],
            "w_hh": [[-0.5], [0.25], [1.0], [-1.5]],
            "b_ih": [0.1, -0.2, 0.3, -0.4],
            "b_hh": [0.05, 0.15, -0.1, 0.35],
            "h0": [[0.4]],
            "c0": [[-0.6]],
        },
        ("y", "h_n", "c_n"),
        {"y": [[[1.0], [-0.5]]], "h_n": [[0.25]], "c_n": [[0.75]]},
    ),
    Example(
        "layer_norm",
        "layer_norm",
        "two frames of three channels",
        {"x": [[1.0, 2.0, 6.0], [-1.0, 0.5, 3.0]], "gamma": [0.5, -1.0, 2.0], "beta": [0.1, 0.2, -0.3]},
        ("y",),
        {"y": [[1.0, -0.25, 0.5], [2.0, 0.75, -1.5]]},
        {"eps": 0.25},
    ),
    Example(
        "linear",
        "linear",
        "two rows, two inputs, three outputs",
        {"x": [[1.0, -2.0], [0.5, 3.0]], "w": [[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]], "b": [0.1, -0.2, 0.3]},
        ("y",),
        {"y": [[1.0, -0.5, 0.25], [2.0, 0.75, -1.5]]},
    ),
    Example(
        "prelu",
        "prelu",
        "two channels with a slope each; one sample is zero",
        {"x": [[[1.0, -2.0], [0.0, -0.5]]], "a": [0.25, -0.5]},
        ("y",),
        {"y": [[[1.5, -1.0], [0.75, 2.0]]]},
    ),
    Example("sigmoid", "sigmoid", "two numbers", {"x": [0.5, -2.0]}, ("y",), {"y": [1.5, -0.5]}),
    Example("tanh", "tanh", "two numbers", {"x": [0.5, -2.0]}, ("y",), {"y": [1.5, -0.5]}),
    Example("softplus", "softplus", "two numbers", {"x": [0.5, -2.0]}, ("y",), {"y": [1.5, -0.5]}),
    Example(
        "reparameterise",
        "reparameterise",
        "two numbers",
        {"mu": [0.5, -1.0], "log_var": [0.4, -0.6], "eps": [1.5, -0.5]},
        ("z",),
        {"z": [2.0, -0.75]},
    ),
    Example(
        "memory_read",
        "memory",
        "one source, two time constants, two latents",
        {"m": [[[[0.5, -1.0], [0.25, 2.0]]]], "q": [[[[1.5, 3.0], [0.75, 4.0]]]]},
        ("r",),
        {"r": [[[1.0, -0.5, 0.25, 2.0, 0.75, -1.5, 3.0, -0.1]]]},
    ),
    Example(
        "memory_activity",
        "memory",
        "one source, two frames, two latents",
        {"mu": [[[[1.0, -2.0], [0.5, 0.25]]]]},
        ("a",),
        {"a": [[[1.5, -0.5]]]},
        {"e0": 0.5},
    ),
    Example(
        "memory_write",
        "memory",
        "one source, two time constants, two latents, three frames",
        {
            "m": [[[[0.5, -1.0], [0.25, 2.0]]]],
            "q": [[[[1.5, 3.0], [0.75, 4.0]]]],
            "mu": [[[[1.0, -2.0], [0.5, 0.25], [-1.5, 3.0]]]],
            "theta": [0.5, -1.0],
        },
        ("m_new", "q_new"),
        {"m_new": [[[[1.0, -0.5], [0.25, 2.0]]]], "q_new": [[[[0.75, -1.5], [3.0, -0.1]]]]},
        {"e0": 0.5, "delta": 0.1},
    ),
    Example(
        "adaptive_separator",
        "separator",
        "two sources, two frames, two channels, one unit, one latent, a reading of one number",
        {
            "x": [[[1.0, -2.0], [0.5, 3.0]]],
            "g": [[[0.75], [-0.5]]],
            "r": [[[0.25], [-1.0]]],
            "a": [[[0.5], [-1.0]], [[2.0], [0.25]]],
            "c": [[0.1, -0.2], [0.3, -0.4]],
            "read": [[0.6], [-0.8]],
            "v": [[1.5, -0.5], [0.75, 2.0]],
            "b": [0.05, -0.15],
        },
        ("mu", "l"),
        {"mu": [[[[1.0], [-0.5]], [[0.25], [2.0]]]], "l": [[[[0.75], [-1.5]], [[3.0], [-0.1]]]]},
    ),
    Example(
        "memory_separator",
        "memory_separator",
        "one source, three frames in blocks of two, one channel, one unit, one latent, one time constant",
        {
            "x": [[[1.0], [-2.0], [0.5]]],
            "g": [[[0.75], [-0.5], [1.5]]],
            "a": [[[0.5]]],
            "c": [[0.1]],
            "read": [[0.6, -0.8]],
            "v": [[1.5], [0.75]],
            "b": [0.05, -0.15],
            "m0": [[[[0.25]]]],
            "q0": [[[[2.0]]]],
            "theta": [0.4],
        },
        ("mu", "l", "m_blocks", "q_blocks"),
        {
            "mu": [[[[1.0], [-0.5], [0.25]]]],
            "l": [[[[0.75], [-1.5], [3.0]]]],
            "m_blocks": [[[[[0.3]], [[-0.7]], [[1.1]]]]],
            "q_blocks": [[[[[0.9]], [[0.2]], [[-0.4]]]]],
        },
        {"block": 2, "e0": 0.5, "delta": 0.1},
    ),
)
