"""Damage to the bytes of a valid file, drawn from a generator: what any file can suffer, whatever it holds.

A mutation takes bytes, a generator and a second valid file of the kind, and returns other bytes. Those that know a
format are in ``texts`` and ``headers``.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Sequence

Mutation = Callable[[bytes, random.Random, bytes], bytes]

INTEGERS = (0, 1, -1, 2, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**60, 2**62, 2**63 - 1, 2**63)
"""Numbers at which an integer of some width, a product or a size goes wrong."""
FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, -1e308, 5e-324, 1e38, 0.5, 1e18)


def span(size: int, rng: random.Random) -> tuple[int, int]:
    """A place and a length within so many bytes; lengths are mostly short."""
    first = rng.randrange(size + 1)
    return first, min(size - first, int(2 ** rng.uniform(0, 10)))


def flip_bits(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """One to eight bits, anywhere or among the first 64 bytes, where headers are."""
    if not content:
        return content
    changed, reach = bytearray(content), len(content) if rng.random() < 0.5 else min(64, len(content))
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A stretch becomes noise, zeros or ones."""
    first, length = span(len(content), rng)
    filling = rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length))
    return content[:first] + filling + content[first + length :]


def insert(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A few bytes more."""
    first, length = span(len(content), rng)
    return content[:first] + rng.randbytes(max(1, length)) + content[first:]


def delete(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A stretch is gone."""
    first, length = span(len(content), rng)
    return content[:first] + content[first + length :]


def duplicate(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """A stretch comes twice or many times."""
    first, length = span(len(content), rng)
    return content[:first] + content[first : first + length] * rng.choice((2, 2, 3, 50)) + content[first + length :]


def truncate(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """The end is gone, as after a copy that broke off; or everything."""
    return content[: rng.randrange(len(content) + 1)]


def splice(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    first, second = (rng.randrange(len(one) + 1) for one in (content, other))
    return content[:first] + other[second:]


def extreme_number(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """Two, four or eight bytes become a number at which sizes and products go wrong."""
    width = rng.choice((1, 2, 4, 8))
    if len(content) < width:
        return content
    reach = len(content) if rng.random() < 0.3 else min(128, len(content))
    first = rng.randrange(max(1, reach - width + 1))
    if width >= 4 and rng.random() < 0.2:
        number = struct.pack(f"<{'f' if width == 4 else 'd'}", _float(rng, width))
    else:
        number = (rng.choice(INTEGERS) % 2 ** (8 * width)).to_bytes(width, rng.choice(("little", "big")))
    return content[:first] + number + content[first + width :]


def _float(rng: random.Random, width: int) -> float:
    value = rng.choice(FLOATS)
    return value if width == 8 or not math.isfinite(value) else math.copysign(min(abs(value), 3e38), value)


def swap(content: bytes, rng: random.Random, _: bytes) -> bytes:
    """Two stretches change places."""
    a, b, c = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


BYTES: Sequence[Mutation] = (
    flip_bits, set_bytes, insert, delete, duplicate, truncate, splice, extreme_number, extreme_number, swap,
)  # fmt: skip


def damaged(content: bytes, rng: random.Random, other: bytes, knowing: Sequence[Mutation]) -> bytes:
    """One mutation, seldom several; two of three of those that know the format, where there are such."""
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        among = knowing if knowing and rng.random() < 2 / 3 else BYTES
        content = rng.choice(among)(content, rng, other)
    return content
