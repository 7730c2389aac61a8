"""What the memory bank holds and does, measured while a run validates: a training step costs nothing more.

Of one mixture, from what the forward pass gives, over sources, frames or blocks, and latents; letters as in
``refbss.ops.memory_bank``:

    activity    mean of a_t: how much of what it may write a block writes, 0 to 1
    m, q        root mean square of the first moments, root of the mean of the mean squares, at each time constant
    reading     root mean square of C_k (r_k - r_k^0): how far what was heard since the beginning moves the argument of
                the separator's sigmoid (separator.1), at each time constant; 0 for a bank that nobody reads

and over mixtures their mean. Beside them eta, the share of a fully active block that replaces the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.models.lvbd import Outputs
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.params import Params


def memory_use(params: Params, outputs: Outputs, config: LvbdConfig, ops: SimpleNamespace) -> Array:
    """Activity, then m, q and reading at each of K time constants: (1 + 3K,) in float64; empty without memory."""
    if not config.memory:
        return np.zeros(0)
    activity, _ = ops.memory_activity_forward(outputs.mu, e0=config.e0)
    m, q = (blocks[:, :, :-1].astype(np.float64) for blocks in (outputs.m_blocks, outputs.q_blocks))
    read = params["separator.memory.weight"].astype(np.float64)
    by_m, by_q = read.reshape(len(read), 2, config.time_constants, config.latent).swapaxes(0, 1)
    m_rms, q_rms = np.sqrt(np.square(m).mean(axis=(0, 1, 2, 4))), np.sqrt(q.mean(axis=(0, 1, 2, 4)))
    moved_m, moved_q = m - m[:, :, :1], q - q[:, :, :1]
    reading = [
        np.sqrt(np.square(moved_m[:, :, :, k] @ by_m[:, k].T + moved_q[:, :, :, k] @ by_q[:, k].T).mean())
        for k in range(config.time_constants)
    ]
    return np.concatenate([[activity.mean(dtype=np.float64)], m_rms, q_rms, reading])


def mean_memory_use(params: Params, found: Sequence[Array]) -> dict[str, Any] | None:
    """The mean over mixtures by name, as it is written to the log; None without memory."""
    if "memory.theta" not in params:
        return None
    mean = np.stack(found).mean(axis=0)
    m, q, reading = (part.tolist() for part in np.split(mean[1:], 3))
    eta = 1.0 / (1.0 + np.exp(-params["memory.theta"].astype(np.float64)))
    return {"activity": float(mean[0]), "m": m, "q": q, "reading": reading, "eta": eta.tolist()}
