"""One hop of LVBD in one kernel: as refbss.models.lvbd_stream, at the price of reading the weights once.

The weights lie in one array in the order in which they are read, the state in another, and the kernel walks through
both. A hop is a few frames of each convolution and one frame of everything else. It takes the same sums in the same
order as the operators of the fast engine do on a whole signal, so that both agree bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from refbss._checks import NotFiniteError
from refbss._jit import helper, ordered_kernel
from refbss._types import Array
from refbss.fast._elementary import sigmoid, tanh
from refbss.fast._lvbd_parts import decoder_layer, state_in_order, weights_in_order
from refbss.fast._memory import write_block
from refbss.fast._norm import normalise
from refbss.fast._tiles import VECTOR, product

LINE = 64
"""Arrays begin at multiples of this many numbers from a cache line."""


def flat(parts: list[Array], dtype: Any) -> Array:
    """The arrays one behind the other, each at a multiple of LINE, in one that begins at a cache line."""
    places = np.cumsum([0, *(-(-part.size // LINE) * LINE for part in parts)])
    room = np.zeros(places[-1] + LINE, dtype)
    first = -room.ctypes.data % 64 // room.itemsize
    whole = room[first : first + places[-1]]
    for place, part in zip(places[:-1], parts, strict=True):
        whole[place : place + part.size] = part.reshape(-1)
    return whole


@helper
def _after(place: int, size: int) -> int:
    """Where the array behind one of ``size`` numbers begins."""
    return place + (size + LINE - 1) // LINE * LINE


@helper
def _matrix(flat: Any, place: int, rows: int, columns: int) -> Any:
    return flat[place : place + rows * columns].reshape(rows, columns)


@ordered_kernel
def _prelu(x, slope):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            v = x[i, c]
            x[i, c] = v if v > 0 else slope[c] * v


@ordered_kernel
def _gates(inputs, sums, h):  # type: ignore[no-untyped-def]
    hidden = h.shape[0]
    for j in range(hidden):
        r = sigmoid(inputs[j] + sums[j])
        z = sigmoid(inputs[hidden + j] + sums[hidden + j])
        n = tanh(inputs[2 * hidden + j] + r * sums[2 * hidden + j])
        h[j] = n + z * (h[j] - n)


@ordered_kernel
def _shift(flat, place, by, keep):  # type: ignore[no-untyped-def]
    """Move the ``keep`` numbers that begin ``by`` behind the place to it."""
    for i in range(keep):
        flat[place + i] = flat[place + by + i]


@ordered_kernel
def _encode(w, s, weights, state, layers, samples, features):  # type: ignore[no-untyped-def]
    """Convolutions from ``samples`` to ``features`` (1, C). Returns where the next weights and states are."""
    width = weights.itemsize
    frames = samples.shape[0]
    into = s + (layers[0, 2] - layers[0, 3])
    for n in range(frames):
        state[into + n] = samples[n]
    for i in range(layers.shape[0]):
        inputs, outputs, taps, stride = layers[i, 0], layers[i, 1], layers[i, 2], layers[i, 3]
        context, frames = taps - stride, frames // stride
        length = (context + frames * stride) * inputs
        buffer = state[s : s + length]
        following = _after(s, length)
        if i + 1 < layers.shape[0]:
            y = _matrix(state, following + (layers[i + 1, 2] - layers[i + 1, 3]) * outputs, frames, outputs)
        else:
            y = features
        kernel = _matrix(weights, w, taps * inputs, outputs)
        w = _after(w, taps * inputs * outputs)
        bias, slope = _matrix(weights, w, 1, outputs), weights[_after(w, outputs) : _after(w, outputs) + outputs]
        w = _after(_after(w, outputs), outputs)
        rows = as_strided(buffer, (frames, taps * inputs), (stride * inputs * width, width))
        product(rows, kernel, bias, 0, y)
        _prelu(y, slope)
        _shift(state, s, frames * stride * inputs, context * inputs)
        s = following
    return w, s


@ordered_kernel
def _recur(  # type: ignore[no-untyped-def]
    w, s, weights, state, channels, sections, hidden, norm, residual, eps, g, inputs, sums, xhat, normed, x
):
    """GRU sections from g (1, C), which ends as the last section's output; all outputs go to x one behind the other."""
    if norm:
        beta = _after(w, channels)
        row = g[0, :channels]
        normalise(row, weights[w : w + channels], weights[beta : beta + channels], eps, xhat[:channels], row)
        w = _after(beta, channels)
    for i in range(sections):
        h = _matrix(state, s, 1, hidden)
        s = _after(s, hidden)
        w_in, w = _matrix(weights, w, channels, 3 * hidden), _after(w, channels * 3 * hidden)
        b_in, w = _matrix(weights, w, 1, 3 * hidden), _after(w, 3 * hidden)
        w_h, w = _matrix(weights, w, hidden, 3 * hidden), _after(w, hidden * 3 * hidden)
        b_h, w = _matrix(weights, w, 1, 3 * hidden), _after(w, 3 * hidden)
        product(g[:, :channels], w_in, b_in, 0, inputs)
        product(h, w_h, b_h, 0, sums)
        _gates(inputs[0], sums[0], h[0])
        for j in range(hidden):
            normed[j] = h[0, j]
        if norm:
            beta = _after(w, hidden)
            normalise(h[0], weights[w : w + hidden], weights[beta : beta + hidden], eps, xhat[:hidden], normed[:hidden])
            w = _after(beta, hidden)
        for j in range(hidden):
            g[0, j] = normed[j] + g[0, j] if residual else normed[j]
        for j in range(hidden):
            x[i * hidden + j] = g[0, j]
        channels = hidden
    return w, s


