"""Golden vectors written out for other programs: as safetensors, npz or JSON, with or without the answers.

Every case becomes ``<op>/<case>.json`` and, unless the format is JSON, a file of arrays beside it, which are named
``inputs.x``, ``params.weight``, ``outputs.y``, ``cotangents.y``, ``grads.x``, ``mistakes.<name>.outputs.y``. In the
format JSON every array stands in the document itself as ``{"shape": [..], "data": [..]}``, row by row, each number
with as many digits as bring back all of its bits. docs/vectors.md describes the documents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.numpy import save

from refbss._checks import InputError, check_choice
from refbss._files import contents, parse_json, replaced
from refbss._types import Array
from refbss.conformance.tensor_files import to_npz
from refbss.conformance.vectors import FORMAT, SENTENCES, Library, Vector
from refbss.models.params import parse_tensors

FORMATS = ("safetensors", "npz", "json")
EXPORT_FORMAT = "refbss-vectors-export/1"
"""Format of a manifest whose folder Library does not read: other files than safetensors, or no answers."""
QUESTION = ("inputs", "params", "cotangents")
ANSWER = ("outputs", "grads")
MANIFEST = "MANIFEST.json"


class Exported(NamedTuple):
    """What was written below ``root``, the manifest not counted."""

    root: Path
    cases: int
    ops: int
    files: int
    size_bytes: int


def export(
    out: Path, library: Library, patterns: Sequence[str] = (), *, fmt: str = "safetensors", answers: bool = True
) -> Exported:
    """Write the cases that match one of ``patterns`` (all without any) below ``out``, a README and MANIFEST.json.

    Without ``answers`` the documents say which outputs and gradients are wanted, and the outputs' shapes, and hold
    neither values nor tolerances. ``out`` is new, empty, or an earlier export that nobody has changed: that is
    replaced. Each file appears whole. Raises InputError before anything is written.
    """
    check_choice("export", FORMATS, fmt=fmt)
    files: dict[str, bytes] = {}
    said: dict[str, Mapping[str, str]] = {}
    cases = 0
    for vector in library.load_all(patterns):
        made = _case_files(library, vector, fmt, answers)
        cases += 1
        files |= made
        said |= dict.fromkeys(made, library.manifest[f"{vector.id}.json"])
    ops = len({name.split("/")[0] for name in files})
    files["README.md"] = _readme(cases, ops, fmt, answers).encode()
    said["README.md"] = {"source": "refbss", "generator": "refbss vectors export"}
    listed = {name: {**said[name], "sha256": hashlib.sha256(files[name]).hexdigest()} for name in sorted(files)}
    form = FORMAT if fmt == "safetensors" and answers else EXPORT_FORMAT
    manifest = {"format": form, "version": 1, "tensors": fmt, "answers": answers, "files": listed}
    _clear(out)
    _write(out / MANIFEST, _json(manifest))  # first, so that an export that was cut short can be replaced
    for name, content in files.items():
        _write(out / name, content)
    return Exported(out, cases, ops, len(files), sum(len(content) for content in files.values()))


def document(vector: Vector, *, answers: bool = True, data: bool = False) -> dict[str, Any]:
    """The JSON document of a case; with ``data`` every array is in it, without ``answers`` there is no answer in it."""
    left_out = set() if answers else {*ANSWER, "mistakes", "tol", "measured"}
    made = {name: value for name, value in vector.document.items() if name not in left_out}
    if not answers and vector.valid:
        made["wanted"] = {
            "outputs": {name: list(array.shape) for name, array in vector.outputs.items()},
            "grads": list(vector.grads),
        }
    if data:
        for group in QUESTION + ANSWER:
            if group in made:
                made[group] = _with_data(getattr(vector, group))
        if "mistakes" in made:
            made["mistakes"] = [
                {"name": wrong.name, "says": wrong.says}
                | {kind: _with_data(getattr(wrong, kind)) for kind in ANSWER if getattr(wrong, kind)}
                for wrong in vector.mistakes
            ]
    return made


def pretty(value: Any, indent: int = 0) -> str:
    """JSON with one key a line and lists of plain values on one line. Raises ValueError on NaN and infinities."""
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        lines = [f"{pad} {json.dumps(key)}: {pretty(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{pad}}}"
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return "[\n" + ",\n".join(f"{pad} {pretty(item, indent + 1)}" for item in value) + f"\n{pad}]"
    return json.dumps(value, allow_nan=False)


def _with_data(group: Mapping[str, Array]) -> dict[str, Any]:
    return {name: {"shape": list(array.shape), "data": array.ravel().tolist()} for name, array in group.items()}


def _case_files(library: Library, vector: Vector, fmt: str, answers: bool) -> dict[str, bytes]:
    """The files of a case by name."""
    names = {suffix: f"{vector.id}.{suffix}" for suffix in ("json", "safetensors", "npz")}
    if fmt == "json":
        return {names["json"]: _json(document(vector, answers=answers, data=True))}
    stored = library.read(names["safetensors"])
    if fmt == "safetensors" and answers:
        said = [f"{vector.op}/{SENTENCES}"] if vector.mistakes else []
        return {name: library.read(name) for name in (names["json"], names["safetensors"], *said)}
    kept = {name: a for name, a in parse_tensors(stored).items() if answers or name.split(".")[0] in QUESTION}
    tensors = to_npz(kept) if fmt == "npz" else save(kept)
    return {names["json"]: _json(document(vector, answers=answers)), names[fmt]: tensors}


def _json(value: Any) -> bytes:
    return (pretty(value) + "\n").encode()


def _clear(out: Path) -> None:
    """Make the folder, or remove the export that it holds. Raises InputError where it holds anything else."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is not a folder, wanted a new or empty one")
    there = sorted(path for path in out.rglob("*") if not path.is_dir()) if out.is_dir() else []
    hashes = _hashes(out)
    for path in there:
        name = path.relative_to(out).as_posix()
        if not (bool(hashes) if name == MANIFEST else _is(path, hashes.get(name))):
            raise InputError(
                f"{out}: holds {name}, which no export wrote, wanted a new or empty folder or an unchanged export"
            )
    for path in reversed(there):  # the manifest last: until then it accounts for what is there
        path.unlink()
        if path.parent != out and not any(path.parent.iterdir()):
            path.parent.rmdir()
    out.mkdir(parents=True, exist_ok=True)


