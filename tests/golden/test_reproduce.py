"""The golden vectors are made again: those of mpmath bit for bit, those of PyTorch within their own tolerance.

The generators run in processes in which refbss cannot be imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refbss.conformance.vectors import Library
from refbss.verification.compare import worst

GOLDEN = Path(__file__).parents[2] / "golden"
GENERATE = GOLDEN / "generate"
TORCH_OPS = {"model", "objective", "train"}
BLOCKED = "import runpy, sys; sys.modules['refbss'] = None; sys.argv = sys.argv[1:]; "
PROOF = """
import json, sys
sys.path.insert(0, sys.argv[1])
from make_vectors import PROVEN, books, proof
print(json.dumps({"limit": PROVEN, "errors": {book.op: proof(book, book.cases[0]) for book in books()}}))
"""


def generate(script: str, out: Path) -> None:
    """Run a generator with ``--out``, without refbss."""
    out.mkdir()
    code = BLOCKED + "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(GENERATE / script), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr


def manifest(root: Path) -> dict[str, dict[str, str]]:
    """The listed files, without their dates."""
    files = json.loads((root / "MANIFEST.json").read_text(encoding="utf-8"))["files"]
    return {name: {key: text for key, text in said.items() if key != "date"} for name, said in files.items()}


def test_mpmath_cases_are_made_again_bit_for_bit(tmp_path: Path) -> None:
    generate("make_vectors.py", tmp_path / "made")
    made = manifest(tmp_path / "made")
    assert made == {name: said for name, said in manifest(GOLDEN).items() if name.split("/")[0] not in TORCH_OPS}
    for name in made:
        assert (tmp_path / "made" / name).read_bytes() == (GOLDEN / name).read_bytes(), name


def test_gradients_against_differences_at_100_digits(figures: dict[str, str]) -> None:
    """The first case of every operator; ``make_vectors.py --prove`` takes all of them."""
    done = subprocess.run([sys.executable, "-c", PROOF, str(GENERATE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["errors"]) == set(Library().ops) - TORCH_OPS
    op = max(found["errors"], key=lambda name: found["errors"][name])
    figures["golden gradients against differences"] = f"{found['errors'][op]:.1e} ({op}, one case an operator)"
    assert {op: error for op, error in found["errors"].items() if not error <= found["limit"]} == {}


def test_pytorch_cases_are_made_again(tmp_path: Path, figures: dict[str, str]) -> None:
    """Twice, with the same bits; another version of PyTorch or another processor may round the answers differently."""
    pytest.importorskip("torch")
    roots = [tmp_path / "first", tmp_path / "second"]
    for root in roots:
        generate("torch_vectors.py", root)
    assert manifest(roots[0]) == manifest(roots[1])
    golden, made = Library(GOLDEN), Library(roots[0])
    assert made.ids == tuple(name for name in golden.ids if name.split("/")[0] in TORCH_OPS)
    same = sum(golden.manifest[name]["sha256"] == said["sha256"] for name, said in made.manifest.items())
    largest = (0.0, "anywhere")
    for name in made.ids:
        wanted, got = golden.load(name), made.load(name)
        for key in set(wanted.document) - {"tol", "measured"}:
            assert got.document[key] == wanted.document[key], f"{name}: {key}"
        for group in ("inputs", "params", "cotangents"):
            for key, array in getattr(wanted, group).items():
                assert np.array_equal(getattr(got, group)[key], array), f"{name}: {group}.{key}"
        answers = [(got, wanted), *zip(got.mistakes, wanted.mistakes, strict=True)]
        for ours, theirs in answers:
            for kind in ("outputs", "grads"):
                for key, array in getattr(theirs, kind).items():
                    found = worst(getattr(ours, kind)[key], array)
                    if found.error > largest[0]:
                        largest = (found.error, f"in {name} {kind} {key}")
                    assert found.error <= wanted.tol["float64"][kind], f"{name}: {kind}.{key}: {found}"
    figures["golden vectors of PyTorch, made again"] = (
        f"{same} of {len(made.manifest)} files bit for bit, largest error {largest[0]:.1e} {largest[1]}"
    )
