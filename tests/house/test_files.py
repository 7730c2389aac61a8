"""Files: short, described, portable, finished; and nothing that runs code hidden in data."""

from __future__ import annotations

import ast
import re
from pathlib import Path

MOST_LINES = 400
ABSOLUTE = re.compile(r"(?<![\w.}])/(?:work|root|tmp|home|Users|opt|mnt)/")
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")


def _texts(paths: list[Path]) -> list[tuple[Path, str]]:
    found = []
    for path in paths:
        raw = path.read_bytes()
        if b"\0" not in raw:
            try:
                found.append((path, raw.decode("utf-8")))
            except UnicodeDecodeError:
                continue  # audio, weights, pictures
    return found


def test_files_are_short(python_files: list[Path]) -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files}
    assert not {path: lines for path, lines in lengths.items() if lines > MOST_LINES}


def test_every_module_has_a_docstring(python_files: list[Path]) -> None:
    assert not [str(path) for path in python_files if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]


def test_public_names_have_docstrings(root: Path, python_files: list[Path]) -> None:
    missing = []
    for path in python_files:
        if not path.is_relative_to(root / "refbss"):
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    missing.append(f"{path.relative_to(root)}: {node.name}")
    assert not missing


def test_code_is_ascii(python_files: list[Path]) -> None:
    assert not [str(path) for path in python_files if not path.read_text(encoding="utf-8").isascii()]


def test_no_absolute_paths(project_files: list[Path]) -> None:
    wrong = [f"{path}: {match.group()}" for path, text in _texts(project_files) for match in ABSOLUTE.finditer(text)]
    assert not wrong


def test_nothing_is_left_to_do(project_files: list[Path]) -> None:
    wrong = [f"{path}: {match.group()}" for path, text in _texts(project_files) for match in UNFINISHED.finditer(text)]
    assert not wrong


def test_no_pickle(root: Path, python_files: list[Path]) -> None:
    modules = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    wrong = []
    for path in python_files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            bad = any(name.split(".")[0] in modules for name in names)
            if isinstance(node, ast.Call):
                flags = [word for word in node.keywords if word.arg == "allow_pickle"]
                bad |= any(not (isinstance(word.value, ast.Constant) and word.value.value is False) for word in flags)
                bad |= ast.unparse(node.func) in ("torch.load", "torch.save")
            if bad:
                wrong.append(f"{path.relative_to(root)}:{getattr(node, 'lineno', '?')}")
    assert not wrong
