"""Samples in a pipe against libsndfile, and WAV headers of every kind read without going back."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from refbss import InputError
from refbss.data.audio_io import read_audio
from refbss.data.pcm import SUBTYPES, WIDTHS, PcmFormat, PcmReader, decode, encode, read_wav_header, wav_header
from refbss.data.pcm_writers import FilesWriter, PcmWriter

repeatable = settings(derandomize=True, deadline=None, max_examples=80)
SOUND = np.random.default_rng(0).uniform(-1, 0.99, (500, 2)).astype(np.float32)


def wav(samples: str, x: Any = SOUND, kind: str = "WAV") -> bytes:
    """A file as libsndfile writes it; WAVEX is WAVE_FORMAT_EXTENSIBLE."""
    file = io.BytesIO()
    soundfile.write(file, x, 8000, subtype=SUBTYPES[samples], format=kind)
    return file.getvalue()


def trickle(data: bytes, most: int = 3) -> Callable[[int], bytes]:
    """A pipe that gives a few bytes at a time, never the same number twice in a row."""
    file, turn = io.BytesIO(data), 0

    def read(size: int) -> bytes:
        nonlocal turn
        turn += 1
        assert size > 0, "nothing was asked for"
        return file.read(min(size, 1 + turn % most))

    return read


def read_all(reader: PcmReader, frames: int = 7) -> np.ndarray:
    found = []
    while not reader.ended:
        found.append(reader.read(frames))
        assert len(found[-1]) <= frames
    return np.concatenate(found)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("samples", WIDTHS)
def test_as_libsndfile_reads(samples: str, kind: str) -> None:
    data = wav(samples, kind=kind)
    wanted, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32")
    for channel in (0, 1):
        read = trickle(data)
        form = read_wav_header(read, "in")
        assert form == PcmFormat(samples, rate_hz, 2, 500 * 2 * WIDTHS[samples])
        reader = PcmReader(read, form, channel)
        assert np.array_equal(read_all(reader), wanted[:, channel]) and not reader.fault()


@pytest.mark.parametrize("samples", WIDTHS)
def test_as_libsndfile_writes(samples: str) -> None:
    """A header with an unknown length is read by libsndfile, up to the end of the file."""
    out = io.BytesIO()
    writer = PcmWriter(out, PcmFormat(samples, 44100, 2), wav=True)
    for part in np.array_split(SOUND.T, [0, 3, 200], axis=1):
        writer.write(part)
    out.seek(0)
    x, rate_hz = soundfile.read(out, dtype="float32")
    assert rate_hz == 44100 and writer.clipped == 0
    assert np.abs(x - SOUND).max() <= 2.0 ** -(8 * min(WIDTHS[samples], 3))
    read = trickle(out.getvalue())
    form = read_wav_header(read, "in")
    assert form == PcmFormat(samples, 44100, 2)
    assert np.array_equal(read_all(PcmReader(read, form, 1)), x[:, 1])


@pytest.mark.parametrize("samples", WIDTHS)
def test_what_fits_is_read_back_as_written(samples: str) -> None:
    bits = 8 * WIDTHS[samples]
    full = 2.0 ** (min(bits, 24) - 1)
    x = np.concatenate([[-1.0, 0.0, 1 / full, -1 / full, 1 - 1 / full], np.rint(SOUND[:, 0] * full) / full])
    data, clipped = encode(x.astype(np.float32), samples)
    assert len(data) == len(x) * WIDTHS[samples] and clipped == 0
    assert np.array_equal(decode(data, samples), x)


@pytest.mark.parametrize("samples", ["s16le", "s24le", "s32le"])
def test_what_does_not_fit_is_clipped_and_counted(samples: str) -> None:
    x = np.array([1.0, 1.5, -1.0, -1.1, 1e30, 0.25], np.float32)
    data, clipped = encode(x, samples)
    assert clipped == 4
    found = decode(data, samples)
    assert found[:5] == pytest.approx([1, 1, -1, -1, 1], abs=1e-4) and found[5] == 0.25
    assert encode(x, "f32le") == (x.tobytes(), 0)


def riff(*chunks: tuple[bytes, bytes, int | None], head: bytes = b"RIFF") -> bytes:
    """A stream of chunks (name, content, size that is said where it is another), padded to even sizes."""
    parts = [
        name + struct.pack("<I", len(content) if size is None else size) + content + bytes(len(content) % 2)
        for name, content, size in chunks
    ]
    return head + struct.pack("<I", 0) + b"WAVE" + b"".join(parts)


def fmt(tag: int = 1, channels: int = 1, rate_hz: int = 8000, bits: int = 16, frame: int | None = None) -> bytes:
    width = channels * bits // 8 if frame is None else frame
    return struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * width, width, bits)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFEFFE])
def test_an_unknown_size_is_up_to_the_end(size: int) -> None:
    channels = 2 if size == 0x7FFFEFFE else 1
    data = riff((b"LIST", b"odd", None), (b"fmt ", fmt(channels=channels), None), (b"data", bytes(40), size))
    read = trickle(data)
    form = read_wav_header(read, "in")
    assert form.length is None
    reader = PcmReader(read, form)
    assert len(read_all(reader)) == 20 // channels and not reader.fault()


def test_what_follows_the_samples_is_not_read() -> None:
    data = riff((b"fmt ", fmt() + bytes(2), None), (b"JUNK", bytes(99_999), None), (b"data", b"\1\0\2\0", None))
    read = trickle(data + b"LIST\4\0\0\0text", 10**6)
    reader = PcmReader(read, read_wav_header(read, "in"))
    assert np.array_equal(read_all(reader) * 2**15, [1, 2]) and not reader.fault()


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_the_size_of_rf64_is_elsewhere(size: int) -> None:
    known = struct.pack("<QQQI", 0, 6 if size else 0, 3 if size else 0, 0)
    data = riff((b"ds64", known, None), (b"fmt ", fmt(), None), (b"data", bytes(6), 0xFFFFFFFF), head=b"RF64")
    assert read_wav_header(trickle(data), "in").length == (6 if size else None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is empty \(0 bytes\), wanted a WAV stream"),
        (b"RIFF", "ends in its WAV header"),
        (b"fLaC" + bytes(60), "begins with b'fLaC', wanted WAV"),
        (b"RIFX" + bytes(60), "begins with b'RIFX'"),
        (b"RIFF\0\0\0\0AVI " + bytes(60), "begins with b'RIFF'"),
        (riff((b"data", bytes(9), None)), "has no fmt chunk before its samples"),
        (riff((b"fmt ", fmt()[:12], None), (b"data", b"", None)), "fmt chunk has 12 bytes, wanted at least 16"),
        (riff((b"fmt ", fmt(bits=8), None), (b"data", b"", None)), "of WAV format 0x1 and 8 bits, wanted PCM"),
        (riff((b"fmt ", fmt(3, bits=64), None), (b"data", b"", None)), "of WAV format 0x3 and 64 bits"),
        (riff((b"fmt ", fmt(6, bits=8), None), (b"data", b"", None)), "of WAV format 0x6 and 8 bits"),
        (riff((b"fmt ", fmt(0xFFFE), None), (b"data", b"", None)), "of WAV format 0xfffe and 16 bits"),
        (riff((b"fmt ", fmt(rate_hz=0), None), (b"data", b"", None)), "sample rate is 0 Hz"),
        (riff((b"fmt ", fmt(rate_hz=2**30), None), (b"data", b"", None)), "sample rate is 1073741824 Hz"),
        (riff((b"fmt ", fmt(channels=0), None), (b"data", b"", None)), "0 channels of 16 bits"),
        (riff((b"fmt ", fmt(frame=3), None), (b"data", b"", None)), "1 channels of 16 bits take 3 bytes, wanted 2"),
        (riff((b"fmt ", fmt(), None), (b"JUNK", b"1234", 4000)), "ends in its WAV header"),
    ],
)
def test_other_headers_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"^in: .*{message}"):
        read_wav_header(trickle(data), "in")


@repeatable
@given(
    place=st.integers(0, 120), value=st.integers(0, 255), cut=st.integers(0, 200), samples=st.sampled_from(list(WIDTHS))
)
def test_damaged_headers_are_read_or_refused(place: int, value: int, cut: int, samples: str) -> None:
    data = bytearray(wav(samples, SOUND[:20], "WAVEX")[:cut])
    if place < len(data):
        data[place] = value
    read = trickle(bytes(data))
    try:
        form = read_wav_header(read, "in")
    except InputError as error:
        assert str(error).startswith("in: ")
        return
    assert form.samples in WIDTHS and form.rate_hz >= 1
    read_all(PcmReader(read, form))


def test_faults_at_the_end() -> None:
    for form, data, message in [
        (PcmFormat("s16le", 8000, 2), bytes(9), "ends in the middle of a sample, after 1 of its 4 bytes"),
        (PcmFormat("s16le", 8000, 1, 100), bytes(10), "is truncated, held 10 of 100 bytes of samples"),
        (PcmFormat("s16le", 8000, 1, 2**31), bytes(10), ""),
        (PcmFormat("s24le", 8000, 1, 7), bytes(30), "ends in the middle of a sample, after 1 of its 3 bytes"),
    ]:
        reader = PcmReader(trickle(data), form)
        read_all(reader)
        assert reader.fault() == message


def test_it_does_not_wait_for_a_whole_chunk() -> None:
    """What a read brings is handed on, though more was asked for, and a part of a sample waits for the rest of it."""
    parts = iter([b"\1", b"\0\2", b"\0\3\0", b""])
    reader = PcmReader(lambda _: next(parts), PcmFormat("s16le", 8000, 1))
    assert [len(reader.read(1000)) for _ in range(3)] == [0, 1, 2] and not reader.ended
    assert len(reader.read(1000)) == 0 and reader.ended and not reader.fault()


@pytest.mark.parametrize("samples", WIDTHS)
def test_a_file_for_each_source(samples: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{p}.wav" for p in (1, 2)]
    est = SOUND.T.copy()
    est[1, 5] = 1.7
    with FilesWriter(paths, 8000, samples) as writer:
        for part in np.array_split(est, 7, axis=1):
            writer.write(part)
        assert not [path for path in paths if path.exists()], "before the end there is nothing under the name"
    assert writer.clipped == (0 if samples == "f32le" else 1)
    for path, wanted in zip(paths, est, strict=True):
        assert soundfile.info(path).subtype == SUBTYPES[samples]
        data, _ = encode(wanted, samples)
        assert np.array_equal(read_audio(path)[0][0], decode(data, samples))


def test_short_writes_lose_nothing() -> None:
    class Narrow(io.BytesIO):
        """Takes seven bytes at a time, as a pipe may."""

        def write(self, data: Any) -> int:
            return super().write(data[:7])

    out = Narrow()
    PcmWriter(out, PcmFormat("f32le", 8000, 2), wav=False).write(SOUND.T)
    assert out.getvalue() == SOUND.tobytes()


def test_files_without_a_sample_and_after_an_error(tmp_path: Path) -> None:
    paths = [tmp_path / f"{p}.wav" for p in (1, 2)]
    with FilesWriter(paths, 8000, "f32le") as writer:
        writer.write(np.zeros((2, 0), np.float32))
    assert writer.names == [] and not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError), FilesWriter(paths, 8000, "f32le") as writer:
        writer.write(SOUND.T)
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"the folder .* does not exist"):
        FilesWriter([paths[0], tmp_path / "no" / "2.wav"], 8000, "f32le")
    assert not list(tmp_path.iterdir())


def test_headers_that_cannot_be_written() -> None:
    with pytest.raises(InputError, match="rate_hz is 0"):
        wav_header(PcmFormat("s16le", 0, 1))
    with pytest.raises(InputError, match="channels is 0"):
        wav_header(PcmFormat("s16le", 8000, 0))
