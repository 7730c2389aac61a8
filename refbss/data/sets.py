"""Fixed evaluation sets: mixtures as files with a manifest that pins every byte.

    OUT/manifest.json
    OUT/mix/ID.wav  OUT/s1/ID.wav  OUT/s2/ID.wav ..  OUT/noise/ID.wav (items with noise)

``manifest.json`` holds the sample rate, how the set was made (seed, split, configuration, names of the corpora) and
for every item its recipe, its length in frames, and the relative path and SHA-256 of each file. It holds no dates
and no absolute paths: the same recordings and arguments give the same bytes. ``corpora.own`` reads it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from refbss._checks import check_choice, check_integer, check_number
from refbss._files import opened
from refbss._version import __version__
from refbss.data.audio_io import write_audio
from refbss.data.corpora.own import FORMATS, KIND, MANIFEST, VERSION
from refbss.data.mixing import Item, Mixer
from refbss.data.new_folder import new_folder
from refbss.data.problems import Progress

MOST_ITEMS = 1_000_000


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    with new_folder(out) as part:
        items = []
        for index in range(n):
            items.append(_write_item(mixer.item(epoch, index), part, mixer.config.sample_rate_hz, fmt))
            if progress:
                progress(index + 1, n)
        manifest = {**_header(mixer, epoch, fmt), "items": items}
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
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
        files[name] = {"path": path.relative_to(root).as_posix(), "sha256": sha256_of(path)}
    return {"id": item.id, "frames": len(item.mix), "clean": item.clean, "files": files, "recipe": item.recipe}
