"""exp, the logistic function and tanh that the compiler can put into vectors; float64 takes the library's.

Each is one expression without branches for float32. With e^r = 1 + r + r^2 q(r) for r = x - k log 2, |r| <= log(2) / 2,
exp(x) = 2^k e^r; k log 2 is subtracted in two parts, the first of which has few enough bits that the product with k is
exact. 2^k is applied in two steps, so that the results run into the denormal numbers and up to infinity. The logistic
function takes exp of -|x| only, tanh a polynomial in x^2 below 0.6. Coefficients: weighted least squares at Chebyshev
nodes, reweighted until the error is even [ours].

Largest errors in float32, over the whole range: exp 1.0, sigmoid 2.7, tanh 1.4 units in the last place; NaN, the
infinities and both zeros as the library has them. tests/fast/test_elementary.py measures them again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from refbss._jit import STRICT

_intrinsic: Any = intrinsic  # called from kernels with one argument less than it is written with


@_intrinsic
def _multiply_add(typingctx, a, b, c):  # type: ignore[no-untyped-def]
    """a b + c in float32, fused where the processor can; the compiler may not move its terms."""
    signature = types.float32(types.float32, types.float32, types.float32)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.f32"), arguments)

    return signature, codegen


def exp(x: Any) -> Any:
    """e^x; infinity where that passes the range."""
    with np.errstate(over="ignore"):
        return np.exp(x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    e = np.exp(-abs(x))
    return 1 / (1 + e) if x >= 0 else e / (1 + e)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(x)


@overload(exp, jit_options=STRICT)
def _exp(x: Any) -> Any:
    def library(x: Any) -> Any:
        return math.exp(x)

    def single(x: Any) -> Any:
        v = np.float32(89.0) if x > np.float32(89.0) else x
        v = np.float32(-105.0) if v < np.float32(-105.0) else v
        k = np.int32(np.int32(v * np.float32(1.4426950) + np.float32(160.5)) - np.int32(160))
        r = _multiply_add(np.float32(k), np.float32(-0.693145751953125), v)
        r = _multiply_add(np.float32(k), np.float32(-1.4286068e-06), r)
        q = _multiply_add(np.float32(0.0013811662), r, np.float32(0.008370135))
        q = _multiply_add(q, r, np.float32(0.041668527))
        q = _multiply_add(q, r, np.float32(0.16666509))
        q = _multiply_add(q, r, np.float32(0.49999994))
        p = np.float32(1.0) + _multiply_add(q, r * r, r)
        half = np.int32(k >> np.int32(1))
        low = np.int32(np.float32(p).view(np.int32) + np.int32(half << np.int32(23))).view(np.float32)
        high = np.int32(np.int32(np.int32(k - half) + np.int32(127)) << np.int32(23)).view(np.float32)
        return low * high if x == x else x

    return single if x == types.float32 else library


@overload(sigmoid, jit_options=STRICT)
def _sigmoid(x: Any) -> Any:
    of = np.float32 if x == types.float32 else np.float64

    def compiled(x: Any) -> Any:
        e = exp(-abs(x))
        s = of(1.0) / (of(1.0) + e)
        return e * s if x < of(0.0) else s

    return compiled


@overload(tanh, jit_options=STRICT)
def _tanh(x: Any) -> Any:
    def library(x: Any) -> Any:
        return math.tanh(x)

    def single(x: Any) -> Any:
        size = abs(x)
        u = size * size
        q = _multiply_add(np.float32(-0.005895158), u, np.float32(0.020795971))
        q = _multiply_add(q, u, np.float32(-0.05378383))
        q = _multiply_add(q, u, np.float32(0.13331924))
        q = _multiply_add(q, u, np.float32(-0.333333))
        large = np.float32(1.0) - np.float32(2.0) / (exp(size + size) + np.float32(1.0))
        return math.copysign(_multiply_add(q * u, size, size) if size < np.float32(0.6) else large, x)

    return single if x == types.float32 else library
