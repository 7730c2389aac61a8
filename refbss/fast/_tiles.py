"""Products of small matrices in explicit vectors, which is what the compiler does not find by itself.

``product(a, b, start, step, out)`` is out = start + a @ b. A tile of up to eight rows by two vectors of columns stays
in registers while the sum over k runs, one fused multiply-add a vector; the sum starts from zero, runs through k in
order and is added to ``start`` once for every ``INNER`` of k. So an element of the result depends neither on the rows
and columns beside it nor on the number of vectors that the machine's registers hold.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable

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


class _Vectors:
    """Loads, stores and sums of one kind of vector in the code of a tile."""

    def __init__(self, builder: Any, dtype: Any, count: int, remaining: Any) -> None:
        self.builder, self.count, self.size = builder, count, 4 if dtype == types.float32 else 8
        scalar = ir.FloatType() if self.size == 4 else ir.DoubleType()
        self.lanes = VECTOR // self.size
        self.type = ir.VectorType(scalar, self.lanes)
        self.name = f"v{self.lanes}f{8 * self.size}"
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)
        self.masks = None if remaining is None else [self._mask(remaining, v) for v in range(count)]

    def _mask(self, remaining: Any, place: int) -> Any:
        """One bit for each lane of vector ``place``: is it among the columns that remain?"""
        numbers = ir.Constant(ir.VectorType(_I64, self.lanes), [place * self.lanes + i for i in range(self.lanes)])
        return self.builder.icmp_signed("<", numbers, self.spread(remaining, _I64))

    def _function(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)

    def spread(self, scalar: Any, of: Any = None) -> Any:
        """The scalar in every lane."""
        kind = self.type if of is None else ir.VectorType(of, self.lanes)
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, scalar, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes))

    def load(self, pointer: Any) -> list[Any]:
        """The vectors that lie at the pointer, zeros beyond the remaining columns."""
        return [self._load(pointer, v) for v in range(self.count)]

    def _address(self, pointer: Any, place: int) -> Any:
        there = self.builder.gep(pointer, [ir.Constant(_I64, place * self.lanes)])
        return self.builder.bitcast(there, self.type.as_pointer())

    def _load(self, pointer: Any, place: int) -> Any:
        address = self._address(pointer, place)
        if self.masks is None:
            return self.builder.load(address, align=self.size)
        masked = self._function(
            f"llvm.masked.load.{self.name}.p0", self.type, [address.type, _I32, self.masks[place].type, self.type]
        )
        return self.builder.call(masked, [address, ir.Constant(_I32, self.size), self.masks[place], self.zero])

    def store(self, value: Any, pointer: Any, place: int) -> None:
        """Write vector ``place`` of a row; columns beyond the remaining ones are left alone."""
        address = self._address(pointer, place)
        if self.masks is None:
            self.builder.store(value, address, align=self.size)
            return
        arguments = [self.type, address.type, _I32, self.masks[place].type]
        masked = self._function(f"llvm.masked.store.{self.name}.p0", ir.VoidType(), arguments)
        self.builder.call(masked, [value, address, ir.Constant(_I32, self.size), self.masks[place]])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, fused where the processor can."""
        return self.builder.call(self._function(f"llvm.fmuladd.{self.name}", self.type, [self.type] * 3), [a, b, c])


