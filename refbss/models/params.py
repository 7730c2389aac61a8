"""Named parameters: drawing, counting, comparing and keeping them on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from refbss._checks import InputError
from refbss._files import parse_json
from refbss._types import Array

Params = dict[str, Array]


def uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: float, dtype: Any) -> Array:
    """Uniform draw in +-1/sqrt(fan_in), the frameworks' default for dense and recurrent layers [std]."""
    bound = 1.0 / np.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape).astype(dtype)


def count(params: Mapping[str, Array], prefix: str = "") -> int:
    """Number of values in the parameters whose name starts with ``prefix``."""
    return sum(value.size for name, value in params.items() if name.startswith(prefix))


def parse_tensors(content: bytes) -> Params:
    """The tensors of a safetensors file, whatever their types.

    Raises ValueError: damaged, of sizes beyond the file, of a type that NumPy does not have.
    """
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    except KeyError as error:
        (kind,) = error.args
        name = next(name for name, said in tensors_header(content).items() if said.get("dtype") == kind)
        raise ValueError(f"{name} is {kind}, which NumPy has no type for, wanted F16, F32, F64 or integers") from None


def tensors_header(content: bytes) -> dict[str, Any]:
    """The header of a safetensors file that ``parse_tensors`` accepts or refuses for a type alone."""
    said: dict[str, Any] = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return said


def check_params(given: Mapping[str, Array], wanted: Mapping[str, Array], source: str) -> Params:
    """Return ``given`` in the order of ``wanted`` when names, shapes and values are right.

    Raises InputError that names ``source`` and the first missing, unknown, misshapen or non-finite tensor.
    """
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    if missing or unknown:
        raise InputError(f"{source}: missing tensors {missing or 'none'}, unknown tensors {unknown or 'none'}")
    for name, value in wanted.items():
        if given[name].shape != value.shape:
            raise InputError(f"{source}: tensor {name} has shape {given[name].shape}, wanted {value.shape}")
        if given[name].dtype != value.dtype:
            raise InputError(f"{source}: tensor {name} has dtype {given[name].dtype}, wanted {value.dtype}")
        if not np.isfinite(given[name]).all():
            raise InputError(f"{source}: tensor {name} holds NaN or infinity, wanted finite values")
    return {name: given[name] for name in wanted}
