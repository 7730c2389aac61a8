"""Who may import whom. The law stands on nothing but its doors; nothing in refbss knows the command line."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOORS = {"_checks", "_jit", "_types", "_version"}
LAW = {"ops", "losses", "priors"}
MODEL = {"models", "engine", "config"}

MAY_IMPORT = {
    "__init__": DOORS | LAW | MODEL | {"data", "evaluation", "separation", "training"},
    "_checks": set(),
    "audit": DOORS | LAW | MODEL | {"_files", "conformance", "evaluation", "training", "verification"},
    "_jit": {"_version"},
    "_types": set(),
    "_version": set(),
    "machine": DOORS | {"fast"},
    "ranks": DOORS,
    "config": {"_checks", "_files"},
    "conformance": DOORS | LAW | MODEL | {"_files", "training", "verification"},
    "ops": DOORS,
    "priors": DOORS,
    "losses": DOORS | {"priors"},
    "fast": DOORS | LAW,
    "engine": DOORS | LAW | {"fast"},
    "models": DOORS | {"_files", "engine", "config"},
    "data": DOORS | {"_files", "config"},
    "_files": set(),
    "evaluation": DOORS | MODEL | {"_files"} | {"data", "losses", "streaming"},
    "separation": DOORS | MODEL | {"data", "separation_stream", "streaming", "training"},
    "separation_stream": DOORS | {"_files", "data", "models", "streaming"},
    "reports": DOORS | MODEL | {"_files", "data", "evaluation", "training"},
    "bench": DOORS | LAW | MODEL | {"conformance", "data", "fast", "machine", "streaming", "training"},
    "testing": DOORS | {"conformance"},
    "streaming": DOORS | MODEL | {"fast"},
    "warmup": DOORS | MODEL | {"fast", "machine", "separation", "streaming"},
    "training": DOORS | MODEL | {"_files", "data", "evaluation", "machine", "ranks"},
    "verification": DOORS | LAW | MODEL | {"fast", "data", "evaluation", "streaming", "training"},
}
"""Every module or package directly in refbss, and which of the others it may import."""

LIBRARIES = {"numpy", "scipy", "soundfile", "safetensors", "threadpoolctl"}
"""Third-party packages that any module may import at its top."""
ALSO = {
    "_jit": {"numba"},
    "fast": {"llvmlite", "numba"},
    "machine": {"llvmlite", "numba"},
    "testing": {"pytest"},
    "verification": {"numba", "mpmath", "sympy", "torch", "jax"},
}
INSIDE_FUNCTIONS = {"matplotlib", "mpi4py", "PIL", "pooch", "requests"}
"""Extras: imported where they are used, so that refbss works without them."""


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each imported module (dotted), and whether the import stands at the top of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import on line {node.lineno}"
            assert node.module is not None
            if node.module == "refbss":
                yield from ((f"refbss.{alias.name}", node in top) for alias in node.names)
            else:
                yield node.module, node in top


def _room(path: Path, root: Path) -> str:
    return path.relative_to(root / "refbss").parts[0].removesuffix(".py")


@pytest.fixture(scope="session")
def package_files(root: Path, python_files: list[Path]) -> list[Path]:
    return [path for path in python_files if path.is_relative_to(root / "refbss")]


def test_every_room_has_a_rule(root: Path, package_files: list[Path]) -> None:
    assert {_room(path, root) for path in package_files} <= set(MAY_IMPORT)


def test_layers(root: Path, package_files: list[Path]) -> None:
    wrong = []
    for path in package_files:
        room = _room(path, root)
        for name, _ in _imports(path):
            if name.split(".")[0] == "refbss":
                other = name.split(".")[1] if "." in name else "__init__"
                public = other.startswith("__")  # refbss.__version__
                if not public and other != room and other not in MAY_IMPORT[room]:
                    wrong.append(f"{path.relative_to(root)} imports {name}")
    assert not wrong


def test_third_parties(root: Path, package_files: list[Path]) -> None:
    wrong = []
    for path in package_files:
        room = _room(path, root)
        allowed = LIBRARIES | ALSO.get(room, set()) | {"refbss"} | set(sys.stdlib_module_names)
        for name, at_top in _imports(path):
            library = name.split(".")[0]
            if library not in allowed and (at_top or library not in INSIDE_FUNCTIONS):
                wrong.append(f"{path.relative_to(root)} imports {name}")
    assert not wrong


def test_only_the_command_line_imports_click(root: Path, python_files: list[Path]) -> None:
    allowed = (root / "cli", root / "tests" / "cli", root / "tests" / "house")
    for path in python_files:
        libraries = {name.split(".")[0] for name, _ in _imports(path)}
        if not path.is_relative_to(root / "tests") and not path.is_relative_to(root / "cli"):
            assert "refbss_cli" not in libraries, path
        if not any(path.is_relative_to(folder) for folder in allowed):
            assert "click" not in libraries, path


def test_the_command_line_is_imported_under_its_installed_name(python_files: list[Path]) -> None:
    for path in python_files:
        assert not any(name.split(".")[0] == "cli" for name, _ in _imports(path)), path
