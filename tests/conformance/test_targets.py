"""From a name to something that can be judged; names that lead nowhere are said by name."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss._checks import InputError
from refbss.conformance.implementation import CallFailure
from refbss.conformance.numpy_adapter import NumpyCallable
from refbss.conformance.own import Engine
from refbss.conformance.state_map import Place, StateMap
from refbss.conformance.targets import implementation, load_target
from refbss.conformance.vectors import Library


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a package, a file and files that cannot be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    package = tmp_path / "refbss_probe_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text(
        "class Group:\n    @staticmethod\n    def gru(x):\n        return x\nvalue = 3\n"
    )
    (tmp_path / "beside.py").write_text("SIZE = 7\n")
    (tmp_path / "one file.py").write_text("print('hello')\nfrom beside import SIZE\ndef f(x): return SIZE\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "raises.py").write_text("raise RuntimeError('no licence')\n")
    (tmp_path / "leaves.py").write_text("import sys; sys.exit(0)\n")
    (tmp_path / "skips.py").write_text("import pytest; pytest.skip('no GPU', allow_module_level=True)\n")
    (tmp_path / "lazy.py").write_text("def __getattr__(name):\n    raise ImportError('no ' + name)\n")
    (tmp_path / "kept.py").write_text("CACHE = {}\ndef f(): return CACHE\ndef f_vjp(): return CACHE\nvalue = 3\n")
    return tmp_path


def test_a_module_below_the_current_directory(folder: Path) -> None:
    assert load_target("refbss_probe_package.layers:Group.gru")(5) == 5


def test_a_file_may_import_what_is_beside_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_target("one file.py:f")(None) == 7
    assert capsys.readouterr() == ("", "hello\n")
    assert load_target(f"{folder}/one file.py:f")(None) == 7


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("gru", "target: 'gru' is no target, wanted module:attribute, file.py:attribute, or one of reference, fast"),
        (":gru", "target: ':gru' is no target"),
        ("numpy:", "target: 'numpy:' is no target"),
        ("numpy:a b", "target: 'numpy:a b' is no target"),
        (
            "refbss_no_such:f",
            "target: refbss_no_such cannot be imported: it raised ModuleNotFoundError: No module named",
        ),
        ("none.py:f", "target: there is no file none.py"),
        ("broken.py:f", "target: broken.py cannot be imported: it raised SyntaxError: invalid syntax"),
        ("raises.py:f", "target: raises.py cannot be imported: it raised RuntimeError: no licence (raises.py:1)"),
        ("leaves.py:f", "target: leaves.py cannot be imported: it raised SystemExit: 0"),
        ("skips.py:f", "target: skips.py cannot be imported: it raised Skipped: no GPU (skips.py:1)"),
        ("lazy.py:f", "target: lazy.py does not give f: asked for it, it raised ImportError: no f (lazy.py:2)"),
        ("refbss_probe_package.layers:Grup", "target: refbss_probe_package.layers has no Grup, did you mean Group?"),
        ("refbss_probe_package.layers:Group.lstm", "target: refbss_probe_package.layers has no lstm"),
    ],
)
def test_targets_that_are_none(folder: Path, target: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_target(target)
    assert str(error.value).startswith(message)


def test_a_file_is_executed_once(folder: Path) -> None:
    load_target("kept.py:f")()["x"] = 3
    assert load_target(f"{folder}/kept.py:f_vjp")() == {"x": 3}
    (folder / "kept.py").write_text("def f(): return 5\n")
    os.utime(folder / "kept.py", (1, 1))
    assert load_target("kept.py:f")() == 5


def test_a_file_that_is_called_as_a_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "torch.py").write_text("def tanh(x): return x\n")
    monkeypatch.setitem(sys.modules, "torch", None)  # so that afterwards it is there again, or not, as it was
    del sys.modules["torch"]
    assert isinstance(implementation("torch:tanh"), NumpyCallable)
    with pytest.raises(InputError, match=r"framework torch: cannot be imported, .*torch\.py is in its place"):
        implementation("torch:tanh", "torch")


def test_a_vjp_that_cannot_be_called(folder: Path) -> None:
    with pytest.raises(InputError, match=r"vjp: kept\.py:value is a int, wanted a callable"):
        implementation("kept.py:f", vjp="kept.py:value")


def test_our_engines_have_names() -> None:
    found = implementation("fast")
    assert isinstance(found, Engine) and found.name == "fast"


def test_without_a_framework_it_is_numpy(sample: Callable[[str], Any]) -> None:
    found = implementation(sample("grus:right"))
    assert isinstance(found, NumpyCallable) and found.name == "make.<locals>.gru"


def test_what_cannot_be_judged(folder: Path) -> None:
    with pytest.raises(InputError, match=r"target: refbss_probe_package.layers:value is a int, wanted a callable"):
        implementation("refbss_probe_package.layers:value")
    with pytest.raises(InputError, match=r"check: framework is 'tensorflow', wanted one of numpy, torch, jax"):
        implementation(np.tanh, "tensorflow")
    with pytest.raises(InputError, match=r"check: vjp is for numpy, wanted none: torch differentiates by itself"):
        implementation(np.tanh, "torch", vjp=np.tanh)
    with pytest.raises(InputError, match=r"check: a state map is for torch, wanted none with numpy"):
        implementation(np.tanh, state_map=StateMap({"a": Place("b")}))


def test_a_framework_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(InputError, match=r"framework jax: cannot be imported \(.*\), wanted it installed"):
        implementation(np.tanh, "jax")


def test_an_operator_that_the_engine_lacks_is_a_failure_of_the_case() -> None:
    vector = Library().load("tanh/plain")
    unknown = dataclasses.replace(vector, op="softsign")
    with pytest.raises(CallFailure, match="'reference' has no operator 'softsign'"):
        Engine("reference").answer(unknown, "float32", grads=False)