def _tile(rows: int, vectors: int, whole: bool) -> Any:
    """An intrinsic for a number of rows and of vectors of columns, or as many of the columns as remain."""

    @_intrinsic
    def tile(typingctx, a, b, start, out, i, k, s, step, j, inner, remaining):  # type: ignore[no-untyped-def]
        """out[i + r, j:] = start[s + r step, j:] + sum over k' in k .. k + inner of a[i + r, k'] b[k', j:]."""
        signature = types.void(a, b, start, out, *[types.intp] * 7)

        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            v = _Vectors(builder, signature.args[0].dtype, vectors, None if whole else arguments[10])

            def array(place):  # type: ignore[no-untyped-def]
                view = context.make_array(signature.args[place])(context, builder, arguments[place])
                shift = ir.Constant(_I64, v.size.bit_length() - 1)
                return view.data, [builder.ashr(x, shift) for x in cgutils.unpack_tuple(builder, view.strides)]

            (a, (a_row, a_k)), (b, (b_k, _)) = array(0), array(1)
            (start, (start_row, _)), (out, (out_row, _)) = array(2), array(3)
            i, k, s, step, j, inner, _ = arguments[4:]

            def rows_of(base, first, every, column):  # type: ignore[no-untyped-def]
                begin = builder.gep(base, [builder.add(first, column)])
                return [builder.gep(begin, [builder.mul(every, ir.Constant(_I64, r))]) for r in range(rows)]

            a_rows = rows_of(a, builder.mul(i, a_row), a_row, builder.mul(k, a_k))
            starts = rows_of(start, builder.mul(s, start_row), builder.mul(step, start_row), j)
            outs = rows_of(out, builder.mul(i, out_row), out_row, j)
            first_b = builder.gep(b, [builder.add(builder.mul(k, b_k), j)])
            entry, loop, end = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            n, at_a, at_b = (builder.phi(_I64) for _ in range(3))
            for count in (n, at_a, at_b):
                count.add_incoming(ir.Constant(_I64, 0), entry)
            sums = [[builder.phi(v.type) for _ in range(vectors)] for _ in range(rows)]
            weights = v.load(builder.gep(first_b, [at_b]))
            for r in range(rows):
                x = v.spread(builder.load(builder.gep(a_rows[r], [at_a])))
                for c in range(vectors):
                    sums[r][c].add_incoming(v.zero, entry)
                    sums[r][c].add_incoming(v.multiply_add(x, weights[c], sums[r][c]), loop)
            following = builder.add(n, ir.Constant(_I64, 1))
            n.add_incoming(following, loop)
            at_a.add_incoming(builder.add(at_a, a_k), loop)
            at_b.add_incoming(builder.add(at_b, b_k), loop)
            builder.cbranch(builder.icmp_signed("<", following, inner), loop, end)
            builder.position_at_end(end)
            begun = [v.load(pointer) for pointer in starts]
            for r in range(rows):
                for c in range(vectors):
                    total = sums[r][c].incomings[1][0]
                    v.store(builder.fadd(begun[r][c], total), outs[r], c)
            return context.get_dummy_value()

        return signature, codegen

    return tile


def _strip(rows: int, vectors: int, tallest: bool) -> Any:
    """Works through the columns from j on, by tiles of a height; a tallest one takes all the rows that it can."""
    whole, pair, part = _tile(rows, vectors, True), _tile(rows, 2, True), _tile(rows, 2, False)

    @register_jitable
    def strip(a, b, start, step, out, i, last, k, inner, lanes):  # type: ignore[no-untyped-def]
        columns, j = out.shape[1], 0
        below = last - rows + 1 if tallest else i + 1
        while j + vectors * lanes <= columns:
            for row in range(i, below, rows):
                whole(a, b, start, out, row, k, row * step, step, j, inner, 0)
            j += vectors * lanes
        while j < columns:
            for row in range(i, below, rows):
                if j + 2 * lanes <= columns:
                    pair(a, b, start, out, row, k, row * step, step, j, inner, 0)
                else:
                    part(a, b, start, out, row, k, row * step, step, j, inner, columns - j)
            j += 2 * lanes

    return strip


_many, _four = _strip(_ROWS, 2, True), _strip(4, 2, False)
_two, _one = _strip(2, 4, False), _strip(1, 8, False)
"""A sum is a chain of additions, each of which waits for the one before: few rows want more vectors side by side."""


def product(a: Any, b: Any, start: Any, step: int, out: Any) -> None:
    """out (M, N) = start + a (M, K) @ b (K, N); every row begins with its own row of ``start``, with step 0 the first.

    The last axis of b, start and out must be contiguous; ``out`` may be ``start``.
    """
    out[:] = (start if step else start[:1]) + a @ b


@overload(product)
def _product(a: Any, b: Any, start: Any, step: Any, out: Any) -> Any:
    lanes = VECTOR // (4 if out.dtype == types.float32 else 8)
    tall = _ROWS

    def compiled(a: Any, b: Any, start: Any, step: Any, out: Any) -> None:
        rows, inner = a.shape
        for first in range(0, rows, OUTER):
            last = min(rows, first + OUTER)
            for k in range(0, inner, INNER):
                terms = min(INNER, inner - k)
                base, every = (start, step) if k == 0 else (out, 1)
                i = last - (last - first) % tall
                if i > first:
                    _many(a, b, base, every, out, first, last, k, terms, lanes)
                if i + 4 <= last:
                    _four(a, b, base, every, out, i, last, k, terms, lanes)
                    i += 4
                if i + 2 <= last:
                    _two(a, b, base, every, out, i, last, k, terms, lanes)
                    i += 2
                if i < last:
                    _one(a, b, base, every, out, i, last, k, terms, lanes)

    return compiled
