"""One hop of LVBD in one kernel: as refbss.models.lvbd_stream, at the price of reading the weights once.

The weights lie in one array in the order in which they are read, the state in another, and the kernel walks through
both. A hop is a few frames of each convolution and one frame of everything else. A decoder layer's products with its
kernel are kept until all frames that reach an output are there; they are then added, the latest frame's first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.lib.stride_tricks import as_strided

from refbss._jit import fast_kernel
from refbss._types import Array
from refbss.fast._elementary import sigmoid, tanh
from refbss.fast._layout import kernel_rows
from refbss.fast._memory import write_block
from refbss.fast._tiles import product

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


@register_jitable
def _after(place: int, size: int) -> int:
    """Where the array behind one of ``size`` numbers begins."""
    return place + (size + LINE - 1) // LINE * LINE


@register_jitable
def _matrix(flat: Any, place: int, rows: int, columns: int) -> Any:
    return flat[place : place + rows * columns].reshape(rows, columns)


@fast_kernel
def _prelu(x, slope):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            v = x[i, c]
            x[i, c] = v if v > 0 else slope[c] * v


@fast_kernel
def _layer_norm(x, gamma, beta, eps, y, add):  # type: ignore[no-untyped-def]
    """y = layer norm of x (C,), or with ``add`` y += that."""
    one = x.dtype.type(1.0)
    share = x.dtype.type(1.0 / x.shape[0])
    total = x.dtype.type(0.0)
    for c in range(x.shape[0]):
        total += x[c]
    mean = total * share
    total = x.dtype.type(0.0)
    for c in range(x.shape[0]):
        total += (x[c] - mean) * (x[c] - mean)
    inverse = one / np.sqrt(total * share + eps)
    for c in range(x.shape[0]):
        v = (x[c] - mean) * inverse * gamma[c] + beta[c]
        y[c] = y[c] + v if add else v


@fast_kernel
def _gates(inputs, sums, h):  # type: ignore[no-untyped-def]
    hidden = h.shape[0]
    for j in range(hidden):
        r = sigmoid(inputs[j] + sums[j])
        z = sigmoid(inputs[hidden + j] + sums[hidden + j])
        n = tanh(inputs[2 * hidden + j] + r * sums[2 * hidden + j])
        h[j] = n + z * (h[j] - n)


@fast_kernel
def _shift(flat, place, by, keep):  # type: ignore[no-untyped-def]
    """Move the ``keep`` numbers that begin ``by`` behind the place to it."""
    for i in range(keep):
        flat[place + i] = flat[place + by + i]


@fast_kernel
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


@fast_kernel
def _recur(  # type: ignore[no-untyped-def]
    w, s, weights, state, channels, sections, hidden, norm, residual, eps, g, inputs, sums, x
):
    """GRU sections from g (1, C), which ends as the last section's output; all outputs go to x one behind the other."""
    if norm:
        beta = _after(w, channels)
        row = g[0, :channels]
        _layer_norm(row, weights[w : w + channels], weights[beta : beta + channels], eps, row, False)
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
        if norm:
            beta = _after(w, hidden)
            gamma_row, beta_row = weights[w : w + hidden], weights[beta : beta + hidden]
            _layer_norm(h[0], gamma_row, beta_row, eps, g[0], residual)
            w = _after(beta, hidden)
        else:
            for j in range(hidden):
                g[0, j] = g[0, j] + h[0, j] if residual else h[0, j]
        for j in range(hidden):
            x[i * hidden + j] = g[0, j]
        channels = hidden
    return w, s


@fast_kernel
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


@fast_kernel
def _decode(w, s, weights, state, layers, sources, z, zero, buffers, est):  # type: ignore[no-untyped-def]
    """Transposed convolutions from z (P, D) to est (P, hop)."""
    frames, last = 1, layers.shape[0] - 1
    current = z
    for i in range(last + 1):
        inputs, outputs, taps, stride = layers[i, 0], layers[i, 1], layers[i, 2], layers[i, 3]
        kept = (taps + stride - 1) // stride - 1
        width = taps * outputs
        kernel, w = _matrix(weights, w, inputs, width), _after(w, inputs * width)
        bias, w = weights[w : w + outputs], _after(w, outputs)
        row = sources * width
        parts = _matrix(state, s, (kept + frames) * sources, width)
        fresh = parts[kept * sources :]
        product(current, kernel, zero[:, :width], 0, fresh)
        y = _matrix(buffers[i % 2], 0, frames * stride * sources, outputs)
        for t in range(frames):
            for k in range(stride):
                for p in range(sources):
                    out = y[(t * stride + k) * sources + p]
                    for o in range(outputs):
                        out[o] = bias[o]
                    for back in range(kept + 1):
                        tap = back * stride + k
                        if tap < taps:
                            part = parts[(kept + t - back) * sources + p, tap * outputs : (tap + 1) * outputs]
                            for o in range(outputs):
                                out[o] += part[o]
        _shift(state, s, frames * row, kept * row)
        s = _after(s, (kept + frames) * row)
        frames *= stride
        if i < last:
            _prelu(y, weights[w : w + outputs])
            w = _after(w, outputs)
        current = y
    for n in range(frames):
        for p in range(sources):
            est[p, n] = current[n * sources + p, 0]


