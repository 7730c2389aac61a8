"""The golden vectors as files: complete, small, exact, told apart, made by others, and refused where changed."""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from refbss import priors
from refbss._checks import InputError
from refbss.conformance.vectors import DTYPES, FORMAT, Library, Mistake, Vector
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.params import count
from refbss.training.config import PRESETS
from refbss.verification.compare import worst
from refbss.verification.registry import SPECS

GOLDEN = Path(__file__).parents[2] / "golden"
GENERATORS = sorted((GOLDEN / "generate").glob("*.py"))
LIBRARY = Library()
CASES = [LIBRARY.load(name) for name in LIBRARY.ids]
BY_OP = {op: [vector for vector in CASES if vector.op == op] for op in LIBRARY.ops}
PRIORS = [f"prior_{family}" for family in priors.FAMILIES]
NOTHING_TO_REFUSE = {"sigmoid", "tanh", "softplus", *PRIORS}
"""Functions of each number by itself: an array of any shape has an answer."""
APART = 64.0
"""A mistake has to be this many float32 tolerances away from what is right."""
KINDS = ("outputs", "grads")


# ---------------------------------------------------------------- the whole


def test_there_are_enough_and_they_are_small(figures: dict[str, str]) -> None:
    size = sum((GOLDEN / name).stat().st_size for name in [*LIBRARY.manifest, "MANIFEST.json"])
    figures["golden vectors"] = f"{len(CASES)} cases of {len(BY_OP)} operators, {size / 1e6:.2f} MB"
    assert len(CASES) >= 120
    assert size < 2_000_000


def test_the_installed_vectors_are_those_of_the_tree() -> None:
    assert Library(GOLDEN).manifest == LIBRARY.manifest


def test_the_manifest_lists_every_file_and_no_other() -> None:
    folders = [path for path in GOLDEN.iterdir() if path.is_dir() and path.name not in ("generate", "__pycache__")]
    found = {f"{folder.name}/{path.name}" for folder in folders for path in folder.iterdir()}
    assert found == set(LIBRARY.manifest)
    for name, said in LIBRARY.manifest.items():
        assert said["sha256"] == hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest(), name
        assert set(said) == {"sha256", "source", "generator", "date"}, name
        assert (GOLDEN.parent / said["generator"]).is_file(), name


@pytest.mark.parametrize("op", [*SPECS, *PRIORS])
def test_every_operator_has_random_edge_and_refused_cases(op: str) -> None:
    vectors = BY_OP.get(op, [])
    random = [vector.id for vector in vectors if vector.valid and "edge" not in vector.flags and is_random(vector)]
    assert len(random) >= 3
    assert any(vector.valid and "edge" in vector.flags for vector in vectors), f"{op}: no edge case"
    refused = any(not vector.valid for vector in vectors)
    assert refused or op in NOTHING_TO_REFUSE, f"{op}: no case to refuse"


def is_random(vector: Vector) -> bool:
    """Whether at least half of the numbers of the question differ from all others."""
    values = np.concatenate([array.ravel() for array in (vector.inputs | vector.params).values()])
    return len(np.unique(values)) >= values.size / 2


@pytest.mark.parametrize("op", ["adam", "clip_gradients", "model", "objective", "train"])
def test_what_is_no_operator_has_cases_too(op: str) -> None:
    assert sum(vector.valid for vector in BY_OP.get(op, [])) >= 3


# ---------------------------------------------------------------- one case


def has_axes(array: np.ndarray, axes: str) -> bool:
    """Whether the array has the axes that are named: "B T I"; "... C" is C after any others, "C or 1" is either."""
    choices = [choice.split() for choice in axes.split(" or ")]
    return any(array.ndim == len(c) or (c[:1] == ["..."] and array.ndim >= len(c) - 1) for c in choices)


