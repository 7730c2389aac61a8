"""Exported vectors hold what the golden ones hold, bit for bit, or no answers at all; nothing of others is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from refbss._checks import InputError
from refbss.conformance import export as module
from refbss.conformance.export import EXPORT_FORMAT, FORMATS, document, export
from refbss.conformance.judge import judge
from refbss.conformance.results import Results
from refbss.conformance.vectors import FORMAT, Library, Vector

LIBRARY = Library()
SOME = ("gru/", "prelu/", "model/bare")
GROUPS = ("inputs", "params", "outputs", "cotangents", "grads")
QUESTION = ("inputs", "params", "cotangents")
BOTH = pytest.mark.parametrize("answers", [True, False], ids=["answers", "questions"])


def files_of(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def named(vector: Vector) -> dict[str, np.ndarray]:
    """Every array of a case by its name in a file."""
    found = {f"{group}.{name}": array for group in GROUPS for name, array in getattr(vector, group).items()}
    for wrong in vector.mistakes:
        for kind in ("outputs", "grads"):
            found |= {f"mistakes.{wrong.name}.{kind}.{name}": a for name, a in getattr(wrong, kind).items()}
    return found


def from_json(said: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of an exported JSON document."""

    def array(entry: dict[str, Any]) -> np.ndarray:
        return np.array(entry["data"], np.float64).reshape(entry["shape"])

    found = {f"{group}.{name}": array(a) for group in GROUPS for name, a in said.get(group, {}).items()}
    for wrong in said.get("mistakes", []):
        for kind in ("outputs", "grads"):
            found |= {f"mistakes.{wrong['name']}.{kind}.{n}": array(a) for n, a in wrong.get(kind, {}).items()}
    return found


def exported_arrays(out: Path, case: str, fmt: str) -> dict[str, np.ndarray]:
    if fmt == "json":
        return from_json(json.loads((out / f"{case}.json").read_text()))
    if fmt == "npz":
        with np.load(out / f"{case}.npz", allow_pickle=False) as held:
            return dict(held)
    return load_file(out / f"{case}.safetensors")


@pytest.mark.parametrize("fmt", FORMATS)
@BOTH
def test_the_arrays_are_those_of_the_case(tmp_path: Path, fmt: str, answers: bool) -> None:
    made = export(tmp_path / "out", LIBRARY, SOME, fmt=fmt, answers=answers)
    ids = [name for pattern in SOME for name in LIBRARY.find(pattern)]
    assert (made.cases, made.ops) == (len(ids), 3)
    for case in ids:
        wanted = {n: a for n, a in named(LIBRARY.load(case)).items() if answers or n.split(".")[0] in QUESTION}
        got = exported_arrays(tmp_path / "out", case, fmt)
        assert set(got) == set(wanted), case
        for name, array in wanted.items():
            assert got[name].astype(np.float64).tobytes() == array.tobytes(), f"{case} {name}"
            assert got[name].shape == array.shape


