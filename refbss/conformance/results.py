"""Answers as files, from any language: DIR/<op>/<case>.json, .safetensors or .npz, judged as calls are.

The JSON form is that of results.schema.json; ``check_document`` tests the same rules and names the key that breaks
one. In the other two an array is called outputs.y or grads.x. Only JSON can say that a call was refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refbss._checks import InputError
from refbss._files import parse_json, read_text
from refbss._types import Array
from refbss.conformance.implementation import Answer, CallFailure
from refbss.conformance.signature import counted, required
from refbss.conformance.tensor_files import read_tensors
from refbss.conformance.vectors import DTYPES, Arrays, Library, Vector

SUFFIXES = (".json", ".safetensors", ".npz")
MOST_AXES, MOST_SIZE = 32, 2**31
KEYS = ("id", "dtype", "outputs", "grads", "error")
NOT_NUMBERS = {None: math.nan, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def check_document(where: str, document: Any) -> None:
    """Check an answer in JSON by the rules of results.schema.json. Raises InputError naming ``where`` and the key."""
    if not isinstance(document, dict):
        raise InputError(f"{where}: is {_kind(document)}, wanted an object")
    for key in document:
        if key not in KEYS:
            raise InputError(f"{where}: has a key {key!r}{_meant(key, KEYS)}")
    for key in ("id", "error"):
        if not isinstance(document.get(key, ""), str):
            raise InputError(f"{where}: {key} is {_kind(document[key])}, wanted a string")
    if "id" not in document:
        raise InputError(f"{where}: has no id, wanted that of the case")
    if "error" in document:
        if extra := [key for key in ("outputs", "grads") if key in document]:
            raise InputError(f"{where}: has error and {extra[0]}, wanted one of them")
    elif "outputs" not in document:
        raise InputError(f"{where}: has neither outputs nor error")
    elif "dtype" not in document:
        raise InputError(f"{where}: has no dtype, wanted {' or '.join(DTYPES)}")
    if document.get("dtype", DTYPES[0]) not in DTYPES:
        raise InputError(f"{where}: dtype is {document['dtype']!r}, wanted {' or '.join(DTYPES)}")
    for group in ("outputs", "grads"):
        arrays = document.get(group, {})
        if not isinstance(arrays, dict):
            raise InputError(f"{where}: {group} is {_kind(arrays)}, wanted an object of arrays by name")
        for name, array in arrays.items():
            _check_array(f"{where}: {group}.{name}", array)


def _check_array(where: str, array: Any) -> None:
    if not isinstance(array, dict) or set(array) != {"shape", "data"}:
        has = f"has the keys {', '.join(array) or 'none'}" if isinstance(array, dict) else f"is {_kind(array)}"
        raise InputError(f"{where} {has}, wanted shape and data")
    shape, data = array["shape"], array["data"]
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise InputError(f"{where}: shape is {shape!r}, wanted a list of integers of at least 0")
    if len(shape) > MOST_AXES or any(size > MOST_SIZE for size in shape):
        raise InputError(f"{where}: shape is {shape!r}, wanted at most {MOST_AXES} axes of at most {MOST_SIZE}")
    if not isinstance(data, list):
        raise InputError(f"{where}: data is {_kind(data)}, wanted a list of numbers")
    for i, value in enumerate(data):
        if type(value) not in (int, float) and not (isinstance(value, str | None) and value in NOT_NUMBERS):
            raise InputError(f'{where}: data[{i}] is {value!r}, wanted a number, null, "nan", "inf" or "-inf"')
    if len(data) != math.prod(shape):
        raise InputError(f"{where}: data has {len(data)} values, wanted {math.prod(shape)} for the shape {shape}")


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), repr(value))


def _meant(name: str, names: Any) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f", did you mean {near[0]}?" if near else f", wanted {', '.join(names)}"


class Unanswered(CallFailure):
    """There is no answer that could be judged, which is wrong for a case to refuse as well."""


class Results:
    """The answers below one folder, as an implementation. Raises InputError where there are none."""

    def __init__(self, folder: Path, library: Library) -> None:
        self.name = str(folder)
        self.folder = folder
        if not folder.is_dir():
            raise InputError(f"{folder}: {'is a file' if folder.exists() else 'does not exist'}, wanted a folder")
        self.files: dict[str, list[Path]] = {}
        self.strays: dict[str, Path] = {}
        """Answers to what is no case, and what looks like an answer but is called otherwise."""
        for path in sorted(folder.glob("[!.]*/[!.]*")):
            op, suffix = path.parent.name, path.suffix
            case = f"{op}/{path.stem}"
            if suffix in SUFFIXES and op in library.ops:
                self.files.setdefault(case, []).append(path)
            if suffix in SUFFIXES and case not in library.ids:
                self.strays.setdefault(case, path)
            elif suffix not in SUFFIXES and suffix.lower() in SUFFIXES:
                self.strays[f"{op}/{path.name}"] = path
        if not self.files:
            wanted = " or ".join(f"<op>/<case>{suffix}" for suffix in SUFFIXES)
            stray = next(iter(self.strays.values()), None)
            there = f", there is {stray}" if stray else ""
            raise InputError(f"{folder}: holds no answers, wanted files {wanted}{there}")

    @property
    def ops(self) -> tuple[str, ...]:
        """Operators with at least one answer, sorted."""
        return tuple(sorted({case.split("/")[0] for case in self.files}))

    def dtype_of(self, case: str) -> str:
        """What the answer to a case was computed in: what it says, else what the other answers say, else float32."""
        for path in (*self.files.get(case, []), *(path for paths in self.files.values() for path in paths)):
            try:
                found = read_answer(path)
            except InputError:
                continue
            held = [array.dtype.name for array in (found.outputs | found.grads).values()]
            for said in (found.dtype, *held):
                if said in DTYPES:
                    return said
        return DTYPES[0]

    def answer(self, vector: Vector, dtype: str, grads: bool) -> Answer:
        """Read the answer to a case. Raises Unanswered, naming the file, where there is none or it is malformed;
        CallFailure where the answer is that the call was refused."""
        paths = self.files.get(vector.id, [])
        if not paths:
            raise Unanswered(f"has no answer: there is no {self.folder / vector.id}.json")
        if len(paths) > 1:
            raise Unanswered(f"has more than one answer: {', '.join(path.name for path in paths)}")
        try:
            found = read_answer(paths[0])
            if found.case not in (None, vector.id):
                raise InputError(f"{paths[0]}: id is {found.case!r}, wanted {vector.id!r}")
            for group, names in (("outputs", vector.outputs), ("grads", vector.grads)):
                _check_names(paths[0], group, getattr(found, group), names, vector.valid)
        except InputError as error:
            raise Unanswered(str(error)) from error
        if found.error is not None:
            raise CallFailure(f"{paths[0].name} says that the call was refused: {found.error}")
        if vector.valid:
            missing = [name for name in required(vector, grads) if name not in found.outputs]
            if missing:
                raise Unanswered(f"{paths[0]}: has no outputs.{missing[0]}")
        outputs = {name: counted(name, array, dtype) for name, array in found.outputs.items()}
        return Answer(outputs, found.grads if grads else {})


def _check_names(path: Path, group: str, arrays: Arrays, names: Mapping[str, Any], valid: bool) -> None:
    for name in arrays:
        if valid and name not in names:
            raise InputError(f"{path}: has {group}.{name}{_meant(name, names)}")


class AnswerFile(NamedTuple):
    """What a file says: arrays, or that the call was refused."""

    case: str | None
    """The id, which only JSON holds."""
    dtype: str | None
    """What it was computed in; None where the arrays say it themselves."""
    outputs: Arrays
    grads: Arrays
    error: str | None


def read_answer(path: Path) -> AnswerFile:
    """Read an answer by its suffix. Raises InputError naming the file and the key."""
    if path.suffix == ".json":
        return _read_json(path)
    groups: dict[str, Arrays] = {"outputs": {}, "grads": {}}
    for name, array in read_tensors(path).tensors.items():
        group, _, short = name.partition(".")
        if group not in groups or not short:
            raise InputError(f"{path}: has an array {name!r}, wanted outputs.<name> and grads.<name>")
        groups[group][short] = array
    return AnswerFile(None, None, groups["outputs"], groups["grads"], None)


def _read_json(path: Path) -> AnswerFile:
    try:
        document = parse_json(read_text(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    check_document(str(path), document)
    dtype = document.get("dtype")
    outputs, grads = (
        {name: _array(f"{path}: {group}.{name}", array, dtype) for name, array in document.get(group, {}).items()}
        for group in ("outputs", "grads")
    )
    return AnswerFile(document["id"], dtype, outputs, grads, document.get("error"))


def _array(where: str, array: Mapping[str, Any], dtype: str) -> Array:
    values = [NOT_NUMBERS.get(value, value) if isinstance(value, str | None) else value for value in array["data"]]
    try:
        with np.errstate(over="ignore"):
            found: Array = np.array(values, np.float64).reshape(array["shape"]).astype(dtype)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: {error}, wanted numbers and sizes that NumPy can hold") from error
    return found
