"""A book of golden cases of one operator: what to draw, the formula, the known mistakes; and how a case is worked out.

Every value comes from the formula in mpmath arithmetic at 50 digits, rounded once to float64; gradients come from the
same formula in reverse. Inputs are multiples of 2^-18 below 4 in magnitude, so float32 holds them exactly. Tolerances
are MARGIN times the error that the formula itself makes in float32 and float64 arithmetic, never guessed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np
from number import BITS, EXACT_BITS, Named, differences, floats, numbers, pull

MARGIN = 16.0
"""Tolerance over measured error: room for another order of summation, other exponentials, other hardware."""
APART = 64.0
"""A mistake is stored in a case only where it is this many float32 tolerances away from the right answer."""

Formula = Callable[..., dict[str, Any]]


def draw(label: str, *shape: int, scale: float = 1.0, mean: float = 0.0) -> np.ndarray:
    """Uniform numbers in mean +- scale, equal on every machine: the bits are a hash of the label.

    ``scale`` and ``mean`` are multiples of 1/8 up to 2: then float32 holds every number exactly.
    """
    count = math.prod(shape)
    raw = np.frombuffer(hashlib.shake_128(label.encode()).digest(2 * count), dtype="<i2").astype(np.float64)
    values = mean + scale * (raw + 0.5) / 32768.0
    assert np.array_equal(values, values.astype(np.float32)), label
    return values.reshape(shape)


@dataclass(frozen=True)
class Case:
    """One named case: arrays by name, attributes of the call, and flags such as ``edge``.

    ``equations`` are the tags that the case pins, all of the book's where it is empty.
    ``kinks`` names arguments whose gradient is one-sided here, so that differences cannot judge it.
    """

    name: str
    arrays: Named
    attrs: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    equations: tuple[str, ...] = ()
    kinks: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadCase:
    """A call that must be refused: the changes to the first case, and why no answer is right."""

    name: str
    why: str
    arrays: Named = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mistake:
    """A convention that is known to be confused. ``says`` tells the one who made it what to change.

    Exactly one of the two is given. ``formula``: the wrong forward pass, called as the right one is.
    ``gradient``: maps (arrays as floats, cotangents, right gradients, attrs) to the wrong gradients.
    A formula returns None, or raises ValueError, where the mistake cannot be made (weights that are not square, say).
    ``known_by``: the outputs that are stored of a formula where some say nothing that others do not; all without it.
    """

    name: str
    says: str
    formula: Formula | None = None
    gradient: Callable[[Named, Named, Named, Mapping[str, Any]], Named] | None = None
    known_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Book:
    """All cases of one operator.

    ``formula(**arrays, **attrs)`` returns the outputs by name; arrays are object arrays of Numbers.
    ``inputs`` and ``params`` are the arguments in order, params under the names that PyTorch gives them.
    ``differentiable`` are those with a gradient; ``reported`` are outputs that take no cotangent.
    ``axes`` names the axes of every array, such as "B T I".
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    differentiable: tuple[str, ...]
    equations: tuple[str, ...]
    formula: Formula
    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...]
    bad_cases: tuple[BadCase, ...]
    generator: str
    axes: Mapping[str, str]
    params: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Everything that a case's files say beyond its question."""

    outputs: Named
    cotangents: Named
    grads: Named
    mistakes: dict[str, dict[str, Named]]
    measured: dict[str, dict[str, float]]
    tol: dict[str, dict[str, float]]


def run(book: Book, formula: Formula, case: Case, bits: int) -> tuple[dict[str, Any] | None, Named]:
    """Outputs as Numbers (None where the formula does not apply) and the arguments they were made from."""
    with mpmath.workprec(bits):
        arguments = {name: numbers(array) for name, array in case.arrays.items()}
        outputs = formula(**arguments, **case.attrs)
    return outputs, arguments