@ordered_kernel
def _separate(  # type: ignore[no-untyped-def]
    w, s, weights, state, sources, latent, constants, block, memory, count, e0, delta, g, x, r, u, mean, e
):
    """The frame's estimates mu, left in the state as row ``count`` of its block; reads and writes the memory."""
    hidden, channels, moments = g.shape[1], x.shape[0], 2 * constants * latent
    adapt, w = _matrix(weights, w, hidden, sources * channels), _after(w, hidden * sources * channels)
    fully, w = _matrix(weights, w, channels, latent), _after(w, channels * latent)
    bias, w = _matrix(weights, w, 1, latent), _after(w, latent)
    bias_adapt, w = weights[w : w + sources * channels], _after(w, sources * channels)
    read, w = _matrix(weights, w, moments, channels), _after(w, moments * channels)
    eta, w = weights[w : w + constants], _after(w, constants)
    size = sources * constants * latent
    m, s = state[s : s + size].reshape(sources, constants, latent), _after(s, size)
    q, s = state[s : s + size].reshape(sources, constants, latent), _after(s, size)
    begun, s = _matrix(state, s, sources, channels), _after(s, sources * channels)
    mus = state[s : s + block * sources * latent].reshape(block, sources, latent)
    s = _after(s, block * sources * latent)
    if count == 0:
        for p in range(sources):
            for i in range(constants * latent):
                r[p, i] = m[p, i // latent, i % latent]
                r[p, constants * latent + i] = q[p, i // latent, i % latent]
            for j in range(channels):
                begun[p, j] = bias_adapt[p * channels + j]
        if memory:
            product(r, read, begun, 1, begun)
    flat_u = u.reshape(1, sources * channels)
    product(g, adapt, begun.reshape(1, sources * channels), 0, flat_u)
    for p in range(sources):
        for j in range(channels):
            u[p, j] = sigmoid(u[p, j]) * x[j]
    product(u, fully, bias, 0, mus[count])
    if memory and count == block - 1:
        for p in range(sources):
            for t in range(block):
                for d in range(latent):
                    e[2 + t, d] = mus[t, p, d]
            write_block(m[p], q[p], e[2:], eta, e0, delta, m[p], q[p], e[0], e[1], mean)
    return w, s


@ordered_kernel
def _decode(w, s, weights, state, layers, sources, z, zero, windows, buffers, est):  # type: ignore[no-untyped-def]
    """Transposed convolutions from z (P, D) to est (P, hop).

    ``current`` has a row for each frame and source, and in it the samples that the frame became, one behind the other.
    A layer keeps of every source its last input frames, or, where it is narrow, their products.
    """
    frames, each, current = 1, 1, z
    for i in range(layers.shape[0]):
        inputs, outputs, reach, stride, narrow = layers[i]
        kept, width = reach - 1, stride * outputs
        row = reach * width if narrow else inputs
        kernel = _matrix(weights, w, inputs, row) if narrow else _matrix(weights, w, reach * inputs, width)
        w = _after(w, kernel.size)
        bias, w = _matrix(weights, w, 1, width), _after(w, width)
        past = state[s : s + sources * (kept + frames) * row].reshape(sources, kept + frames, row)
        y = _matrix(buffers[i % 2], 0, frames * sources, width)
        if narrow:
            rows = _matrix(windows[0], 0, frames * sources, inputs)
            fresh = _matrix(windows[1], 0, frames * sources, row)
            for f in range(frames):
                for p in range(sources):
                    for c in range(inputs):
                        rows[f * sources + p, c] = current[f // each * sources + p, f % each * inputs + c]
            product(rows, kernel, zero[:, :row], 0, fresh)
            for f in range(frames):
                for p in range(sources):
                    for n in range(row):
                        past[p, kept + f, n] = fresh[f * sources + p, n]
                    for n in range(width):
                        y[f * sources + p, n] = bias[0, n]
                    for back in range(reach):
                        for n in range(width):
                            y[f * sources + p, n] += past[p, kept + f - back, back * width + n]
        else:
            rows = _matrix(windows[0], 0, frames * sources, reach * inputs)
            for p in range(sources):
                for f in range(frames):
                    for c in range(inputs):
                        past[p, kept + f, c] = current[f // each * sources + p, f % each * inputs + c]
                for f in range(frames):
                    for k in range(reach):
                        for c in range(inputs):
                            rows[f * sources + p, k * inputs + c] = past[p, f + k, c]
            product(rows, kernel, bias, 0, y)
        for p in range(sources):
            for f in range(kept):
                for n in range(row):
                    past[p, f, n] = past[p, frames + f, n]
        s = _after(s, past.size)
        if i + 1 < layers.shape[0]:
            _prelu(y.reshape(frames * sources * stride, outputs), weights[w : w + outputs])
            w = _after(w, outputs)
        current, each, frames = y, stride, frames * stride
    for n in range(frames):
        for p in range(sources):
            est[p, n] = current[n // each * sources + p, n % each]


@ordered_kernel
def _hop(  # type: ignore[no-untyped-def]
    weights, state, count, convs, decoders, sizes, norm, residual, concat, memory, eps, e0, delta, samples, est,
    features, g, x, xhat, normed, gates, r, u, mean, e, zero, windows, buffers,
):  # fmt: skip
    """Returns whether all samples are finite; nothing is done where they are not."""
    for n in range(samples.shape[0]):
        if not np.isfinite(samples[n]):
            return False
    sections, hidden, sources, latent, constants, block = sizes
    w, s = _encode(0, 0, weights, state, convs, samples, features)
    channels, first = features.shape[1], 0
    for c in range(channels):
        g[0, c] = features[0, c]
        if concat:
            x[c] = features[0, c]
    if concat:
        first = channels
    w, s = _recur(
        w, s, weights, state, channels, sections, hidden, norm, residual, eps, g, gates[:1], gates[1:], xhat, normed,
        x[first:],
    )  # fmt: skip
    w, s = _separate(
        w, s, weights, state, sources, latent, constants, block, memory, count, e0, delta, g[:, :hidden], x, r, u, mean,
        e,
    )  # fmt: skip
    mus = state[s - _after(0, block * sources * latent) :][: block * sources * latent]
    z = _matrix(mus, count * sources * latent, sources, latent)
    _decode(w, s, weights, state, decoders, sources, z, zero, windows, buffers, est)
    return True


class FusedHop:
    """The kernel, its weights and its state. ``config`` is an LvbdConfig, ``decoder`` its decoder's shape.

    ``initial`` holds the memory m and q (P, K, D) before the first sample. ``parts`` are views of the state by name,
    ``count`` is the number of frames in the block that is not complete yet.
    """

    def __init__(
        self,
        params: dict[str, Array],
        config: Any,
        decoder: list[tuple[int, int, int, int]],
        initial: tuple[Array, Array],
    ) -> None:
        dtype = params["encoder.conv.0.weight"].dtype
        inputs = [1, *config.conv_channels[:-1]]
        convs = list(zip(inputs, config.conv_channels, config.conv_kernels, config.conv_strides, strict=True))
        self.block, self.count = config.block, 0
        layers = [decoder_layer(*shape, dtype) for shape in decoder]
        self._weights = flat(weights_in_order(params, config, layers), dtype)
        begun = state_in_order(config, convs, layers, initial)
        self._initial = flat(list(begun.values()), dtype)
        self._state = self._initial.copy()
        self._marked, self._marked_count = self._initial.copy(), 0
        self.parts: dict[str, Array] = {}
        place = 0
        for name, part in begun.items():
            self.parts[name] = self._state[place : place + part.size].reshape(part.shape)
            place += -(-part.size // LINE) * LINE
        channels, hidden, latent, sources = config.channels, config.gru_hidden, config.latent, config.sources
        sizes = (config.gru_sections, hidden, sources, latent, config.time_constants, config.block)
        scalars = [dtype.type(value) for value in (config.norm_eps, config.e0, config.delta)]
        flags = (config.norm, config.residual, config.concat_conv, config.memory)
        self._fixed = (np.array(convs), np.array(layers), sizes, *flags, *scalars)
        count, room, width = 1, 0, 0
        for into, outputs, reach, stride, _ in layers:
            width = max(width, count * sources * reach * max(into, stride * outputs))
            count *= stride
            room = max(room, count * sources * outputs)
        widest = max(hidden, convs[-1][1])
        shapes = (
            (1, convs[-1][1]), (1, widest), (channels,), (widest,), (widest,), (2, 3 * hidden),
            (sources, 2 * config.time_constants * latent), (sources, channels), (2, latent),
            (config.block + 2, max(latent, config.block)), (1, VECTOR), (2, width), (2, room),
        )  # fmt: skip
        self._scratch = [np.zeros(shape, dtype) for shape in shapes]
        self._samples = np.zeros(config.hop, dtype)

    def reset(self) -> None:
        """Back to before the first sample."""
        self._state[:] = self._initial
        self.count = 0

    def mark(self) -> None:
        """Remember the state, for :meth:`rewind`."""
        self._marked[:] = self._state
        self._marked_count = self.count

    def rewind(self) -> None:
        """Back to the state that was marked last."""
        self._state[:] = self._marked
        self.count = self._marked_count

    def step(self, samples: Array, est: Array) -> None:
        """Write the estimates of the next ``samples`` (hop,) to ``est`` (P, hop), which lies in memory without gaps.

        Allocates no array. Raises NotFiniteError, the state as it was.
        """
        self._samples[:] = samples  # of one layout, writable: for any other the kernel would be compiled anew
        if not _hop(self._weights, self._state, self.count, *self._fixed, self._samples, est, *self._scratch):
            raise NotFiniteError("stream: samples holds NaN or infinity, wanted finite samples")
        self.count = (self.count + 1) % self.block
