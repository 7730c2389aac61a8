"""Splits: what other people call them, and how one is cut off from another where it is missing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

SPLITS = ("train", "validation", "test")
VALIDATION_OF_TRAIN = 0.08
_TRAIN, _VALIDATION, _TEST = ("tr", "train", "training"), ("cv", "dev", "val", "valid", "validation"), ("tt", "test")
_WORDS = {
    **dict.fromkeys(_TRAIN, "train"),
    **dict.fromkeys(_VALIDATION, "validation"),
    **dict.fromkeys((*_TEST, "et", "eval"), "test"),
}
_FOLDER = re.compile(rf"({'|'.join(_WORDS)})(?:[-_](?:\d+k?|min|max|clean|other|all))*", re.IGNORECASE)


def split_of(folder: str) -> str | None:
    """The split that a folder's name stands for, as tr, train-100, dev, tt_min_8k do; else None."""
    match = _FOLDER.fullmatch(folder)
    return _WORDS[match[1].lower()] if match else None


def split_in(name: str) -> str | None:
    """The one split that words of a list's name stand for, as in wham_tr or libri2mix_train-100; else None."""
    found = {_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def first_by_hash(ids: Iterable[str], target: str, share: float) -> frozenset[str]:
    """The ids that become the split ``target``: a share of them, at least one of three, those whose hash comes first.

    The hash is SHA-256 of ``target/id``, so the choice depends on the ids alone. An id can be a file name that is not
    UTF-8: its bytes count as they are.
    """
    pool = sorted(ids, key=lambda one: hashlib.sha256(f"{target}/{one}".encode(errors="surrogateescape")).digest())
    return frozenset(pool[: max(1, round(share * len(pool))) if len(pool) > 2 else 0])