@fast_kernel
def _hop(  # type: ignore[no-untyped-def]
    weights, state, count, convs, decoders, sizes, norm, residual, concat, memory, eps, e0, delta, samples, est,
    features, g, x, gates, r, u, mean, e, zero, buffers,
):  # fmt: skip
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
        w, s, weights, state, channels, sections, hidden, norm, residual, eps, g, gates[:1], gates[1:], x[first:]
    )
    w, s = _separate(
        w,
        s,
        weights,
        state,
        sources,
        latent,
        constants,
        block,
        memory,
        count,
        e0,
        delta,
        g[:, :hidden],
        x,
        r,
        u,
        mean,
        e,
    )
    mus = state[s - _after(0, block * sources * latent) :][: block * sources * latent]
    z = _matrix(mus, count * sources * latent, sources, latent)
    _decode(w, s, weights, state, decoders, sources, z, zero, buffers, est)


class FusedHop:
    """The kernel, its weights and its state. ``config`` is an LvbdConfig, ``decoder`` its decoder's shape.

    ``initial`` holds the memory m and q (P, K, D) before the first sample.
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
        self.hop, self.block, self._count = config.hop, config.block, 0
        self.weights = flat(_weights(params, config, len(decoder)), dtype)
        self._initial = flat(_states(config, convs, decoder, initial), dtype)
        self.state = self._initial.copy()
        channels, hidden, latent, sources = config.channels, config.gru_hidden, config.latent, config.sources
        sizes = (config.gru_sections, hidden, sources, latent, config.time_constants, config.block)
        scalars = [dtype.type(value) for value in (config.norm_eps, config.e0, config.delta)]
        flags = (config.norm, config.residual, config.concat_conv, config.memory)
        self._fixed = (np.array(convs), np.array(decoder), sizes, *flags, *scalars)
        widest = max(outputs * kernel for _, outputs, kernel, _ in decoder)
        frames, room = 1, 0
        for _, outputs, _, stride in decoder:
            frames *= stride
            room = max(room, frames * sources * outputs)
        shapes = (
            (1, convs[-1][1]), (1, max(hidden, convs[-1][1])), (channels,), (2, 3 * hidden),
            (sources, 2 * config.time_constants * latent), (sources, channels), (2, latent),
            (config.block + 2, max(latent, config.block)), (1, widest), (2, room),
        )  # fmt: skip
        self._scratch = [np.zeros(shape, dtype) for shape in shapes]

    def reset(self) -> None:
        """Back to before the first sample."""
        self.state[:] = self._initial
        self._count = 0

    def step(self, samples: Array) -> Array:
        """The estimates (P, hop) of the next ``samples`` (hop,)."""
        est = np.empty((self._fixed[2][2], self.hop), samples.dtype)
        _hop(self.weights, self.state, self._count, *self._fixed, samples, est, *self._scratch)
        self._count = (self._count + 1) % self.block
        return est


def _weights(params: dict[str, Array], config: Any, decoders: int) -> list[Array]:
    """The parameters in the order in which the kernel reads them, as the matrices that it multiplies with."""
    parts = []
    for i in range(len(config.conv_strides)):
        parts += [kernel_rows(params[f"encoder.conv.{i}.weight"]), params[f"encoder.conv.{i}.bias"]]
        parts.append(np.broadcast_to(params[f"encoder.act.{i}.weight"], (config.conv_channels[i],)))
    if config.norm:
        parts += [params["encoder.norm.weight"], params["encoder.norm.bias"]]
    for i in range(config.gru_sections):
        name = f"encoder.gru.{i}"
        parts += [params[f"{name}.weight_ih_l0"].T, params[f"{name}.bias_ih_l0"]]
        parts += [params[f"{name}.weight_hh_l0"].T, params[f"{name}.bias_hh_l0"]]
        if config.norm:
            parts += [params[f"encoder.gru_norm.{i}.weight"], params[f"encoder.gru_norm.{i}.bias"]]
    adapt, latent = params["separator.adapt.weight"], config.latent
    parts.append(adapt.transpose(2, 0, 1))
    parts += [params["separator.fc.weight"][:latent].T, params["separator.fc.bias"][:latent]]
    parts.append(params["separator.adapt.bias"])
    if config.memory:
        parts += [params["separator.memory.weight"].T, 1 / (1 + np.exp(-params["memory.theta"]))]
    else:
        parts += [np.zeros((2 * config.time_constants * latent, config.channels)), np.zeros(config.time_constants)]
    for i in range(decoders):
        parts += [params[f"decoder.conv.{i}.weight"].transpose(0, 2, 1), params[f"decoder.conv.{i}.bias"]]
        if i < decoders - 1:
            outputs = params[f"decoder.conv.{i}.weight"].shape[1]
            parts.append(np.broadcast_to(params[f"decoder.act.{i}.weight"], (outputs,)))
    return parts


def _states(
    config: Any,
    convs: list[tuple[int, int, int, int]],
    decoder: list[tuple[int, int, int, int]],
    initial: tuple[Array, Array],
) -> list[Array]:
    """The state before the first sample, in the order in which the kernel walks through it."""
    parts, frames = [], config.hop
    for inputs, _, kernel, stride in convs:
        parts.append(np.zeros((kernel - stride + frames, inputs)))
        frames //= stride
    parts += [np.zeros(config.gru_hidden)] * config.gru_sections
    parts += initial
    parts += [np.zeros((config.sources, config.channels)), np.zeros((config.block, config.sources, config.latent))]
    for _, outputs, kernel, stride in decoder:
        kept = -(-kernel // stride) - 1
        parts.append(np.zeros((kept + frames, config.sources, kernel * outputs)))
        frames *= stride
    return parts
