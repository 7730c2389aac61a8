"""A callable on JAX arrays as an implementation; gradients by ``jax.vjp``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from refbss.conformance.implementation import Answer
from refbss.conformance.numpy_adapter import as_array, fits
from refbss.conformance.signature import call, outputs_by_name, user_code
from refbss.conformance.vectors import Arrays, Vector


class JaxCallable:
    """A function, an object with ``__call__``, or a class of such objects, which is built for every case.

    float64 runs with ``jax_enable_x64`` on, float32 with it off, whatever the setting was.
    """

    def __init__(self, name: str, target: Callable[..., Any], jax: Any) -> None:
        self.name = name
        self.target = target
        self.jax = jax

    def answer(self, vector: Vector, dtype: str, grads: bool) -> Answer:
        """Call it, and pull the cotangents back. Raises CallFailure."""
        with self._x64(dtype == "float64"):
            grads = grads and bool(vector.grads)
            arrays = self._arrays(vector.inputs | vector.params, dtype)
            if not grads:
                return Answer(self._numpy(self._call(vector, arrays, False), dtype), {})
            wanted = {name: arrays[name] for name in vector.grads}

            def judged(variables: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
                found = self._call(vector, arrays | variables, True)
                return {name: self.jax.numpy.asarray(found[name]) for name in vector.cotangents}, found

            with user_code():
                _, pull, found = self.jax.vjp(judged, wanted, has_aux=True)
            outputs = self._numpy(found, dtype)
            if not fits(vector, outputs) or any(outputs[name].dtype != dtype for name in vector.cotangents):
                return Answer(outputs, {})
            with user_code():
                (pulled,) = pull(self._arrays(vector.cotangents, dtype))
            return Answer(outputs, self._numpy(pulled, dtype))

    @contextmanager
    def _x64(self, wanted: bool) -> Iterator[None]:
        before = self.jax.config.jax_enable_x64
        self.jax.config.update("jax_enable_x64", wanted)
        try:
            yield
        finally:
            self.jax.config.update("jax_enable_x64", before)

    def _arrays(self, arrays: Arrays, dtype: str) -> dict[str, Any]:
        return {name: self.jax.numpy.asarray(array, dtype) for name, array in arrays.items()}

    def _call(self, vector: Vector, arrays: dict[str, Any], grads: bool) -> dict[str, Any]:
        return outputs_by_name(vector, call(self.target, vector, arrays).returned, grads)

    def _numpy(self, found: dict[str, Any], dtype: str) -> Arrays:
        return {name: as_array(name, value, dtype) for name, value in found.items()}