@pytest.mark.parametrize("fmt", FORMATS)
@BOTH
def test_the_manifest_lists_every_file_and_no_other(tmp_path: Path, fmt: str, answers: bool) -> None:
    made = export(tmp_path / "out", LIBRARY, SOME, fmt=fmt, answers=answers)
    files = files_of(tmp_path / "out")
    manifest = json.loads(files.pop("MANIFEST.json"))
    assert manifest["files"].keys() == files.keys()
    assert {name: said["sha256"] for name, said in manifest["files"].items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    assert (manifest["tensors"], manifest["answers"]) == (fmt, answers)
    assert (made.files, made.size_bytes) == (len(files), sum(map(len, files.values())))
    assert fmt in files["README.md"].decode() and ("with" if answers else "without") in files["README.md"].decode()
    assert manifest["files"]["gru/plain.json"]["generator"] == "golden/generate/formulas_gru.py"


def test_the_whole_set_can_be_read_again(tmp_path: Path) -> None:
    export(tmp_path / "out", LIBRARY)
    again = Library(tmp_path / "out")
    assert again.ids == LIBRARY.ids
    for name in LIBRARY.manifest:
        assert again.read(name) == LIBRARY.read(name), name
    assert again.load("gru/plain").tol == LIBRARY.load("gru/plain").tol


def test_the_whole_set_as_json_is_finite_and_exact(tmp_path: Path) -> None:
    export(tmp_path / "out", LIBRARY, fmt="json")
    for vector in LIBRARY.load_all():
        said = json.loads((tmp_path / "out" / f"{vector.id}.json").read_text(), parse_constant=pytest.fail)
        got = from_json(said)
        assert all(got[name].tobytes() == array.tobytes() for name, array in named(vector).items()), vector.id
        assert said["tol" if vector.valid else "why"]


@pytest.mark.parametrize(("fmt", "answers"), [(f, a) for f in FORMATS for a in (True, False)][1:])
def test_what_is_no_library_is_not_read_as_one(tmp_path: Path, fmt: str, answers: bool) -> None:
    export(tmp_path / "out", LIBRARY, ["gru"], fmt=fmt, answers=answers)
    assert json.loads((tmp_path / "out" / "MANIFEST.json").read_text())["format"] == EXPORT_FORMAT
    with pytest.raises(InputError, match=f"format is not {FORMAT}"):
        Library(tmp_path / "out")


@pytest.mark.parametrize("data", [True, False], ids=["data", "shapes"])
def test_a_question_says_what_is_wanted_and_no_more(data: bool) -> None:
    for vector in LIBRARY.load_all():
        said = document(vector, answers=False, data=data)
        assert not {"outputs", "grads", "mistakes", "tol", "measured"} & set(said), vector.id
        assert ("wanted" in said) == vector.valid
        if vector.valid:
            shapes = {name: list(array.shape) for name, array in vector.outputs.items()}
            assert said["wanted"] == {"outputs": shapes, "grads": list(vector.grads)}
        assert said["attrs"] == vector.attrs and said["cotangents" if vector.valid else "inputs"] is not None


def test_an_npz_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(tmp_path / name, LIBRARY, ["gru/plain"], fmt="npz")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "a" / "gru" / "plain.npz") as archive:
        assert archive.testzip() is None


def test_the_page_describes_every_key_and_operator() -> None:
    page = (Path(__file__).parents[2] / "docs" / "vectors.md").read_text(encoding="utf-8")
    table = page.partition("### The document of a case")[2].partition("###")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documents = [vector.document for vector in LIBRARY.load_all()]
    assert sorted(key for row in rows for key in row.replace("`", "").replace(",", " ").split()) == sorted(
        {key for said in documents for key in said}
    )
    flags = {flag for said in documents for flag in said["flags"]}
    (said,) = [line for line in table.splitlines() if line.startswith("| `flags`")]
    assert all(f"`{flag}`" in said for flag in flags)
    with_params = {vector.op for vector in LIBRARY.load_all() if vector.params}
    assert all(f"`{op}`" in page for op in with_params)


# ---------------------------------------------------------------- somebody else's program


def answer_gru(said: dict[str, Any]) -> dict[str, Any]:
    """An answer, from nothing but an exported question: PyTorch's equations, without gradients."""
    a = {n: from_json(said)[f"{group}.{n}"] for group in ("inputs", "params") for n in said[group]}
    w, u, b, c = (np.split(a[f"{n}_l0"], 3) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h, states = a["h0"], []
    try:
        for t in range(a["x"].shape[1]):
            i, j = (
                [left @ m.T + n for m, n in zip(ms, ns, strict=True)]
                for left, ms, ns in ((a["x"][:, t], w, b), (h, u, c))
            )
            r, z = (1 / (1 + np.exp(-(i[k] + j[k]))) for k in (0, 1))
            h = (1 - z) * np.tanh(i[2] + r * j[2]) + z * h
            states.append(h)
    except ValueError as error:
        return {"id": said["id"], "error": str(error)}
    outputs = {"y": np.stack(states, 1), "h_n": h}
    assert {name: list(array.shape) for name, array in outputs.items()} == said["wanted"]["outputs"]
    listed = {name: {"shape": list(v.shape), "data": v.ravel().tolist()} for name, v in outputs.items()}
    return {"id": said["id"], "dtype": "float64", "outputs": listed}


def test_questions_in_json_are_all_that_an_answer_needs(tmp_path: Path) -> None:
    export(tmp_path / "out", LIBRARY, ["gru"], fmt="json", answers=False)
    (tmp_path / "answers" / "gru").mkdir(parents=True)
    for path in (tmp_path / "out" / "gru").iterdir():
        answer = answer_gru(json.loads(path.read_text()))
        (tmp_path / "answers" / "gru" / path.name).write_text(json.dumps(answer))
    results = Results(tmp_path / "answers", LIBRARY)
    verdicts = [judge(LIBRARY.load(case), results, "float64", False) for case in LIBRARY.find("gru")]
    assert len(verdicts) >= 8
    assert not [str(verdict) for verdict in verdicts if not verdict.passed]


# ---------------------------------------------------------------- the folder


def test_an_unchanged_export_is_replaced(tmp_path: Path) -> None:
    export(tmp_path, LIBRARY, ["gru", "prelu"], fmt="npz")
    made = export(tmp_path, LIBRARY, ["gru/plain"], fmt="json")
    assert set(files_of(tmp_path)) == {"MANIFEST.json", "README.md", "gru/plain.json"}
    assert made.cases == 1 and not (tmp_path / "prelu").exists()


def put(name: str, text: str = "mine") -> Any:
    def change(out: Path) -> None:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)

    return change