def solve(book: Book, formula: Formula, case: Case, cotangents: Named | None, bits: int) -> tuple[Named, Named, Named]:
    """Outputs, cotangents (drawn where none are given) and gradients, as floats, of arithmetic with so many bits."""
    outputs, arguments = run(book, formula, case, bits)
    assert outputs is not None, f"{book.op}/{case.name}"
    assert tuple(outputs) == book.outputs, f"{book.op}: {tuple(outputs)}"
    values = {name: floats(output) for name, output in outputs.items()}
    if cotangents is None:
        label = f"{book.op}/{case.name}/cotangent"
        cotangents = {n: draw(f"{label}/{n}", *v.shape) for n, v in values.items() if n not in book.reported}
    with mpmath.workprec(bits):
        wanted = {name: arguments[name] for name in book.differentiable}
        grads = pull([(outputs[name], cotangent) for name, cotangent in cotangents.items()], wanted)
    return values, cotangents, grads


def error(got: Named, wanted: Named) -> float:
    """Largest error of all arrays, each relative to its largest magnitude (absolute for an array of zeros)."""
    errors = [0.0]
    for name, array in wanted.items():
        if array.size:
            scale = np.max(np.abs(array))
            errors.append(float(np.max(np.abs(got[name] - array)) / (scale if scale > 0.0 else 1.0)))
    return max(errors)


def rounded_up(value: float) -> float:
    """Two significant digits, never below the value."""
    power = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / power) * power:.2g}")


def answer(book: Book, case: Case) -> Answer:
    """Work a case out."""
    outputs, cotangents, grads = solve(book, book.formula, case, None, EXACT_BITS)
    measured: dict[str, dict[str, float]] = {}
    tol: dict[str, dict[str, float]] = {}
    for dtype, bits in BITS.items():
        got, _, pulled = solve(book, book.formula, case, cotangents, bits)
        errors = {"outputs": error(got, outputs), "grads": error(pulled, grads)}
        measured[dtype] = {name: float(f"{value:.2g}") for name, value in errors.items()}
        tol[dtype] = {name: rounded_up(MARGIN * max(value, 2.0**-bits)) for name, value in errors.items()}
    mistakes = {}
    for mistake in book.mistakes:
        wrong = wrong_answers(book, mistake, case, outputs, cotangents, grads, tol["float32"])
        if wrong:
            mistakes[mistake.name] = wrong
    return Answer(outputs, cotangents, grads, mistakes, measured, tol)


def wrong_answers(
    book: Book, mistake: Mistake, case: Case, outputs: Named, cotangents: Named, grads: Named, tol: Mapping[str, float]
) -> dict[str, Named]:
    """What the mistake gives where that is far enough from right: {"outputs": ..} or {"grads": ..}, else nothing."""
    if mistake.gradient is not None:
        pulled = mistake.gradient(case.arrays, cotangents, grads, case.attrs)
        far = {n: g for n, g in pulled.items() if error({n: g}, {n: grads[n]}) > APART * tol["grads"]}
        return {"grads": far} if far else {}
    assert mistake.formula is not None, mistake.name
    try:
        made, _ = run(book, mistake.formula, case, EXACT_BITS)
    except (ValueError, ZeroDivisionError):
        return {}
    if made is None:
        return {}
    values = {name: floats(output) for name, output in made.items()}
    if any(values[name].shape != outputs[name].shape or not np.all(np.isfinite(values[name])) for name in outputs):
        return {}
    stored = {name: values[name] for name in mistake.known_by or values}
    far = {n: v for n, v in stored.items() if error({n: v}, {n: outputs[n]}) > APART * tol["outputs"]}
    return {"outputs": far} if far else {}


def proof(book: Book, case: Case) -> float:
    """Largest relative error of the case's gradients against differences, which use no rule of differentiation."""
    _, cotangents, grads = solve(book, book.formula, case, None, EXACT_BITS)
    worst = 0.0
    for name in book.differentiable:
        if name not in case.kinks:
            found = differences(lambda a: book.formula(**a, **case.attrs), case.arrays, cotangents, name)
            worst = max(worst, error({name: grads[name]}, {name: found}))
    return worst
