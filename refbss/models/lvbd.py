"""LVBD: encoder, separator with memory, shared decoder; forward, and backward that walks it in reverse.

Shapes: mix (B, N), eps (B, P, T, D) or None, est (B, P, N), T = ceil(N / hop). Signals are (B, C, N), frame features
(B, T, C). ``ops`` is an engine: the model knows operators by name only. The state that the network carries over time is
an argument and an output, so that a long signal can be worked through in chunks of whole blocks.
Three convolutions, three GRU sections, concatenation to a virtual array, adaptive matrix and fully connected layer,
memory bank, shared decoder of three transposed convolutions: [paper]; everything else: [ours], see lvbd_config.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from refbss._checks import InputError, check_arrays
from refbss._types import Array
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.params import Params


class LvbdState(NamedTuple):
    """What the network remembers between two chunks."""

    conv: tuple[Array, ...]
    """Last K - stride input samples of each convolution, (B, C, K - stride)."""
    gru: tuple[Array, ...]
    """Last state of each GRU section, (B, H)."""
    m: Array
    """First moments of the memory bank, (B, P, K, D)."""
    q: Array
    """Mean squares of the memory bank, (B, P, K, D)."""
    decoder: tuple[Array, ...]
    """Last input frames of each transposed convolution, (B P, C, ceil(K / stride) - 1)."""


class Outputs(NamedTuple):
    """Everything that the losses and the user look at."""

    est: Array
    mu: Array
    log_var: Array
    z: Array
    m_blocks: Array
    q_blocks: Array
    state: LvbdState


class LvbdCache(NamedTuple):
    """The caches of the forward pass, part by part."""

    params: Params
    config: LvbdConfig
    ops: SimpleNamespace
    samples: int
    continued: bool
    initial: Any
    encoder: dict[str, Any]
    separator: dict[str, Any]
    decoder: dict[str, Any]


def decoder_shape(config: LvbdConfig) -> list[tuple[int, int, int, int]]:
    """The decoder mirrors the encoder: (channels in, channels out, kernel, stride) of each layer."""
    channels = [config.latent, *config.conv_channels[-2::-1], 1]
    kernels, strides = config.conv_kernels[::-1], config.conv_strides[::-1]
    return [(channels[i], channels[i + 1], kernels[i], strides[i]) for i in range(len(kernels))]


def initial_state(params: Params, batch: int, config: LvbdConfig, ops: SimpleNamespace) -> tuple[LvbdState, Any]:
    """The state before the first sample: silence, and the learned memory. Returns the state and the cache of q0."""
    dtype = params["encoder.conv.0.weight"].dtype
    inputs = [1, *config.conv_channels[:-1]]
    conv = tuple(
        np.zeros((batch, c, k - s), dtype)
        for c, k, s in zip(inputs, config.conv_kernels, config.conv_strides, strict=True)
    )
    gru = tuple(np.zeros((batch, config.gru_hidden), dtype) for _ in range(config.gru_sections))
    decoder = tuple(
        np.zeros((batch * config.sources, c, -(-k // s) - 1), dtype) for c, _, k, s in decoder_shape(config)
    )
    m0 = q0 = np.zeros((config.sources, config.time_constants, config.latent), dtype)
    cache = None
    if config.memory:
        m0 = params["memory.m0"]
        q0, cache = ops.softplus_forward(params["memory.q0"])
    m, q = (np.broadcast_to(value, (batch, *value.shape)) for value in (m0, q0))
    return LvbdState(conv, gru, m, q, decoder), cache


def encode(params: Params, mix: Array, state: LvbdState, config: LvbdConfig, ops: SimpleNamespace) -> tuple[Any, ...]:
    """mix (B, T hop) to the virtual array x (B, T, M), control g (B, T, H), the new conv and gru states, a cache."""
    cache: dict[str, Any] = {}
    h, tails, last = mix[:, None, :], [], []
    for i, stride in enumerate(config.conv_strides):
        padded = np.concatenate([state.conv[i], h], axis=2)
        tails.append(padded[:, :, padded.shape[2] - state.conv[i].shape[2] :])
        y, cache[f"conv.{i}"] = ops.conv1d_forward(
            padded, params[f"encoder.conv.{i}.weight"], params[f"encoder.conv.{i}.bias"], stride=stride
        )
        h, cache[f"act.{i}"] = ops.prelu_forward(y, params[f"encoder.act.{i}.weight"])
    features = h.transpose(0, 2, 1)
    g = features
    if config.norm:
        g, cache["norm"] = ops.layer_norm_forward(
            g, params["encoder.norm.weight"], params["encoder.norm.bias"], eps=config.norm_eps
        )
    layers = [features] if config.concat_conv else []
    for i in range(config.gru_sections):
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        weights = [params[f"encoder.gru.{i}.{name}"] for name in names]
        y, h_n, cache[f"gru.{i}"] = ops.gru_forward(g, *weights, state.gru[i])
        last.append(h_n)
        if config.norm:
            gamma, beta = params[f"encoder.gru_norm.{i}.weight"], params[f"encoder.gru_norm.{i}.bias"]
            y, cache[f"gru_norm.{i}"] = ops.layer_norm_forward(y, gamma, beta, eps=config.norm_eps)
        g = y + g if config.residual else y
        layers.append(g)
    return np.concatenate(layers, axis=2), g, tuple(tails), tuple(last), cache


def _encode_backward(dx: Array, dg: Array, grads: Params, full: LvbdCache) -> None:
    config, ops, cache = full.config, full.ops, full.encoder
    widths = [config.conv_channels[-1]] * config.concat_conv + [config.gru_hidden] * config.gru_sections
    parts = np.split(dx, np.cumsum(widths)[:-1], axis=2)
    dfeatures = parts.pop(0) if config.concat_conv else None
    for i in reversed(range(config.gru_sections)):
        dg = dg + parts[i]
        dy = dg
        if config.norm:
            norm = ops.layer_norm_backward(dy, cache[f"gru_norm.{i}"])
            grads[f"encoder.gru_norm.{i}.weight"], grads[f"encoder.gru_norm.{i}.bias"] = norm.dgamma, norm.dbeta
            dy = norm.dx
        gru = ops.gru_backward(dy, np.zeros_like(dy[:, 0]), cache[f"gru.{i}"])
        grads[f"encoder.gru.{i}.weight_ih_l0"], grads[f"encoder.gru.{i}.weight_hh_l0"] = gru.dw_ih, gru.dw_hh
        grads[f"encoder.gru.{i}.bias_ih_l0"], grads[f"encoder.gru.{i}.bias_hh_l0"] = gru.db_ih, gru.db_hh
        dg = gru.dx + dg if config.residual else gru.dx
    if config.norm:
        norm = ops.layer_norm_backward(dg, cache["norm"])
        grads["encoder.norm.weight"], grads["encoder.norm.bias"] = norm.dgamma, norm.dbeta
        dg = norm.dx
    dh = (dg if dfeatures is None else dg + dfeatures).transpose(0, 2, 1)
    for i in reversed(range(len(config.conv_strides))):
        act = ops.prelu_backward(dh, cache[f"act.{i}"])
        grads[f"encoder.act.{i}.weight"] = act.da
        conv = ops.conv1d_backward(act.dx, cache[f"conv.{i}"])
        grads[f"encoder.conv.{i}.weight"], grads[f"encoder.conv.{i}.bias"] = conv.dw, conv.db
        dh = conv.dx[:, :, config.conv_kernels[i] - config.conv_strides[i] :]


SEPARATOR = {
    "a": "separator.adapt.weight",
    "c": "separator.adapt.bias",
    "read": "separator.memory.weight",
    "v": "separator.fc.weight",
    "b": "separator.fc.bias",
}
"""The separator operator's arguments and the parameters that they are."""


