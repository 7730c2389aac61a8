"""Numbers that remember how they were made: mpmath arithmetic at any precision, and derivatives in reverse.

A formula written with NumPy on object arrays of :class:`Number` (+ - * / **, np.exp, np.log, np.tanh, np.sqrt, np.sum,
np.where, @) runs at the precision of ``mpmath.mp``: at 50 digits it gives the golden value, at 24 or 53 bits it shows
the error that float32 or float64 arithmetic makes with the same formula. ``pull`` gives the derivatives;
``differences`` gives them a second time without any rule of differentiation, to judge ``pull`` by.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

DIGITS = 50
EXACT_BITS = 170  # a little more than 50 digits
BITS = {"float32": 24, "float64": 53}

Named = dict[str, np.ndarray]
_order = itertools.count()


class Number:
    """A value and, for every number that it was made from, the partial derivative."""

    __slots__ = ("gradient", "made_from", "order", "value")

    def __init__(self, value: Any, made_from: tuple[tuple[Number, Any], ...] = ()) -> None:
        self.value = mpf(value)
        self.made_from = made_from
        self.order = next(_order)
        self.gradient = mpf(0)

    def __add__(self, other: Any) -> Number:
        if isinstance(other, Number):
            return Number(self.value + other.value, ((self, 1), (other, 1)))
        return Number(self.value + mpf(other), ((self, 1),))

    __radd__ = __add__

    def __neg__(self) -> Number:
        return Number(-self.value, ((self, -1),))

    def __sub__(self, other: Any) -> Number:
        if isinstance(other, Number):
            return Number(self.value - other.value, ((self, 1), (other, -1)))
        return Number(self.value - mpf(other), ((self, 1),))

    def __rsub__(self, other: Any) -> Number:
        return Number(mpf(other) - self.value, ((self, -1),))

    def __mul__(self, other: Any) -> Number:
        if isinstance(other, Number):
            return Number(self.value * other.value, ((self, other.value), (other, self.value)))
        return Number(self.value * mpf(other), ((self, mpf(other)),))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Number:
        if isinstance(other, Number):
            ratio = self.value / other.value
            return Number(ratio, ((self, 1 / other.value), (other, -ratio / other.value)))
        return Number(self.value / mpf(other), ((self, 1 / mpf(other)),))

    def __rtruediv__(self, other: Any) -> Number:
        ratio = mpf(other) / self.value
        return Number(ratio, ((self, -ratio / self.value),))

    def __pow__(self, other: Any) -> Number:
        if isinstance(other, Number):
            return (other * self.log()).exp()
        return Number(self.value**other, ((self, other * self.value ** (other - 1)),))

    def __abs__(self) -> Number:
        return Number(abs(self.value), ((self, mp.sign(self.value)),))

    def exp(self) -> Number:
        value = mp.exp(self.value)
        return Number(value, ((self, value),))

    def log(self) -> Number:
        return Number(mp.log(self.value), ((self, 1 / self.value),))

    def sqrt(self) -> Number:
        value = mp.sqrt(self.value)
        return Number(value, ((self, 1 / (2 * value)),))

    def tanh(self) -> Number:
        value = mp.tanh(self.value)
        return Number(value, ((self, 1 - value * value),))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < value_of(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= value_of(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > value_of(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= value_of(other))

    def __float__(self) -> float:
        return float(self.value)


def value_of(number: Any) -> Any:
    """The value of a Number, or a constant as it is."""
    return number.value if isinstance(number, Number) else number


def partials(number_of: Callable[[int, int], Any], u: Number, shape: Number, order: int) -> Number:
    """A function of two numbers that is known by its partial derivatives: number_of(i, j) = d^i/du^i d^j/dshape^j.

    Returns the derivative of that order by u, which in turn knows its own derivatives by u and by shape.
    """
    made_from = ((u, number_of(order + 1, 0)), (shape, number_of(order, 1)))
    return Number(number_of(order, 0), made_from)


def numbers(array: np.ndarray) -> np.ndarray:
    """An object array of Numbers with the exact values of a float array."""
    made = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        made[index] = Number(float(array[index]))
    return made


def floats(array: Any) -> np.ndarray:
    """The nearest float64 of every number of an array."""
    array = np.asarray(array, dtype=object)
    made = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        made[index] = float(value_of(array[index]))
    return made


def pull(outputs: Iterable[tuple[np.ndarray, np.ndarray]], arguments: Named) -> Named:
    """Gradients of sum <cotangent, output> by every argument, in float64 after arithmetic at mp's precision.

    Args:
        outputs: pairs (output as Numbers, cotangent as floats of its shape).
        arguments: the arrays of Numbers that the outputs were made from.
    """
    reached: dict[int, Number] = {}
    waiting: list[Number] = []
    for output, cotangent in outputs:
        for number, weight in zip(np.asarray(output, dtype=object).ravel(), np.ravel(cotangent), strict=True):
            if not isinstance(number, Number):
                continue
            if number.order not in reached:
                reached[number.order] = number
                number.gradient = mpf(0)
                waiting.append(number)
            number.gradient += mpf(float(weight))
    while waiting:
        for parent, _ in waiting.pop().made_from:
            if parent.order not in reached:
                reached[parent.order] = parent
                parent.gradient = mpf(0)
                waiting.append(parent)
    for order in sorted(reached, reverse=True):
        number = reached[order]
        for parent, partial in number.made_from:
            parent.gradient += number.gradient * partial
    found: Named = {}
    for name, array in arguments.items():
        found[name] = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            known = array[index].order in reached
            found[name][index] = float(array[index].gradient) if known else 0.0
    return found


def differences(
    formula: Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]], arrays: Named, cotangents: Named, name: str
) -> np.ndarray:
    """Gradient by one argument from central differences at twice the digits: error about 1e-40, no rule used.

    ``formula`` maps arrays of Numbers to outputs, ``arrays`` and ``cotangents`` are floats.
    """
    with mpmath.workdps(2 * DIGITS):
        step = mpf(10) ** -(DIGITS - 10)
        exact = {key: numbers(array) for key, array in arrays.items()}

        def total() -> Any:
            outputs = formula(exact)
            pairs = ((outputs[key], cotangents[key]) for key in cotangents)
            return sum(
                value_of(y) * mpf(float(c))
                for output, cotangent in pairs
                for y, c in zip(np.asarray(output, dtype=object).ravel(), np.ravel(cotangent), strict=True)
            )

        found = np.empty(arrays[name].shape)
        for index in np.ndindex(found.shape):
            middle = exact[name][index]
            exact[name][index] = Number(middle.value + step)
            above = total()
            exact[name][index] = Number(middle.value - step)
            below = total()
            exact[name][index] = middle
            found[index] = float((above - below) / (2 * step))
        return found
