"""Products of small matrices in explicit vectors, which is what the compiler does not find by itself.

``product(a, b, start, step, out)`` is out = start + a @ b. A tile of up to eight rows by two vectors of columns stays
in registers while the sum over k runs, one fused multiply-add a vector; the sum starts from zero, runs through k in
order and is added to ``start`` once for every ``INNER`` of k. So an element of the result depends neither on the rows
and columns beside it nor on the number of vectors that the machine's registers hold.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from refbss._jit import STRICT, helper

INNER, OUTER = 256, 64
"""Terms of a sum, and rows, that are worked through at a time: their panels stay in the caches near the core."""

_intrinsic: Any = intrinsic  # called from kernels with one argument less than it is written with
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _vector_bytes() -> int:
    """Bytes of a vector register of the processor that kernels are compiled for."""
    named = numba.config.CPU_FEATURES  # type: ignore[attr-defined]
    features = {part[1:] for part in (named or binding.get_host_cpu_features().flatten()).split(",") if part[:1] == "+"}
    return 64 if "avx512f" in features else 32 if "avx" in features else 16


VECTOR = _vector_bytes()
"""Bytes of a vector: 64 with AVX-512, 32 with AVX, otherwise 16."""
_ROWS = 8 if VECTOR == 64 else 4
"""Rows of the largest tile; two vectors a row then fill half of the registers, or a little more."""


class Vectors:
    """Loads, stores and sums of one kind of vector in the code of a tile. Addresses are integers, strides bytes."""

    def __init__(self, builder: Any, size: int, count: int, remaining: Any) -> None:
        self.builder, self.size, self.count, self.lanes = builder, size, count, VECTOR // size
        self.scalar = ir.FloatType() if size == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.scalar, self.lanes)
        self.name = f"v{self.lanes}f{8 * size}"
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)
        self.masks = None if remaining is None else [self._mask(remaining, v) for v in range(count)]

    def _mask(self, remaining: Any, place: int) -> Any:
        """One bit for each lane of vector ``place``: is it among the columns that remain?"""
        numbers = ir.Constant(ir.VectorType(_I64, self.lanes), [place * self.lanes + i for i in range(self.lanes)])
        return self.builder.icmp_signed("<", numbers, self._spread(remaining, _I64))

    def _function(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)

    def _spread(self, scalar: Any, kind: Any) -> Any:
        """The scalar in every lane."""
        nothing = ir.Constant(ir.VectorType(kind, self.lanes), ir.Undefined)
        one = self.builder.insert_element(nothing, scalar, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes))

    def spread(self, address: Any) -> Any:
        """The number at the address in every lane."""
        return self._spread(self.builder.load(self.builder.inttoptr(address, self.scalar.as_pointer())), self.scalar)

    def load(self, address: Any) -> list[Any]:
        """The vectors that lie at the address, zeros beyond the remaining columns."""
        return [self._load(address, v) for v in range(self.count)]

    def _pointer(self, address: Any, place: int) -> Any:
        there = self.builder.add(address, ir.Constant(_I64, place * VECTOR))
        return self.builder.inttoptr(there, self.type.as_pointer())

    def _load(self, address: Any, place: int) -> Any:
        pointer = self._pointer(address, place)
        if self.masks is None:
            return self.builder.load(pointer, align=self.size)
        arguments = [pointer.type, _I32, self.masks[place].type, self.type]
        masked = self._function(f"llvm.masked.load.{self.name}.p0", self.type, arguments)
        return self.builder.call(masked, [pointer, ir.Constant(_I32, self.size), self.masks[place], self.zero])

    def store(self, value: Any, address: Any, place: int) -> None:
        """Write vector ``place`` of a row; columns beyond the remaining ones are left alone."""
        pointer = self._pointer(address, place)
        if self.masks is None:
            self.builder.store(value, pointer, align=self.size)
            return
        arguments = [self.type, pointer.type, _I32, self.masks[place].type]
        masked = self._function(f"llvm.masked.store.{self.name}.p0", ir.VoidType(), arguments)
        self.builder.call(masked, [value, pointer, ir.Constant(_I32, self.size), self.masks[place]])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, fused where the processor can."""
        return self.builder.call(self._function(f"llvm.fmuladd.{self.name}", self.type, [self.type] * 3), [a, b, c])

    def over_lanes(self, vector: Any) -> Any:
        """The sum of a vector's lanes: the upper half is added to the lower one, again and again."""
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            places = [lanes + i if i < lanes else i for i in range(self.lanes)]
            upper = ir.Constant(ir.VectorType(_I32, self.lanes), places)
            vector = self.builder.fadd(vector, self.builder.shuffle_vector(vector, vector, upper))
        return self.builder.extract_element(vector, ir.Constant(_I32, 0))