@pytest.mark.parametrize("vector", CASES, ids=lambda vector: vector.id)
def test_the_form_of_a_case(vector: Vector) -> None:
    assert vector.document["format"] == FORMAT
    assert vector.id.split("/")[0] == vector.op
    listed = LIBRARY.manifest[f"{vector.id}.json"]
    assert dict(vector.provenance) == {name: listed[name] for name in ("source", "generator")}
    assert ("error" in vector.flags) == (not vector.valid) == bool(vector.why)
    groups = {name: getattr(vector, name) for name in ("inputs", "params", "outputs", "cotangents", "grads")}
    arrays = {f"{group}.{name}": array for group, named in groups.items() for name, array in named.items()}
    for mistake in vector.mistakes:
        assert "you" in mistake.says and mistake.says.isascii() and "\n" not in mistake.says, mistake.name
        for kind in KINDS:
            named = getattr(mistake, kind)
            arrays |= {f"mistakes.{mistake.name}.{kind}.{name}": array for name, array in named.items()}
    stored = load(LIBRARY.read(f"{vector.id}.safetensors"))
    assert set(stored) == set(arrays)
    for place, array in stored.items():
        wanted = np.float64 if place.split(".")[0] in ("outputs", "grads") else np.float32
        assert array.dtype == wanted and np.isfinite(array).all(), place
        group, name = place.split(".", 1)
        if group == "mistakes":
            continue
        assert list(array.shape) == vector.document[group][name], place
        axes = vector.axes[name]
        assert has_axes(array, axes) or not vector.valid, f"{place} has shape {array.shape}, axes are {axes!r}"
    for group in ("inputs", "params", "cotangents"):
        for name, array in groups[group].items():
            assert np.array_equal(array, array.astype(np.float32)), f"{group}.{name} is not exact in float32"
    for name, array in vector.cotangents.items():
        assert array.shape == vector.outputs[name].shape, name
    for name, array in vector.grads.items():
        assert array.shape == (vector.inputs | vector.params)[name].shape, name


@pytest.mark.parametrize("vector", [v for v in CASES if v.valid], ids=lambda vector: vector.id)
def test_tolerances_come_from_measured_errors(vector: Vector) -> None:
    """16 times the measured error or the dtype's rounding; for PyTorch's cases float64 is float32 times 2^-29."""
    assert vector.outputs
    for dtype, rounding in zip(DTYPES, (2.0**-24, 2.0**-53), strict=True):
        for kind in KINDS:
            measured = vector.measured.get(dtype, {}).get(kind)
            wanted = vector.tol["float32"][kind] * 2.0**-29 if measured is None else 16.0 * max(measured, rounding)
            assert vector.tol[dtype][kind] == pytest.approx(wanted, rel=0.11), f"{dtype} {kind}"  # two digits each
    assert vector.measured["float32"]


def test_lvbd_tiny_is_the_preset() -> None:
    vector = LIBRARY.load("model/lvbd-tiny")
    said = {name: tuple(v) if isinstance(v, list) else v for name, v in vector.attrs["config"].items()}
    assert set(said) == set(LvbdConfig.__dataclass_fields__)
    assert LvbdConfig(**said) == LvbdConfig(**PRESETS["lvbd-tiny"]["model"])
    assert count(vector.params) == 17_427
    frames = vector.outputs["mu"].shape[2]
    assert said["block"] < frames < 2 * said["block"]  # the memory is written, then read


# ---------------------------------------------------------------- mistakes


def known(mistake: Mistake | None, vector: Vector, kind: str, name: str) -> np.ndarray:
    """What an implementation with that mistake gives: the stored array, or the right one where none is stored."""
    stored = getattr(mistake, kind) if mistake is not None else {}
    array: np.ndarray = stored.get(name, getattr(vector, kind)[name])
    return array