def separator_arrays(params: Params, config: LvbdConfig, dtype: Any) -> tuple[list[Array], Array]:
    """The separator's parameters in the operator's order, and theta; without memory those that it has are zeros."""
    if not config.memory:
        nothing = np.zeros((config.channels, 2 * config.time_constants * config.latent), dtype)
        params = params | {SEPARATOR["read"]: nothing, "memory.theta": np.zeros(config.time_constants, dtype)}
    return [params[name] for name in SEPARATOR.values()], params["memory.theta"]


def _separate(
    params: Params, x: Array, g: Array, eps: Array | None, state: LvbdState, config: LvbdConfig, ops: SimpleNamespace
) -> tuple[Any, ...]:
    cache: dict[str, Any] = {}
    arrays, theta = separator_arrays(params, config, x.dtype)
    sizes = {"block": config.block, "e0": config.e0, "delta": config.delta}
    mu, l, m_blocks, q_blocks, cache["separator"] = ops.memory_separator_forward(
        x, g, *arrays, state.m, state.q, theta, **sizes, memory=config.memory, truncate=config.truncate
    )
    bounded, cache["bounds"] = ops.sigmoid_forward(l)
    log_var = config.log_var_min + (config.log_var_max - config.log_var_min) * bounded
    z = mu
    if eps is not None and config.sample:
        z, cache["sample"] = ops.reparameterise_forward(mu, log_var, eps)
    return mu, log_var, z, m_blocks, q_blocks, cache


