"""Simple changes of a golden array: a factor, an offset, axes in another order, one step too late, a piece too long.

They are compared with what came, so that a failure can say how far off it is in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np

from refbss._types import Array
from refbss.conformance.vectors import Arrays, Vector
from refbss.verification.compare import worst

SINGLE_PRECISION = (1e-9, 1e-5)
"""Error in a float64 run that something computed in float32 may have."""
MOST_LEFT = 0.25
"""A form leaves at most this share of the error, or it explains nothing."""
NEAR_ONE = 1e-3
"""A factor this close to 1 is written as 1 and what it is off by."""
MOST_SLICES = 256
"""Longer axes are not searched for a changed order."""
MOST_MEANINGS = 4
"""So many meanings of a factor are named."""


class Form(NamedTuple):
    """A simple change of the golden array, and the error that is left when it is made."""

    name: str
    says: str
    """Two forms with one name are one reason only if they say the same."""
    error: float
    detail: str = ""
    """What it is in this case, where ``says`` is too general."""
    sure: bool = True
    """False: it fits, but so does a simpler form, or the array is too small to tell."""


class Question(NamedTuple):
    """One wrong array: what came, as float64, and what was wanted."""

    vector: Vector
    kind: str
    name: str
    got: Array
    wanted: Array
    near: float


def is_numbers(got: Array) -> bool:
    """Whether an array holds finite real numbers alone."""
    return got.dtype.kind in "fiu" and bool(np.all(np.isfinite(got)))


def same(got: Array, wanted: Array) -> float:
    """The error of got against wanted, infinite where shapes differ or got has no real numbers."""
    if np.shape(got) != np.shape(wanted) or np.asarray(got).dtype.kind not in "fiu":
        return math.inf
    with np.errstate(all="ignore"):
        return worst(got, wanted).error


def forms_of(vector: Vector, kind: str, name: str, got: Array, near: float, dtype: str) -> list[Form]:
    """Changes of the golden array that give what came within ``near``.

    Those of the first kind that fits are sure; what fits besides is there to be compared with other cases.
    """
    if not is_numbers(got):
        return []
    with np.errstate(all="ignore"):
        wanted: Array = getattr(vector, kind)[name]
        asked = Question(vector, kind, name, got.astype(np.float64), wanted, near)
        if got.shape != wanted.shape:
            return _in_doubt_after_the_first([list(_other(asked)), list(_of_another_shape(asked))])
        error = same(got, wanted)
        if error <= near:  # only the dtype is wrong
            return []
        left = min(near, MOST_LEFT * error)
        changes = (_zero, _other, _factor, _offset, _shift, _order)
        kinds = [[form for form in change(asked) if form.error <= left] for change in changes]
        if dtype == "float64" and SINGLE_PRECISION[0] < error < SINGLE_PRECISION[1]:
            kinds.append(list(_single_precision(asked.got, error)))
        return _in_doubt_after_the_first(kinds)


def _in_doubt_after_the_first(kinds: Iterable[list[Form]]) -> list[Form]:
    """Of several kinds of forms, those after the first with a sure one are not sure."""
    found: list[Form] = []
    for forms in kinds:
        settled = any(form.sure for form in found)
        found += [form._replace(sure=form.sure and not settled) for form in forms]
    return found


def _zero(asked: Question) -> Iterator[Form]:
    if not np.any(asked.got):
        yield Form("zero", "all zeros" + ", as if nothing depended on it" * (asked.kind == "grads"), 0.0)


def _other(asked: Question) -> Iterator[Form]:
    """Another array of the case."""
    golden: Arrays = getattr(asked.vector, asked.kind)
    others = golden if asked.kind == "grads" else golden | asked.vector.inputs
    for other, array in others.items():
        if other != asked.name and np.any(asked.got) and same(asked.got, array) <= asked.near:
            whose = f"gradient of {other}" if asked.kind == "grads" else other
            yield Form(f"equals-{other}", f"it is the case's {whose}", same(asked.got, array))
            return


def _single_precision(got: Array, error: float) -> Iterator[Form]:
    """Numbers that all fit in float32 were kept in it, unless they are so simple that they would fit anyway."""
    kept, simple = (np.array_equal(got, got.astype(dtype)) for dtype in (np.float32, np.float16))
    says = "right to float32 only, and every number fits in float32: something is computed or kept in it"
    careful = "agrees to about single precision: something is computed in float32, or a small constant (eps) differs"
    if kept:
        yield Form("single-precision", says, error, sure=not simple)
    yield Form("single-precision", careful, error, sure=not kept or simple)


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
    for base in (2, 10):
        rarer |= {f"1/ln {base}": 1.0 / math.log(base), f"ln {base}": math.log(base)}
    for a, b in combinations(sizes, 2):
        rarer |= {f"1/({a} {b})": 1.0 / (sizes[a] * sizes[b]), f"{a} {b}": float(sizes[a] * sizes[b])}
    for letter, size in sizes.items():
        rarer |= {f"{letter}/({letter} - 1)": size / (size - 1.0), f"({letter} - 1)/{letter}": (size - 1.0) / size}
    fitting = [
        [text for text, value in known.items() if abs(factor - value) <= 1e-5 * value] for known in (simple, rarer)
    ]
    return (fitting[0] or fitting[1])[:MOST_MEANINGS]


def _factor(asked: Question) -> Iterator[Form]:
    got, wanted = asked.got, asked.wanted
    energy = float(np.sum(np.square(wanted)))
    if energy == 0.0:
        return
    factor, sizes = float(np.sum(got * wanted)) / energy, _sizes(asked.vector)
    error = same(got, factor * wanted)
    sign = "-" if factor < 0.0 else ""
    known = [f"{sign}{text}" for text in _meanings(abs(factor), sizes)]
    if known[:1] == ["-1"]:
        yield Form("factor -1", "the sign is the other way", error)
    elif known[:1] == ["1"] or not known:
        several = int(np.count_nonzero(np.abs(wanted) > 1e-3 * np.max(np.abs(wanted)))) > 1
        says = f"{_number(factor, 4)} times what it should be"
        yield Form("factor", says, error, f"{_number(factor, 6)} times what it should be", sure=several)
    else:
        used = [f"{letter} = {size}" for letter, size in sizes.items() if any(letter in text for text in known)]
        where = f" ({', '.join(used)})" if used else ""
        detail = f"{factor:.6g} times what it should be: {' or '.join(known)}{where}"
        for text in known:
            yield Form(f"factor {text}", f"{text} times what it should be", error, detail)


def _number(factor: float, digits: int) -> str:
    """A factor in so many digits; of one close to 1, what it is off by in fewer."""
    off = factor - 1.0
    near = abs(off) < NEAR_ONE
    return f"1 {'-' if off < 0.0 else '+'} {abs(off):.{digits - 2}g}" if near else f"{factor:.{digits}g}"


def _offset(asked: Question) -> Iterator[Form]:
    offset = float(np.mean(asked.got - asked.wanted))
    says, detail = (f"what it should be plus {offset:.{digits}g} everywhere" for digits in (4, 6))
    yield Form("offset", says, same(asked.got, asked.wanted + offset), detail, sure=asked.wanted.size > 1)


def _order(asked: Question) -> Iterator[Form]:
    got, wanted = asked.got, asked.wanted
    words = _axes(asked.vector, asked.name, wanted)
    for order in permutations(range(wanted.ndim)):
        turned = wanted.transpose(order)
        if order != tuple(range(wanted.ndim)) and turned.shape == got.shape:
            yield Form("axes-in-another-order", _turned(words, order), same(got, turned))
    for axis, word in enumerate(words):
        yield Form(f"reversed {word}", f"{word} runs backwards", same(got, np.flip(wanted, axis)))
    for axis, word in enumerate(words):
        rows = _rows(np.moveaxis(got, axis, 0), np.moveaxis(wanted, axis, 0))
        if rows is not None and rows != sorted(rows, reverse=True):
            detail = f"along {word} in the order {rows} of what it should be"
            taken = np.take(wanted, rows, axis)
            yield Form(f"permuted {word}", f"another order along {word}", same(got, taken), detail)


def _turned(words: Sequence[str], order: Sequence[int]) -> str:
    return f"its axes look like ({' '.join(words[axis] for axis in order)}), wanted ({' '.join(words)})"


def _rows(got: Array, wanted: Array) -> list[int] | None:
    """The order of wanted's rows that comes closest to got's, if it is one and not the right one."""
    if len(wanted) > MOST_SLICES:
        return None
    order = [int(np.argmin([np.max(np.abs(row - other)) for other in wanted])) for row in got]
    return order if sorted(order) == list(range(len(wanted))) != order else None


def _shift(asked: Question) -> Iterator[Form]:
    for axis, word in enumerate(_axes(asked.vector, asked.name, asked.wanted)):
        sure = asked.wanted.shape[axis] > 2
        mine, golden = np.moveaxis(asked.got, axis, 0), np.moveaxis(asked.wanted, axis, 0)
        yield Form(f"late by one {word}", f"one step late along {word}", same(mine[1:], golden[:-1]), sure=sure)
        yield Form(f"early by one {word}", f"one step early along {word}", same(mine[:-1], golden[1:]), sure=sure)


def _of_another_shape(asked: Question) -> Iterator[Form]:
    """Explanations of a wrong shape: axes swapped, a piece too much or too little, an axis too many, a sum, a mean."""
    got, wanted, near = asked.got, asked.wanted, asked.near
    words = _axes(asked.vector, asked.name, wanted)
    if got.ndim == wanted.ndim:
        yield from (form for form in _lengths(asked.vector, words, got, wanted) if form.error <= near)
        turned = [order for order in permutations(range(wanted.ndim)) if wanted.transpose(order).shape == got.shape]
        if turned:
            error, order = min((same(got, wanted.transpose(order)), order) for order in turned)
            yield _partly("axes-in-another-order", _turned(words, order), "turned round", error, near)
    elif [size for size in got.shape if size != 1] == [size for size in wanted.shape if size != 1]:
        says = f"an axis of size 1 too {'many' if got.ndim > wanted.ndim else 'few'}"
        yield _partly("axis-of-size-one", says, "otherwise", same(got.reshape(wanted.shape), wanted), near)
    ways: Mapping[str, Callable[..., Any]] = {"mean": np.mean, "sum": np.sum}
    long = [axis for axis, size in enumerate(wanted.shape) if size > 1]
    for over in dict.fromkeys([*((axis,) for axis in long), tuple(long)]):
        for how, reduced in ways.items():
            error = same(got, reduced(wanted, axis=over)) if over else math.inf
            if error <= near:
                said = f"{how} over {' '.join(words[axis] for axis in over)}"
                yield Form(said, f"it is the {said} of what is wanted", error)
                return


def _partly(name: str, says: str, after: str, error: float, near: float) -> Form:
    """What may be but a part of what is wrong."""
    if error <= near:
        return Form(name, says, error, f"{says}; {after} it agrees")
    return Form(name, f"{says}; {after} it still differs", error, f"{says}; {after} it still differs by {error:.1e}")


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
