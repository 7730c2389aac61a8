"""refbss's side of every case: the fast engine on batch shards, a thread for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refbss._types import Array
from refbss.bench.cases import OpCase
from refbss.engine import engine
from refbss.fast._layout import channels_first, channels_last
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.lvbd_loss import LossResult, loss_and_grads
from refbss.models.params import Params
from refbss.streaming import HopStream
from refbss.training.config import RunConfig
from refbss.training.optimizers import adam_init, adam_step, clip_gradients
from refbss.training.shards import Pool, split, total_gradients

OPS = engine("fast")


class OpRun:
    """An operator case, forward or forward and backward, as a callable."""

    def __init__(self, case: OpCase, arrays: dict[str, Array], run: Pool, shards: int, cotangents: list[Array]) -> None:
        self.case, self.run, self.cotangents = case, run, cotangents
        self.forward, self.backward = (getattr(OPS, f"{case.op}_{way}") for way in ("forward", "backward"))
        batch = len(next(array for name, array in arrays.items() if name not in case.shared))
        self.shards = []
        for items in split(batch, shards):
            rows = slice(items.start, items.stop)
            own = {name: a if name in case.shared else self._laid_out(a[rows]) for name, a in arrays.items()}
            self.shards.append((own, [self._laid_out(c[rows]) for c in cotangents]))

    def _laid_out(self, array: Array) -> Array:
        if self.case.channels_last:
            return channels_first(channels_last(array))
        return np.ascontiguousarray(array)

    def _shard(self, shard: tuple[dict[str, Array], list[Array]]) -> tuple[list[Array], Any]:
        arrays, cotangents = shard
        *outputs, cache = self.forward(*arrays.values(), **self.case.attributes)
        return outputs, self.backward(*cotangents, cache) if cotangents else None

    def __call__(self) -> list[tuple[list[Array], Any]]:
        """Run it; gradients of shared arguments are summed over the shards, into the first one's."""
        results = self.run(self._shard, self.shards)
        if self.cotangents:
            for name in self.case.shared:
                if name in self.case.differentiate:
                    of_first = getattr(results[0][1], f"d{name}")
                    for _, grads in results[1:]:
                        of_first += getattr(grads, f"d{name}")
        return results

    def arrays_of(self, results: list[tuple[list[Array], Any]]) -> tuple[list[Array], dict[str, Array]]:
        """Outputs and gradients of the whole batch."""
        outputs = [np.concatenate(parts) for parts in zip(*(outputs for outputs, _ in results), strict=True)]
        grads = {}
        for name in self.case.differentiate if self.cotangents else ():
            parts = [getattr(g, f"d{name}") for _, g in results]
            grads[name] = parts[0] if name in self.case.shared else np.concatenate(parts)
        return outputs, grads


class TrainingStep:
    """A whole training step of refbss.training.loop, data apart; every call goes on from the last."""

    def __init__(self, params: Params, batch: tuple[Any, ...], config: RunConfig, run: Pool) -> None:
        self.params, self.batch, self.config, self.run = params, batch, config, run
        self.optimizer = adam_init(params)
        self.items = split(len(batch[0]), config.train.shards)

    def gradients(self) -> tuple[float, Params]:
        """Loss and gradients of the batch."""
        mix, refs, eps, clean = self.batch

        def work(items: range) -> LossResult:
            rows, config = slice(items.start, items.stop), self.config
            return loss_and_grads(
                self.params, mix[rows], refs[rows], eps[rows], clean[rows],
                config=config.model, loss_config=config.loss, ops=OPS, items=len(mix),
            )  # fmt: skip

        results = self.run(work, self.items)
        return sum(result.loss for result in results), total_gradients([result.grads for result in results])

    def __call__(self) -> float:
        loss, grads = self.gradients()
        train = self.config.train
        grads, _ = clip_gradients(grads, train.clip_norm)
        self.params, self.optimizer = adam_step(
            self.params, grads, self.optimizer, learning_rate=train.learning_rate, beta1=train.beta1,
            beta2=train.beta2, eps=train.adam_eps,
        )  # fmt: skip
        return loss


def separation(params: Params, mix: Array, config: LvbdConfig, run: Pool, shards: int) -> Callable[[], list[Array]]:
    """Estimates of mix (B, N), the batch shared out."""
    parts = [mix[items.start : items.stop] for items in split(len(mix), shards)]
    return lambda: run(lambda part: lvbd.forward(params, part, None, config=config, ops=OPS)[0].est, parts)


def streaming(params: Params, config: LvbdConfig) -> Callable[[Array], Array]:
    """One hop after the other."""
    return HopStream(params, config).step
