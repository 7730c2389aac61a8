"""Projections of estimates on delayed references, and the energies of what they leave: the arithmetic of BSS Eval.

The filters are found from normal equations: the Gram matrix of all delayed references, which correlations fill, and
their inner products with the estimates. Every reference has its largest magnitude near 1 in it. Correlations and
energies are summed over blocks of a few thousand samples, so that memory does not grow with the length of a signal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.linalg
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from refbss._types import Array
from refbss.evaluation.signals import largest

BLOCK_TAPS = 16
"""Samples of a block in filter lengths: longer blocks spend less on overlap and more on memory."""


class Filters(NamedTuple):
    """Spectra of the filters that take references to projections; X is (source, channel), of P sources with C."""

    size: int
    """Samples of the Fourier transform."""
    taps: int
    alone: NDArray[np.complex128]
    """From each reference to the projection of each estimate's channel on it alone: (X, X, F)."""
    joint: NDArray[np.complex128]
    """From all references to the projection on all of them: (X, X, F)."""
    condition: float
    singular: int


class Energies(NamedTuple):
    """Sums of squares over samples and channels, of references j and estimates k: (P, P)."""

    true: Array
    """s_j"""
    alone: Array
    """P_j e_k"""
    joint: Array
    """P e_k"""
    distortion: Array
    """e_k - s_j"""
    unexplained: Array
    """e_k - P_j e_k"""
    spatial: Array
    """P_j e_k - s_j"""
    interference: Array
    """P e_k - P_j e_k"""
    artifacts: Array
    """e_k - P e_k"""


def filters(ref: Array, est: Array, taps: int, window: int) -> Filters:
    """Least-squares filters of ``taps`` taps from ref to est, both (P, C, N), for use on windows of so many samples.

    The condition number is LAPACK's estimate from the Cholesky factor. Where there is no such factor, or the estimate
    is beyond what the rounding of the matrix lets through, a factor with pivots tells which delayed references the
    others do not add up to; the rest get no taps. The projection is the same whichever of them are left out.
    """
    sources, channels, samples = ref.shape
    lines = sources * channels
    size = _transform_size(min(samples, window), taps)
    rows = ref.reshape(lines, samples)
    exponent = np.frexp(largest(rows))[1]
    gram = _gram(_correlations(rows, rows, taps, size, exponent, exponent))
    inner = _correlations(rows, est.reshape(lines, samples), taps, size, exponent, np.zeros_like(exponent))
    inner = inner[:, :, taps - 1 :]
    inner = inner.transpose(0, 2, 1).reshape(lines * taps, lines)
    joint, condition, singular = _solve(gram, inner)
    alone = np.empty_like(joint)
    for j in range(sources):
        own = slice(j * channels * taps, (j + 1) * channels * taps)
        alone[own], of_one, failed = (joint, condition, 0) if sources == 1 else _solve(gram[own, own], inner[own])
        condition, singular = max(condition, of_one), singular + failed
    spectra = []
    for solution in (alone, joint):
        taps_of = solution.reshape(lines, taps, lines).transpose(0, 2, 1)
        spectra.append(scipy.fft.rfft(np.ldexp(taps_of, -exponent[:, :, np.newaxis]), size))
    return Filters(size, taps, spectra[0], spectra[1], condition, singular)


def energies(ref: Array, est: Array, found: Filters) -> Energies:
    """Energies of a window of ref and est, both (P, C, N), each followed by taps - 1 zeros."""
    sources, channels, samples = ref.shape
    lines, past = sources * channels, found.taps - 1
    total = [np.zeros((sources, sources)) for _ in Energies._fields]
    for start in range(0, samples + past, found.size - past):
        block = _cut(ref.reshape(lines, samples), start - past, found.size)
        spectrum = scipy.fft.rfft(block)
        length = min(found.size - past, samples + past - start)
        e = _cut(est.reshape(lines, samples), start, length).reshape(sources, channels, length)
        true = block[:, past : past + length].reshape(e.shape)
        whole = np.einsum("af,abf->bf", spectrum, found.joint)
        joint = scipy.fft.irfft(whole, found.size)[:, past : past + length].reshape(e.shape)
        for j in range(sources):
            own = slice(j * channels, (j + 1) * channels)
            part = np.einsum("af,abf->bf", spectrum[own], found.alone[own])
            alone = scipy.fft.irfft(part, found.size)[:, past : past + length].reshape(e.shape)
            s = true[j]
            rows = (s[np.newaxis], alone, joint, e - s, e - alone, alone - s, joint - alone, e - joint)
            for sums, row in zip(total, rows, strict=True):
                sums[j] += np.square(row).sum(axis=(1, 2))
    return Energies(*total)


def _transform_size(samples: int, taps: int) -> int:
    """Samples of a transform that holds a block and what the filters reach beyond it on both sides."""
    return int(scipy.fft.next_fast_len(min(samples, BLOCK_TAPS * taps) + 2 * (taps - 1), real=True))


def _cut(x: Array, start: int, length: int) -> Array:
    """Samples start .. start + length - 1 of the rows x, zeros where there are none."""
    inside = x[:, max(start, 0) : max(start + length, 0)]
    before = min(max(-start, 0), length)
    return np.pad(inside, ((0, 0), (before, length - before - inside.shape[1])))


def _correlations(x: Array, y: Array, taps: int, size: int, less_x: Array, less_y: Array) -> Array:
    """Sum over n of x[a, n] y[b, n + d] for d = -(taps - 1) .. taps - 1: (rows of x, rows of y, 2 taps - 1).

    x is taken times 2^-less_x and y times 2^-less_y, both (rows, 1).
    """
    reach = taps - 1
    step = size - 2 * reach
    spectrum = np.zeros((len(x), len(y), size // 2 + 1), dtype=np.complex128)
    for start in range(0, x.shape[1], step):
        left = scipy.fft.rfft(np.ldexp(_cut(x, start, step), -less_x), size)
        right = scipy.fft.rfft(np.ldexp(_cut(y, start - reach, size), -less_y))
        spectrum += left.conj()[:, np.newaxis] * right
    found: Array = scipy.fft.irfft(spectrum, size)
    return found[:, :, : 2 * reach + 1]


def _gram(correlations: Array) -> Array:
    """Inner products of all rows at all delays, (rows taps, rows taps): row a delayed by t with row b delayed by u."""
    rows, taps = len(correlations), correlations.shape[2] // 2 + 1
    blocks = sliding_window_view(correlations, taps, axis=2)[..., ::-1]
    return blocks.transpose(0, 2, 1, 3).reshape(rows * taps, rows * taps)


def _solve(gram: Array, inner: Array) -> tuple[Array, float, int]:
    """The solution of gram x = inner, the condition number, and 1 where there is no unique one, else 0."""
    # A symmetric matrix is its own transpose, whose columns lie one behind the other as LAPACK wants them.
    factor, failed = scipy.linalg.lapack.dpotrf(gram.T, lower=True, clean=False)
    if not failed:
        reciprocal, _ = scipy.linalg.lapack.dpocon(factor, np.abs(gram).sum(axis=0).max(), uplo="L")
        if reciprocal > np.finfo(np.float64).eps:
            solution, _ = scipy.linalg.lapack.dpotrs(factor, inner, lower=True)
            return solution, max(1.0, 1.0 / reciprocal), 0
    factor, order, rank, _ = scipy.linalg.lapack.dpstrf(gram.T, lower=True)
    kept = order[:rank] - 1
    solution = np.zeros_like(inner)
    solution[kept], _ = scipy.linalg.lapack.dpotrs(factor[:rank, :rank], inner[kept], lower=True)
    return solution, np.inf, 1
