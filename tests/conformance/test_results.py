"""Answers as files: three formats, the schema and the check that must agree with it, and every way to get one wrong."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import refbss.conformance
from refbss._checks import InputError
from refbss.conformance.judge import Verdict, judge
from refbss.conformance.results import Results, check_document
from refbss.conformance.vectors import Arrays, Library

SCHEMA = json.loads((Path(refbss.conformance.__file__).parent / "results.schema.json").read_text(encoding="utf-8"))
CASE = "gru/plain"


def as_json(arrays: Arrays) -> dict[str, Any]:
    return {name: {"shape": list(a.shape), "data": a.ravel().tolist()} for name, a in arrays.items()}


@pytest.fixture
def right(library: Library) -> dict[str, Any]:
    """A right answer in JSON."""
    vector = library.load(CASE)
    return {"id": CASE, "dtype": "float64", "outputs": as_json(vector.outputs), "grads": as_json(vector.grads)}


@pytest.fixture
def answered(library: Library, tmp_path: Path) -> Callable[..., Verdict]:
    """Write one answer and judge it."""

    def call(document: Any, *, case: str = CASE, dtype: str | None = None, grads: bool = True) -> Verdict:
        path = tmp_path / f"{case}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        results = Results(tmp_path, library)
        return judge(library.load(case), results, dtype or results.dtype_of(case), grads)

    return call


def test_json(answered: Callable[..., Verdict], right: dict[str, Any]) -> None:
    verdict = answered(right)
    assert verdict.passed and verdict.dtype == "float64" and verdict.errors == {"outputs": 0.0, "grads": 0.0}
    right["dtype"] = "float32"
    verdict = answered(right)
    assert verdict.passed and verdict.dtype == "float32" and 0 < verdict.errors["outputs"] < 1e-7


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_arrays(library: Library, tmp_path: Path, suffix: str, dtype: str) -> None:
    vector = library.load(CASE)
    arrays = {f"outputs.{name}": array.astype(dtype) for name, array in vector.outputs.items()}
    arrays |= {f"grads.{name}": array.astype(dtype) for name, array in vector.grads.items()}
    (tmp_path / "gru").mkdir()
    path = tmp_path / f"{CASE}.{suffix}"
    if suffix == "npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    else:
        save_file(arrays, path)
    results = Results(tmp_path, library)
    assert results.ops == ("gru",) and results.dtype_of(CASE) == dtype
    assert judge(vector, results, dtype, True).passed
    other = "float32" if dtype == "float64" else "float64"
    assert judge(vector, results, other, True).problem.startswith(f"y is {dtype} in a {other} run")


def test_numbers_that_json_does_not_have(answered: Callable[..., Verdict], right: dict[str, Any]) -> None:
    for value, shown in ((None, "nan"), ("nan", "nan"), ("inf", "inf"), ("-inf", "-inf"), (1e999, "inf")):
        right["outputs"]["y"]["data"][3] = value
        assert answered(right).problem.startswith(f"y holds {shown} at [0, 1, 1], wanted ")
    right["outputs"]["y"]["data"][3] = 1e300
    right["dtype"] = "float32"
    assert answered(right).problem.startswith("y holds inf at [0, 1, 1]")


def test_refusals(answered: Callable[..., Verdict]) -> None:
    case = "gru/wrong-state-size"
    assert answered({"id": case, "error": "h0 does not fit"}, case=case).passed
    accepted = answered({"id": case, "dtype": "float32", "outputs": {"y": {"shape": [0], "data": []}}}, case=case)
    assert accepted.problem.startswith("was accepted, wanted it refused: h0 has 3 units")
    assert answered({"id": CASE, "error": "too hard"}).problem == "plain.json says that the call was refused: too hard"


def wrong(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda right: {key: value for key, value in {**right, **changes}.items() if value is not ...}


ARRAY = {"shape": [2], "data": [1, 2.5]}
BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a list": (lambda right: [right], ": is a list, wanted an object"),
    "an unknown key": (wrong(output={}), ": has a key 'output', did you mean outputs?"),
    "no id": (wrong(id=...), ": has no id, wanted that of the case"),
    "a number for an id": (wrong(id=3), ": id is 3, wanted a string"),
    "a list for an error": (wrong(error=[], outputs=..., grads=...), ": error is a list, wanted a string"),
    "an error and outputs": (wrong(error="no", grads=...), ": has error and outputs, wanted one of them"),
    "an error and gradients": (wrong(error="no", outputs=...), ": has error and grads, wanted one of them"),
    "neither": (wrong(outputs=..., grads=...), ": has neither outputs nor error"),
    "no dtype": (wrong(dtype=...), ": has no dtype, wanted float32 or float64"),
    "another dtype": (wrong(dtype="float16"), ": dtype is 'float16', wanted float32 or float64"),
    "a list of outputs": (wrong(outputs=[ARRAY]), ": outputs is a list, wanted an object of arrays by name"),
    "null for gradients": (wrong(grads=None), ": grads is null, wanted an object of arrays by name"),
    "bare data": (wrong(outputs={"y": [1, 2]}), ": outputs.y is a list, wanted shape and data"),
    "no shape": (wrong(outputs={"y": {"data": []}}), ": outputs.y has the keys data, wanted shape and data"),
    "a key too many": (
        wrong(outputs={"y": {**ARRAY, "dtype": "f4"}}),
        ": outputs.y has the keys shape, data, dtype, wanted shape and data",
    ),
    "a negative size": (
        wrong(outputs={"y": {**ARRAY, "shape": [-2]}}),
        ": outputs.y: shape is [-2], wanted a list of integers of at least 0",
    ),
    "a size of 2.0": (
        wrong(grads={"x": {**ARRAY, "shape": [2.5]}}),
        ": grads.x: shape is [2.5], wanted a list of integers of at least 0",
    ),
    "a number for data": (
        wrong(outputs={"y": {"shape": [], "data": 3}}),
        ": outputs.y: data is 3, wanted a list of numbers",
    ),
    "nested data": (
        wrong(outputs={"y": {"shape": [1], "data": [[3]]}}),
        ': outputs.y: data[0] is [3], wanted a number, null, "nan", "inf" or "-inf"',
    ),
    "true": (wrong(outputs={"y": {"shape": [1], "data": [True]}}), ": outputs.y: data[0] is True, wanted a number"),
    "a word": (wrong(outputs={"y": {"shape": [1], "data": ["NaN"]}}), ": outputs.y: data[0] is 'NaN', wanted a number"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_documents_that_break_a_rule(
    answered: Callable[..., Verdict], right: dict[str, Any], tmp_path: Path, name: str
) -> None:
    change, message = BROKEN[name]
    verdict = answered(change(right))
    assert not verdict.passed and verdict.problem.startswith(f"{tmp_path / CASE}.json{message}")


def valid(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is valid by the keywords of JSON Schema that results.schema.json uses."""
    if "$ref" in schema:
        return valid(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")])
    types: dict[str, Callable[[Any], bool]] = {
        "object": lambda v: isinstance(v, dict),
        "array": lambda v: isinstance(v, list),
        "string": lambda v: isinstance(v, str),
        "integer": lambda v: type(v) is int or (type(v) is float and v.is_integer()),
        "number": lambda v: type(v) in (int, float),
    }
    known = {
        "type",
        "enum",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "minimum",
        "oneOf",
        "anyOf",
        "not",
    }
    assert set(schema) <= known | {"$schema", "$id", "$defs", "title", "description"}, "a keyword without a rule here"
    rules = [
        "type" not in schema or types[schema["type"]](value),
        "enum" not in schema or any(value == each and type(value) is type(each) for each in schema["enum"]),
        "minimum" not in schema or value >= schema["minimum"],
        "anyOf" not in schema or any(valid(value, each) for each in schema["anyOf"]),
        "oneOf" not in schema or sum(valid(value, each) for each in schema["oneOf"]) == 1,
        "not" not in schema or not valid(value, schema["not"]),
    ]
    if not rules[0]:
        return False
    if isinstance(value, list):
        rules.append(all(valid(item, schema.get("items", {})) for item in value))
    if isinstance(value, dict):
        rules.append(all(key in value for key in schema.get("required", [])))
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key, item in value.items():
            inner = properties.get(key, others)
            rules.append(inner if isinstance(inner, bool) else valid(item, inner))
    return all(rules)


@pytest.mark.parametrize("name", BROKEN)
def test_the_schema_refuses_what_the_check_refuses(right: dict[str, Any], name: str) -> None:
    document = BROKEN[name][0](right)
    assert not valid(document, SCHEMA)
    with pytest.raises(InputError):
        check_document("answer", document)


def test_the_schema_accepts_what_the_check_accepts(right: dict[str, Any]) -> None:
    good = [
        right,
        {**right, "dtype": "float32"},
        {key: value for key, value in right.items() if key != "grads"},
        {"id": CASE, "error": "refused"},
        {"id": CASE, "dtype": "float64", "error": ""},
        {"id": CASE, "dtype": "float64", "outputs": {}},
        {"id": "", "dtype": "float64", "outputs": {"y": {"shape": [], "data": [None]}}},
        {"id": "", "dtype": "float64", "outputs": {"y": {"shape": [4, 0], "data": []}}},
        {"id": "", "dtype": "float64", "outputs": {"y": {"shape": [2, 2], "data": ["nan", "inf", "-inf", -0.0]}}},
    ]
    for document in good:
        assert valid(document, SCHEMA), document
        check_document("answer", document)


def test_what_a_schema_cannot_say(answered: Callable[..., Verdict], right: dict[str, Any], tmp_path: Path) -> None:
    where = f"{tmp_path / CASE}.json"
    for change, message in (
        (
            {"outputs": {"y": {"shape": [2, 3], "data": [1]}}},
            "outputs.y: data has 1 values, wanted 6 for the shape [2, 3]",
        ),
        ({"id": "gru/long"}, "id is 'gru/long', wanted 'gru/plain'"),
        ({"outputs": {"Y": ARRAY}}, "has outputs.Y, wanted y, h_n"),
        ({"grads": {"weight_ih": ARRAY}}, "has grads.weight_ih, did you mean weight_ih_l0?"),
        ({"outputs": {"h_n": right["outputs"]["h_n"]}}, "has no outputs.y"),
    ):
        document = {**right, **change}
        assert valid(document, SCHEMA) and answered(document).problem == f"{where}: {message}"
    assert answered({**right, "grads": {}}).problem.startswith("no gradient of x, h0, weight_ih_l0")
    assert answered({**right, "grads": {}}, grads=False).passed


def test_files_that_cannot_be_read(answered: Callable[..., Verdict], tmp_path: Path, library: Library) -> None:
    assert answered("{").problem.startswith(f"{tmp_path / CASE}.json: not JSON (")
    assert answered("[" * 100_000).problem.startswith(f"{tmp_path / CASE}.json: not JSON (")
    (tmp_path / f"{CASE}.json").write_bytes(b"\xff\xfe")
    results = Results(tmp_path, library)
    assert results.dtype_of(CASE) == "float32"
    assert ": not JSON (" in judge(library.load(CASE), results, "float32", False).problem
    (tmp_path / f"{CASE}.json").unlink()
    for name, content in UNREADABLE.items():
        path = tmp_path / f"{CASE}.{name.split()[0]}"
        path.write_bytes(content())
        verdict = judge(library.load(CASE), Results(tmp_path, library), "float32", False)
        assert not verdict.passed and verdict.problem.startswith(f"{path}: "), name
        assert verdict.problem.endswith(("wanted an npz file of plain arrays", "wanted a safetensors file")), name
        path.unlink()
    np.savez(tmp_path / f"{CASE}.npz", y=np.ones(2))
    assert judge(library.load(CASE), Results(tmp_path, library), "float32", False).problem.endswith(
        "has an array 'y', wanted outputs.<name> and grads.<name>"
    )


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


def member(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("outputs.y.npy", content)
    return file.getvalue()


def damaged() -> bytes:
    whole = bytearray(npz(**{"outputs.y": np.arange(1000.0)}))
    whole[70:90] = b"\xff" * 20
    return bytes(whole)


UNREADABLE: dict[str, Callable[[], bytes]] = {
    "npz of no bytes": lambda: b"",
    "npz that is no archive": lambda: b"no archive",
    "npz that np.save wrote": npy,
    "npz that was cut short": lambda: npz(**{"outputs.y": np.ones(3)})[:60],
    "npz with a damaged stream": damaged,
    "npz of a text": lambda: member(b"hello"),
    "npz of a broken header": lambda: member(b"\x93NUMPY\x01\x00\x06\x00{'a': ("),
    "npz of more than memory holds": lambda: member(npy().replace(b"(3,), }        ", b"(" + b"9" * 9 + b"00,), }")),
    "npz of objects": lambda: npz(**{"outputs.y": np.array([{}], dtype=object)}),
    "safetensors of no bytes": lambda: b"",
    "safetensors without a header": lambda: b"no header",
}


@pytest.mark.parametrize("change", [{"data": [10**400]}, {"shape": [0, 10**30], "data": []}, {"shape": [1] * 70}])
def test_numbers_and_sizes_that_numpy_cannot_hold(
    answered: Callable[..., Verdict], right: dict[str, Any], tmp_path: Path, change: dict[str, Any]
) -> None:
    verdict = answered({**right, "outputs": {"y": {"shape": [1], "data": [0.5], **change}}})
    assert verdict.problem.startswith(f"{tmp_path / CASE}.json: outputs.y: ")


@pytest.mark.parametrize("kind", ["int64", "bool"])
def test_an_assignment_may_be_of_integers(library: Library, tmp_path: Path, kind: str) -> None:
    vector = library.load("pit/plain")
    (tmp_path / "pit").mkdir()
    arrays = {f"outputs.{name}": array.astype(np.float32) for name, array in vector.outputs.items()}
    arrays["outputs.assignment"] = vector.outputs["assignment"].astype(kind)
    save_file(dict(sorted(arrays.items())), tmp_path / "pit" / "plain.safetensors")
    results = Results(tmp_path, library)
    assert results.dtype_of("pit/plain") == "float32"
    assert judge(vector, results, "float32", False).passed


def test_no_answer_is_no_refusal(answered: Callable[..., Verdict], right: dict[str, Any], library: Library) -> None:
    answered(right)
    folder = Path(answered("{").problem.split(f"{CASE}.json")[0])
    for case in ("gru/long", "gru/wrong-state-size"):
        verdict = judge(library.load(case), Results(folder, library), "float32", False)
        assert not verdict.passed and verdict.problem == f"has no answer: there is no {folder / case}.json"
    case = "gru/wrong-state-size"
    assert not answered({"id": case, "errors": "no"}, case=case).passed


def test_two_answers(answered: Callable[..., Verdict], right: dict[str, Any], tmp_path: Path, library: Library) -> None:
    answered(right)
    np.savez(tmp_path / f"{CASE}.npz", y=np.ones(2))
    verdict = judge(library.load(CASE), Results(tmp_path, library), "float64", False)
    assert verdict.problem == "has more than one answer: plain.json, plain.npz"


def test_folders_without_answers(library: Library, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: does not exist, wanted a folder"):
        Results(tmp_path / "nowhere", library)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: is a file, wanted a folder"):
        Results(tmp_path / "file", library)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "plain.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds no answers, wanted files <op>/<case>\.json or "):
        Results(tmp_path, library)


def test_answers_to_what_is_no_case(answered: Callable[..., Verdict], right: dict[str, Any], tmp_path: Path) -> None:
    answered(right)
    (tmp_path / "gru" / "typo.json").write_text("{}")
    (tmp_path / "gru" / "notes.txt").write_text("not an answer")
    (tmp_path / "gru" / "long.JSON").write_text("{}")
    (tmp_path / "gruu").mkdir()
    (tmp_path / "gruu" / "plain.npz").write_text("")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.json").write_text("")
    results = Results(tmp_path, Library())
    assert results.ops == ("gru",)
    assert {case: str(path.relative_to(tmp_path)) for case, path in results.strays.items()} == {
        "gru/typo": "gru/typo.json",
        "gru/long.JSON": "gru/long.JSON",
        "gruu/plain": "gruu/plain.npz",
    }
