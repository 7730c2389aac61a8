"""The files of the golden vectors, format refbss-vectors/1: one JSON and one safetensors file a case, and a manifest.

The JSON file says what the case is; the tensors that it names are in the safetensors file beside it under
``inputs.x``, ``params.weight``, ``outputs.y``, ``cotangents.y``, ``grads.x`` and ``mistakes.<name>.outputs.y``.
Answers are float64. The question (inputs, parameters, cotangents) is stored as float32, which holds it exactly;
mistakes are rounded to float32, which is enough to recognise them. MISTAKES.json of an operator says what each means.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from book import Answer, Book, Case
from safetensors.numpy import save

GOLDEN = Path(__file__).resolve().parents[1]
FORMAT = "refbss-vectors/1"
MPMATH = "mpmath at 50 digits"

QUESTION = ("inputs", "params", "cotangents")
"""Groups of tensors that are put to an implementation."""
MANIFEST_WIDTH = 300
SENTENCES = "MISTAKES.json"

Tensors = dict[str, np.ndarray]
Files = dict[str, tuple[bytes, dict[str, str]]]
"""Content, and what the manifest says of it (source, generator), by path below golden."""


@dataclass(frozen=True)
class Entry:
    """A case with its answer, or with the reason why it must be refused."""

    book: Book
    case: Case
    answer: Answer | None
    why: str | None


def shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """What the JSON file says of a group of tensors."""
    return {name: list(array.shape) for name, array in arrays.items()}


def document(entry: Entry) -> tuple[dict[str, Any], Tensors]:
    """The JSON document of a case and its tensors."""
    book, case, solved = entry.book, entry.case, entry.answer
    groups: dict[str, Tensors] = {
        "inputs": {name: case.arrays[name] for name in book.inputs},
        "params": {name: case.arrays[name] for name in book.params},
    }
    mistakes = []
    if solved is not None:
        groups |= {"outputs": solved.outputs, "cotangents": solved.cotangents, "grads": solved.grads}
        for name, wrong in solved.mistakes.items():
            listed = {kind: list(tensors) for kind, tensors in wrong.items()}
            mistakes.append({"name": name, **listed})
    made: dict[str, Any] = {
        "format": FORMAT,
        "id": f"{book.op}/{case.name}",
        "op": book.op,
        "result": "valid" if solved is not None else "error",
        "flags": list(case.flags),
        "equations": list(case.equations or book.equations),
        "attrs": dict(case.attrs),
        "axes": dict(book.axes),
        **{group: shapes(arrays) for group, arrays in groups.items()},
    }
    if solved is None:
        made["why"] = entry.why
    else:
        made |= {"tol": solved.tol, "measured": solved.measured, "mistakes": mistakes}
    made["provenance"] = {"source": MPMATH, "generator": book.generator}
    tensors = {f"{group}.{name}": array for group, arrays in groups.items() for name, array in arrays.items()}
    if solved is not None:
        for name, wrong in solved.mistakes.items():
            for kind, arrays in wrong.items():
                tensors |= {f"mistakes.{name}.{kind}.{key}": array for key, array in arrays.items()}
    return made, tensors


def pretty(value: Any, width: int = 120, indent: int = 0) -> str:
    """JSON with one key a line; what holds plain values only and fits ``width`` stands on one line."""
    pad, flat = " " * indent, json.dumps(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not inner or (indent + len(flat) <= width and not any(isinstance(item, dict) for item in inner)):
        return flat
    if isinstance(value, dict):
        lines = [f"{pad} {json.dumps(key)}: {pretty(item, width, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{pad}}}"
    return "[\n" + ",\n".join(f"{pad} {pretty(item, width, indent + 1)}" for item in value) + f"\n{pad}]"


def stored_dtype(name: str) -> str:
    """The dtype of a tensor in the file, by its name."""
    return "<f4" if name.split(".")[0] in (*QUESTION, "mistakes") else "<f8"


def case_files(entry: Entry) -> Files:
    """Both files of a case."""
    made, tensors = document(entry)
    return pair(made, tensors)


def sentences(op: str, says: Mapping[str, str], said: dict[str, str]) -> Files:
    """The file that says of every mistake of an operator what to change; the cases name the mistakes."""
    return {f"{op}/{SENTENCES}": ((pretty(dict(sorted(says.items()))) + "\n").encode(), said)} if says else {}


def pair(made: dict[str, Any], tensors: Tensors) -> Files:
    """The JSON and the safetensors file of a document and its tensors."""
    said = made["provenance"]
    stored = {name: np.array(array, dtype=stored_dtype(name), order="C") for name, array in tensors.items()}
    question = [name for name in tensors if name.split(".")[0] in QUESTION]
    inexact = [name for name in question if not np.array_equal(stored[name], tensors[name])]
    assert not inexact, f"{made['id']}: float32 does not hold {inexact}"
    return {
        f"{made['id']}.json": ((pretty(made) + "\n").encode(), said),
        f"{made['id']}.safetensors": (save(stored), said),
    }


def write_library(golden: Path, files: Files, ops: Iterable[str]) -> None:
    """Write the files of ``ops``, remove those of their folders that are no longer made, renew the manifest.

    A file that did not change keeps its date.
    """
    manifest = golden / "MANIFEST.json"
    known: dict[str, dict[str, str]] = {}
    if manifest.is_file():
        known = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    ops, today = set(ops), datetime.date.today().isoformat()
    kept = {path: said for path, said in known.items() if path.split("/")[0] not in ops}
    for path, (content, said) in files.items():
        digest = hashlib.sha256(content).hexdigest()
        before = known.get(path, {})
        date = before["date"] if before.get("sha256") == digest else today
        kept[path] = {"sha256": digest, **said, "date": date}
        (golden / path).parent.mkdir(parents=True, exist_ok=True)
        (golden / path).write_bytes(content)
    for op in ops:
        for path in (golden / op).glob("*.*"):
            if f"{op}/{path.name}" not in files:
                path.unlink()
    listed = {"format": FORMAT, "version": 1, "files": dict(sorted(kept.items()))}
    manifest.write_text(pretty(listed, MANIFEST_WIDTH) + "\n", encoding="utf-8")
    size = sum((golden / path).stat().st_size for path in kept)
    print(f"{sum(path.endswith('.safetensors') for path in kept)} cases, {size + manifest.stat().st_size:,} bytes")