@pytest.mark.parametrize("vector", [v for v in CASES if v.mistakes], ids=lambda vector: vector.id)
def test_mistakes_are_far_from_right(vector: Vector) -> None:
    for mistake in vector.mistakes:
        assert mistake.outputs or mistake.grads, mistake.name
        for kind in KINDS:
            for name, wrong in getattr(mistake, kind).items():
                found = worst(wrong, getattr(vector, kind)[name])
                assert found.error >= APART * vector.tol["float32"][kind], f"{mistake.name} {kind} {name}: {found}"


def tells_apart(vector: Vector, first: str, second: str) -> bool:
    """Whether some array of the case differs so much between two mistakes that no answer is near to both."""
    found = {mistake.name: mistake for mistake in vector.mistakes}
    a, b = found.get(first), found.get(second)
    for kind in KINDS:
        names = {name for mistake in (a, b) if mistake is not None for name in getattr(mistake, kind)}
        for name in names:
            pair = known(a, vector, kind, name), known(b, vector, kind, name)
            if min(worst(*pair).error, worst(*pair[::-1]).error) > 2.0 * vector.tol["float32"][kind]:
                return True
    return False


@pytest.mark.parametrize("op", BY_OP)
def test_mistakes_are_told_apart(op: str) -> None:
    names = sorted({mistake.name for vector in BY_OP[op] for mistake in vector.mistakes})
    confused = [pair for pair in itertools.combinations(names, 2) if not any(tells_apart(v, *pair) for v in BY_OP[op])]
    assert not confused


def test_a_mistake_says_the_same_everywhere() -> None:
    for op, vectors in BY_OP.items():
        said = {(mistake.name, mistake.says) for vector in vectors for mistake in vector.mistakes}
        assert len(said) == len({name for name, _ in said}), op


# ---------------------------------------------------------------- who made it, and who changed it


@pytest.mark.parametrize("path", GENERATORS, ids=lambda path: path.stem)
def test_no_generator_imports_refbss(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported
    assert not {name for name in imported if name.startswith("refbss")}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the GRU's vectors alone."""
    shutil.copytree(GOLDEN / "gru", tmp_path / "gru")
    files = {name: said for name, said in LIBRARY.manifest.items() if name.startswith("gru/")}
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"format": FORMAT, "version": 1, "files": files}))
    return tmp_path


def test_an_unchanged_copy_is_read(copy: Path) -> None:
    assert [vector.id for vector in Library(copy).load_all()] == [vector.id for vector in BY_OP["gru"]]


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Leave the last byte out."""
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [(flip, "sha256 is .* MANIFEST.json has"), (cut, "sha256 is .* cut short"), (Path.unlink, "No such file")],
    ids=["flipped", "cut", "missing"],
)
def test_a_changed_file_is_refused(copy: Path, suffix: str, damage: Callable[[Path], None], message: str) -> None:
    damage(copy / "gru" / f"plain.{suffix}")
    library = Library(copy)
    with pytest.raises(InputError, match=rf"gru/plain\.{suffix}: {message}"):
        library.load("gru/plain")
    assert library.load("gru/square").valid


def test_a_file_that_is_not_listed_is_refused(copy: Path) -> None:
    for suffix in ("json", "safetensors"):
        shutil.copy(copy / "gru" / f"plain.{suffix}", copy / "gru" / f"extra.{suffix}")
    library = Library(copy)
    with pytest.raises(InputError, match=r"gru/extra\.json: not listed in MANIFEST.json"):
        library.read("gru/extra.json")
    with pytest.raises(InputError, match="nothing is called 'gru/extra'"):
        library.load("gru/extra")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"MANIFEST\.json: No such file"),
        ("{", r"MANIFEST\.json: not JSON"),
        ("[]", r"MANIFEST\.json: format is not"),
        ('{"format": "refbss-vectors/2", "files": {}}', r"MANIFEST\.json: format is not"),
    ],
    ids=["missing", "cut", "list", "later format"],
)
def test_a_bad_manifest_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "MANIFEST.json").write_text(text)
    with pytest.raises(InputError, match=message):
        Library(tmp_path)
