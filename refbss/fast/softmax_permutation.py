"""Fast twin of refbss.losses.softmax_permutation: signals are read once each way, frames worked on in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refbss._checks import check_cotangents
from refbss._jit import fast_kernel, helper
from refbss._types import Array
from refbss.fast._sums import inner as dot
from refbss.losses._constants import TINY
from refbss.losses.softmax_permutation import SoftmaxPermutationGrads, check_similarity, check_weights


class FastSoftmaxPermutationCache(NamedTuple):
    """Signals; U (B, P, F), V, activity (B, J, F), inner products and Pi (B, P, J, F) in float64; the attributes."""

    est: Array
    ref: Array
    u: Array
    v: Array
    activity: Array
    inner: Array
    pi: Array
    frame: int
    temp: float
    weights: Array
    floor: float


@helper
def _energies(x: Any, frame: Any, floor: Any, energy: Any, floored: Any, wide: Any) -> None:
    """Energy of every frame of x (C, N), and that plus ``floor`` times their mean; wide (frame,) is scratch."""
    for c in range(x.shape[0]):
        mean = np.float64(0.0)
        for f in range(energy.shape[1]):
            part = x[c, f * frame : (f + 1) * frame]
            for n in range(frame):
                wide[n] = part[n]
            total = dot(wide, wide)
            energy[c, f] = total
            mean += total
        mean = floor * mean / energy.shape[1] + TINY
        for f in range(energy.shape[1]):
            floored[c, f] = energy[c, f] + mean


@fast_kernel
def _forward(est, ref, frame, temp, floor, weights, u, v, activity, inner, pi, loss, energy, sums, wide):  # type: ignore[no-untyped-def]
    batch, outputs, references, frames = inner.shape
    for i in range(batch):
        _energies(est[i], frame, floor, energy[:outputs], u[i], wide)
        _energies(ref[i], frame, floor, energy[:references], v[i], wide)
        for j in range(references):
            for f in range(frames):
                activity[i, j, f] = energy[j, f] / v[i, j, f]
                largest = -np.inf
                for p in range(outputs):
                    total = np.float64(0.0)
                    y, s = est[i, p, f * frame : (f + 1) * frame], ref[i, j, f * frame : (f + 1) * frame]
                    for n in range(frame):
                        total += np.float64(y[n]) * np.float64(s[n])
                    inner[i, p, j, f] = total
                    pi[i, p, j, f] = total * total / (u[i, p, f] * v[i, j, f]) / temp
                    largest = max(largest, pi[i, p, j, f])
                total = np.float64(0.0)
                for p in range(outputs):
                    pi[i, p, j, f] = np.exp(pi[i, p, j, f] - largest)
                    total += pi[i, p, j, f]
                for p in range(outputs):
                    pi[i, p, j, f] /= total
        value = np.float64(0.0)
        for j in range(references):
            for p in range(outputs):
                for f in range(frames):
                    sums[f + 1] = sums[f] + pi[i, p, j, f]
                for r in range(weights.shape[0]):
                    half = 1 << r
                    total = np.float64(0.0)
                    for t in range(half, frames - half + 1):
                        delta = (sums[t + half] - 2.0 * sums[t] + sums[t - half]) / half
                        total += activity[i, j, t] * delta * delta
                    if frames >= 2 * half:
                        value += weights[r] * total / (references * (frames - 2 * half + 1))
        loss[i] = value


@fast_kernel
def _backward(  # type: ignore[no-untyped-def]
    dloss, est, ref, frame, temp, floor, weights, u, v, activity, inner, pi, dest, sums, dsums, dpi, dinner, du
):
    batch, outputs, references, frames = inner.shape
    of = est.dtype.type
    for i in range(batch):
        for p in range(outputs):
            for f in range(frames):
                du[p, f] = 0.0
        for j in range(references):
            for p in range(outputs):
                for f in range(frames):
                    sums[f + 1] = sums[f] + pi[i, p, j, f]
                    dsums[f + 1] = 0.0
                for r in range(weights.shape[0]):
                    half = 1 << r
                    for t in range(half, frames - half + 1):
                        delta = (sums[t + half] - 2.0 * sums[t] + sums[t - half]) / half
                        share = weights[r] * activity[i, j, t] * delta / (references * (frames - 2 * half + 1))
                        slope = 2.0 * dloss[i] * share / half
                        dsums[t + half] += slope
                        dsums[t] -= 2.0 * slope
                        dsums[t - half] += slope
                after = np.float64(0.0)
                for back in range(frames):
                    after += dsums[frames - back]
                    dpi[p, frames - 1 - back] = after
            for f in range(frames):
                along = np.float64(0.0)
                for p in range(outputs):
                    along += pi[i, p, j, f] * dpi[p, f]
                for p in range(outputs):
                    dc = pi[i, p, j, f] * (dpi[p, f] - along) / temp
                    both = u[i, p, f] * v[i, j, f]
                    dinner[p, j, f] = 2.0 * dc * inner[i, p, j, f] / both
                    du[p, f] -= dc * inner[i, p, j, f] * inner[i, p, j, f] / (both * u[i, p, f])
        for p in range(outputs):
            mean = np.float64(0.0)
            for f in range(frames):
                mean += du[p, f]
            mean *= floor / frames
            for f in range(frames):
                own = of(2.0 * (du[p, f] + mean))
                dy, y = dest[i, p, f * frame : (f + 1) * frame], est[i, p, f * frame : (f + 1) * frame]
                for n in range(frame):
                    dy[n] = own * y[n]
                for j in range(references):
                    other, s = of(dinner[p, j, f]), ref[i, j, f * frame : (f + 1) * frame]
                    for n in range(frame):
                        dy[n] += other * s[n]


def softmax_permutation_forward(
    est: Array, ref: Array, *, frame: int, temp: float, weights: tuple[float, ...], floor: float = 1e-3
) -> tuple[Array, FastSoftmaxPermutationCache]:
    """As refbss.losses.softmax_permutation.softmax_permutation_forward."""
    check_weights(temp, weights)
    check_similarity("softmax_permutation", est, ref, frame, floor)
    est, ref, lam = np.ascontiguousarray(est), np.ascontiguousarray(ref), np.array(weights, np.float64)
    (batch, outputs, samples), references = est.shape, ref.shape[1]
    frames = samples // frame
    u, v, activity = (np.empty((batch, count, frames)) for count in (outputs, references, references))
    inner, pi = np.empty((2, batch, outputs, references, frames))
    loss = np.empty(batch)
    scratch = np.empty((max(outputs, references), frames)), np.zeros(frames + 1), np.empty(frame)
    _forward(est, ref, frame, float(temp), float(floor), lam, u, v, activity, inner, pi, loss, *scratch)
    cache = FastSoftmaxPermutationCache(est, ref, u, v, activity, inner, pi, frame, float(temp), lam, float(floor))
    return loss.astype(est.dtype), cache


def softmax_permutation_backward(dloss: Array, cache: FastSoftmaxPermutationCache) -> SoftmaxPermutationGrads:
    """As refbss.losses.softmax_permutation.softmax_permutation_backward."""
    est, ref, u, v, activity, inner, pi, frame, temp, weights, floor = cache
    check_cotangents("softmax_permutation", est.dtype, dloss=(dloss, est.shape[:1]))
    outputs, references, frames = inner.shape[1:]
    dest = np.zeros(est.shape, est.dtype)
    sums, dsums = np.zeros((2, frames + 1))
    dpi, du, dinner = np.empty((outputs, frames)), np.empty((outputs, frames)), np.empty((outputs, references, frames))
    _backward(
        dloss.astype(np.float64), est, ref, frame, temp, floor, weights, u, v, activity, inner, pi, dest, sums, dsums,
        dpi, dinner, du,
    )  # fmt: skip
    return SoftmaxPermutationGrads(dest)