def _is(path: Path, sha256: str | None) -> bool:
    """Whether a file is there and has that hash."""
    try:
        return hashlib.sha256(contents(path)).hexdigest() == sha256
    except OSError:
        return False


def _hashes(out: Path) -> dict[str, str]:
    """The files that the manifest of an export lists; nothing where there is no such manifest."""
    try:
        manifest = parse_json(contents(out / MANIFEST))
        if manifest["format"] in (FORMAT, EXPORT_FORMAT) and "tensors" in manifest:
            return {name: said["sha256"] for name, said in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return {}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as part:
        part.write_bytes(content)


def _readme(cases: int, ops: int, fmt: str, answers: bool) -> str:
    arrays = (
        'Arrays stand in it as {"shape": [..], "data": [..]}, row by row.'
        if fmt == "json"
        else f"`<op>/<case>.{fmt}` holds its arrays: `inputs.x`, `params.weight`, `cotangents.y`"
        + (", `outputs.y`, `grads.x`, `mistakes.<name>.outputs.y`." if answers else ".")
    )
    says = "tolerances" if answers else "what is wanted"
    return f"""# Golden vectors

{cases} cases of {ops} operators, format {FORMAT}, {"with" if answers else "without"} the answers.

`<op>/<case>.json` says what a case is: attributes, shapes, and {says}. {arrays}
`MANIFEST.json` lists the sha256 of every file and where its case comes from.

To have an implementation in any language judged, answer each case in a file `ANSWERS/<op>/<case>.json`

    {{"id": "gru/plain", "dtype": "float32",
     "outputs": {{"y": {{"shape": [2, 4, 2], "data": [0.1, ...]}}}}, "grads": {{"x": ...}}}}

or, for a call that was refused, `{{"id": "gru/wrong-state-size", "error": "why"}}`, and run

    refbss check --results ANSWERS

Gradients are those of the sum over all outputs of output times cotangent.
"""
