"""Mixtures ready made, checked: every file is read to its end and every mixture held against its parts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refbss._checks import InputError, NotFiniteError
from refbss._types import Array
from refbss.data.audio_io import AudioReader
from refbss.data.corpora.own import MANIFEST
from refbss.data.corpora.own import NAME as OWN
from refbss.data.corpora.part import Choice, Contents, Mixture, Part, within
from refbss.data.corpora.registry import recognised
from refbss.data.mixing import mixture_of
from refbss.data.problems import Problem, Progress
from refbss.data.sets import sha256_of
from refbss.data.speech import SILENT_PEAK

BLOCK = 2**16
"""Frames of a file that are held at a time."""
FULL_SCALE = 1.0 - 2.0**-15
HALF_STEP = {"PCM_S8": 2.0**-8, "PCM_U8": 2.0**-8, "PCM_16": 2.0**-16, "PCM_24": 2.0**-24, "PCM_32": 2.0**-32}
"""Half a step of the formats with fixed steps: how far rounding moves a sample."""
EPS = {"FLOAT": float(np.finfo(np.float32).eps), "DOUBLE": float(np.finfo(np.float64).eps)}


@dataclass(frozen=True)
class VerifyReport:
    """What ``verify`` found. ``problems`` is empty when all is well; ``sums`` mixtures were held against their parts.

    ``rates_hz``: value to number of files.
    """

    root: str
    layout: str
    items: int
    files: int
    sums: int
    rates_hz: dict[int, int]
    problems: tuple[Problem, ...]


def verify(path: str | Path, choice: Choice | None = None, progress: Progress | None = None) -> VerifyReport:
    """Check all mixtures at a path, or those of a condition or subset.

    Kinds of problems: missing, empty, extra, unreadable, not finite, rate (another than the folder's name, a manifest
    or the first file says), channels, length (another than the list, or than the mixture), silent (a peak below -80
    dBFS), sum, duplicate (a mixture with the samples of another; a source with those of one of another split). Sets of
    our own also: hash, clip (magnitude 1 - 2^-15 or more). A mixture may differ from the sum of its parts by rounding:
    half a step for each file, and half a unit in the last place of float32 for each addition. Mixtures in lossy formats
    are not held against sums. Raises InputError: no layout fits, or a list cannot be read.
    """
    choice = choice or Choice()
    found = recognised(path, choice.root)
    chosen = within(path, found.parts, choice)
    parts = [part for part in chosen if part.sums] or chosen  # the others pair the same files anew
    contents = [(part, part.read()) for part in parts]
    total, done = sum(len(content.mixtures) for _, content in contents), 0
    check = _Check()
    for part, content in contents:
        check.problems += content.problems
        check.ids(part, content)
        for mixture in content.mixtures:
            check.mixture(part, mixture)
            done += 1
            if progress:
                progress(done, total)
    if found.layout == OWN:
        check.extra(Path(path))
    rates = dict(sorted(Counter(check.rates.values()).items()))
    return VerifyReport(str(path), found.layout, total, len(check.files), check.sums, rates, tuple(check.problems))


class _Track:
    """A file that is read block by block: how loud it is, and the digest of its samples."""

    def __init__(self, path: str) -> None:
        self.path, self.reader = path, AudioReader(path)
        self.peak, self.whole = 0.0, True
        self._digest = hashlib.blake2b(digest_size=16)

    def read(self) -> Array:
        """The next block (channels, n) in float64; n = 0 at the end. Raises InputError."""
        x = self.reader.read(BLOCK, "float64")
        self.peak = max(self.peak, float(np.abs(x).max(initial=0.0)))
        self._digest.update(np.ascontiguousarray(x.T).data)
        return x

    @property
    def digest(self) -> bytes:
        """Of the samples read so far, however their file holds them."""
        return self._digest.digest()

    @property
    def half_step(self) -> float | None:
        """How far rounding to its format moves a sample at most; None for a lossy format."""
        subtype = self.reader.subtype
        return EPS[subtype] / 2 * self.peak if subtype in EPS else HALF_STEP.get(subtype)


class _Check:
    """What is known so far: files, the rates of those that were opened, problems, and whose samples were seen."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.files: set[str] = set()
        self.rates: dict[str, int] = {}
        self.sums = 0
        self._rates: dict[tuple[str, str], int] = {}
        self._mixtures: dict[tuple[str, str, bytes], tuple[str | None, str]] = {}
        self._sources: dict[tuple[str, bytes], tuple[str | None, str]] = {}
        self._seen: set[tuple[str, str, str | None, str]] = set()

    def _note(self, kind: str, path: str | Path, message: str) -> None:
        self.problems.append(Problem(kind, Path(path), f"{path}: {message}"))

    def ids(self, part: Part, content: Contents) -> None:
        """Note ids that two folders or lists of one split share."""
        for mixture in content.mixtures:
            key = (part.words, part.condition, part.split, mixture.id)
            if key in self._seen:
                self._note("duplicate", part.where, f"has the id {mixture.id}, which another part of the split has too")
            self._seen.add(key)

    def mixture(self, part: Part, mixture: Mixture) -> None:
        """Read the files of a mixture, side by side, and note what is wrong with it."""
        with ExitStack() as stack:
            tracks: dict[str, _Track] = {}
            for name, path in mixture.files.items():
                track = self._open(mixture, name, path)
                if track is not None:
                    stack.enter_context(track.reader)
                    tracks[name] = track
                    self._header(part, mixture, track, tracks.get("mix", track))
            shapes = {(track.reader.channels, track.reader.frames) for track in tracks.values()}
            alike = len(shapes) == 1 and len(tracks) == len(mixture.files)
            worst = self._read(tracks, alike=alike)
        for track in tracks.values():
            if track.whole and track.peak < SILENT_PEAK:
                self._note("silent", track.path, f"is silent, its peak is {track.peak:.1e}")
            if part.layout == OWN and track.peak >= FULL_SCALE:
                self._note("clip", track.path, f"has a peak of {track.peak:.6g}, wanted below full scale")
        if alike and all(track.whole for track in tracks.values()):
            self._sum(part, mixture, tracks, worst)
            self._repeats(part, mixture, tracks)

    def _open(self, mixture: Mixture, name: str, path: str) -> _Track | None:
        self.files.add(path)
        if not _is_file(path):
            self._note("missing", path, "no such file")
            return None
        if mixture.sha256 and sha256_of(Path(path)) != mixture.sha256[name]:
            self._note("hash", path, "its SHA-256 is not the manifest's")
        try:
            return _Track(path)
        except InputError as error:
            self.problems.append(Problem("unreadable", Path(path), str(error)))
            return None

    def _header(self, part: Part, mixture: Mixture, track: _Track, mix: _Track) -> None:
        reader = track.reader
        self.rates[track.path] = reader.rate_hz
        wanted_hz = part.rate_hz or self._rates.setdefault((part.words, part.condition), reader.rate_hz)
        channels = mix.reader.channels if part.averaged else 1
        checks = (
            ("rate", reader.rate_hz, wanted_hz, "Hz"),
            ("channels", reader.channels, channels, "channels" if reader.channels > 1 else "channel"),
            ("length", reader.frames, mixture.frames or mix.reader.frames, "samples"),
        )
        for kind, has, wanted, unit in checks:
            if has != wanted:
                self._note(kind, track.path, f"has {has} {unit}, wanted {wanted}")

    def _read(self, tracks: Mapping[str, _Track], *, alike: bool) -> tuple[float, int]:
        """Read all to their ends; how far the mixture is from the sum of its parts at most, and where."""
        worst, position, left = (0.0, 0), 0, dict(tracks)
        while left:
            blocks: dict[str, Array] = {}
            for name, track in list(left.items()):
                try:
                    blocks[name] = track.read()
                except InputError as error:
                    kind = "not finite" if isinstance(error, NotFiniteError) else "unreadable"
                    self.problems.append(Problem(kind, Path(track.path), str(error)))
                    track.whole = alike = False
                    del left[name]
            left = {name: track for name, track in left.items() if blocks[name].shape[1]}
            if alike and left:
                parts = np.stack([block for name, block in blocks.items() if name != "mix"])
                far = np.abs(blocks["mix"] - mixture_of(parts)).max(axis=0)
                place = int(np.argmax(far))
                worst = max(worst, (float(far[place]), position + place), key=lambda found: found[0])
                position += len(far)
        return worst

    def _sum(self, part: Part, mixture: Mixture, tracks: Mapping[str, _Track], worst: tuple[float, int]) -> None:
        parts = [track for name, track in tracks.items() if name != "mix"]
        steps = [track.half_step for track in tracks.values()]
        known = mixture.clean or "noise" in tracks
        if not part.sums or not known or None in steps:
            return
        self.sums += 1
        additions = (len(parts) - 1) * EPS["FLOAT"] / 2 * sum(track.peak for track in parts)
        allowed = sum(step for step in steps if step) + additions
        error, frame = worst
        if error > allowed:
            differs = f"differs from the sum of its parts by {error:.3g} at frame {frame}, wanted at most {allowed:.3g}"
            self._note("sum", mixture.files["mix"], differs)

    def _repeats(self, part: Part, mixture: Mixture, tracks: Mapping[str, _Track]) -> None:
        own = (mixture.split, mixture.id)
        for name, track in tracks.items():
            if name == "noise" or track.peak == 0.0:
                continue
            if name == "mix":
                first = self._mixtures.setdefault((part.words, part.condition, track.digest), own)
                again = first != own
            else:
                first = self._sources.setdefault((part.words, track.digest), own)
                again = first[0] != mixture.split
            if again:
                self._note("duplicate", track.path, f"has the samples of {_named(first)}, it is of {_named(own)}")

    def extra(self, root: Path) -> None:
        """Note the files of a folder that are not in its manifest."""
        named = {MANIFEST, *(Path(path).relative_to(root).as_posix() for path in self.files)}
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.relative_to(root).as_posix() not in named:
                self._note("extra", path, "is not in the manifest")


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # no path at all: reading it says so
        return True


def _named(place: tuple[str | None, str]) -> str:
    return f"{place[1]} of split {place[0]}" if place[0] else place[1]
