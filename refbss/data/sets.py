"""Fixed evaluation sets: mixtures as files with a manifest that pins every byte.

    OUT/manifest.json
    OUT/mix/ID.wav  OUT/s1/ID.wav  OUT/s2/ID.wav ..  OUT/noise/ID.wav (items with noise)

``manifest.json`` holds the sample rate, how the set was made (seed, split, configuration, names of the corpora) and
for every item its recipe, its length in frames, and the relative path and SHA-256 of each file. It holds no dates
and no absolute paths: the same recordings and arguments give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refbss._checks import InputError, check_choice, check_integer, check_number
from refbss._types import Array
from refbss._version import __version__
from refbss.data.audio_io import path_kind, read_audio, write_audio
from refbss.data.layouts import SET_KIND, SET_MANIFEST
from refbss.data.mixing import MOST_SAMPLES, MOST_SOURCES, Item, Mixer, mixture_of
from refbss.data.resampling import check_rate
from refbss.data.scan import Problem, Progress

MANIFEST, KIND, VERSION = SET_MANIFEST, SET_KIND, 1
FORMATS = ("wav", "flac")
MOST_ITEMS = 1_000_000
_ID, _SHA256 = re.compile(r"\w[\w.-]*", re.ASCII), re.compile(r"[0-9a-f]{64}")
FLAC_STEP = 2.0**-23
FULL_SCALE = 1.0 - 2.0**-15


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_new(out: str | Path) -> Path:
    """The folder to write with symbolic links resolved.

    Raises InputError where it exists, unless it is empty; where it is the current folder; and where it is a symbolic
    link to nothing.
    """
    kind = path_kind(Path(out))
    if kind == "missing" and Path(out).is_symlink():
        raise InputError(f"{out}: is a symbolic link to nothing, wanted a new folder")
    target = Path(out).resolve()
    if target == Path.cwd():
        raise InputError(f"{out}: is the current folder, wanted a new one")
    if path_kind(target) == "file" or (kind == "folder" and any(target.iterdir())):
        raise InputError(f"{out}: exists and is not an empty folder, wanted a new one")
    return target


def write_set(
    mixer: Mixer, n: int, out: str | Path, *, epoch: int = 0, fmt: str = "wav", progress: Progress | None = None
) -> Path:
    """Write items 0 .. n-1 of an epoch; returns the folder.

    ``fmt``: ``wav`` (float, bit for bit the mixer's items) or ``flac`` (24 bits, each file rounded on its own).
    The set is written under a temporary name and renamed, so a folder of that name is always whole. Raises
    InputError as ``check_new`` does.
    """
    check_integer("write_set", n=n)
    check_number("write_set", most=MOST_ITEMS, n=n)
    check_choice("write_set", FORMATS, fmt=fmt)
    target = check_new(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.mkdir()
    try:
        items = []
        for index in range(n):
            items.append(_write_item(mixer.item(epoch, index), part, mixer.config.sample_rate_hz, fmt))
            if progress:
                progress(index + 1, n)
        manifest = {**_header(mixer, epoch, fmt), "items": items}
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if target.exists():
            target.rmdir()
        os.rename(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Path(out)


def _header(mixer: Mixer, epoch: int, fmt: str) -> dict[str, Any]:
    config = dataclasses.asdict(mixer.config)
    config["noise"] = [Path(kind).name for kind in mixer.config.kinds]
    return {
        "kind": KIND,
        "version": VERSION,
        "made_by": f"refbss {__version__}",
        "rate_hz": mixer.config.sample_rate_hz,
        "sources": mixer.config.sources,
        "format": fmt,
        "seed": mixer.seed,
        "epoch": epoch,
        "split": mixer.split,
        "config": config,
        "speakers": {speaker: len(recordings) for speaker, recordings in sorted(mixer.pool.recordings.items())},
    }


def _write_item(item: Item, root: Path, rate_hz: int, fmt: str) -> dict[str, Any]:
    signals = {"mix": item.mix, **{f"s{p}": source for p, source in enumerate(item.sources, start=1)}}
    if not item.clean:
        signals["noise"] = item.noise
    files = {}
    for name, signal in signals.items():
        path = root / name / f"{item.id}.{fmt}"
        path.parent.mkdir(exist_ok=True)
        write_audio(path, signal, rate_hz)
        files[name] = {"path": path.relative_to(root).as_posix(), "sha256": _sha256(path)}
    return {"id": item.id, "frames": len(item.mix), "clean": item.clean, "files": files, "recipe": item.recipe}


@dataclass(frozen=True)
class EvaluationSet:
    """A set on disk. Iterating reads its items one by one; ``len`` is their number."""

    root: Path
    manifest: dict[str, Any]

    @property
    def rate_hz(self) -> int:
        """Sample rate of every file."""
        return int(self.manifest["rate_hz"])

    @property
    def sources(self) -> int:
        """Number of sources in every item."""
        return int(self.manifest["sources"])

    def __len__(self) -> int:
        return len(self.manifest["items"])

    def __iter__(self) -> Iterator[Item]:
        for entry in self.manifest["items"]:
            yield self._item(entry)

    def _item(self, entry: dict[str, Any]) -> Item:
        signals = {}
        for name, file in entry["files"].items():
            x, rate_hz = read_audio(self.root / file["path"])
            if x.shape != (1, entry["frames"]) or rate_hz != self.rate_hz:
                raise InputError(
                    f"{self.root / file['path']}: has shape {x.shape} at {rate_hz} Hz, the manifest says "
                    f"(1, {entry['frames']}) at {self.rate_hz} Hz"
                )
            signals[name] = x[0]
        sources = np.stack([signals[f"s{p}"] for p in range(1, self.sources + 1)])
        noise = signals.get("noise", np.zeros_like(signals["mix"]))
        return Item(entry["id"], signals["mix"], sources, noise, entry["clean"], entry["recipe"])


def read_set(root: str | Path) -> EvaluationSet:
    """Open a set by its manifest. Raises InputError when there is none or it is not as ``write_set`` writes it."""
    path = Path(root) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, wanted a set made by `refbss data mix`") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND or manifest.get("version") != VERSION:
        raise InputError(f"{path}: is not the manifest of a {KIND}, version {VERSION}")
    try:
        _check_manifest(path, manifest)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is damaged ({type(error).__name__}: {error})") from None
    return EvaluationSet(Path(root), manifest)


def _check_manifest(path: Path, manifest: dict[str, Any]) -> None:
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


@dataclass(frozen=True)
class VerifyReport:
    """What ``verify_set`` found. ``problems`` is empty when the set is as its manifest says."""

    root: Path
    items: int
    files: int
    rate_hz: int
    problems: tuple[Problem, ...]


def verify_set(root: str | Path, progress: Progress | None = None) -> VerifyReport:
    """Check every file of a set against its manifest and every mixture against its parts.

    Kinds of problems: missing, extra, hash, unreadable, rate, channels, length, clip (magnitude 1 - 2^-15 or more),
    sum. A mixture may differ from the sum of its parts by the rounding of its format: half a step of 24 bits for
    each file in FLAC, half a unit in the last place for each addition in float WAV. Raises InputError as
    ``read_set`` does.
    """
    found = read_set(root)
    problems: list[Problem] = []
    named = {MANIFEST}
    for number, entry in enumerate(found.manifest["items"], start=1):
        named.update(file["path"] for file in entry["files"].values())
        problems += _verify_item(found, entry)
        if progress:
            progress(number, len(found))
    for path in sorted(found.root.rglob("*")):
        if path.is_file() and path.relative_to(found.root).as_posix() not in named:
            problems.append(Problem("extra", path, f"{path}: is not in the manifest"))
    return VerifyReport(found.root, len(found), len(named) - 1, found.rate_hz, tuple(problems))


def _verify_item(found: EvaluationSet, entry: dict[str, Any]) -> list[Problem]:
    problems, signals = [], {}
    for name, file in entry["files"].items():
        path = found.root / file["path"]
        if not path.is_file():
            problems.append(Problem("missing", path, f"{path}: no such file"))
            continue
        if _sha256(path) != file["sha256"]:
            problems.append(Problem("hash", path, f"{path}: its SHA-256 is not the manifest's"))
        try:
            x, rate_hz = read_audio(path)
        except InputError as error:
            problems.append(Problem("unreadable", path, str(error)))
            continue
        signals[name] = x[0]
        checks = (
            ("rate", rate_hz, found.rate_hz, "Hz"),
            ("channels", x.shape[0], 1, "channel"),
            ("length", x.shape[1], entry["frames"], "frames"),
        )
        for kind, has, wanted, unit in checks:
            if has != wanted:
                problems.append(Problem(kind, path, f"{path}: has {has} {unit}, wanted {wanted}"))
        peak = float(np.abs(x).max())
        if peak >= FULL_SCALE:
            problems.append(Problem("clip", path, f"{path}: has a peak of {peak:.6g}, wanted below full scale"))
    if len(signals) == len(entry["files"]) and len({len(signal) for signal in signals.values()}) == 1:
        problems += _verify_sum(found, entry, signals)
    return problems


def _verify_sum(found: EvaluationSet, entry: dict[str, Any], signals: dict[str, Array]) -> list[Problem]:
    parts = [signals[f"s{p}"].astype(np.float64) for p in range(1, found.sources + 1)]
    parts += [signals["noise"].astype(np.float64)] if "noise" in signals else []
    error = np.abs(signals["mix"] - mixture_of(np.stack(parts)))
    if found.manifest["format"] == "flac":
        allowed = 0.5 * FLAC_STEP * (len(parts) + 1)
    else:
        allowed = float(np.finfo(np.float32).eps) / 2 * len(parts) * max(float(np.abs(part).max()) for part in parts)
    worst = int(np.argmax(error))
    if error[worst] <= allowed:
        return []
    path = found.root / entry["files"]["mix"]["path"]
    message = (
        f"{path}: differs from the sum of its parts by {error[worst]:.3g} at frame {worst}, "
        f"wanted at most {allowed:.3g}"
    )
    return [Problem("sum", path, message)]
