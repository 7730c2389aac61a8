"""Softmax permutation loss: an output that changes its speaker in mid-utterance pays at every time resolution.

Shapes: est (B, P, N), ref (B, J, N), loss (B,). Signals are cut into F = N // frame whole frames, a remainder is left
out. With energies E and inner products X of one frame, and i over frames:

    U_p = E_yp + floor mean_i E_yp + tiny,  V_j = E_sj + floor mean_i E_sj + tiny     (softmax_permutation.1)
    c_pj = X_pj^2 / (U_p V_j), in [0, 1]                                              (softmax_permutation.2)
    o_j = E_sj / V_j, the activity of the reference                                   (softmax_permutation.5)
    Pi_pj = softmax over the outputs p of c_pj / temp                                 (softmax_permutation.6)
    (Delta_r Pi)(t) = mean Pi[t, t + h) - mean Pi[t - h, t), h = 2^r, t = h .. F - h  (softmax_permutation.7)
    loss = sum_r lam_r mean_tj o_j sum_p (Delta_r Pi_pj)^2                            (softmax_permutation.8)

Backward, dc the gradient of the similarity and S(t) = sum_{i < t} Pi[i], so that h Delta = S(t+h) - 2 S(t) + S(t-h):

    dX = 2 dc X / (U V),  dU = -sum_j dc c / U                                        (softmax_permutation.3)
    dE_y = dU + floor mean_i dU,  dy = sum_j dX s + 2 dE_y y                          (softmax_permutation.4)
    dS(t+h), dS(t), dS(t-h) += dDelta / h times 1, -2, 1                              (softmax_permutation.9)
    dPi[i] = sum_{t > i} dS(t)                                                        (softmax_permutation.10)
    dDelta = 2 dloss lam_r o Delta / (number of t and j)                              (softmax_permutation.11)
    dc = Pi (dPi - sum_p Pi dPi) / temp                                               (softmax_permutation.12)

A resolution with F < 2h adds zero. lam_r = weights[r]. Softmax across outputs and multi-resolution differential
operators [paper]; the similarity, its floor and the weighting by activity [ours]. tiny = 1e-30 keeps value and gradient
finite where an estimate or a reference is zero. The gradient also runs through the floor of U. Sums run in float64.

The same similarity of the whole utterance (one frame of N samples) is the score of the softmax assignment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refbss._checks import InputError, check_arrays, check_cotangents, check_integer, check_number
from refbss._types import Array
from refbss.losses._constants import TINY


class Similarity(NamedTuple):
    """Frames y (B, P, F, k) and s (B, J, F, k), U (B, P, F), V (B, J, F), c and X (B, P, J, F), all float64."""

    y: Array
    s: Array
    u: Array
    v: Array
    inner: Array
    c: Array
    floor: float


class SoftmaxPermutationCache(NamedTuple):
    """The estimate (for shape and dtype), the similarity, and Pi (B, P, J, F) and o (B, J, F) in float64."""

    est: Array
    similarity: Similarity
    pi: Array
    activity: Array
    temp: float
    weights: tuple[float, ...]


class SoftmaxPermutationGrads(NamedTuple):
    """Gradient of the shape and dtype of est."""

    dest: Array


class UtteranceSimilarityCache(NamedTuple):
    """The estimate (for shape and dtype) and the similarity of its one frame."""

    est: Array
    similarity: Similarity


class UtteranceSimilarityGrads(NamedTuple):
    """Gradient of the shape and dtype of est."""

    dest: Array


def _frames(signal: Array, frame: int) -> Array:
    count = signal.shape[2] // frame
    return signal[:, :, : count * frame].astype(np.float64).reshape(*signal.shape[:2], count, frame)


def check_similarity(op: str, est: Array, ref: Array, frame: int | None, floor: float) -> int:
    """The door of both engines; returns the frame, the whole signal where none is given. Raises InputError."""
    sizes = check_arrays(op, est=(est, "B P N"), ref=(ref, "B J N"))
    frame = sizes["N"] if frame is None else frame
    check_integer(op, frame=frame)
    check_number(op, above=0.0, floor=floor)
    if sizes["N"] < frame:
        raise InputError(f"{op}: est has {sizes['N']} samples, wanted at least one frame of {frame}")
    return frame


def check_weights(temp: float, weights: tuple[float, ...]) -> None:
    """The same for the temperature and the weights of the resolutions. Raises InputError."""
    check_number("softmax_permutation", above=0.0, temp=temp)
    check_number("softmax_permutation", least=0.0, **{f"weights[{r}]": lam for r, lam in enumerate(weights)})


def _similarity(op: str, est: Array, ref: Array, frame: int | None, floor: float) -> Similarity:
    """The similarity of every pair in every frame; without ``frame`` the whole signal is one."""
    frame = check_similarity(op, est, ref, frame, floor)
    y, s = _frames(est, frame), _frames(ref, frame)
    est_energy, ref_energy = np.sum(y * y, axis=3), np.sum(s * s, axis=3)
    u = est_energy + floor * np.mean(est_energy, axis=2, keepdims=True) + TINY  # (softmax_permutation.1)
    v = ref_energy + floor * np.mean(ref_energy, axis=2, keepdims=True) + TINY
    inner = np.einsum("bpfk,bjfk->bpjf", y, s)
    c = inner**2 / (u[:, :, None] * v[:, None])  # (softmax_permutation.2)
    return Similarity(y, s, u, v, inner, c, floor)


def _similarity_backward(dc: Array, cache: Similarity, est: Array) -> Array:
    """Pull dc (B, P, J, F) back to est; the samples of a remainder get zero."""
    y, s, u, v, inner, c, floor = cache
    dinner = 2.0 * dc * inner / (u[:, :, None] * v[:, None])  # (softmax_permutation.3)
    du = -np.sum(dc * c, axis=2) / u
    denergy = du + floor * np.mean(du, axis=2, keepdims=True)
    dy = np.einsum("bpjf,bjfk->bpfk", dinner, s) + 2.0 * denergy[..., None] * y  # (softmax_permutation.4)
    dest = np.zeros_like(est)
    used = y.shape[2] * y.shape[3]
    dest[:, :, :used] = dy.reshape(*est.shape[:2], used)
    return dest


def softmax_permutation_forward(
    est: Array, ref: Array, *, frame: int, temp: float, weights: tuple[float, ...], floor: float = 1e-3
) -> tuple[Array, SoftmaxPermutationCache]:
    """Return the loss (B,) and the cache; ``frame`` is in samples.

    Raises InputError on shapes or dtypes, a signal shorter than a frame, or attributes out of range.
    """
    check_weights(temp, weights)
    similar = _similarity("softmax_permutation", est, ref, frame, floor)
    activity = np.sum(similar.s**2, axis=3) / similar.v  # (softmax_permutation.5)
    logits = similar.c / temp
    pi = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    pi /= np.sum(pi, axis=1, keepdims=True)  # (softmax_permutation.6)
    loss = np.zeros(est.shape[0])
    for r, lam in enumerate(weights):
        half = 2**r
        if pi.shape[3] >= 2 * half:
            delta = _difference(pi, half)
            active = activity[:, :, half : half + delta.shape[3]]
            loss += lam * np.mean(active * np.sum(delta**2, axis=1), axis=(1, 2))  # (softmax_permutation.8)
    return loss.astype(est.dtype), SoftmaxPermutationCache(est, similar, pi, activity, temp, tuple(weights))


def _difference(pi: Array, half: int) -> Array:
    """Delta_r Pi (..., F - 2h + 1) of Pi (..., F), by running sums."""
    sums = np.concatenate([np.zeros((*pi.shape[:-1], 1)), np.cumsum(pi, axis=-1)], axis=-1)
    centre, count = sums[..., half:-half], sums.shape[-1] - 2 * half
    delta: Array = (sums[..., 2 * half :] - 2.0 * centre + sums[..., :count]) / half  # (softmax_permutation.7)
    return delta


def _difference_backward(ddelta: Array, half: int) -> Array:
    """The adjoint of _difference: each Delta(t) returns +1/h to the frames from t on and -1/h to those before."""
    count = ddelta.shape[-1]
    dsums = np.zeros((*ddelta.shape[:-1], count + 2 * half))
    dsums[..., 2 * half :] = ddelta / half  # (softmax_permutation.9)
    dsums[..., half:-half] -= 2.0 * ddelta / half
    dsums[..., :count] += ddelta / half
    dpi: Array = np.cumsum(dsums[..., :0:-1], axis=-1)[..., ::-1]  # (softmax_permutation.10)
    return dpi


def softmax_permutation_backward(dloss: Array, cache: SoftmaxPermutationCache) -> SoftmaxPermutationGrads:
    """Pull the cotangent dloss (B,) back to est. Raises InputError on shapes or dtypes."""
    est, similar, pi, activity, temp, weights = cache
    check_cotangents("softmax_permutation", est.dtype, dloss=(dloss, est.shape[:1]))
    d = dloss.astype(np.float64)[:, None, None, None]
    dpi = np.zeros_like(pi)
    for r, lam in enumerate(weights):
        half = 2**r
        if pi.shape[3] >= 2 * half:
            delta = _difference(pi, half)
            active = activity[:, None, :, half : half + delta.shape[3]]
            ddelta = d * lam * 2.0 * active * delta / active[0].size  # (softmax_permutation.11)
            dpi += _difference_backward(ddelta, half)
    dc = pi * (dpi - np.sum(pi * dpi, axis=1, keepdims=True)) / temp  # (softmax_permutation.12)
    return SoftmaxPermutationGrads(_similarity_backward(dc, similar, est))


def similarity(est: Array, ref: Array, frame: int, floor: float) -> Array:
    """Return c (B, P, J, F), the similarity of output p and reference j in every frame. No gradient."""
    return _similarity("similarity", est, ref, frame, floor).c.astype(est.dtype)


def utterance_similarity_forward(
    est: Array, ref: Array, *, floor: float = 1e-3
) -> tuple[Array, UtteranceSimilarityCache]:
    """Return the similarity (B, P, J) over the whole utterance, at most 1 / (1 + floor)^2, and the cache.

    Raises InputError on shapes, dtypes or floor.
    """
    similar = _similarity("utterance_similarity", est, ref, None, floor)
    return similar.c[..., 0].astype(est.dtype), UtteranceSimilarityCache(est, similar)


def utterance_similarity_backward(dc: Array, cache: UtteranceSimilarityCache) -> UtteranceSimilarityGrads:
    """Pull the cotangent dc (B, P, J) back to est. Raises InputError on shapes or dtypes."""
    est, similar = cache
    check_cotangents("utterance_similarity", est.dtype, dc=(dc, similar.c.shape[:3]))
    return UtteranceSimilarityGrads(_similarity_backward(dc.astype(np.float64)[..., None], similar, est))
