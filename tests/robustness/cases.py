"""One damaged tree: which, is a function of kind, seed and number alone, so every failure replays."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import NamedTuple

from kinds import Kind, Tree, mutations_for
from mutations import damaged

SHAPES = ("gone", "folder", "pipe", "lost link", "circle", "device", "outside", "renamed", "empty", "long name")
"""What can stand in the place of a file, or become of it."""


class Case(NamedTuple):
    """What to write, what becomes of the shape of the tree, and which file it is about."""

    tree: Tree
    name: str
    shape: str | None
    new_name: str


def case_of(kind: Kind, valid: Tree, seed: int, number: int) -> Case:
    """The case of that number."""
    rng = random.Random(f"{kind.name}/{seed}/{number}")
    tree, names = dict(valid), sorted(valid)
    texts = [name for name in names if not name.endswith((".wav", ".flac"))]
    name = rng.choice(texts if texts and rng.random() < 0.8 else names)
    if kind.shape and rng.random() < 0.08:
        new = rng.choice((name.upper(), f"{name}.bak", name.replace("s1", "s3"), f"s9/{name}", name.replace(".", "..")))
        return Case(tree, name, rng.choice(SHAPES), new)
    other = tree[rng.choice([one for one in names if one.split(".")[-1] == name.split(".")[-1]])]
    tree[name] = damaged(tree[name], rng, other, mutations_for(kind, name))
    try:
        kind.repair(tree, name)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # what would be repaired is damaged itself
    return Case(tree, name, None, "")


def write(case: Case, root: Path) -> None:
    """Write the tree of a case; ``root`` is made anew."""
    shutil.rmtree(root, ignore_errors=True)
    for name, content in case.tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if case.shape:
        _reshape(case, root / case.name, root)


def _reshape(case: Case, path: Path, root: Path) -> None:
    path.unlink()
    if case.shape == "folder":
        path.mkdir()
    elif case.shape == "pipe":
        os.mkfifo(path)
    elif case.shape == "empty":
        path.touch()
    elif case.shape in ("renamed", "long name"):
        new = root / case.new_name if case.shape == "renamed" else path.with_name("n" * 240 + path.suffix)
        new.parent.mkdir(parents=True, exist_ok=True)
        if not new.is_dir():
            new.write_bytes(case.tree[case.name])
    elif case.shape != "gone":
        links = {"lost link": "nowhere", "circle": path.name, "device": "/dev/zero", "outside": "/etc/passwd"}
        path.symlink_to(links[case.shape])
