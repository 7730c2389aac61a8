"""Damage that knows headers: WAV and AIFF chunks, STREAMINFO of FLAC, safetensors, npz and tar archives."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from copy import deepcopy

from mutations import INTEGERS, Mutation
from texts import VALUES, as_json, change_document

SIZES = (*INTEGERS, 2**32 - 8, 0x7FFFF000, 2**40)


def _number(rng: random.Random, width: int) -> int:
    return rng.choice(SIZES) % 2 ** (8 * width)


def _put(content: bytes, place: int, number: int, width: int, order: str) -> bytes:
    return content[:place] + number.to_bytes(width, "little" if order == "<" else "big") + content[place + width :]


def _chunks(content: bytes) -> list[tuple[bytes, int, int]]:
    """Name, offset and size of every chunk, as the file says it."""
    order = "<" if content[:4] in (b"RIFF", b"RF64") else ">"
    found, place = [], 12
    while place + 8 <= len(content):
        (size,) = struct.unpack(order + "I", content[place + 4 : place + 8])
        found.append((content[place : place + 4], place, size))
        place += 8 + size + size % 2
    return found


FIELDS = {
    b"fmt ": ((0, 2), (2, 2), (4, 4), (8, 4), (12, 2), (14, 2), (16, 2)),
    b"COMM": ((0, 2), (2, 4), (6, 2), (8, 8)),
}
"""Offsets and widths of what a header says: format, channels, rates, block, bits."""


def chunk_field(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """The format, channels, rate, block or bits, or the size of a chunk or of the whole, becomes another number."""
    order = "<" if content[:4] in (b"RIFF", b"RF64") else ">"
    chunks = _chunks(content)
    if not chunks or rng.random() < 0.1:
        return _put(content, 4, _number(rng, 4), 4, order)
    name, place, _size = rng.choice(chunks)
    fields = [(4 - 8, 4)] if rng.random() < 0.4 or name not in FIELDS else list(FIELDS[name])
    offset, width = rng.choice(fields)
    return _put(content, place + 8 + offset, _number(rng, width), width, order)


def chunk_list(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A chunk is gone, comes twice, elsewhere, or there is a strange one; thousands of empty ones."""
    order = "<" if content[:4] in (b"RIFF", b"RF64") else ">"
    parts = [content[place : place + 8 + size + size % 2] for _, place, size in _chunks(content)]
    if not parts:
        return content
    kind, one = rng.randrange(5), rng.randrange(len(parts))
    if kind == 0:
        del parts[one]
    elif kind == 1:
        parts.insert(rng.randrange(len(parts) + 1), parts[one])
    elif kind == 2:
        rng.shuffle(parts)
    elif kind == 3:
        name = rng.choice((b"LIST", b"PEAK", b"cue ", b"bext", b"fact", b"smpl", b"inst", b"ds64", b"id3 ", b"junk"))
        body = rng.randbytes(rng.choice((0, 4, 16, 700)))
        size = rng.choice((len(body), _number(rng, 4)))
        parts.insert(rng.randrange(len(parts) + 1), name + struct.pack(order + "I", size) + body)
    else:
        parts.insert(rng.randrange(len(parts) + 1), (b"junk" + bytes(4)) * 20_000)
    return content[:12] + b"".join(parts)


