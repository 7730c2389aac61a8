"""Files that claim far more than they hold: refused before memory is taken, by a line that names them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import trees
from headers import _chunks
from refusals import in_little_memory, refused

from refbss.conformance.tensor_files import read_tensors
from refbss.data import containers
from refbss.data.audio_io import AudioReader, read_audio

# ---------------------------------------------------------------- declared sizes


def _with(content: bytes, place: int, fmt: str, value: int) -> bytes:
    return content[:place] + struct.pack(fmt, value) + content[place + struct.calcsize(fmt) :]


def _wav(tmp_path: Path) -> bytes:
    trees.wav(tmp_path)
    return (tmp_path / "pcm16.wav").read_bytes()


@pytest.mark.parametrize("size", [10_000, 2**31 - 2**16, 2**30])
def test_a_data_chunk_beyond_the_file(tmp_path: Path, size: int) -> None:
    content = _wav(tmp_path)
    place = next(place for name, place, _ in _chunks(content) if name == b"data")
    (tmp_path / "a.wav").write_bytes(_with(content, place + 4, "<I", size))
    refused(lambda: read_audio(tmp_path / "a.wav"), r"a\.wav: is truncated, holds 800 of \d+ bytes")


@pytest.mark.parametrize("size", [2**32 - 1, 2**32 - 16, 0x7FFFFFFF])
def test_a_length_that_a_pipe_writes_means_what_is_there(tmp_path: Path, size: int) -> None:
    content = _wav(tmp_path)
    place = next(place for name, place, _ in _chunks(content) if name == b"data")
    (tmp_path / "a.wav").write_bytes(_with(content, place + 4, "<I", size))
    with in_little_memory():
        assert read_audio(tmp_path / "a.wav")[0].shape == (1, 400)


@pytest.mark.parametrize("size", [2**33, 2**60, 2**63])
def test_an_rf64_file_beyond_the_file(tmp_path: Path, size: int) -> None:
    content = _wav(tmp_path)
    sizes = struct.pack("<QQQI", size + 100, size, size // 2, 0)
    changed = b"RF64" + b"\xff" * 4 + b"WAVEds64" + struct.pack("<I", len(sizes)) + sizes + content[12:]
    place = next(place for name, place, _ in _chunks(changed) if name == b"data")
    (tmp_path / "a.wav").write_bytes(_with(changed, place + 4, "<I", 2**32 - 1))
    refused(lambda: AudioReader(tmp_path / "a.wav"), rf"a\.wav: is truncated, holds 800 of {size} bytes")


@pytest.mark.parametrize("frames", [2**36 - 1, 2**35])
def test_a_flac_stream_of_too_many_samples(tmp_path: Path, frames: int) -> None:
    trees.flac(tmp_path)
    content = (tmp_path / "mono.flac").read_bytes()
    packed = int.from_bytes(content[18:26], "big") & ~(2**36 - 1) | frames
    (tmp_path / "a.flac").write_bytes(_with(content, 18, ">Q", packed))
    refused(lambda: read_audio(tmp_path / "a.flac"), r"a\.flac: is (truncated or damaged|not audio)")


def test_a_file_of_empty_chunks_is_not_walked_to_its_end(tmp_path: Path) -> None:
    content = _wav(tmp_path)
    (tmp_path / "a.wav").write_bytes(content[:12] + (b"junk" + bytes(4)) * 1_000_000 + content[12:])
    with (tmp_path / "a.wav").open("rb") as file:
        assert sum(1 for _ in containers.chunks_of(file)) == containers.MOST_CHUNKS


@pytest.mark.parametrize("one", trees.UNREAD.split())
def test_a_container_that_nobody_asked_for(tmp_path: Path, one: str) -> None:
    path = trees.container(tmp_path, one)
    refused(lambda: AudioReader(path), rf"{path.name}: is not audio that can be read")


def test_chunks_on_which_libsndfile_turns_for_ever(tmp_path: Path) -> None:
    content = trees.container(tmp_path, "SVX-PCM_16").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:60] + (b"junk" + bytes(4)) * 20_000 + content[60:])
    refused(lambda: AudioReader(tmp_path / "a.wav"), r"a\.wav: is not audio that can be read")


def test_a_file_called_raw(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(_wav(tmp_path))
    refused(lambda: AudioReader(tmp_path / "a.raw"), r"a\.raw: suffix is \.raw, for samples without a header")
    (tmp_path / "b.raw").write_bytes(bytes(100))
    refused(lambda: AudioReader(tmp_path / "b.raw"), r"b\.raw: is not audio that can be read")


def _tensors(header: Any, data: bytes = bytes(16), length: int | None = None) -> bytes:
    said = json.dumps(header).encode()
    return struct.pack("<Q", len(said) if length is None else length) + said + data


F32 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_tensors({"a": F32}, length=2**62), "header"),
        (_tensors({"a": F32}, length=99_999_999), "header"),
        (_tensors({"a": {**F32, "shape": [2**30, 2**30]}}), "wanted a safetensors file"),
        (_tensors({"a": {**F32, "shape": [2**62, 4]}}), "wanted a safetensors file"),
        (_tensors({"a": {**F32, "data_offsets": [0, 2**60]}}), "wanted a safetensors file"),
        (_tensors({"a": F32, "b": F32}), "wanted a safetensors file"),  # one lies over the other
        (_tensors({"a": F32}, bytes(4000)), "wanted a safetensors file"),  # a gap at the end
        (_tensors({"a": {**F32, "dtype": "F8_E4M3", "shape": [16]}}), r"a is F8_E4M3, which NumPy has no type for"),
        (_tensors({"a": {**F32, "shape": [1] * 70 + [4]}}), "wanted a safetensors file"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "wanted a safetensors file"),
    ],
)
def test_safetensors(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    refused(lambda: read_tensors(tmp_path / "a.safetensors"), rf"a\.safetensors: .*{message}")


def _npy(shape: str, dtype: str = "'<f4'", data: bytes = bytes(16)) -> bytes:
    said = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said + data


def _npz(packing: int = zipfile.ZIP_DEFLATED, **entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def _lying(size: int) -> bytes:
    """An entry that says it has few bytes and unpacks to many."""
    content = bytearray(_npz(a=_npy("(4,)") + bytes(2**28)))
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = bytes(content).rfind(mark) + offset
        content[place : place + 4] = struct.pack("<I", size)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_npz(a=_npy("(2**40,)")), "wanted an npz file"),
        (_npz(a=_npy("(1099511627776,)")), "wants other than the 16 bytes that follow"),
        (_npz(a=_npy("(1,)", "'|V1073741824'")), "wants other than the 16 bytes that follow"),
        (_npz(a=_npy("(-4,)")), "wants other than the 16 bytes that follow"),
        (_npz(a=_npy("(" * 500 + ")" * 500)), "wanted an npz file"),
        (_npz(a=_npy("(67108864,)", data=bytes(2**28))), "unpacks to more than 67108864 bytes"),
        (_lying(100), "wanted an npz file"),
        (_npz(zipfile.ZIP_LZMA, a=_npy("(4,)")), r"a\.npy is packed by method 14"),
        (_npz(a=_npy("(4,)", "'|O'")), "Object arrays cannot be loaded"),
        (_npz(a=_npy("(4,)")).replace(b"a.npy", b"\0.npy"), "an array has no name"),
    ],
)
def test_npz(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    refused(lambda: read_tensors(tmp_path / "a.npz"), rf"a\.npz: .*{message}")
