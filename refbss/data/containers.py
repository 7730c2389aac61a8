"""How audio files begin and what they are made of, looked at before libsndfile reads them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from refbss._checks import InputError
from refbss._files import opened

CONTAINERS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS", b"riff", b"caff", b".snd", b"NIST_1A", b"ID3")
"""How files begin that are read: WAV, AIFF, FLAC, Ogg, W64, CAF, AU, SPHERE, and tags before FLAC or MP3."""
MOST_CHUNKS = 10_000
"""Chunks that are looked at; a file of nothing but empty ones would take minutes."""
_UNKNOWN_SIZE = 0x7FFFF000  # writers to a pipe put this, 0x7FFFFFFF or 0xFFFFFFFF where the length is not known


def chunks_of(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset of the content and declared size of every chunk of a WAV or AIFF file, at most MOST_CHUNKS."""
    head = file.read(12)
    order = {b"RIFF": "<", b"RF64": "<", b"FORM": ">"}.get(head[:4])
    offset, large = 12, None
    for _ in range(MOST_CHUNKS if order else 0):
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            return
        size = struct.unpack(f"{order}I", head[4:])[0]
        if head[:4] == b"ds64":
            large = struct.unpack("<Q", file.read(16)[8:].ljust(8, b"\0"))[0]
        if head[:4] == b"data" and large is not None and size == 2**32 - 1:
            size = large
        yield head[:4], offset + 8, size
        offset += 8 + size + size % 2


def check_container(path: Path) -> None:
    """Refuse what does not begin as a file of CONTAINERS: libsndfile knows more, and reads some of them without end."""
    with opened(path) as file:
        head = file.read(12)
    if head[:4] == b"FORM" and head[8:] not in (b"AIFF", b"AIFC"):
        head = b""
    if not head.startswith(CONTAINERS) and not (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):  # or a frame of MP3
        raise InputError(f"{path}: is not audio that can be read (Format not recognised), wanted WAV or FLAC")


def check_complete(path: Path) -> None:
    """Refuse a WAV or AIFF file that ends before its samples do: libsndfile reads it without a word."""
    with opened(path) as file:
        for name, offset, size in chunks_of(file):
            held = path.stat().st_size - offset
            if name in (b"data", b"SSND") and held < size and not _UNKNOWN_SIZE <= size < 2**32:
                raise InputError(f"{path}: is truncated, holds {held} of {size} bytes of samples")


def clear_time_stamp(path: Path) -> None:
    """libsndfile stamps the time of day on float WAV (PEAK chunk): zero it, equal samples then give equal bytes."""
    with path.open("r+b") as file:
        for name, offset, _ in list(chunks_of(file)):
            if name == b"PEAK":
                file.seek(offset + 4)
                file.write(bytes(4))
