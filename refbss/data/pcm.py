"""Samples as they come through a pipe: raw, or WAV whose header is read without going back. [std]

A pipe has no end to look at and no way back, so the header of a WAV stream is read chunk by chunk: RIFF or RF64, fmt
(PCM of 16, 24 or 32 bits, or float of 32, plain or WAVE_FORMAT_EXTENSIBLE), anything else skipped, up to data. A size
of data that its writer could not know, 0 or one of the largest, means up to the end of the stream.

Integers are q = round(x 2^(bits-1)), x = q / 2^(bits-1), as in ``audio_io``; full scale is 1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refbss._checks import InputError, check_integer
from refbss._types import Array
from refbss.data.resampling import HIGHEST_HZ, check_rate

WIDTHS = {"s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
"""Sample formats and their bytes: signed integers of 16, 24 and 32 bits, and float, little-endian."""
SUBTYPES = {"s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT"}
"""What ``audio_io.AudioWriter`` calls them."""
UNKNOWN = 0x7FFFF000
"""Bytes of samples, cut to whole frames, that sox puts in the header of a WAV stream whose end is not known."""
LARGEST = 0xFFFFFFFF
"""What ffmpeg puts there, and the header of RF64, which has the size elsewhere."""
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TAIL_OF_GUID = bytes.fromhex("000000001000800000aa00389b71")
"""Sub-formats of WAVE_FORMAT_EXTENSIBLE are a format and these bytes."""
_AT_ONCE = 2**16

Read = Callable[[int], bytes]
"""Returns at least one byte and at most so many, as they come; none at the end."""


class PcmFormat(NamedTuple):
    """What a stream of samples is like."""

    samples: str
    """One of WIDTHS."""
    rate_hz: int
    channels: int
    length: int | None = None
    """Bytes of samples, where it is known."""

    @property
    def frame(self) -> int:
        """Bytes of one sample of every channel."""
        return WIDTHS[self.samples] * self.channels


def decode(data: bytes, samples: str) -> Array:
    """Bytes of whole samples as float32 (n,)."""
    if samples == "f32le":
        return np.frombuffer(data, "<f4").astype(np.float32)
    if samples == "s24le":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        integers = wide.view("<i4")[:, 0]
    else:
        integers = np.frombuffer(data, "<i2" if samples == "s16le" else "<i4")
    full = 2.0 ** (15 if samples == "s16le" else 31)
    return (integers / full).astype(np.float32)


def quantise(x: Array, samples: str) -> tuple[Array, int]:
    """Samples as the integers that they become, float64, and how many were clipped to the nearest one that fits."""
    full = 2.0 ** (8 * WIDTHS[samples] - 1)
    q = np.rint(x.astype(np.float64) * full)
    clipped = np.clip(q, -full, full - 1)
    return clipped, int(np.count_nonzero(clipped != q))


def encode(x: Array, samples: str) -> tuple[bytes, int]:
    """Samples of any shape, in the order of their elements, as bytes, and how many were clipped."""
    if samples == "f32le":
        return x.astype("<f4").tobytes(), 0
    q, clipped = quantise(x, samples)
    if samples == "s24le":
        return q.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes(), clipped
    return q.astype("<i2" if samples == "s16le" else "<i4").tobytes(), clipped


def wav_header(form: PcmFormat) -> bytes:
    """The header of a WAV stream of this format whose end is not known, with the size that sox writes to a pipe.

    Sox and libsndfile take it without a warning. Raises InputError on a rate or a number of channels that it cannot
    hold.
    """
    check_rate("wav_header", rate_hz=form.rate_hz)
    check_integer("wav_header", channels=form.channels)
    tag, bits = (_FLOAT if form.samples == "f32le" else _PCM), 8 * WIDTHS[form.samples]
    content = struct.pack("<HHIIHH", tag, form.channels, form.rate_hz, form.rate_hz * form.frame, form.frame, bits)
    if tag == _FLOAT:
        content += bytes(2)  # nothing follows: all formats but PCM say so
    size = UNKNOWN // form.frame * form.frame
    chunks = b"WAVEfmt " + struct.pack("<I", len(content)) + content + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(chunks) + size) + chunks


def read_wav_header(read: Read, name: str) -> PcmFormat:
    """Read from the beginning of a WAV stream up to its first sample. Raises InputError, which begins with ``name``."""
    head = _exactly(read, 12, name)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise InputError(f"{name}: begins with {head[:4]!r}, wanted WAV (RIFF or RF64), or raw samples said to be so")
    form: PcmFormat | None = None
    long_size = 0
    while True:
        chunk, size = struct.unpack("<4sI", _exactly(read, 8, name))
        if chunk == b"data":
            break
        kept = _exactly(read, min(size, 40), name)
        if chunk == b"fmt ":
            form = _format(kept, name)
        elif chunk == b"ds64" and len(kept) >= 16:
            long_size = struct.unpack("<Q", kept[8:16])[0]
        left = size + size % 2 - len(kept)
        while left:
            left -= len(_exactly(read, min(left, _AT_ONCE), name))
    if form is None:
        raise InputError(f"{name}: has no fmt chunk before its samples, wanted one: what they are is not known")
    if head[:4] == b"RF64" and size == LARGEST:
        return form._replace(length=long_size if 0 < long_size < 2**63 else None)
    unknown = size in (0, 0x7FFFFFFF, LARGEST) or UNKNOWN - form.frame < size <= UNKNOWN
    return form._replace(length=None if unknown else size)


def _exactly(read: Read, size: int, name: str) -> bytes:
    found = b""
    while len(found) < size:
        more = read(size - len(found))
        if not more:
            came = "is empty (0 bytes)" if not found and size == 12 else "ends in its WAV header"
            raise InputError(f"{name}: {came}, wanted a WAV stream")
        found += more
    return found


def _format(content: bytes, name: str) -> PcmFormat:
    """What a fmt chunk says. Raises InputError where it is not one of WIDTHS."""
    if len(content) < 16:
        raise InputError(f"{name}: its fmt chunk has {len(content)} bytes, wanted at least 16")
    tag, channels, rate_hz, _, frame, bits = struct.unpack("<HHIIHH", content[:16])
    if tag == _EXTENSIBLE and len(content) >= 40 and content[26:40] == _TAIL_OF_GUID:
        tag = struct.unpack("<H", content[24:26])[0]
    samples = {(_PCM, 16): "s16le", (_PCM, 24): "s24le", (_PCM, 32): "s32le", (_FLOAT, 32): "f32le"}.get((tag, bits))
    if samples is None:
        wanted = "PCM (1) of 16, 24 or 32 bits or float (3) of 32"
        raise InputError(f"{name}: its samples are of WAV format {tag:#x} and {bits} bits, wanted {wanted}")
    if not 1 <= rate_hz <= HIGHEST_HZ:
        raise InputError(f"{name}: sample rate is {rate_hz} Hz, wanted 1 to {HIGHEST_HZ} Hz")
    form = PcmFormat(samples, rate_hz, channels)
    if not channels or frame != form.frame:
        raise InputError(f"{name}: {channels} channels of {bits} bits take {frame} bytes, wanted {form.frame}")
    return form


class PcmReader:
    """One channel of a stream of samples, as it comes. ``channel`` counts from 0."""

    def __init__(self, read: Read, form: PcmFormat, channel: int = 0) -> None:
        self.form, self.channel = form, channel
        self._read = read
        self._rest = b""
        self._came = 0
        self.ended = False

    def read(self, frames: int) -> Array:
        """The next samples (n,), float32, n up to ``frames``: what has come, 0 where it is not a whole one.

        It waits for the first byte and for no more. After the last one ``ended`` is true.
        """
        wanted = frames * self.form.frame - len(self._rest)
        if self.form.length is not None:
            wanted = min(wanted, self.form.length - self._came)
        data = self._read(wanted) if wanted else b""
        self.ended = not data
        self._came += len(data)
        data = self._rest + data
        whole = len(data) // self.form.frame * self.form.frame
        self._rest = data[whole:]
        return decode(data[:whole], self.form.samples).reshape(-1, self.form.channels)[:, self.channel]

    def fault(self) -> str:
        """What is wrong with the end of the stream, or nothing. Sizes above UNKNOWN are bounds: arecord says 2 GiB."""
        if self.form.length is not None and self._came < self.form.length < UNKNOWN:
            return f"is truncated, held {self._came} of {self.form.length} bytes of samples"
        if self._rest:
            return f"ends in the middle of a sample, after {len(self._rest)} of its {self.form.frame} bytes"
        return ""
