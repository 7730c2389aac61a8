"""Simple changes of a golden array: a factor, an offset, axes in another order, one step too late, a piece too long.

They are compared with what came, so that a failure can say how far off it is in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np

from refbss._types import Array
from refbss.conformance.vectors import Arrays, Vector
from refbss.verification.compare import worst

SINGLE_PRECISION = (1e-9, 1e-5)
"""Error in a float64 run that says that something was computed in float32."""
MOST_SLICES = 256
"""Longer axes are not searched for a changed order."""
MOST_MEANINGS = 4
"""So many meanings of a factor are named."""


class Form(NamedTuple):
    """A simple change of the golden array, and the error that is left when it is made."""

    name: str
    says: str
    error: float
    detail: str = ""
    """What it is in this case, where ``says`` is too general."""


def same(got: Array, wanted: Array) -> float:
    """The error of got against wanted, infinite where shapes differ."""
    return worst(got, wanted).error if np.shape(got) == np.shape(wanted) else math.inf


def forms_of(vector: Vector, kind: str, name: str, got: Array, near: float, dtype: str) -> Iterator[Form]:
    """Changes of the golden array that give what came within ``near``: those of the first kind that fits."""
    golden: Arrays = getattr(vector, kind)
    wanted = golden[name]
    if got.dtype.kind not in "fiu" or not np.all(np.isfinite(got)):
        return
    if got.shape != wanted.shape:
        yield from _of_another_shape(vector, name, got, wanted, near)
        return
    error = same(got, wanted)
    if error <= near:  # only the dtype is wrong
        return
    if not np.any(got):
        yield Form("zero", "all zeros" + ", as if nothing depended on it" * (kind == "grads"), 0.0)
        return
    if dtype == "float64" and SINGLE_PRECISION[0] < error < SINGLE_PRECISION[1]:
        yield Form("single-precision", "right to float32 only: something is computed or kept in float32", error)
        return
    others = golden if kind == "grads" else golden | vector.inputs
    for other, array in others.items():
        if other != name and same(got, array) <= near:
            whose = f"gradient of {other}" if kind == "grads" else other
            yield Form(f"equals-{other}", f"it is the case's {whose}", same(got, array))
            return
    for change in (_factor, _offset, _shift, _order):
        found = [form for form in change(vector, name, got, wanted) if form.error <= near]
        if found:
            yield from found
            return


def _axes(vector: Vector, name: str, array: Array) -> list[str]:
    """A word for every axis of an array."""
    letters = vector.axes.get(name, "").split()
    if letters[:1] == ["..."]:
        letters = [f"axis {axis}" for axis in range(array.ndim - len(letters) + 1)] + letters[1:]
    return letters if len(letters) == array.ndim else [f"axis {axis}" for axis in range(array.ndim)]


def _sizes(vector: Vector) -> dict[str, int]:
    """The size of every axis that has a letter, above 1."""
    sizes = {}
    for name, array in (vector.inputs | vector.params | vector.outputs).items():
        for letter, size in zip(_axes(vector, name, array), array.shape, strict=True):
            if letter.isalpha() and size > 1:
                sizes[letter] = size
    return sizes


def _meanings(factor: float, sizes: Mapping[str, int]) -> list[str]:
    """What a factor above 0 may be: 1/T is a mean in place of a sum over T. Rarer ones only if no simple one fits."""
    simple = {"1": 1.0, "2": 2.0, "1/2": 0.5}
    for letter, size in sizes.items():
        simple |= {f"1/{letter}": 1.0 / size, letter: float(size)}
    neper = 10.0 / math.log(10.0)
    rarer = {"10/ln 10": neper, "ln 10/10": 1.0 / neper, "20/ln 10": 2.0 * neper, "ln 10/20": 0.5 / neper}
    rarer |= {"1/ln 2": 1.0 / math.log(2.0), "ln 2": math.log(2.0)}
    for a, b in combinations(sizes, 2):
        rarer |= {f"1/({a} {b})": 1.0 / (sizes[a] * sizes[b]), f"{a} {b}": float(sizes[a] * sizes[b])}
    for letter, size in sizes.items():
        rarer |= {f"{letter}/({letter} - 1)": size / (size - 1.0), f"({letter} - 1)/{letter}": (size - 1.0) / size}
    fitting = [
        [text for text, value in known.items() if abs(factor - value) <= 1e-5 * value] for known in (simple, rarer)
    ]
    return (fitting[0] or fitting[1])[:MOST_MEANINGS]


def _factor(vector: Vector, name: str, got: Array, wanted: Array) -> Iterator[Form]:
    energy = float(np.sum(np.square(wanted)))
    if energy == 0.0:
        return
    factor, sizes = float(np.sum(got * wanted)) / energy, _sizes(vector)
    error = same(got, factor * wanted)
    sign = "-" if factor < 0.0 else ""
    known = [f"{sign}{text}" for text in _meanings(abs(factor), sizes)]
    if known[:1] == ["-1"]:
        yield Form("factor -1", "the sign is the other way", error)
    elif known:
        used = [f"{letter} = {size}" for letter, size in sizes.items() if any(letter in text for text in known)]
        where = f" ({', '.join(used)})" if used else ""
        detail = f"{factor:.6g} times what it should be: {' or '.join(known)}{where}"
        for text in known:
            yield Form(f"factor {text}", f"{text} times what it should be", error, detail)
    elif np.count_nonzero(np.abs(wanted) > 1e-3 * np.max(np.abs(wanted))) > 1:
        yield Form("factor", "a constant factor", error, f"{factor:.6g} times what it should be")


def _offset(vector: Vector, name: str, got: Array, wanted: Array) -> Iterator[Form]:
    if wanted.size > 1:
        offset = float(np.mean(got - wanted))
        detail = f"what it should be plus {offset:.6g} everywhere"
        yield Form("offset", "a constant is added", same(got, wanted + offset), detail)


def _order(vector: Vector, name: str, got: Array, wanted: Array) -> Iterator[Form]:
    words = _axes(vector, name, wanted)
    for order in permutations(range(wanted.ndim)):
        turned = wanted.transpose(order)
        if order != tuple(range(wanted.ndim)) and turned.shape == got.shape:
            axes = " ".join(words[axis] for axis in order)
            says = f"its axes are ({axes}), wanted ({' '.join(words)})"
            yield Form("axes-in-another-order", says, same(got, turned))
    for axis, word in enumerate(words):
        yield Form(f"reversed {word}", f"{word} runs backwards", same(got, np.flip(wanted, axis)))
    for axis, word in enumerate(words):
        rows = _rows(np.moveaxis(got, axis, 0), np.moveaxis(wanted, axis, 0))
        if rows is not None:
            detail = f"along {word} in the order {rows} of what it should be"
            yield Form(
                f"permuted {word}", f"another order along {word}", same(got, np.take(wanted, rows, axis)), detail
            )


def _rows(got: Array, wanted: Array) -> list[int] | None:
    """The order of wanted's rows that comes closest to got's, if it is one and not the right one."""
    if len(wanted) > MOST_SLICES:
        return None
    order = [int(np.argmin([np.max(np.abs(row - other)) for other in wanted])) for row in got]
    return order if sorted(order) == list(range(len(wanted))) != order else None


def _shift(vector: Vector, name: str, got: Array, wanted: Array) -> Iterator[Form]:
    for axis, word in enumerate(_axes(vector, name, wanted)):
        if wanted.shape[axis] > 2:
            mine, golden = np.moveaxis(got, axis, 0), np.moveaxis(wanted, axis, 0)
            yield Form(f"late by one {word}", f"one step late along {word}", same(mine[1:], golden[:-1]))
            yield Form(f"early by one {word}", f"one step early along {word}", same(mine[:-1], golden[1:]))


def _of_another_shape(vector: Vector, name: str, got: Array, wanted: Array, near: float) -> Iterator[Form]:
    """Explanations of a wrong shape: axes swapped, a piece too much or too little, an axis too many, a sum, a mean."""
    words = _axes(vector, name, wanted)
    if got.ndim == wanted.ndim:
        yield from (form for form in _lengths(vector, words, got, wanted) if form.error <= near)
        turned = [order for order in permutations(range(wanted.ndim)) if wanted.transpose(order).shape == got.shape]
        if turned:
            error, order = min((same(got, wanted.transpose(order)), order) for order in turned)
            after = "turned round it agrees" if error <= near else f"turned round it still differs by {error:.1e}"
            says = f"its axes look like ({' '.join(words[axis] for axis in order)}), wanted ({' '.join(words)})"
            yield Form("axes-in-another-order", says, error, f"{says}; {after}")
    elif [size for size in got.shape if size > 1] == [size for size in wanted.shape if size > 1]:
        error = same(got.reshape(wanted.shape), wanted)
        after = "; otherwise it agrees" if error <= near else f"; without it, it still differs by {error:.1e}"
        says = f"an axis of size 1 too {'many' if got.ndim > wanted.ndim else 'few'}"
        yield Form("axis-of-size-one", says, error, says + after)
    ways: Mapping[str, Callable[..., Any]] = {"mean": np.mean, "sum": np.sum}
    for over in [*((axis,) for axis in range(wanted.ndim)), tuple(range(wanted.ndim))]:
        for how, reduced in ways.items():
            error = same(got, reduced(wanted, axis=over))
            if error <= near:
                said = f"{how} over {' '.join(words[axis] for axis in over)}"
                yield Form(said, f"it is the {said} of what is wanted", error)
                return


def _lengths(vector: Vector, words: list[str], got: Array, wanted: Array) -> Iterator[Form]:
    """What is right but for a piece too much, or too little, at one end of one axis."""
    different = [axis for axis in range(wanted.ndim) if got.shape[axis] != wanted.shape[axis]]
    if len(different) != 1 or 0 in got.shape:
        return
    mine, golden = np.moveaxis(got, different[0], 0), np.moveaxis(wanted, different[0], 0)
    gap, word = len(mine) - len(golden), words[different[0]]
    how = "too many" if gap > 0 else "missing"
    attrs = [name for name, value in vector.attrs.items() if type(value) is int and value == abs(gap)]
    which = f"{abs(gap)} {word}{''.join(f' ({name})' for name in attrs)}"
    if gap > 0:
        ends = {"end": same(mine[:-gap], golden), "beginning": same(mine[gap:], golden)}
    else:
        ends = {"end": same(mine, golden[:gap]), "beginning": same(mine, golden[-gap:])}
    for end, error in ends.items():
        says = f"{how} at the {end} of {word}"
        yield Form(says, says, error, f"{which} {how} at the {end}, the rest agrees")
