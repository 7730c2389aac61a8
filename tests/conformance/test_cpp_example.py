"""The C++ example of the docs: it compiles without a warning, and its answers pass in both dtypes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from refbss.conformance.export import export
from refbss.conformance.judge import judge
from refbss.conformance.results import Results
from refbss.conformance.vectors import Library

SOURCE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "cpp" / "gru.cpp"
COMPILER = shutil.which("c++") or shutil.which("g++")


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_cpp_example(library: Library, tmp_path: Path, dtype: str) -> None:
    questions, answers, program = tmp_path / "questions", tmp_path / "answers", tmp_path / "gru"
    export(questions, library, ["gru"], fmt="json", answers=False)
    real = {"float32": "float", "float64": "double"}[dtype]
    flags = ["-O2", "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-DREAL={real}"]
    made = subprocess.run([str(COMPILER), *flags, SOURCE, "-o", program], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    subprocess.run([program, questions, answers], check=True)
    results = Results(answers, library)
    cases = library.find("gru")
    assert sorted(results.files) == cases
    for case in cases:
        assert results.dtype_of(case) == dtype
        verdict = judge(library.load(case), results, dtype, True)
        assert verdict.passed, verdict
    refused = json.loads((answers / "gru" / "wrong-state-size.json").read_text(encoding="utf-8"))
    assert refused["error"] == "h0 does not fit the weights"
