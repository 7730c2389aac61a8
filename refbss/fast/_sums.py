"""Sums over a row in explicit vectors, in an order that depends on the length alone.

``total(x)`` is the sum of x (N,), ``inner(x, y)`` that of x y. Four vectors of partial sums take the numbers in turns;
in the end the four are added in pairs, and the lanes of the one that is left by halves. A compiler that may reorder
sums does so differently wherever it meets them; these are the same in every kernel, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from refbss._jit import STRICT
from refbss.fast._tiles import Vectors

_intrinsic: Any = intrinsic  # called from kernels with one argument less than it is written with
_I64 = ir.IntType(64)
_AT_ONCE = 4


def _sum(size: int, *, products: bool) -> Any:
    """An intrinsic for numbers of ``size`` bytes that lie without gaps at one address, or at two to be multiplied."""
    number = types.float32 if size == 4 else types.float64

    @_intrinsic
    def summed(typingctx, a, b, count):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            a, b, count = arguments
            entry, loop, end = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            n = builder.phi(_I64)
            v = Vectors(builder, size, _AT_ONCE, None)
            sums = [builder.phi(v.type) for _ in range(_AT_ONCE)]
            v = Vectors(builder, size, _AT_ONCE, builder.sub(count, n))
            ahead = builder.mul(n, ir.Constant(_I64, size))
            x = v.load(builder.add(a, ahead))
            if products:
                after = [v.multiply_add(*three) for three in zip(x, v.load(builder.add(b, ahead)), sums, strict=True)]
            else:
                after = [builder.fadd(s, one) for s, one in zip(sums, x, strict=True)]
            following = builder.add(n, ir.Constant(_I64, _AT_ONCE * v.lanes))
            n.add_incoming(ir.Constant(_I64, 0), entry)
            n.add_incoming(following, loop)
            for before, then in zip(sums, after, strict=True):
                before.add_incoming(v.zero, entry)
                before.add_incoming(then, loop)
            builder.cbranch(builder.icmp_signed("<", following, count), loop, end)
            builder.position_at_end(end)
            first, second = builder.fadd(after[0], after[1]), builder.fadd(after[2], after[3])
            return v.over_lanes(builder.fadd(first, second))

        return number(types.intp, types.intp, types.intp), codegen

    return summed


_total = {size: _sum(size, products=False) for size in (4, 8)}
_inner = {size: _sum(size, products=True) for size in (4, 8)}


def total(x: Any) -> Any:
    """The sum of x (N,), whose numbers lie without gaps."""
    return np.sum(x)


def inner(x: Any, y: Any) -> Any:
    """The sum of x y, both (N,), whose numbers lie without gaps."""
    return np.sum(x * y)


@overload(total, jit_options=STRICT)
def _total_of(x: Any) -> Any:
    summed = _total[x.dtype.bitwidth // 8]

    def compiled(x: Any) -> Any:
        return summed(np.intp(x.ctypes.data), np.intp(x.ctypes.data), x.shape[0])

    return compiled


@overload(inner, jit_options=STRICT)
def _inner_of(x: Any, y: Any) -> Any:
    summed = _inner[x.dtype.bitwidth // 8]

    def compiled(x: Any, y: Any) -> Any:
        return summed(np.intp(x.ctypes.data), np.intp(y.ctypes.data), x.shape[0])

    return compiled
