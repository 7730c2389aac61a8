"""refbss vectors: list, show and export, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.conformance.export import FORMATS, document
from refbss.conformance.vectors import Library
from refbss_cli import vectors as command

Run = Callable[..., Any]
LIBRARY = Library()


def test_list_has_a_line_for_every_case(run: Run) -> None:
    ran = run("vectors", "list")
    assert (ran.code, ran.err) == (0, "")
    head, *lines, total = ran.out.splitlines()
    assert [line.split()[0] for line in lines] == list(LIBRARY.ids)
    assert head.split()[:2] == ["case", "mistakes"]
    refused = sum(not vector.valid for vector in LIBRARY.load_all())
    mistakes = sum(len(vector.mistakes) for vector in LIBRARY.load_all())
    assert total == (
        f"{len(LIBRARY.ids)} cases of {len(LIBRARY.ops)} operators, {refused} of them to be refused, "
        f"{mistakes} known mistakes; tolerances are those of float32"
    )
    assert max(map(len, lines)) < 160


def test_what_a_line_says(run: Run) -> None:
    _, line, _ = run("vectors", "list", "gru/one-frame").out.splitlines()
    vector = LIBRARY.load("gru/one-frame")
    tol = vector.tol["float32"]
    figures = [str(len(vector.mistakes)), f"{tol['outputs']:.1e}", f"{tol['grads']:.1e}"]
    assert line.split()[:4] == ["gru/one-frame", *figures]
    assert line.endswith("  y (2, 1, 2), h_n (2, 2)  [edge]")
    assert "to be refused: x has 4 channels" in run("vectors", "list", "gru/wrong-input-size").out
    assert "12 more" in run("vectors", "list", "model/lvbd-tiny").out
    assert run("vectors", "list", "train/linear").out.splitlines()[1].split()[3] == "-"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["gru"], "gru/*"),
        (["gru/"], "gru/*"),
        (["gru/one*", "gru/one-frame"], "gru/one*"),
        (["--op", "gru"], "gru/*"),
        (["*/one-frame", "--op", "gru", "--op", "prelu"], "gru/one-frame"),
    ],
)
def test_list_chooses(run: Run, arguments: list[str], wanted: str) -> None:
    result = json.loads(run("vectors", "list", *arguments, "--json").out)
    ids = [said["id"] for said in result["cases"]]
    assert ids and ids == [name for name in LIBRARY.find(wanted) if name.split("/")[0] in ("gru", "prelu")]
    assert result["total"]["cases"] == len(ids)


def test_list_in_json(run: Run) -> None:
    result = json.loads(run("vectors", "list", "gru", "--json").out)
    found = {said["id"]: said for said in result["cases"]}
    vector = LIBRARY.load("gru/plain")
    assert found["gru/plain"] == {
        "id": "gru/plain",
        "op": "gru",
        "result": "valid",
        "flags": [],
        "outputs": {"y": [2, 4, 2], "h_n": [2, 2]},
        "grads": {name: list(array.shape) for name, array in vector.grads.items()},
        "tol": vector.tol,
        "mistakes": [mistake.name for mistake in vector.mistakes],
    }
    assert found["gru/wrong-state-size"]["why"] == "h0 has 3 units, the weights have 2"
    assert result["total"]["operators"] == 1 and result["total"]["refused"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "gruu"], "nothing is called 'gruu', did you mean gru?"),
        (["list", "--op", "gruu"], "--op is 'gruu', wanted one of "),
        (["list", "gru/plain", "--op", "prelu"], "no case of prelu matches gru/plain"),
        (["show", "gru/plane"], "did you mean gru/plain?"),
        (["show", "gru"], "'gru' is not the id of one case"),
        (["show", "../gru/plain"], "nothing is called"),
    ],
)
def test_what_there_is_not(run: Run, arguments: list[str], message: str) -> None:
    ran = run("vectors", *arguments)
    assert ran.code == 2 and ran.out == ""
    assert ran.err.startswith("refbss: error: vectors: ") and message in ran.err and ran.err.count("\n") == 1


# ---------------------------------------------------------------- show


def test_show_says_everything(run: Run) -> None:
    lines = run("vectors", "show", "gru/plain").out.splitlines()
    vector = LIBRARY.load("gru/plain")
    assert lines[:4] == ["gru/plain: operator gru", "attributes: none", "inputs:", "  x   (2, 4, 3)  B T I"]
    assert "  weight_ih_l0  (6, 3)  3H I" in lines
    tol, measured = vector.tol["float64"], vector.measured["float64"]
    assert (
        f"tolerance float64: outputs {tol['outputs']:.1e}, gradients {tol['grads']:.1e} "
        f"({measured['outputs']:.1e} and {measured['grads']:.1e} measured)"
    ) in lines
    assert f"known mistakes: {len(vector.mistakes)}" in lines
    text = " ".join(" ".join(lines).split())
    for mistake in vector.mistakes:
        assert f"{mistake.name} (" in text and mistake.says in text
    assert all(tag in text for tag in vector.equations)
    assert lines[-2:] == [f"source: {vector.provenance['source']}", "generator: golden/generate/formulas_gru.py"]
    assert max(map(len, lines)) <= 120


def test_show_attributes(run: Run) -> None:
    vector = LIBRARY.load("model/bare")
    lines = run("vectors", "show", "model/bare").out.splitlines()
    assert "  config:" in lines and f"    latent = {vector.attrs['config']['latent']}" in lines
    case = next(name for name in LIBRARY.find("conv1d") if LIBRARY.load(name).attrs)
    attrs = LIBRARY.load(case).attrs
    lines = run("vectors", "show", case).out.splitlines()
    assert all(f"  {name} = {json.dumps(value)}" in lines for name, value in attrs.items())


def test_show_what_is_to_be_refused(run: Run) -> None:
    lines = run("vectors", "show", "gru/wrong-state-size").out.splitlines()
    assert lines[:2] == [
        "gru/wrong-state-size: operator gru, flags error",
        "to be refused: h0 has 3 units, the weights have 2",
    ]
    assert "outputs: none" in lines and not [line for line in lines if "mistakes" in line or "tolerance" in line]


@pytest.mark.parametrize("case", ["gru/plain", "model/bare", "gru/wrong-state-size"])
def test_show_values_in_full(run: Run, case: str) -> None:
    """Every printed number is one of the case, bit for bit, in the order of groups, arrays and rows."""
    vector = LIBRARY.load(case)
    printed = []
    for line in run("vectors", "show", case, "--arrays").out.splitlines():
        if line.startswith("    ") and not line.strip().split()[0][0].isalpha() and "=" not in line:
            values = line.partition("] ")[2] if line.strip().startswith("[") else line
            printed += [float(word) for word in values.split()]
    groups = [getattr(vector, group) for group in ("inputs", "params", "outputs", "cotangents", "grads")]
    groups += [arrays for mistake in vector.mistakes for arrays in (mistake.outputs, mistake.grads)]
    wanted = np.concatenate([array.ravel() for group in groups for array in group.values()])
    assert np.array(printed).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("arrays", [True, False], ids=["arrays", "shapes"])
def test_show_in_json(run: Run, arrays: bool) -> None:
    ran = run("vectors", "show", "gru/plain", "--json", *["--arrays"] * arrays)
    assert json.loads(ran.out) == document(LIBRARY.load("gru/plain"), data=arrays)


# ---------------------------------------------------------------- export


def test_export(run: Run, tmp_path: Path) -> None:
    ran = run("vectors", "export", tmp_path / "out", "gru", "prelu")
    again = Library(tmp_path / "out")
    assert ran.out.startswith(
        f"{tmp_path / 'out'}: {len(again.ids)} cases of 2 operators as safetensors, with answers, "
    )
    assert again.ops == ("gru", "prelu") and again.load("gru/plain").valid


@pytest.mark.parametrize("fmt", FORMATS)
def test_export_questions(run: Run, tmp_path: Path, fmt: str) -> None:
    ran = run("vectors", "export", tmp_path, "gru/plain", "--format", fmt, "--no-answers", "--json")
    result = json.loads(ran.out)
    assert result.pop("bytes") > 1000
    files = 2 if fmt == "json" else 3
    assert result == {"dir": str(tmp_path), "cases": 1, "operators": 1, "files": files, "format": fmt, "answers": False}
    assert "outputs" not in json.loads((tmp_path / "gru" / "plain.json").read_text())


def test_export_to_where_something_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ran = run("vectors", "export", tmp_path)
    assert ran.code == 2 and "holds mine, which no export wrote" in ran.err and ran.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_formats_of_the_option_are_those_there_are() -> None:
    (option,) = [p for p in command.export.params if p.name == "fmt"]
    assert tuple(option.type.choices) == FORMATS  # type: ignore[attr-defined]
