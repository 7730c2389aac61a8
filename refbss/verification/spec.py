"""OpSpec: the declaration that drives every check of one operator or loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.verification.draw import generator

Arrays = dict[str, Array]
Forward = Callable[..., tuple[Any, ...]]
Backward = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One named input: how to draw the arrays (float64, by name, in order) and the attributes of the call."""

    name: str
    draw: Callable[[np.random.Generator], Arrays]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    linear: tuple[str, ...] | None = None
    """Arguments the op is linear (or affine) in for this case; None takes those of the spec."""


@dataclass(frozen=True)
class BadCall:
    """A call that must fail: changes to the first case's arrays and attributes, and the message wanted."""

    name: str
    match: str
    arrays: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A subtle mistake planted on purpose. ``plant`` maps (forward, backward) to a faulty pair.

    ``caught_by`` is the first rung of the ladder that fails on it.
    """

    description: str
    caught_by: str
    plant: Callable[[Forward, Backward], tuple[Forward, Backward]]


@dataclass(frozen=True)
class Tolerances:
    """Largest errors allowed, each relative to the largest magnitude of the array it is about.

    Defaults. oracle64: a few hundred float64 roundings of sums of some ten terms. oracle32, gradient32: the inputs
    are equal and sums run in float64, so what is left is the rounding of cached activations and of the result, each
    6e-8. gradient64: truncation and rounding of the differences are near 1e-10; this leaves room. layout64, layout32:
    another memory layout makes NumPy and BLAS sum in another order, a few float64 roundings, at most one of the
    result. jit_ulps: in units of the last place of the array's largest magnitude; 0 is bitwise.
    ``reason`` says why a spec departs from a default.
    """

    oracle64: float = 1e-13
    oracle32: float = 2.5e-7
    gradient64: float = 1e-7
    gradient32: float = 5e-7
    layout64: float = 1e-14
    layout32: float = 1.2e-7
    jit_ulps: int = 0
    reason: str = ""


@dataclass(frozen=True)
class OpSpec:
    """Everything the ladder needs to judge one forward and backward pair.

    Args:
        name: the op's name, ``<name>_forward`` in the code.
        forward, backward: the pair under test.
        oracle: maps the same arguments (float64) to the tuple of outputs, sharing no line with the code under test.
        outputs: names of the outputs in order.
        differentiable: array arguments with a field ``d<name>`` in the gradients, in the order of the fields.
        cases: inputs; the first one is the base of the bad calls.
        faults: planted mistakes which the ladder must catch.
        reported: outputs that take no cotangent (a report beside a loss).
        linear: arguments in which the op is linear or affine: their adjoint is tested.
        bad_calls: calls that must raise InputError, beyond those that the ladder makes for every array.
        free_axes: arrays whose number of axes is free, so one axis more is no error.
        step: largest step of the differences.
    """

    name: str
    forward: Forward
    backward: Backward
    oracle: Callable[..., tuple[Array, ...]]
    outputs: tuple[str, ...]
    differentiable: tuple[str, ...]
    cases: tuple[Case, ...]
    faults: tuple[Fault, ...]
    reported: tuple[str, ...] = ()
    linear: tuple[str, ...] = ()
    bad_calls: tuple[BadCall, ...] = ()
    free_axes: tuple[str, ...] = ()
    step: float = 2e-3
    tolerances: Tolerances = field(default_factory=Tolerances)

    @property
    def pulled(self) -> tuple[str, ...]:
        """Outputs whose cotangents the backward pass takes."""
        return tuple(name for name in self.outputs if name not in self.reported)

    def case(self, name: str) -> Case:
        """Return the case of that name. Raises KeyError."""
        return {case.name: case for case in self.cases}[name]

    def draw(self, case: Case, seed: int, dtype: str) -> Arrays:
        """Draw the arrays of a case, rounded to ``dtype``."""
        arrays = case.draw(generator(seed, self.name, case.name))
        return {name: np.array(array, dtype=dtype, order="C") for name, array in arrays.items()}

    def draw_cotangents(self, case: Case, seed: int, outputs: Arrays) -> Arrays:
        """Draw a random cotangent for every output that takes one, of that output's shape and dtype."""
        rng = generator(seed, self.name, case.name, "cotangents")
        pairs = ((name, outputs[name]) for name in self.pulled)
        return {name: np.asarray(rng.standard_normal(out.shape), dtype=out.dtype) for name, out in pairs}

    def run(self, arrays: Mapping[str, Any], attributes: Mapping[str, Any]) -> tuple[Arrays, Any]:
        """Call the forward pass. Returns the outputs by name and the cache."""
        *outputs, cache = self.forward(*arrays.values(), **attributes)
        if len(outputs) != len(self.outputs):
            raise AssertionError(f"{self.name}: {len(outputs)} outputs, wanted {len(self.outputs)}: {self.outputs}")
        return dict(zip(self.outputs, outputs, strict=True)), cache

    def pull(self, cotangents: Mapping[str, Any], cache: Any) -> Arrays:
        """Call the backward pass. Returns the gradients by the name of the argument."""
        grads = self.backward(*(cotangents[name] for name in self.pulled), cache)
        wanted = tuple(f"d{name}" for name in self.differentiable)
        if grads._fields != wanted:
            raise AssertionError(f"{self.name}: gradients are named {grads._fields}, wanted {wanted}")
        return dict(zip(self.differentiable, grads, strict=True))

    def planted(self, fault: Fault) -> OpSpec:
        """Return the same spec with a fault in place of the code under test."""
        forward, backward = fault.plant(self.forward, self.backward)
        return replace(self, forward=forward, backward=backward)
