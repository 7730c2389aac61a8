"""refbss.testing and the pytest plugin as somebody else has them: the wheel, and a package of their own, elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from refbss.conformance.vectors import Library

GRU = Library().find("gru")
VALID = [case for case in GRU if Library().load(case).valid]

LAYERS = '''
"""A GRU as somebody might write it, and one with the gates in another order."""
import numpy as np


def gru(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, order="rzn"):
    def gates(array):
        return dict(zip(order, np.split(array, 3)))

    def sigmoid(s):
        return 1 / (1 + np.exp(-s))

    w, u, b, c = map(gates, (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0))
    h, states = h0, []
    for t in range(x.shape[1]):
        i, j = ({k: left @ m[k].T + n[k] for k in order} for left, m, n in ((x[:, t], w, b), (h, u, c)))
        r, z = sigmoid(i["r"] + j["r"]), sigmoid(i["z"] + j["z"])
        h = (1 - z) * np.tanh(i["n"] + r * j["n"]) + z * h
        states.append(h)
    return np.stack(states, 1), h


class KerasOrder:
    def __call__(self, x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
        return gru(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, order="zrn")
'''
FILES = {
    "mypkg/__init__.py": "",
    "mypkg/layers.py": LAYERS,
    "mypkg/good.py": "from mypkg.layers import gru\n",
    "mypkg/bad.py": "from mypkg.layers import KerasOrder\nIMPLEMENTATIONS = {'gru/': KerasOrder}\n",
    "mypkg/keys.py": "IMPLEMENTATIONS = {1: print}\n",
    "test_right.py": """
from refbss.testing import vector_test

test_gru = vector_test("gru/", "mypkg.layers:gru", dtype="both")
""",
    "test_wrong.py": """
from mypkg.layers import KerasOrder
from refbss.testing import vector_test

test_gru = vector_test("gru/", KerasOrder)
""",
    "test_where.py": """
import refbss, refbss_golden, os

def test_where():
    for module in (refbss, refbss_golden):
        assert module.__file__.startswith(os.environ["TARGET"]), module.__file__
    assert not os.path.exists(os.path.join(os.environ["TARGET"], "refbss_golden", "generate"))
""",
}


class Ran(NamedTuple):
    """Exit code, stdout and stderr of a run of pytest, and how many passed and failed."""

    code: int
    out: str
    err: str
    passed: int
    failed: int


@pytest.fixture(scope="module")
def target(wheel_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed in it: what it needs is taken from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*command, "--target", str(folder), str(wheel_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def pytest_there(target: Path, project: Path) -> Callable[..., Ran]:
    """Run pytest in the project. Every warning is an error there."""

    def run(*arguments: str) -> Ran:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        env = kept | {"PYTHONPATH": str(target), "TARGET": str(target)}
        options = ["-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error", "--strict-markers", "--strict-config"]
        command = [sys.executable, "-m", "pytest", *options, *arguments]
        done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
        passed, failed = (
            int(found[1]) if (found := re.search(rf"(\d+) {word}", done.stdout.splitlines()[-1])) else 0
            for word in ("passed", "failed")
        ) if done.stdout else (0, 0)  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr, passed, failed)

    return run


def test_it_is_the_wheel_that_runs(pytest_there: Callable[..., Ran]) -> None:
    ran = pytest_there("test_where.py")
    assert (ran.code, ran.passed, ran.failed) == (0, 1, 0), ran.out


def test_what_is_right_passes(pytest_there: Callable[..., Ran]) -> None:
    ran = pytest_there("test_right.py", "-v")
    assert (ran.code, ran.passed, ran.failed) == (0, 2 * len(GRU), 0), ran.out
    assert "test_right.py::test_gru[gru/plain-float64] PASSED" in ran.out


def test_what_is_wrong_fails_and_is_named(pytest_there: Callable[..., Ran]) -> None:
    ran = pytest_there("test_wrong.py")
    assert (ran.code, ran.passed, ran.failed) == (1, len(GRU) - len(VALID), len(VALID)), ran.out
    assert "gru/plain float32: y differs by " in ran.out
    assert {name for name in VALID if f"{name} float32: y differs" in ran.out} == set(VALID), ran.out
    assert ran.out.count("equal mistake 'gates-zrn'") >= len(VALID)
    assert "Traceback" not in ran.out and "vector_test" not in ran.out


def test_a_module_of_adapters(pytest_there: Callable[..., Ran]) -> None:
    ran = pytest_there("--refbss", "mypkg.good", "--refbss-dtype", "both", "-m", "refbss", "-v")
    assert (ran.code, ran.passed, ran.failed) == (0, 2 * len(GRU), 0), ran.out
    assert "mypkg/good.py::gru/plain-float32 PASSED" in ran.out


def test_two_modules_beside_the_tests_of_the_project(pytest_there: Callable[..., Ran]) -> None:
    ran = pytest_there("--refbss", "mypkg.good", "--refbss", "mypkg/bad.py", "test_right.py")
    refused = len(GRU) - len(VALID)
    assert (ran.code, ran.passed, ran.failed) == (1, 3 * len(GRU) + refused, len(VALID)), ran.out
    assert f"collected {4 * len(GRU)} items" in ran.out
    assert "FAILED mypkg/bad.py::gru/plain-float32" in ran.out and "mistake 'gates-zrn'" in ran.out


@pytest.mark.parametrize("module", ["mypkg.bad", "mypkg/bad.py"])
def test_a_name_from_the_report_is_found_again(pytest_there: Callable[..., Ran], module: str) -> None:
    ran = pytest_there("mypkg/bad.py::gru/plain-float32", "--refbss", module, "--refbss", "mypkg.good", "-k", "bad.py")
    assert (ran.code, ran.passed, ran.failed) == (1, 0, 1), ran.out
    assert "FAILED mypkg/bad.py::gru/plain-float32" in ran.out
    ran = pytest_there("mypkg/bad.py", "--refbss", module)
    assert (ran.code, ran.failed) == (1, len(VALID)) and f"collected {len(GRU)} items" in ran.out, ran.out


def test_choosing_among_the_cases(pytest_there: Callable[..., Ran]) -> None:
    ran = pytest_there("--refbss", "mypkg.bad", "-m", "refbss", "-k", "wrong-state or silence")
    assert (ran.code, ran.passed, ran.failed) == (1, 1, 1), ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mypkg.none"], "--refbss target: mypkg.none cannot be imported: it raised ModuleNotFoundError"),
        (["mypkg"], "--refbss mypkg: has neither IMPLEMENTATIONS nor a callable named as one of "),
        (["mypkg/keys.py"], "--refbss mypkg/keys.py: IMPLEMENTATIONS has the key 1, wanted an operator"),
        (["mypkg.good", "--refbss-framework", "tensorflow"], "invalid choice: 'tensorflow'"),
    ],
)
def test_wrong_usage_is_one_line(pytest_there: Callable[..., Ran], arguments: list[str], message: str) -> None:
    ran = pytest_there("--refbss", *arguments)
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert message in ran.err and "Traceback" not in ran.out + ran.err


def test_without_the_option_nothing_of_weight_is_loaded(pytest_there: Callable[..., Ran], project: Path) -> None:
    (project / "test_light.py").write_text(
        "import sys\n\n\ndef test_light():\n"
        "    assert 'refbss.testing.plugin' in sys.modules\n"
        "    assert not {'numpy', 'numba', 'safetensors', 'refbss.testing.cases'} & set(sys.modules)\n"
    )
    ran = pytest_there("test_light.py", "-p", "no:hypothesispytest")
    assert (ran.code, ran.passed) == (0, 1), ran.out
