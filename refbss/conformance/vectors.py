"""The golden vectors, format refbss-vectors/1: reading them, and refusing what was changed.

A case is a JSON file that says what it is and a safetensors file with its arrays; ``MISTAKES.json`` beside them has a
sentence for every known mistake of the operator. ``MANIFEST.json`` lists the sha256 of every file; a file that does not
match, or is not listed, is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss._files import contents, parse_json
from refbss._types import Array
from refbss.models.params import parse_tensors

FORMAT = "refbss-vectors/1"
VERSION = 1
SENTENCES = "MISTAKES.json"
DTYPES = ("float32", "float64")
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Mistake:
    """What a known wrong convention gives in one case: its name, what to change, and the arrays that differ.

    The arrays were rounded to float32 when they were stored.
    """

    name: str
    says: str
    outputs: Arrays
    grads: Arrays


@dataclass(frozen=True)
class Vector:
    """One golden case. Arrays are float64 by name; those of the question are exact in float32."""

    id: str
    op: str
    valid: bool
    """False: the call must be refused, ``why`` says for what reason, and there is no answer."""
    flags: tuple[str, ...]
    equations: tuple[str, ...]
    attrs: Mapping[str, Any]
    axes: Mapping[str, str]
    inputs: Arrays
    params: Arrays
    outputs: Arrays
    """In the order in which they are computed."""
    cotangents: Arrays
    """One for every output that the gradients are taken of."""
    grads: Arrays
    mistakes: tuple[Mistake, ...]
    tol: Mapping[str, Mapping[str, float]]
    """Largest error allowed, tol[dtype]["outputs" or "grads"], relative to the largest magnitude of an array."""
    measured: Mapping[str, Mapping[str, float]]
    why: str
    provenance: Mapping[str, str]
    document: Mapping[str, Any]
    """The JSON file, with the sentence of every mistake."""


class Library:
    """The vectors below one folder; without ``root``, those that refbss ships. Raises InputError on a bad manifest."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(str(files("refbss_golden"))) if root is None else Path(root)
        self.remedy = "install refbss again" if root is None else "export the vectors again"
        self.manifest = _manifest(self.root / "MANIFEST.json")
        if not self.ids:
            raise InputError(f"{self.root / 'MANIFEST.json'}: lists no cases")

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The id of every case, sorted."""
        documents = (name for name in self.manifest if fnmatchcase(name, "*/*.json") and not name.endswith(SENTENCES))
        return tuple(sorted(name.removesuffix(".json") for name in documents))

    @cached_property
    def ops(self) -> tuple[str, ...]:
        """Every operator that has cases, sorted."""
        return tuple(sorted({name.split("/")[0] for name in self.ids}))

    def find(self, pattern: str) -> list[str]:
        """Ids that match: an id, an operator (``gru`` or ``gru/``), or a pattern such as ``gru/one*``.

        Raises InputError where nothing matches.
        """
        if not isinstance(pattern, str):
            raise InputError(f"vectors: {pattern!r} is a {type(pattern).__name__}, wanted the name of an operator")
        operator = pattern.removesuffix("/")
        wanted = f"{operator}/*" if operator in self.ops else pattern
        found = [name for name in self.ids if fnmatchcase(name, wanted)]
        if not found:
            near = get_close_matches(pattern, [*self.ops, *self.ids], n=1)
            hint = f", did you mean {near[0]}?" if near else f", wanted a case or one of {', '.join(self.ops)}"
            raise InputError(f"vectors: nothing is called {pattern!r}{hint}")
        return found

    def read(self, name: str) -> bytes:
        """Content of one file, by its path below the root. Raises InputError if missing, unlisted or changed."""
        path = self.root / name
        if name not in self.manifest:
            raise InputError(f"{path}: not listed in MANIFEST.json")
        try:
            content = contents(path)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}, but MANIFEST.json lists it") from error
        digest, wanted = hashlib.sha256(content).hexdigest(), self.manifest[name]["sha256"]
        if digest != wanted:
            raise InputError(
                f"{path}: sha256 is {digest[:12]}.. ({len(content)} bytes), MANIFEST.json has {wanted[:12]}..: "
                f"the file was changed or cut short, {self.remedy}"
            )
        return content

    def load(self, name: str) -> Vector:
        """Read one case by its id. Raises InputError on an unknown id or a file that does not match its hash."""
        if name not in self.ids:
            self.find(name)  # says what was meant
            raise InputError(f"vectors: {name!r} is not the id of one case")
        document = self.document(name)
        if mistakes := document.get("mistakes"):
            sentences = f"{document['op']}/{SENTENCES}"
            says = self._object(sentences)
            if unsaid := [m["name"] for m in mistakes if not isinstance(says.get(m["name"]), str)]:
                raise InputError(f"{self.root / sentences}: has no sentence for {unsaid[0]}, which {name} names")
            document["mistakes"] = [{"name": m["name"], "says": says[m["name"]], **m} for m in mistakes]
        return parse(document, self.read(f"{name}.safetensors"))

    def document(self, name: str) -> dict[str, Any]:
        """The JSON document of one case by its id. Raises InputError where it is damaged."""
        held = self._object(f"{name}.json")
        check_case(f"{self.root / name}.json", name, held)
        return held

    def _object(self, name: str) -> dict[str, Any]:
        """A JSON file. Raises InputError where it holds anything but an object."""
        held = _read_json(self.root / name, self.read(name), "an object")
        if not isinstance(held, dict):
            raise InputError(f"{self.root / name}: is no object, wanted one")
        return held

    def load_all(self, patterns: Sequence[str] = ()) -> Iterator[Vector]:
        """Read every case that matches one of the patterns; without patterns, every case. Raises InputError."""
        names = dict.fromkeys(name for pattern in patterns for name in self.find(pattern)) if patterns else self.ids
        for name in names:
            yield self.load(name)


def _read_json(path: Path, content: bytes, wanted: str) -> Any:
    try:
        return parse_json(content.decode("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}), wanted {wanted}") from error


def _manifest(path: Path) -> Mapping[str, Mapping[str, str]]:
    """The files that a manifest lists. Raises InputError on one that is none, or of another version."""
    wanted = f"the manifest of a {FORMAT} folder"
    try:
        content = contents(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, wanted {wanted}") from error
    manifest = _read_json(path, content, wanted)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: format is not {FORMAT}")
    if manifest.get("version", VERSION) != VERSION:
        raise InputError(f"{path}: version is {manifest['version']!r}, wanted {VERSION}")
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise InputError(f"{path}: has no files, wanted {wanted}")
    for name, said in listed.items():
        if not isinstance(said, dict) or not isinstance(said.get("sha256"), str):
            raise InputError(f"{path}: has no sha256 of {name}")
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute() or "\\" in name or "\0" in name:
            raise InputError(f"{path}: lists {name!r}, wanted the path of a file below the folder")
    return listed


SHAPES = ("inputs", "params", "outputs", "cotangents", "grads")
LISTS, OBJECTS = ("flags", "equations"), ("attrs", "axes", "provenance")


def check_case(where: str, case: str, document: Mapping[str, Any]) -> None:
    """Check the document of a case. Raises InputError naming ``where`` and the key that is missing or wrong."""
    valid = document.get("result") == "valid"
    rules = {
        "format": (document.get("format", FORMAT) == FORMAT, FORMAT),
        "id": (document.get("id") == case, repr(case)),
        "op": (document.get("op") == case.split("/")[0], repr(case.split("/")[0])),
        "result": (document.get("result") in ("valid", "error"), "valid or error"),
        **{key: (isinstance(document.get(key), list), "a list") for key in LISTS},
        **{key: (isinstance(document.get(key), dict), "an object") for key in OBJECTS},
        **{key: (isinstance(document.get(key, {}), dict), "an object of shapes") for key in SHAPES},
        "inputs": (isinstance(document.get("inputs"), dict), "an object of shapes"),
        "outputs": (isinstance(document.get("outputs"), dict) or not valid, "an object of shapes"),
        "tol": (not valid or _has_tolerances(document), "a number for each dtype, of outputs and of grads"),
        "mistakes": (_has_names(document.get("mistakes", [])), "a list of objects, each with its name"),
    }
    for key, (right, wanted) in rules.items():
        if not right:
            raise InputError(f"{where}: {key} is {document.get(key)!r:.60}, wanted {wanted}")
    arguments = {*document["inputs"], *document.get("params", {})}
    for key, known in (("cotangents", set(document.get("outputs", {}))), ("grads", arguments)):
        if unknown := [name for name in document.get(key, {}) if name not in known]:
            raise InputError(f"{where}: {key} has {unknown[0]}, wanted {', '.join(sorted(known)) or 'none'}")


def _has_tolerances(document: Mapping[str, Any]) -> bool:
    kinds = ("outputs", "grads") if document.get("grads") else ("outputs",)
    try:
        return all(type(document["tol"][dtype][kind]) in (int, float) for dtype in DTYPES for kind in kinds)
    except (KeyError, TypeError):
        return False


def _has_names(mistakes: Any) -> bool:
    return isinstance(mistakes, list) and all(
        isinstance(said, dict)
        and isinstance(said.get("name"), str)
        and all(isinstance(said.get(kind, []), list | dict) for kind in ("outputs", "grads"))
        for said in mistakes
    )


def parse(document: Mapping[str, Any], tensors: bytes) -> Vector:
    """Put a case together from its JSON document and its safetensors file. Raises InputError where they disagree."""
    case = document["id"]
    try:
        arrays = parse_tensors(tensors)
    except ValueError as error:
        raise InputError(f"{case}.safetensors: cannot be read ({error})") from error

    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise InputError(f"{case}.safetensors: {name} is {array.dtype}, wanted real numbers")

    def group(prefix: str, names: Sequence[str]) -> Arrays:
        missing = [name for name in names if f"{prefix}.{name}" not in arrays]
        if missing:
            raise InputError(f"{case}.safetensors: has no {prefix}.{missing[0]}, which {case}.json names")
        with np.errstate(invalid="ignore"):  # a signalling NaN of a damaged file becomes a quiet one
            return {name: arrays[f"{prefix}.{name}"].astype(np.float64) for name in names}

    mistakes = tuple(
        Mistake(
            said["name"],
            said["says"],
            group(f"mistakes.{said['name']}.outputs", said.get("outputs", [])),
            group(f"mistakes.{said['name']}.grads", said.get("grads", [])),
        )
        for said in document.get("mistakes", [])
    )
    return Vector(
        id=case,
        op=document["op"],
        valid=document["result"] == "valid",
        flags=tuple(document["flags"]),
        equations=tuple(document["equations"]),
        attrs=document["attrs"],
        axes=document["axes"],
        **{
            name: group(name, list(document.get(name, {})))
            for name in ("inputs", "params", "outputs", "cotangents", "grads")
        },
        mistakes=mistakes,
        tol=document.get("tol", {}),
        measured=document.get("measured", {}),
        why=document.get("why", ""),
        provenance=document["provenance"],
        document=document,
    )
