"""What a layout finds below a path: parts, each the mixtures of one split, in one variant and one condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from refbss._checks import InputError
from refbss.data.problems import Problem

CONDITIONS = ("mix_clean", "mix_both", "mix_single")
"""All sources; all sources and noise; the first source and noise."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """One mixture as its layout names it, before a file was opened.

    ``files``: the path of ``mix``, of every source by its name, and of ``noise`` where there is one. ``frames`` is
    what a list says of its length. ``clean``: the mixture is the sum of its sources. ``recipe`` and ``sha256`` (of
    each file) come from the manifest of a set of our own.
    """

    id: str
    split: str | None
    files: Mapping[str, str]
    clean: bool
    frames: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)


class Contents(NamedTuple):
    """The mixtures of a part, sorted by id, and what is wrong with its lists or folders."""

    mixtures: list[Mixture]
    problems: list[Problem]


@dataclass(frozen=True)
class Part:
    """Mixtures of one split in one variant and one condition; ``read`` lists them.

    ``variant``: the folders or words that tell it from others, as wav8k, min, reverb. ``folder``: the folder or list
    of its split, as train-100. ``sources``: their names, in order. ``rate_hz``: what the variant or a manifest says.
    ``sums``: mixtures are the sums of their parts. ``averaged``: files may have several channels, of which the mean is
    taken. ``listed``: the files are named by a list, which ``--root`` is for.
    """

    layout: str
    variant: tuple[str, ...]
    folder: str
    split: str | None
    condition: str
    sources: tuple[str, ...]
    where: Path
    read: Callable[[], Contents]
    rate_hz: int | None = None
    sums: bool = True
    averaged: bool = False
    listed: bool = False

    @property
    def words(self) -> str:
        """The variant as ``--subset`` takes it."""
        return ",".join(self.variant)


@dataclass(frozen=True)
class Choice:
    """Which of the parts to take, and where recordings lie that a list names by another machine's paths."""

    condition: str | None = None
    subset: tuple[str, ...] = ()
    root: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.condition or self.subset or self.root)


def id_of(name: str) -> str:
    """A file's name as an id that can be printed and written: what is not UTF-8 becomes an escape."""
    return name.encode(errors="backslashreplace").decode()


def within(path: str | Path, parts: Sequence[Part], choice: Choice) -> list[Part]:
    """The parts that a condition and words of a subset leave. Raises InputError for one that no part has.

    A word is a folder of the variant (8k stands for wav8k), or the folder of a split: then the other folders of that
    split are left out, and other splits stay.
    """
    left = list(parts)
    if choice.root is not None and not any(part.listed for part in parts):
        raise InputError(f"{path}: holds its files themselves, wanted --root for lists of files alone")
    for word in choice.subset:
        named = [part for part in left if word in part.variant or f"wav{word}" in part.variant]
        splits = {part.split for part in left if part.folder == word}
        if named:
            left = named
        elif splits:
            left = [part for part in left if part.folder in choice.subset or part.split not in splits]
        else:
            known = sorted({name for part in parts for name in (*part.variant, part.folder)} - {""})
            raise InputError(f"{path}: has no subset {word!r}, wanted one of {', '.join(known) or 'none'}")
    if choice.condition is not None:
        known = conditions(left)
        if choice.condition not in known:
            raise InputError(f"{path}: has no condition {choice.condition!r}, wanted one of {', '.join(known)}")
        left = [part for part in left if part.condition == choice.condition]
    return left


def conditions(parts: Iterable[Part]) -> list[str]:
    """The conditions that occur, in the order of CONDITIONS."""
    return sorted({part.condition for part in parts}, key=CONDITIONS.index)


def one_of(path: str | Path, parts: Sequence[Part], choice: Choice) -> list[Part]:
    """As ``within``; what is left must be one variant in one condition. Raises InputError that lists the others."""
    left = within(path, parts, choice)
    variants = sorted({part.words for part in left})
    if len(variants) > 1:
        raise InputError(f"{path}: holds the subsets {' and '.join(variants)}; wanted --subset with words of one")
    found = conditions(left)
    if len(found) > 1:
        raise InputError(f"{path}: holds the conditions {', '.join(found)}; wanted --condition with one of them")
    counts = {part.sources for part in left}
    if len(counts) > 1:
        few, many = sorted(counts, key=len)[:: len(counts) - 1]
        raise InputError(
            f"{path}: has the sources {', '.join(few)} in one place and {', '.join(many)} in another, "
            "wanted the same in all"
        )
    return left