def shipped(out: Path) -> None:
    shutil.rmtree(out)
    shutil.copytree(LIBRARY.root, out, ignore=shutil.ignore_patterns("generate", "__pycache__"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("notes.txt"), "notes.txt"),
        (put("gru/notes.txt"), "gru/notes.txt"),
        (put("gru/plain.json", "{}"), "gru/plain.json"),
        (put("README.md"), "README.md"),
        (put("MANIFEST.json", "{}"), "MANIFEST.json"),
        (put("MANIFEST.json", "not JSON"), "MANIFEST.json"),
        (put("MANIFEST.json", "[]"), "MANIFEST.json"),
        (shipped, "MANIFEST.json"),
    ],
)
def test_nothing_of_anybody_elses_is_lost(tmp_path: Path, change: Any, named: str) -> None:
    out = tmp_path / "out"
    export(out, LIBRARY, ["gru"])
    change(out)
    before = files_of(out)
    with pytest.raises(InputError, match=rf"out: holds {named}, which no export wrote, wanted a new or empty folder"):
        export(out, LIBRARY, ["gru"])
    assert files_of(out) == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out: is not a folder"):
        export(tmp_path / "out", LIBRARY, ["gru"])
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(("patterns", "fmt"), [(["no-such"], "json"), (["gru"], "onnx")])
def test_wrong_input_writes_nothing(tmp_path: Path, patterns: list[str], fmt: str) -> None:
    with pytest.raises(InputError, match=r"nothing is called 'no-such'|fmt is 'onnx', wanted one of"):
        export(tmp_path / "out", LIBRARY, patterns, fmt=fmt)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every file after the fifth stops in its middle."""
    written = 0
    write_bytes = Path.write_bytes

    def write(path: Path, content: bytes) -> int:
        nonlocal written
        written += 1
        if written > 5:
            write_bytes(path, content[: len(content) // 2])
            raise OSError(28, "No space left on device", str(path))
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    yield
    monkeypatch.undo()


def test_what_was_cut_short_is_whole_so_far_and_can_be_replaced(tmp_path: Path, full_disk: None) -> None:
    with pytest.raises(OSError, match="No space left"):
        export(tmp_path / "out", LIBRARY, ["gru"])
    left = files_of(tmp_path / "out")
    assert len(left) == 5
    assert all(left[name] == LIBRARY.read(name) for name in left if name != "MANIFEST.json")
    with pytest.raises(InputError, match=r"but MANIFEST\.json lists it"):
        list(Library(tmp_path / "out").load_all())


def test_after_a_full_disk(tmp_path: Path) -> None:
    export(tmp_path / "out", LIBRARY, ["gru"])
    for name in ("plain.json", "square.safetensors"):
        (tmp_path / "out" / "gru" / name).unlink()
    export(tmp_path / "out", LIBRARY, ["gru"])
    assert Library(tmp_path / "out").ids == tuple(LIBRARY.find("gru"))
    assert [vector.id for vector in Library(tmp_path / "out").load_all()] == LIBRARY.find("gru")


def test_numbers_that_json_has_no_word_for_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        module.pretty({"data": [float("nan")]})
