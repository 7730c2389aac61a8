"""What the ranks of one training tell each other at every step: errors and losses, gradients, whether to go on.

With ``exact`` the gradients of all shards are gathered and summed in the order of the shards, so that a run is, bit for
bit, the run of a single process; that moves a gradient for every shard to every rank. Without it a rank sums its own
shards and MPI sums the ranks, which moves one gradient and rounds in an order of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from refbss._types import Array
from refbss._version import __version__
from refbss.config import to_dict
from refbss.models.params import Params
from refbss.ranks import Ranks
from refbss.training.config import RunConfig
from refbss.training.shards import total_gradients


class TrainingError(RuntimeError):
    """The run cannot go on; the message says why and what is kept."""


class Found(NamedTuple):
    """What a rank's shards came to: an error, or each one's loss, terms and item ids."""

    error: str | None
    losses: list[float]
    terms: list[dict[str, Array]]
    ids: list[tuple[str, ...]]


def put_together(ranks: Ranks, own: Found) -> Found:
    """All ranks' findings in their order, the same on every rank. Raises TrainingError when one has an error."""
    parts = ranks.share(own)
    for part in parts:
        if part.error is not None:
            raise TrainingError(part.error)
    return Found(
        None,
        [loss for part in parts for loss in part.losses],
        [terms for part in parts for terms in part.terms],
        [ids for part in parts for ids in part.ids],
    )


def total_over_ranks(ranks: Ranks, shards: Sequence[Params], count: int, *, exact: bool) -> Params:
    """The sum over all ``count`` shards of the job, from those of this rank (at least one)."""
    if ranks.size == 1:
        return total_gradients(shards)
    rows = np.stack([np.concatenate([grad.reshape(-1) for grad in shard.values()]) for shard in shards])
    if exact:
        rows = ranks.gather_rows(rows, count)
    total = rows[0].copy()
    for row in rows[1:]:
        total += row
    if not exact:
        total = ranks.add_up(total)
    pieces = np.split(total, np.cumsum([grad.size for grad in shards[0].values()])[:-1])
    return {name: piece.reshape(grad.shape) for (name, grad), piece in zip(shards[0].items(), pieces, strict=True)}


def check_agreement(ranks: Ranks, params: Params, config: RunConfig, facts: dict[str, Any]) -> None:
    """Raises InputError, on every rank, when one of them is about to train something else.

    They need the same configuration but for the number of workers, the same version, and equal ``facts``.
    """
    checksum = 0
    for array in params.values():
        checksum = zlib.crc32(array.tobytes(), checksum)
    keys = {f"{section}.{key}": value for section, keys in to_dict(config).items() for key, value in keys.items()}
    keys.pop("train.workers")
    ranks.agree("train", {"version": __version__, **keys, **facts, "checksum of the parameters": checksum})
