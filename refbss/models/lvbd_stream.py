"""LVBD one hop at a time: the operators of refbss.models.lvbd, with the block that is not complete yet in the state.

A frame is separated with the memory as it stood when its block began; the means of the block's frames are kept, and
when the block is complete they are written to the memory. Inference only: z is the posterior's mean. [ours]
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from refbss._checks import check_arrays
from refbss._types import Array
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.params import Params


class StreamState(NamedTuple):
    """What the network remembers between two hops."""

    network: lvbd.LvbdState
    block: Array
    """Means of the frames of the block that is not complete yet, (B, P, n, D) with 0 <= n < config.block."""


def initial_stream(params: Params, batch: int, config: LvbdConfig, ops: SimpleNamespace) -> StreamState:
    """The state before the first sample."""
    network, _ = lvbd.initial_state(params, batch, config, ops)
    dtype = params["encoder.conv.0.weight"].dtype
    return StreamState(network, np.zeros((batch, config.sources, 0, config.latent), dtype))


def hop_forward(
    params: Params, mix: Array, state: StreamState, *, config: LvbdConfig, ops: SimpleNamespace
) -> tuple[Array, StreamState]:
    """Separate the next hop, mix (B, hop). Returns est (B, P, hop) and the state. Raises InputError on shapes."""
    check_arrays("lvbd", mix=(mix, f"B {config.hop}"), weight=(params["encoder.conv.0.weight"], "O 1 K"))
    network = state.network
    x, g, conv, gru, _ = lvbd.encode(params, mix, network, config, ops)
    (a, c, read, v, b), theta = lvbd.separator_arrays(params, config, mix.dtype)
    m, q = network.m, network.q
    r, _ = ops.memory_read_forward(m, q)
    mu, _, _ = ops.adaptive_separator_forward(x, g, r if config.memory else np.zeros_like(r), a, c, read, v, b)
    block = np.concatenate([state.block, mu], axis=2)
    if block.shape[2] == config.block:
        if config.memory:
            m, q, _ = ops.memory_write_forward(m, q, block, theta, e0=config.e0, delta=config.delta)
        block = block[:, :, :0]
    est, decoder, _ = lvbd.decode(params, mu, network, config, ops)
    return est, StreamState(lvbd.LvbdState(conv, gru, m, q, decoder), block)
