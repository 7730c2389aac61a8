"""Folders of recordings: which layout it is, who speaks where, and which recordings train or test.

| layout | how it is recognised | splits |
|---|---|---|
| embedded | the word ``embedded`` | as shipped: sentences 0-23 train, 24-29 test |
| manifest | a .csv file, or a folder with manifest.csv: ``id,speaker,path`` and optional ``split`` | its column |
| fsdd | ``{digit}_{speaker}_{index}.wav``, in it or in ``recordings/`` | 0-4 test, 45-49 validation, else train |
| splits | some of the folders train, validation, test, with one folder a speaker in each | the folder |
| speakers | one folder a speaker | none |

A folder that two layouts fit is refused. Recordings are sorted by id: the order of a manifest's rows means nothing.
Where there is train and test only, 8 percent of each speaker's training recordings become validation; where there
is no split, 10 percent become test and 10 percent validation. Both take the recordings whose SHA-256 of the id comes
first, so a split depends on the ids alone. Recordings added later can move others: a manifest with a ``split`` column
pins a split for good. [ours]
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from refbss._checks import InputError, check_choice
from refbss.data.audio_io import AudioReader, audio_files, path_kind
from refbss.data.corpora.registry import recognise
from refbss.data.corpora.tables import text_of
from refbss.data.splits import SPLITS, VALIDATION_OF_TRAIN, first_by_hash

EMBEDDED = "embedded"
EMBEDDED_DIR = Path(__file__).resolve().parent / "embedded"
FSDD_NAME = re.compile(r"(\d)_([^_]+)_(\d+)")
SHARE_OF_ALL = 0.1


@dataclass(frozen=True)
class Recording:
    """One utterance: ``frames`` samples at ``rate_hz``, from sample ``start`` of the file on."""

    id: str
    speaker: str
    path: Path
    split: str
    frames: int
    rate_hz: int
    start: int = 0


@dataclass(frozen=True)
class Corpus:
    """Recordings of one folder. ``name`` is the folder's name, ``layout`` one of the table above."""

    name: str
    layout: str
    recordings: tuple[Recording, ...]

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers, sorted."""
        return tuple(sorted({recording.speaker for recording in self.recordings}))

    @property
    def rates_hz(self) -> tuple[int, ...]:
        """The sample rates that occur, sorted."""
        return tuple(sorted({recording.rate_hz for recording in self.recordings}))

    def of_split(self, split: str) -> Corpus:
        """The recordings of one split. Raises InputError when ``split`` is unknown."""
        check_choice("Corpus", SPLITS, split=split)
        return replace(self, recordings=tuple(r for r in self.recordings if r.split == split))


def only_speakers(corpora: Iterable[Corpus], speakers: Iterable[str]) -> list[Corpus]:
    """The recordings of these speakers, from whichever corpus has them; a corpus that has none is left out.

    Raises InputError when a speaker is in no corpus.
    """
    given, wanted = list(corpora), set(speakers)
    known = tuple(sorted({speaker for corpus in given for speaker in corpus.speakers}))
    for speaker in sorted(wanted):
        check_choice("only_speakers", known, speaker=speaker)
    kept = [replace(c, recordings=tuple(r for r in c.recordings if r.speaker in wanted)) for c in given]
    return [corpus for corpus in kept if corpus.recordings]


@dataclass(frozen=True)
class Entry:
    """A recording as its layout names it, before the file was opened; ``split`` and ``frames`` may be open."""

    id: str
    speaker: str
    path: Path
    split: str | None = None
    start: int = 0
    frames: int | None = None


@dataclass(frozen=True)
class Listing:
    """What a folder holds: the entries of its layout, and the audio files and folders that do not fit it."""

    name: str
    layout: str
    entries: tuple[Entry, ...]
    ignored: tuple[Path, ...] = ()


def _listing_embedded() -> Listing:
    index = json.loads((EMBEDDED_DIR / "index.json").read_text(encoding="utf-8"))
    entries = [
        Entry(
            f"{voice['name']}_{number:02d}",
            voice["name"],
            EMBEDDED_DIR / voice["file"],
            sentence["split"],
            sentence["start"],
            sentence["frames"],
        )
        for voice in index["voices"]
        for number, sentence in enumerate(voice["sentences"])
    ]
    return Listing(EMBEDDED, EMBEDDED, tuple(entries))


def _listing_manifest(path: Path) -> Listing:
    entries: list[Entry] = []
    seen: set[str] = set()
    try:
        rows = list(csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from None
    if not rows:
        raise InputError(f"{path}: has no rows, wanted a header id,speaker,path and one row a recording")
    for number, row in enumerate(rows, start=2):
        row["speaker"] = (row.get("speaker") or "").strip()
        for column in ("id", "speaker", "path"):
            if not row.get(column):
                raise InputError(f"{path}: row {number} has no {column}, wanted columns id,speaker,path[,split]")
        split = row.get("split") or None
        if split is not None and split not in SPLITS:
            raise InputError(f"{path}: row {number} has split {split!r}, wanted one of {', '.join(SPLITS)}")
        if row["id"] in seen:
            raise InputError(f"{path}: row {number} has id {row['id']!r} for the second time, wanted unique ids")
        seen.add(row["id"])
        entries.append(Entry(row["id"], row["speaker"], path.parent / row["path"], split))
    if len({entry.split is None for entry in entries}) == 2:
        raise InputError(f"{path}: some rows have a split and some have none, wanted all or none")
    name = path.parent.resolve().name if path.name == "manifest.csv" else path.stem
    return Listing(name, "manifest", tuple(entries))


def _listing_fsdd(root: Path) -> Listing | None:
    for folder in (root, root / "recordings"):
        files = audio_files(folder, deep=False) if folder.is_dir() else []
        matches = {path: FSDD_NAME.fullmatch(path.stem) for path in files}
        if any(matches.values()):
            break
    else:
        return None
    entries = []
    for path, match in matches.items():
        if match:
            index = int(match[3])
            split = "test" if index < 5 else "validation" if 45 <= index <= 49 else "train"
            entries.append(Entry(path.stem, match[2], path, split))
    ignored = tuple(path for path in sorted({*audio_files(root, deep=False), *files}) if not matches.get(path))
    return Listing(root.resolve().name, "fsdd", tuple(entries), ignored)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _of_speakers(root: Path, folder: Path, split: str | None) -> list[Entry]:
    entries = []
    for speaker in _folders(folder):
        for path in audio_files(speaker, deep=True):
            name = path.relative_to(root).as_posix()
            entries.append(Entry(name, speaker.name, path, split))
    return entries


def _listing_folders(root: Path) -> Listing | None:
    """Folders of splits or of speakers.

    Splits where two folders are named like one, or one that has sub-folders or stands alone: a speaker may be called
    ``test``, but hardly so.
    """
    folders = _folders(root)
    named = [folder for folder in folders if folder.name in SPLITS]
    split = len(named) > 1 or (bool(named) and (named == folders or bool(_folders(named[0]))))
    ignored = audio_files(root, deep=False)
    if split:
        entries = [entry for folder in named for entry in _of_speakers(root, folder, folder.name)]
        ignored += [path for folder in named for path in audio_files(folder, deep=False)]
        ignored += [folder for folder in folders if folder not in named]
    else:
        entries = _of_speakers(root, root, None)
    if not entries:
        return None
    return Listing(root.resolve().name, "splits" if split else "speakers", tuple(entries), tuple(ignored))


def _listing_files(root: Path) -> Listing:
    """Recognise a folder without a manifest by its files and folders."""
    mixtures = recognise(root)
    if mixtures is not None:
        raise InputError(f"{root}: holds mixtures ready made (layout {mixtures.layout}), wanted a folder of recordings")
    digits, folders = _listing_fsdd(root), _listing_folders(root)
    found = digits or folders
    if found is None:
        raise InputError(
            f"{root}: holds no recordings in a layout that is known, wanted files named digit_speaker_index.wav, "
            "one folder a speaker (perhaps within train, validation and test), manifest.csv, or mixtures ready made"
        )
    if digits and folders:
        place = digits.entries[0].path.parent
        other = [entry.path for entry in folders.entries if place == root or not entry.path.is_relative_to(place)]
        if other:
            raise InputError(
                f"{root}: fits two layouts, fsdd with {digits.entries[0].path} and {folders.layout} with {other[0]}; "
                "wanted one of them, or manifest.csv"
            )
    return found


def listing(path: str | Path) -> Listing:
    """Recognise the layout and list its recordings, sorted by id, without opening one. Raises InputError."""
    root = Path(path)
    if str(path) == EMBEDDED:
        found = _listing_embedded()
    elif path_kind(root) == "missing":
        raise InputError(f"{root}: no such folder, wanted a folder of recordings, a CSV manifest or {EMBEDDED!r}")
    elif path_kind(root) == "file":
        if root.suffix.lower() != ".csv":
            raise InputError(f"{root}: is a file, wanted a folder of recordings, a CSV manifest or {EMBEDDED!r}")
        found = _listing_manifest(root)
    elif (root / "manifest.csv").is_file():
        found = _listing_manifest(root / "manifest.csv")
    else:
        found = _listing_files(root)
    return replace(found, entries=tuple(sorted(found.entries, key=lambda entry: entry.id)))


def _carve(entries: list[Entry], source: str | None, target: str, share: float) -> list[Entry]:
    """Give the split ``target`` to a share of each speaker's entries of split ``source``, first hashes first."""
    pools: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        if entry.split == source:
            pools[entry.speaker].append(entry.id)
    taken = frozenset[str]().union(*(first_by_hash(pool, target, share) for pool in pools.values()))
    return [replace(entry, split=target) if entry.id in taken else entry for entry in entries]