def to_rf64(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A WAV file of 64-bit sizes that say anything."""
    sizes = struct.pack("<QQQI", *(_number(rng, 8) for _ in range(3)), rng.choice((0, 0, 1, 2**31)))
    head = b"RF64" + b"\xff" * 4 + b"WAVEds64" + struct.pack("<I", len(sizes)) + sizes
    changed = head + content[12:]
    for name, place, _size in _chunks(changed):
        if name == b"data":
            return _put(changed, place + 4, 2**32 - 1, 4, "<")
    return changed


def stream_info(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """Block and frame sizes, rate, channels, bits and number of samples of a FLAC file."""
    if len(content) < 42:
        return content
    kind = rng.randrange(7)
    if kind == 0:
        return _put(content, 8 + 2 * rng.randrange(2), _number(rng, 2), 2, ">")
    if kind == 1:
        return _put(content, 12 + 3 * rng.randrange(2), _number(rng, 3), 3, ">")
    if kind == 2:  # length and type of a metadata block
        return _put(content, 4, _number(rng, 4), 4, ">")
    packed = int.from_bytes(content[18:26], "big")
    low, bits = rng.choice(((0, 36), (0, 36), (36, 5), (41, 3), (44, 20)))
    value = rng.choice((0, 1, 2**bits - 1, 2 ** (bits - 1), rng.randrange(2**bits)))
    packed = packed & ~((2**bits - 1) << low) | value << low
    return _put(content, 18, packed, 8, ">")


def tensor_header(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """The header of a safetensors file: names, types, shapes, offsets; sometimes of a length that is not its own."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError, OverflowError):
        return content
    if not isinstance(header, dict):
        return content
    names, kind = [name for name in header if isinstance(header[name], dict)], rng.random()
    if names and kind < 0.5:
        one = header[rng.choice(names)]
        key = rng.choice(("dtype", "shape", "data_offsets"))
        types = ("F32", "F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "", 3, None)
        counts = [rng.choice(SIZES) for _ in range(rng.choice((0, 1, 2, 2, 3, 40, 100)))]
        some = rng.choice((counts, [2**62, 2**62, 0], [0, 2**60], [1] * rng.choice((3, 33, 65)), rng.choice(VALUES)))
        one[key] = rng.choice(types) if key == "dtype" else deepcopy(some)
    elif names and kind < 0.6:
        header["__metadata__"] = rng.choice(({"a": "b"}, {"a": 1}, *deepcopy(VALUES)))
    else:
        header = change_document(header, rng)
    said = as_json(header)
    size = rng.choice(SIZES) if rng.random() < 0.1 else len(said)
    return (size % 2**64).to_bytes(8, "little") + said + content[8 + length :]


def _npy(rng: random.Random) -> bytes:
    """An array as a file whose header says something odd."""
    shape = rng.choice(
        ("(2**3,)", "(3,)", "(1099511627776,)", "(1073741824,)", "(-1,)", "(2, -3)", "()", "(0, 2**62)", "((3,),)",
         "[3]", "None", "(4611686018427387904, 4)", "(" * 300 + ")" * 300, "(" + "1," * 40 + ")", "(True,)", "(1e9,)",
         "('a',)")
    )  # fmt: skip
    dtype = rng.choice(
        ("'<f4'", "'<f8'", "'|O'", "'<U1073741824'", "'|V1073741824'", "'|V0'", "[('a', '<f4')]", "'<c16'", "'<M8[s]'",
         "'|b1'", "'<f2'", "None", "3", "'x'")
    )  # fmt: skip
    text = f"{{'descr': {dtype}, 'fortran_order': {rng.choice(('False', 'True', '1', 'None'))}, 'shape': {shape}, }}"
    said = text.encode() + b" " * rng.choice((0, 20, 20_000)) + b"\n"
    version = rng.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(said) % 65536 or 1)
    return b"\x93NUMPY" + version + size + said + bytes(rng.choice((0, 12, 64)))


def archive(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """An npz file with an odd array, a bomb, an odd name, or packed in another way."""
    buffer = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    name = rng.choice(("weight_ih_l0.npy", "a.npy", "../a.npy", "/a", "", "a" * 60_000, "weight_hh_l0"))
    with zipfile.ZipFile(buffer, "w", packing) as made:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as old:
                for one in old.namelist()[: rng.randrange(6)]:
                    made.writestr(one, old.read(one))
        except Exception:
            pass  # damaged before: the odd array stands alone
        made.writestr(zipfile.ZipInfo(name), _npy(rng), packing)
        if rng.random() < 0.1:
            made.writestr("bomb.npy", bytes(2**22), zipfile.ZIP_DEFLATED)
    changed = bytearray(buffer.getvalue())
    if rng.random() < 0.4:  # sizes, flags and method of an entry of the directory
        place = bytes(changed).rfind(b"PK\x01\x02")
        offset, width = rng.choice(((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4)))
        changed[place + offset : place + offset + width] = _number(rng, width).to_bytes(width, "little")
    return bytes(changed)


def tar_header(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A field of a header of an unpacked tar archive: name, size, type, checksum set right again."""
    places = [at for at in range(0, len(content) - 511, 512) if content[at + 257 : at + 262] == b"ustar"]
    if not places:
        return content
    place = rng.choice(places)
    block = bytearray(content[place : place + 512])
    first, size = rng.choice(((0, 100), (124, 12), (124, 12), (136, 12), (156, 1), (157, 100), (345, 155)))
    odd = (
        rng.randbytes(size), b"7" * size, b"\x80" + bytes(max(0, size - 5)) + b"\x7f\xff\xff\xff", b"\xff" * size,
        bytes(size), b"x", b"g", b"L", b"S", b"1", b"2", b"/recordings/../../x", b"-1 ",
    )  # fmt: skip
    block[first : first + size] = rng.choice(odd)[:size].ljust(size, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return content[:place] + bytes(block) + content[place + 512 :]


WAV: tuple[Mutation, ...] = (chunk_field, chunk_field, chunk_field, chunk_list, to_rf64)
FLAC: tuple[Mutation, ...] = (stream_info,)
TENSORS: tuple[Mutation, ...] = (tensor_header,)
NPZ: tuple[Mutation, ...] = (archive,)
TAR: tuple[Mutation, ...] = (tar_header,)