def _separate_backward(dmu: Array, dlog_var: Array, dz: Array, grads: Params, full: LvbdCache) -> tuple[Array, Array]:
    config, ops, cache = full.config, full.ops, full.separator
    if "sample" in cache:
        sample = ops.reparameterise_backward(dz, cache["sample"])
        dmu, dlog_var = dmu + sample.dmu, dlog_var + sample.dlog_var
    else:
        dmu = dmu + dz
    dl = ops.sigmoid_backward((config.log_var_max - config.log_var_min) * dlog_var, cache["bounds"]).dx
    batch, sources, frames, latent = dmu.shape
    states = np.zeros((batch, sources, -(-frames // config.block) + 1, config.time_constants, latent), dmu.dtype)
    separator = ops.memory_separator_backward(dmu, dl, states, states, cache["separator"])
    for argument, name in SEPARATOR.items():
        if name in full.params:
            grads[name] = getattr(separator, f"d{argument}")
    if config.memory:
        grads["memory.theta"] = separator.dtheta
        grads["memory.m0"] = separator.dm0.sum(axis=0)
        grads["memory.q0"] = ops.softplus_backward(separator.dq0.sum(axis=0), full.initial).dx
    return separator.dx, separator.dg


def decode(params: Params, z: Array, state: LvbdState, config: LvbdConfig, ops: SimpleNamespace) -> tuple[Any, ...]:
    """z (B, P, T, D) to the estimates (B, P, T hop), the new decoder state and a cache."""
    cache: dict[str, Any] = {}
    batch, sources, frames, latent = z.shape
    h, tails = z.reshape(batch * sources, frames, latent).transpose(0, 2, 1), []
    layers = decoder_shape(config)
    for i, (_, _, kernel, stride) in enumerate(layers):
        context = state.decoder[i].shape[2]
        padded = np.concatenate([state.decoder[i], h], axis=2)
        tails.append(padded[:, :, padded.shape[2] - context :])
        weight, bias = params[f"decoder.conv.{i}.weight"], params[f"decoder.conv.{i}.bias"]
        y, cache[f"conv.{i}"] = ops.conv_transpose1d_forward(
            padded, weight, bias, stride=stride, trim_right=kernel - stride
        )
        h = y[:, :, context * stride :]
        if i < len(layers) - 1:
            h, cache[f"act.{i}"] = ops.prelu_forward(h, params[f"decoder.act.{i}.weight"])
    return h.reshape(batch, sources, -1), tuple(tails), cache


def _decode_backward(dest: Array, grads: Params, full: LvbdCache) -> Array:
    config, ops, cache = full.config, full.ops, full.decoder
    batch, sources, samples = dest.shape
    dh = dest.reshape(batch * sources, 1, samples)
    layers = decoder_shape(config)
    for i, (_, _, kernel, stride) in reversed(list(enumerate(layers))):
        if i < len(layers) - 1:
            act = ops.prelu_backward(dh, cache[f"act.{i}"])
            grads[f"decoder.act.{i}.weight"] = act.da
            dh = act.dx
        context = -(-kernel // stride) - 1
        dropped = np.zeros((dh.shape[0], dh.shape[1], context * stride), dh.dtype)
        conv = ops.conv_transpose1d_backward(np.concatenate([dropped, dh], axis=2), cache[f"conv.{i}"])
        grads[f"decoder.conv.{i}.weight"], grads[f"decoder.conv.{i}.bias"] = conv.dw, conv.db
        dh = conv.dx[:, :, context:]
    return dh.transpose(0, 2, 1).reshape(batch, sources, -1, config.latent)


def forward(
    params: Params,
    mix: Array,
    eps: Array | None,
    *,
    config: LvbdConfig,
    ops: SimpleNamespace,
    state: LvbdState | None = None,
) -> tuple[Outputs, LvbdCache]:
    """Separate mix (B, N). With eps, and ``config.sample``, the posterior is sampled; otherwise z is its mean.

    ``state`` continues an earlier chunk, which must have had a whole number of blocks of samples.
    Returns the outputs and the cache. Raises InputError on shapes or dtypes.
    """
    sizes = check_arrays("lvbd", mix=(mix, "B N"), weight=(params["encoder.conv.0.weight"], "O 1 K"))
    batch, samples = sizes["B"], sizes["N"]
    frames = -(-samples // config.hop)
    if eps is not None:
        check_arrays("lvbd", mix=(mix, "B N"), eps=(eps, f"B {config.sources} {frames} {config.latent}"))
    start, initial = initial_state(params, batch, config, ops)
    if state is not None:
        if state.m.shape[0] != batch:
            raise InputError(f"lvbd: state is of a batch of {state.m.shape[0]}, wanted {batch} as mix has")
        start = state
    padded = np.pad(mix, ((0, 0), (0, frames * config.hop - samples)))
    x, g, conv, gru, encoder = encode(params, padded, start, config, ops)
    mu, log_var, z, m_blocks, q_blocks, separator = _separate(params, x, g, eps, start, config, ops)
    est, decoded, decoder = decode(params, z, start, config, ops)
    after = LvbdState(conv, gru, m_blocks[:, :, -1], q_blocks[:, :, -1], decoded)
    outputs = Outputs(est[:, :, :samples], mu, log_var, z, m_blocks, q_blocks, after)
    return outputs, LvbdCache(params, config, ops, samples, state is not None, initial, encoder, separator, decoder)


def backward(dest: Array, dmu: Array, dlog_var: Array, cache: LvbdCache) -> Params:
    """Pull the cotangents of est (B, P, N), mu and log_var (B, P, T, D) back to every parameter.

    Returns a dict of gradients by parameter name. Raises InputError after a forward pass that continued a state: its
    past, and with it a part of the gradient, is gone.
    """
    if cache.continued:
        raise InputError("lvbd backward: the forward pass continued a state, wanted one from the beginning")
    grads: Params = {}
    padding = dmu.shape[2] * cache.config.hop - cache.samples
    dz = _decode_backward(np.pad(dest, ((0, 0), (0, 0), (0, padding))), grads, cache)
    dx, dg = _separate_backward(dmu, dlog_var, dz, grads, cache)
    _encode_backward(dx, dg, grads, cache)
    return grads
