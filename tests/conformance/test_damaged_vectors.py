"""A folder of vectors that was damaged, or written by hand, is refused in one line that names the file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refbss._checks import InputError
from refbss.conformance.vectors import Library

CASE = "tanh/plain"
Document = dict[str, Any]


@pytest.fixture
def folder(library: Library, tmp_path: Path) -> Path:
    """The vectors of tanh alone."""
    kept = {name: dict(said) for name, said in library.manifest.items() if name.startswith("tanh/")}
    (tmp_path / "tanh").mkdir()
    for name in kept:
        shutil.copy(library.root / name, tmp_path / name)
    _list(tmp_path, {"format": "refbss-vectors/1", "version": 1, "files": kept})
    return tmp_path


def _list(folder: Path, manifest: Any) -> None:
    (folder / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")


def _manifest(folder: Path) -> Document:
    manifest: Document = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
    return manifest


def _write(folder: Path, name: str, content: bytes) -> None:
    """Replace a file, and its hash too."""
    (folder / name).write_bytes(content)
    manifest = _manifest(folder)
    manifest["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
    _list(folder, manifest)


def test_the_folder_is_good(folder: Path) -> None:
    assert len(list(Library(folder).load_all())) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": ...}, "has no files, wanted the manifest of a refbss-vectors/1 folder"),
        ({"files": []}, "has no files, wanted the manifest"),
        ({"files": {}}, "lists no cases"),
        ({"files": {"README.md": {"sha256": "0"}, "notes.json": {"sha256": "0"}}}, "lists no cases"),
        ({"files": {f"{CASE}.json": "0123"}}, f"has no sha256 of {CASE}.json"),
        ({"files": {f"{CASE}.json": {}}}, f"has no sha256 of {CASE}.json"),
        ({"files": {f"{CASE}.json": {"sha256": None}}}, f"has no sha256 of {CASE}.json"),
        ({"version": 99}, "version is 99, wanted 1"),
        ({"format": "refbss-vectors/2"}, "format is not refbss-vectors/1"),
    ],
)
def test_manifests(folder: Path, change: Document, message: str) -> None:
    manifest = {key: value for key, value in {**_manifest(folder), **change}.items() if value is not ...}
    _list(folder, manifest)
    with pytest.raises(InputError) as error:
        Library(folder)
    assert str(error.value).startswith(f"{folder}/MANIFEST.json: {message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "refbss-vectors/2"}, "format is 'refbss-vectors/2', wanted refbss-vectors/1"),
        ({"id": "tanh/other"}, "id is 'tanh/other', wanted 'tanh/plain'"),
        ({"op": "gru"}, "op is 'gru', wanted 'tanh'"),
        ({"result": ...}, "result is None, wanted valid or error"),
        ({"inputs": ...}, "inputs is None, wanted an object of shapes"),
        ({"outputs": ...}, "outputs is None, wanted an object of shapes"),
        ({"params": [3]}, "params is [3], wanted an object of shapes"),
        ({"flags": ...}, "flags is None, wanted a list"),
        ({"provenance": "me"}, "provenance is 'me', wanted an object"),
        ({"tol": ...}, "tol is None, wanted a number for each dtype"),
        ({"tol": {"float32": {"outputs": 1e-6, "grads": 1e-6}}}, "tol is {"),
        ({"tol": {dtype: {"outputs": "1e-6", "grads": 1e-6} for dtype in ("float32", "float64")}}, "tol is {"),
        ({"mistakes": ["none"]}, "mistakes is ['none'], wanted a list of objects"),
        ({"cotangents": {"h": []}}, "cotangents has h, wanted y"),
        ({"grads": {"h": []}}, "grads has h, wanted x"),
    ],
)
def test_documents(folder: Path, change: Document, message: str) -> None:
    before = json.loads((folder / f"{CASE}.json").read_text(encoding="utf-8"))
    document = {key: value for key, value in {**before, **change}.items() if value is not ...}
    _write(folder, f"{CASE}.json", json.dumps(document).encode())
    with pytest.raises(InputError) as error:
        Library(folder).load(CASE)
    assert str(error.value).startswith(f"{folder}/{CASE}.json: {message}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (f"{CASE}.json", lambda content: content[:50], "not JSON ("),
        (f"{CASE}.json", lambda content: b"[]", "is no object"),
        (f"{CASE}.safetensors", lambda content: content[:50], "cannot be read ("),
        (f"{CASE}.safetensors", lambda content: content.replace(b"inputs.x", b"inputs.z"), "has no inputs.x"),
        ("tanh/MISTAKES.json", lambda content: b"{}", "has no sentence for "),
    ],
)
def test_files_of_a_case(folder: Path, name: str, content: Callable[[bytes], bytes], message: str) -> None:
    _write(folder, name, content((folder / name).read_bytes()))
    with pytest.raises(InputError) as error:
        for _ in Library(folder).load_all():
            pass
    assert f"{name}: {message}" in str(error.value)


def test_the_remedy_is_the_owner_s(folder: Path, library: Library) -> None:
    (folder / f"{CASE}.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"was changed or cut short, export the vectors again"):
        Library(folder).load(CASE)
    assert library.remedy == "install refbss again"


def test_a_pattern_that_is_no_text(library: Library) -> None:
    with pytest.raises(InputError, match=r"vectors: 1 is a int, wanted the name of an operator"):
        library.find(1)  # type: ignore[arg-type]
