"""The doors, axis by axis: an array that is one entry too long on an axis which it shares with another is refused.

The table repeats the shapes of the operators' docstrings. The refusal has to come from the operator's own door and to
name it: behind the door the same sizes would end in an error of NumPy, in broadcasting, or in another operator.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from refbss._checks import InputError
from refbss._types import Array
from refbss.verification.registry import SPECS
from refbss.verification.spec import OpSpec

AXES = {
    "conv1d": {"x": "B C N", "w": "O C K", "b": "O"},
    "conv_transpose1d": {"x": "B C T", "w": "C O K", "b": "O"},
    "gru": {"x": "B T I", "w_ih": "3H I", "w_hh": "3H H", "b_ih": "3H", "b_hh": "3H", "h0": "B H"},
    "lstm": {"x": "B T I", "w_ih": "4H I", "w_hh": "4H H", "b_ih": "4H", "b_hh": "4H", "h0": "B H", "c0": "B H"},
    "layer_norm": {"x": "B T C", "gamma": "C", "beta": "C"},
    "linear": {"x": "B T I", "w": "O I", "b": "O"},
    "prelu": {"x": "B C N", "a": "C"},
    "reparameterise": {"mu": "B D", "log_var": "B D", "eps": "B D"},
    "memory_read": {"m": "B P K D", "q": "B P K D"},
    "memory_write": {"m": "B P K D", "q": "B P K D", "mu": "B P L D", "theta": "K"},
    "adaptive_separator": {
        "x": "B T M",
        "g": "B T H",
        "r": "B P R",
        "a": "P M H",
        "c": "P M",
        "read": "M R",
        "v": "2D M",
        "b": "2D",
    },
    "memory_separator": {
        "x": "B T M",
        "g": "B T H",
        "a": "P M H",
        "c": "P M",
        "read": "M 2KD",
        "v": "2D M",
        "b": "2D",
        "m0": "B P K D",
        "q0": "B P K D",
        "theta": "K",
    },
    "si_sdr": {"est": "B P N", "ref": "B J N"},
    "silent": {"est": "B P N", "mix": "B N"},
    "pit": {"cost": "B P P"},
    "softmax_assignment": {"cost": "B P J", "score": "B P J"},
    "sinkhorn_assignment": {"cost": "B P P"},
    "softmax_permutation": {"est": "B P N", "ref": "B J N"},
    "utterance_similarity": {"est": "B P N", "ref": "B J N"},
    "mixture_consistency": {"est": "B P N", "mix": "B N"},
    "gaussian_kl": {"mu": "B P D", "log_var": "B P D", "log_r": "B P D"},
    "fisher": {"mu": "B P D", "log_var": "B P D", "eps": "B P D"},
}
"""Axes of the arguments in the first case. Elsewhere and in fisher the rest may be of any size that broadcasts."""
ONE_ARGUMENT = {"sigmoid", "tanh", "softplus", "memory_activity"}
TIED = [
    pytest.param(name, argument, place, id=f"{name}-{argument}-axis{place}")
    for name, arguments in AXES.items()
    for argument, axes in arguments.items()
    for place, axis in enumerate(axes.split())
    if " ".join(arguments.values()).split().count(axis) > 1 or axis[0].isdigit()
]


def longer(array: Array, axis: int) -> Array:
    """The array with its first entry along an axis repeated behind the last one."""
    return np.concatenate([array, np.take(array, [0], axis)], axis)


def test_every_operator_is_in_the_table() -> None:
    assert set(AXES) | ONE_ARGUMENT == set(SPECS)


@pytest.mark.parametrize(("name", "argument", "place"), TIED)
def test_an_axis_too_long_is_refused_at_the_door(name: str, argument: str, place: int) -> None:
    spec, case = SPECS[name], SPECS[name].cases[0]
    arrays = spec.draw(case, 0, "float64")
    with pytest.raises(InputError, match=rf"^{name}: \w+ has shape .*, wanted "):
        spec.run({**arrays, argument: longer(arrays[argument], place)}, case.attributes)


CALLS = [pytest.param(spec, id=name) for name, spec in SPECS.items()]


@pytest.mark.parametrize("spec", CALLS)
def test_a_refused_cotangent_names_the_shape_of_the_output(spec: OpSpec) -> None:
    for case in spec.cases:
        outputs, cache = spec.run(spec.draw(case, 0, "float64"), case.attributes)
        cotangents = spec.draw_cotangents(case, 0, outputs)
        for name, cotangent in cotangents.items():
            for axis in range(cotangent.ndim):
                wrong = {**cotangents, name: longer(cotangent, axis)}
                shape = re.escape(f"wanted {cotangent.shape} as the output has")
                with pytest.raises(InputError, match=rf"^{spec.name} backward: \w+ has shape .*{shape}$"):
                    spec.pull(wrong, cache)


@pytest.mark.parametrize("spec", CALLS)
def test_no_result_is_a_view_of_another(spec: OpSpec) -> None:
    """A caller may change what it was given: no other output or gradient changes with it."""
    for case in spec.cases:
        outputs, cache = spec.run(spec.draw(case, 0, "float64"), case.attributes)
        grads = spec.pull(spec.draw_cotangents(case, 0, outputs), cache)
        for results in (list(outputs.items()), list(grads.items())):
            for index, (name, array) in enumerate(results):
                for other, behind in results[:index]:
                    assert not np.shares_memory(array, behind), f"{spec.name}: {name} shares memory with {other}"
