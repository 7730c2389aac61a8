"""A callable on NumPy arrays as an implementation; gradients through a companion, ``vjp(cotangents, **arguments)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss._types import Array
from refbss.conformance.implementation import Answer, CallFailure
from refbss.conformance.signature import arguments, call, counted, grads_by_name, offer, outputs_by_name, user_code
from refbss.conformance.vectors import Arrays, Vector


def in_dtype(arrays: Arrays, dtype: str) -> Arrays:
    """Copies of arrays: a callable that writes into its arguments must not change the case."""
    return {name: np.array(array, dtype) for name, array in arrays.items()}


def as_array(name: str, value: Any, dtype: str) -> Array:
    """What a callable returned, as an array. A plain Python number takes ``dtype``. Raises CallFailure."""
    if isinstance(value, int | float) and not isinstance(value, bool | np.floating):
        return np.asarray(value, dtype)
    try:
        with user_code():
            array = counted(name, np.asarray(value), dtype)
    except CallFailure as error:  # whatever an object of somebody else's raises when asked for an array
        raise CallFailure(f"{name} is a {type(value).__name__}, wanted an array of {dtype}") from error
    if array.dtype.kind not in "fiuc":
        raise CallFailure(f"{name} is a {type(value).__name__} of {array.dtype}, wanted an array of {dtype}")
    return array


def fits(vector: Vector, outputs: Mapping[str, Any]) -> bool:
    """Whether every output that takes a cotangent has its shape, so that gradients can be asked for."""
    return all(tuple(np.shape(outputs[name])) == array.shape for name, array in vector.cotangents.items())


class NumpyCallable:
    """A function, an object with ``__call__``, or a class of such objects, which is built for every case."""

    def __init__(self, name: str, target: Callable[..., Any], vjp: Callable[..., Any] | None = None) -> None:
        self.name = name
        self.target = target
        self.vjp = vjp

    def answer(self, vector: Vector, dtype: str, grads: bool) -> Answer:
        """Call it, and its vjp. Raises CallFailure; InputError where gradients are wanted and there is no vjp."""
        grads = grads and bool(vector.grads)
        called = call(self.target, vector, in_dtype(vector.inputs | vector.params, dtype))
        vjp = self._vjp(called.target) if grads else None
        found = outputs_by_name(vector, called.returned, grads)
        outputs = {name: as_array(name, value, dtype) for name, value in found.items()}
        if vjp is None or not fits(vector, outputs):
            return Answer(outputs, {})
        return Answer(outputs, _gradients(vjp, vector, dtype, called.taken))

    def _vjp(self, target: Any) -> Callable[..., Any]:
        """That of ``target``, the function or the instance that was called. Raises InputError, CallFailure."""
        with user_code():
            vjp: Any = self.vjp or getattr(target, "vjp", None)
        if vjp is None:
            raise InputError(
                f"check: {self.name} has no vjp, wanted one for --grads: name it with --vjp, or set the attribute vjp"
            )
        if not callable(vjp):
            raise InputError(f"check: the vjp of {self.name} is a {type(vjp).__name__}, wanted a callable")
        return vjp  # type: ignore[no-any-return]


def _gradients(vjp: Callable[..., Any], vector: Vector, dtype: str, taken: tuple[str, ...]) -> Arrays:
    cotangents: Any = tuple(in_dtype(vector.cotangents, dtype).values())
    offered = offer(vector, in_dtype(vector.inputs | vector.params, dtype))
    positional, keywords = arguments(vjp, vector, offered, taken=taken, after=1)
    with user_code():
        pulled = vjp(cotangents[0] if len(cotangents) == 1 else cotangents, *positional, **keywords)
    found = grads_by_name(vector, pulled)
    return {name: as_array(f"the gradient of {name}", value, dtype) for name, value in found.items()}
