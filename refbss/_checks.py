"""Doors of the public functions: every error names the argument, what came and what was wanted."""

from __future__ import annotations

import numbers
import sys
from typing import Any

import numpy as np

_LARGEST = sys.float_info.max
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class InputError(ValueError):
    """Bad input. The message names the argument or file, what came, and what was wanted."""


class NotFiniteError(InputError):
    """A file or an array holds NaN or infinity."""


def check_arrays(op: str, **arguments: tuple[Any, str]) -> dict[str, int]:
    """Check shapes and dtypes of arrays against named axes and return the size of every axis.

    ``check_arrays("conv1d", x=(x, "B C N"), w=(w, "O C K"))`` wants two float arrays of one dtype, three axes
    each, whose ``C`` agree. A leading ``...`` stands for any number of axes (they are not compared).
    Raises InputError.
    """
    sizes: dict[str, int] = {}
    owner: dict[str, str] = {}
    first: tuple[str, np.dtype[Any]] | None = None
    for name, (array, axes) in arguments.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"{op}: {name} is a {type(array).__name__}, wanted a NumPy array of shape ({axes})")
        if array.dtype not in FLOATS:
            raise InputError(f"{op}: {name} has dtype {array.dtype}, wanted float32 or float64")
        if first is None:
            first = (name, array.dtype)
        elif array.dtype != first[1]:
            raise InputError(f"{op}: {name} has dtype {array.dtype}, wanted {first[1]} as {first[0]} has")
        wanted = axes.split()
        shape = array.shape
        if wanted and wanted[0] == "...":
            wanted = wanted[1:]
            shape = shape[len(shape) - len(wanted) :] if len(shape) >= len(wanted) else shape
        if len(shape) != len(wanted):
            raise InputError(f"{op}: {name} has shape {array.shape}, wanted {len(wanted)} axes ({axes})")
        for place, (axis, size) in enumerate(zip(wanted, shape, strict=True)):
            if size == 0:
                raise InputError(f"{op}: {name} has shape {array.shape}: axis {axis} is empty, wanted at least 1")
            want = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            owner.setdefault(axis, name)
            if size != want:
                given = f"{want} on axis {place}" if axis.isdigit() else f"{axis} = {want} as {owner[axis]} has"
                raise InputError(f"{op}: {name} has shape {array.shape} ({axes}), wanted {given}")
    return sizes


def check_cotangents(op: str, dtype: np.dtype[Any], **arguments: tuple[Any, tuple[int, ...]]) -> None:
    """Check that every cotangent has the shape of its output and the dtype of the forward pass. Raises InputError."""
    for name, (array, shape) in arguments.items():
        if not isinstance(array, np.ndarray):
            came = type(array).__name__
            raise InputError(f"{op} backward: {name} is a {came}, wanted a NumPy array of shape {shape}")
        if array.shape != tuple(shape):
            raise InputError(f"{op} backward: {name} has shape {array.shape}, wanted {tuple(shape)} as the output has")
        if array.dtype != dtype:
            raise InputError(f"{op} backward: {name} has dtype {array.dtype}, wanted {dtype} as the forward pass had")


def check_integer(op: str, *, least: int = 1, **arguments: Any) -> None:
    """Check that every argument is an integer of at least ``least``. Raises InputError."""
    for name, value in arguments.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise InputError(f"{op}: {name} is {value!r}, wanted an integer of at least {least}")


def check_number(
    op: str, *, above: float | None = None, least: float | None = None, most: float | None = None, **arguments: Any
) -> None:
    """Check that every argument is a finite real number within the bounds given. Raises InputError."""
    for name, value in arguments.items():
        good = isinstance(value, numbers.Real) and not isinstance(value, bool)
        good = good and -_LARGEST <= value <= _LARGEST  # false for NaN
        if good and above is not None:
            good = value > above
        if good and least is not None:
            good = value >= least
        if good and most is not None:
            good = value <= most
        if not good:
            bounds = [f"above {above}"] * (above is not None) + [f"at least {least}"] * (least is not None)
            bounds += [f"at most {most}"] * (most is not None)
            raise InputError(f"{op}: {name} is {value!r}, wanted a finite number {' and '.join(bounds)}".rstrip())


def check_choice(op: str, choices: tuple[str, ...], **arguments: Any) -> None:
    """Check that every argument is one of ``choices``. Raises InputError."""
    for name, value in arguments.items():
        if value not in choices:
            raise InputError(f"{op}: {name} is {value!r}, wanted one of {', '.join(choices)}")
