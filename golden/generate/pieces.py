"""Pieces that several books share: the logistic function, values without their history, gradients of wrong formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
from book import Formula
from number import EXACT_BITS, Named, Number, numbers, pull, value_of

Gradient = Callable[[Named, Named, Named, Mapping[str, Any]], Named]


def sigmoid(x: Any) -> Any:
    """The logistic function of an array of Numbers."""
    return 1 / (1 + np.exp(-x))


def stopped(array: Any) -> np.ndarray:
    """The same values as Numbers that were made from nothing, so that no gradient passes."""
    made = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        made[index] = Number(value_of(array[index]))
    return made


def gradient_of(formula: Formula, *names: str) -> Gradient:
    """A mistake's gradients by the arguments of these names, pulled back through ``formula``; none where it is None."""

    def wrong(arrays: Named, cotangents: Named, grads: Named, attrs: Mapping[str, Any]) -> Named:
        with mpmath.workprec(EXACT_BITS):
            arguments = {name: numbers(array) for name, array in arrays.items()}
            outputs = formula(**arguments, **attrs)
            if outputs is None:
                return {}
            pairs = [(outputs[name], cotangent) for name, cotangent in cotangents.items()]
            return pull(pairs, {name: arguments[name] for name in names})

    return wrong
