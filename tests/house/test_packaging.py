"""What is installed: the list of packages equals the tree, and a wheel holds what it must and no more."""

from __future__ import annotations

import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import refbss


@pytest.fixture(scope="session")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def wheel(wheel_path: Path) -> zipfile.ZipFile:
    """The files of a wheel of this tree."""
    return zipfile.ZipFile(wheel_path)


def test_the_package_list_equals_the_tree(root: Path, python_files: list[Path], pyproject: dict[str, Any]) -> None:
    folders = {path.parent.relative_to(root) for path in python_files}
    tree = {".".join(folder.parts) for folder in folders if folder.parts[:1] == ("refbss",)}
    command_line = {".".join(("refbss_cli", *folder.parts[1:])) for folder in folders if folder.parts[:1] == ("cli",)}
    vectors = {"refbss_golden"}  # data; how it is made, golden/generate, is not installed
    listed = pyproject["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(tree | command_line | vectors)


def test_every_package_has_an_init(root: Path, python_files: list[Path]) -> None:
    for path in python_files:
        if path.relative_to(root).parts[0] in ("refbss", "cli"):
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"


def test_the_wheel_holds_the_packages_and_their_data(
    root: Path, project_files: list[Path], wheel: zipfile.ZipFile
) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = set()
    for path in project_files:
        parts = path.relative_to(root).parts
        if parts[0] == "refbss":
            wanted.add("/".join(parts))
        elif parts[0] == "cli":
            wanted.add("/".join(("refbss_cli", *parts[1:])))
        elif parts[0] == "golden" and parts[1] not in ("generate", "README.md"):
            wanted.add("/".join(("refbss_golden", *parts[1:])))
    assert held == wanted


def test_the_wheel_runs(wheel: zipfile.ZipFile, tmp_path: Path, run_python: Callable[..., str]) -> None:
    wheel.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import refbss, refbss_cli.main\n"
        f"assert refbss.__file__.startswith({str(tmp_path)!r}), refbss.__file__\n"
        f"assert refbss_cli.main.__file__.startswith({str(tmp_path)!r})\n"
        "raise SystemExit(refbss_cli.main.main(['--version']))"
    )
    assert run_python(code, cwd=tmp_path) == f"refbss {refbss.__version__}\n"


def test_the_metadata(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = wheel.read(name).decode()
    assert f"\nVersion: {refbss.__version__}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert any(name.endswith("LICENSE") for name in wheel.namelist())
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    points = wheel.read(name).decode()
    assert "refbss = refbss_cli.main:main" in points
    assert "[pytest11]\nrefbss = refbss.testing.plugin" in points


def test_the_changelog_knows_the_version(root: Path) -> None:
    assert f"\n## {refbss.__version__} " in (root / "CHANGELOG.md").read_text(encoding="utf-8")
