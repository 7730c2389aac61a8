"""Arguments that are repeated to the shape of another, and the gradient of that repetition."""

from __future__ import annotations

from refbss._checks import InputError
from refbss._types import Array


def axes_of(array: Array) -> str:
    """Return the shape as axes for check_arrays, so that another argument must have exactly the same."""
    return " ".join(map(str, array.shape))


def check_broadcast(op: str, name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Check that ``array`` can be repeated to ``shape``, the shape of mu. Raises InputError."""
    tail = shape[max(0, len(shape) - array.ndim) :]
    fits = array.ndim <= len(shape) and all(a in (1, b) for a, b in zip(array.shape, tail, strict=True))
    if not fits:
        raise InputError(f"{op}: {name} has shape {array.shape}, wanted one that broadcasts to {shape} as mu has")


def sum_to_shape(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes along which an array of ``shape`` was repeated: the adjoint of np.broadcast_to."""
    new = gradient.ndim - len(shape)
    repeated = tuple(axis for axis in range(gradient.ndim) if axis < new or shape[axis - new] == 1)
    total: Array = gradient.sum(axis=repeated).reshape(shape)
    return total
