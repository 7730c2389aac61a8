"""Sets that ``refbss data mix`` wrote: a manifest that pins every byte of ``mix/ s1/ s2/ .. noise/``."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from refbss._checks import InputError, check_choice, check_integer, check_number
from refbss._files import contents
from refbss.data.bounds import MOST_SAMPLES, MOST_SOURCES
from refbss.data.corpora.part import Contents, Mixture, Part
from refbss.data.corpora.place import Place
from refbss.data.corpora.tables import json_of
from refbss.data.resampling import check_rate
from refbss.data.splits import SPLITS

NAME = "refbss"
MANIFEST, KIND, VERSION = "manifest.json", "refbss evaluation set", 1
FORMATS = ("wav", "flac")
_ID, _SHA256 = re.compile(r"\w[\w.-]*", re.ASCII), re.compile(r"[0-9a-f]{64}")


def is_own(folder: Path) -> bool:
    """Whether the manifest of a folder says that it is one of our sets. Raises InputError where it is closed to us."""
    try:
        return KIND.encode() in contents(folder / MANIFEST)
    except PermissionError as error:
        raise InputError(f"{folder / MANIFEST}: cannot be read ({error.strerror})") from None
    except OSError:
        return False


def find(place: Place) -> list[Part]:
    """A folder whose manifest.json says so. Raises InputError where that is damaged."""
    if place.kind != "folder" or not is_own(place.path):
        return []
    manifest = read_manifest(place.path)
    clean = all(entry["clean"] for entry in manifest["items"])
    sources = tuple(f"s{p}" for p in range(1, manifest["sources"] + 1))
    split = manifest.get("split") if manifest.get("split") in SPLITS else None
    read = partial(_read, place.path, manifest, split)
    condition = "mix_clean" if clean else "mix_both"
    return [Part(NAME, (), "", split, condition, sources, place.path, read, manifest["rate_hz"])]


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of a set. Raises InputError when there is none or it is not as ``write_set`` writes it."""
    path = root / MANIFEST
    manifest = json_of(path)
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND or manifest.get("version") != VERSION:
        raise InputError(f"{path}: is not the manifest of a {KIND}, version {VERSION}")
    try:
        _check(path, manifest)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is damaged ({type(error).__name__}: {error})") from None
    return manifest


def _check(path: Path, manifest: dict[str, Any]) -> None:
    """Refuse a manifest that is not as ``write_set`` writes it, before a file is opened by what it says."""
    check_rate(str(path), rate_hz=manifest["rate_hz"])
    check_integer(str(path), sources=manifest["sources"])
    check_number(str(path), most=MOST_SOURCES, sources=manifest["sources"])
    check_choice(str(path), FORMATS, format=manifest["format"])
    names = {"mix", *(f"s{p}" for p in range(1, manifest["sources"] + 1))}
    seen: set[str] = set()
    if not manifest["items"]:
        raise InputError(f"{path}: has no items, wanted at least 1")
    for number, entry in enumerate(manifest["items"]):
        check_integer(f"{path}: item {number}", frames=entry["frames"])
        check_number(f"{path}: item {number}", most=MOST_SAMPLES, frames=entry["frames"])
        if not _ID.fullmatch(entry["id"]) or entry["id"] in seen:
            raise InputError(f"{path}: item {number} has id {entry['id']!r}, wanted letters and digits, each id once")
        seen.add(entry["id"])
        if not isinstance(entry["clean"], bool) or not isinstance(entry["recipe"], dict):
            raise InputError(f"{path}: item {number} has no clean (true or false) or no recipe (an object)")
        wanted = names if entry["clean"] else names | {"noise"}
        if set(entry["files"]) != wanted:
            raise InputError(
                f"{path}: item {number} has files {', '.join(sorted(entry['files']))}, "
                f"wanted {', '.join(sorted(wanted))}"
            )
        for name, file in entry["files"].items():
            place = f"{name}/{entry['id']}.{manifest['format']}"
            if file["path"] != place or not _SHA256.fullmatch(file["sha256"]):
                raise InputError(f"{path}: item {number} names {file['path']!r}, wanted {place!r} and a SHA-256")


def _read(root: Path, manifest: dict[str, Any], split: str | None) -> Contents:
    mixtures = []
    for entry in manifest["items"]:
        files = {name: str(root / file["path"]) for name, file in entry["files"].items()}
        sums = {name: file["sha256"] for name, file in entry["files"].items()}
        mixture = Mixture(entry["id"], split, files, entry["clean"], entry["frames"], entry["recipe"], sums)
        mixtures.append(mixture)
    return Contents(mixtures, [])
