"""Files of arrays by name: safetensors, and NumPy's npz without objects."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save

from refbss._checks import InputError
from refbss._files import contents, replaced
from refbss.models.params import parse_tensors, tensors_header

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
    TypeError,
    KeyError,
    struct.error,
)
"""What zipfile, NumPy and Python's parser raise at an archive that is damaged or none."""
UNPACKED, RATIO = 2**26, 20
"""An archive may unpack to so many bytes, or to so many times its own size: weights hardly pack at all."""
LONGEST_ENTRY = 65_000
"""Bytes of a name in an archive; it has 16 bits for their number."""
NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


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
        content = contents(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, wanted a file of arrays") from error
    return _from_npz(path, content) if path.suffix == ".npz" else _from_safetensors(path, content)


def _from_safetensors(path: Path, content: bytes) -> TensorFile:
    try:
        return TensorFile(parse_tensors(content), tensors_header(content).get("__metadata__"))
    except ValueError as error:
        raise InputError(f"{path}: {error}, wanted a safetensors file") from error


def _from_npz(path: Path, content: bytes) -> TensorFile:
    most = max(UNPACKED, RATIO * len(content))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > most:
                raise ValueError(f"unpacks to more than {most} bytes")
            tensors = {entry.filename.removesuffix(".npy"): _from_npy(_unpacked(archive, entry)) for entry in entries}
    except DAMAGED as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}, wanted an npz file of plain arrays") from error
    return TensorFile(tensors, None)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """An entry, of which no more is unpacked than it says. Raises ValueError where it is packed as NumPy does not."""
    if not entry.filename:
        raise ValueError("an array has no name")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{entry.filename} is packed by method {entry.compress_type}")
    with archive.open(entry) as file:
        return file.read(entry.file_size)


def _from_npy(content: bytes) -> NDArray[Any]:
    """An array. Raises ValueError where its header asks for another size than follows, before memory is taken."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in NPY_HEADERS:
        raise ValueError(f"npy version {version} is none of {', '.join(map(str, NPY_HEADERS))}")
    shape, _, dtype = NPY_HEADERS[version](file)
    size, held = math.prod(shape) * dtype.itemsize, len(content) - file.tell()
    if not dtype.hasobject and (min(shape, default=0) < 0 or size != held):
        raise ValueError(f"an array of {dtype} and shape {shape!r:.80} wants other than the {held} bytes that follow")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def to_npz(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of an npz file, by name: the same arrays give the same bytes. Any name will do, unlike np.savez."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted(tensors.items()):
            if len(name.encode(errors="replace")) > LONGEST_ENTRY:
                raise InputError(f"npz: a name has {len(name)} characters, wanted at most {LONGEST_ENTRY} bytes")
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
