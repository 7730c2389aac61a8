"""Files of arrays by name: safetensors, and NumPy's npz without objects."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from refbss._checks import InputError
from refbss._files import replaced

Tensors = dict[str, NDArray[Any]]
SUFFIXES = (".safetensors", ".npz")
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    TokenError,
    OSError,
    RuntimeError,
    ValueError,
    SyntaxError,
    EOFError,
    MemoryError,
    OverflowError,
)
"""What zipfile and NumPy raise at an archive that is damaged or none."""


class TensorFile(NamedTuple):
    """What a file holds: arrays by name, and the texts of a safetensors header (None where it has none)."""

    tensors: Tensors
    metadata: dict[str, str] | None


def check_suffix(path: Path) -> None:
    """Raises InputError where the name says neither safetensors nor npz."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: suffix is {path.suffix!r}, wanted {' or '.join(SUFFIXES)}")


def read_tensors(path: Path) -> TensorFile:
    """Read a file by its suffix. Raises InputError: missing, damaged, or of a type NumPy does not have."""
    check_suffix(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, wanted a file of arrays") from error
    return _from_npz(path, content) if path.suffix == ".npz" else _from_safetensors(path, content)


def _from_safetensors(path: Path, content: bytes) -> TensorFile:
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise InputError(f"{path}: {error}, wanted a safetensors file") from error
    except KeyError as error:  # a type that the library has no NumPy type for
        name = next(name for name, said in _header(content).items() if said.get("dtype") == error.args[0])
        raise InputError(
            f"{path}: {name} is {error.args[0]}, which NumPy has no type for, wanted F16, F32, F64 or integers"
        ) from error
    return TensorFile(tensors, _header(content).get("__metadata__"))


def _header(content: bytes) -> dict[str, Any]:
    """The header of a safetensors file that the library has accepted."""
    said: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return said


def _from_npz(path: Path, content: bytes) -> TensorFile:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            tensors = {name.removesuffix(".npy"): _from_npy(archive.read(name)) for name in archive.namelist()}
    except DAMAGED as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}, wanted an npz file of plain arrays") from error
    return TensorFile(tensors, None)


def _from_npy(content: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array


def to_npz(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of an npz file, by name: the same arrays give the same bytes. Any name will do, unlike np.savez."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted(tensors.items()):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def to_safetensors(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file. Raises InputError on a type that the format has no name for."""
    stored = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    for name, array in stored.items():
        try:
            save({name: np.empty(0, array.dtype)})
        except (SafetensorError, KeyError, ValueError) as error:
            raise InputError(f"{name} is {array.dtype}, which safetensors cannot hold, wanted .npz") from error
    return save(stored, dict(metadata) if metadata else None)


def write_tensors(path: Path, file: TensorFile) -> None:
    """Write a file by its suffix, whole or not at all. An npz has no place for metadata: they are left out.

    Raises InputError on another suffix and on a type that safetensors cannot hold.
    """
    check_suffix(path)
    content = to_npz(file.tensors) if path.suffix == ".npz" else to_safetensors(file.tensors, file.metadata)
    with replaced(path) as part:
        part.write_bytes(content)