def _tile(size: int, rows: int, vectors: int, whole: bool) -> Any:
    """An intrinsic for a number of rows and of vectors of columns, or as many of the columns as remain."""

    @_intrinsic
    def tile(typingctx, a, a_row, a_k, b, b_k, start, start_row, out, out_row, inner, remaining):  # type: ignore[no-untyped-def]
        """Rows of out = start + sum over k < inner of a[row, k] b[k, :]; addresses, and strides in bytes."""

        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            a, a_row, a_k, b, b_k, start, start_row, out, out_row, inner, remaining = arguments
            v = Vectors(builder, size, vectors, None if whole else remaining)

            def row(base: Any, stride: Any, number: int) -> Any:
                return builder.add(base, builder.mul(stride, ir.Constant(_I64, number)))

            entry, loop, end = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            k, at_a, at_b = (builder.phi(_I64) for _ in range(3))
            for counter, begin in ((k, ir.Constant(_I64, 0)), (at_a, a), (at_b, b)):
                counter.add_incoming(begin, entry)
            sums = [[builder.phi(v.type) for _ in range(vectors)] for _ in range(rows)]
            weights = v.load(at_b)
            for r in range(rows):
                x = v.spread(row(at_a, a_row, r))
                for c in range(vectors):
                    sums[r][c].add_incoming(v.zero, entry)
                    sums[r][c].add_incoming(v.multiply_add(x, weights[c], sums[r][c]), loop)
            following = builder.add(k, ir.Constant(_I64, 1))
            for counter, value in ((k, following), (at_a, builder.add(at_a, a_k)), (at_b, builder.add(at_b, b_k))):
                counter.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, inner), loop, end)
            builder.position_at_end(end)
            begun = [v.load(row(start, start_row, r)) for r in range(rows)]
            for r in range(rows):
                for c in range(vectors):
                    total = sums[r][c].incomings[1][0]
                    v.store(builder.fadd(begun[r][c], total), row(out, out_row, r), c)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 11), codegen

    return tile


def _named(function: Any, name: str) -> Any:
    """The function under a name of its own: machine code that was kept by several processes is linked by names, and
    those of functions made in a function differ only by a number, which every process counts anew."""
    function.__name__ = function.__qualname__ = name
    return function


def _strip(size: int, rows: int, vectors: int) -> Any:
    """Tiles of one height for the rows from ``i`` on, as many as there are before ``last``, and for all columns."""
    whole, pair, part = _tile(size, rows, vectors, True), _tile(size, rows, 2, True), _tile(size, rows, 2, False)
    last_vector = _tile(size, rows, 1, False)
    wide, narrow = vectors * VECTOR, 2 * VECTOR

    def strip(a, a_row, a_k, b, b_k, start, start_row, out, out_row, i, last, inner, columns):  # type: ignore[no-untyped-def]
        at, end = 0, columns * size
        while at < end:
            for row in range(i, last - rows + 1, rows):
                to_a, to_start, to_out = a + row * a_row, start + row * start_row + at, out + row * out_row + at
                if at + wide <= end:
                    whole(to_a, a_row, a_k, b + at, b_k, to_start, start_row, to_out, out_row, inner, 0)
                elif at + narrow <= end:
                    pair(to_a, a_row, a_k, b + at, b_k, to_start, start_row, to_out, out_row, inner, 0)
                elif end - at <= VECTOR:
                    left = columns - at // size
                    last_vector(to_a, a_row, a_k, b + at, b_k, to_start, start_row, to_out, out_row, inner, left)
                else:
                    left = columns - at // size
                    part(to_a, a_row, a_k, b + at, b_k, to_start, start_row, to_out, out_row, inner, left)
            at += wide if at + wide <= end else narrow

    return helper(_named(strip, f"strip_{size}_{rows}_{vectors}"))


def _multiply(size: int) -> Any:
    """The product for numbers of ``size`` bytes, on addresses: one piece of machine code for every layout."""
    many, four, two, one = (_strip(size, *shape) for shape in ((_ROWS, 2), (4, 2), (2, 4), (1, 8)))
    tall = _ROWS

    def multiply(a, a_row, a_k, b, b_k, start, start_row, out, out_row, rows, inner, columns):  # type: ignore[no-untyped-def]
        for first in range(0, rows, OUTER):
            last = min(rows, first + OUTER)
            for k in range(0, inner, INNER):
                terms = min(INNER, inner - k)
                base, base_row = (start, start_row) if k == 0 else (out, out_row)
                a_from, b_from = a + k * a_k, b + k * b_k
                i = last - (last - first) % tall
                many(a_from, a_row, a_k, b_from, b_k, base, base_row, out, out_row, first, i, terms, columns)
                if i + 4 <= last:
                    four(a_from, a_row, a_k, b_from, b_k, base, base_row, out, out_row, i, i + 4, terms, columns)
                    i += 4
                if i + 2 <= last:
                    two(a_from, a_row, a_k, b_from, b_k, base, base_row, out, out_row, i, i + 2, terms, columns)
                    i += 2
                if i < last:
                    one(a_from, a_row, a_k, b_from, b_k, base, base_row, out, out_row, i, last, terms, columns)

    return helper(_named(multiply, f"multiply_{size}"))


_single, _double = _multiply(4), _multiply(8)
"""A sum is a chain of additions, each of which waits for the one before: few rows want more vectors side by side."""


def product(a: Any, b: Any, start: Any, step: int, out: Any) -> None:
    """out (M, N) = start + a (M, K) @ b (K, N); every row begins with its own row of ``start``, with step 0 the first.

    The last axis of b, start and out must be contiguous; ``out`` may be ``start``.
    """
    out[:] = (start if step else start[:1]) + a @ b


@overload(product, jit_options=STRICT)
def _product(a: Any, b: Any, start: Any, step: Any, out: Any) -> Any:
    multiply = _single if out.dtype == types.float32 else _double

    def compiled(a: Any, b: Any, start: Any, step: Any, out: Any) -> None:
        multiply(
            np.intp(a.ctypes.data), a.strides[0], a.strides[1], np.intp(b.ctypes.data), b.strides[0],
            np.intp(start.ctypes.data), start.strides[0] * step, np.intp(out.ctypes.data), out.strides[0],
            a.shape[0], a.shape[1], out.shape[1],
        )  # fmt: skip

    return compiled