def with_splits(entries: Iterable[Entry]) -> list[Entry]:
    """Entries that all have a split, by the rules of this module's table."""
    given = list(entries)
    if any(entry.split is None for entry in given):
        share = SHARE_OF_ALL
        given = _carve(given, None, "test", share)
        given = _carve(given, None, "validation", share / (1 - share))
        given = [entry if entry.split else replace(entry, split="train") for entry in given]
    if not any(entry.split == "validation" for entry in given):
        given = _carve(given, "train", "validation", VALIDATION_OF_TRAIN)
    return given


def open_entry(entry: Entry) -> Recording:
    """Read an entry's header. Raises InputError: unreadable, more than one channel, or shorter than it should be."""
    with AudioReader(entry.path) as reader:
        if reader.channels != 1:
            raise InputError(f"{entry.path}: has {reader.channels} channels, wanted 1")
        frames = reader.frames - entry.start if entry.frames is None else entry.frames
        if entry.start + frames > reader.frames:
            raise InputError(f"{entry.path}: has {reader.frames} frames, wanted {entry.start + frames}")
        split = entry.split or "train"
        return Recording(entry.id, entry.speaker, entry.path, split, frames, reader.rate_hz, entry.start)


def open_corpus(path: str | Path) -> Corpus:
    """Open a folder, a CSV manifest or ``embedded``.

    Raises InputError when no layout fits or a recording cannot be used; ``scan`` then lists every such file. Audio
    files and folders that do not fit the layout are left out, ``scan`` lists them too.
    """
    found = listing(path)
    recordings, failures = [], []
    for entry in with_splits(found.entries):
        try:
            recordings.append(open_entry(entry))
        except InputError as error:
            failures.append(str(error))
    if failures:
        raise InputError(
            f"{path}: {len(failures)} of {len(found.entries)} recordings cannot be used; see "
            f"`refbss data scan {path}`; the first: {failures[0]}"
        )
    return Corpus(found.name, found.layout, tuple(recordings))
