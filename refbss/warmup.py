"""Compiling kernels ahead: small runs of everything that compiles, in the types that real runs have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from refbss.engine import ENGINES, engine
from refbss.fast._products import add_rows_times, rows_times, sum_of_products
from refbss.machine import kernels, peak
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
from refbss.models.lvbd_loss import loss_and_grads
from refbss.models.lvbd_params import init_params
from refbss.separation import Separator
from refbss.streaming import HopStream

SMALL = LvbdConfig(conv_channels=(4, 5, 6), gru_hidden=6, latent=5, time_constants=2, theta_init=(1.0, -1.0), block=3)
LOSSES = {
    "": LvbdLossConfig(permutation_frame=40),
    ", soft assignment, learned prior": LvbdLossConfig(
        permutation_frame=40, assignment="softmax", prior_r="learned", learn_prior_shape=True, fisher_form="implicit"
    ),
    ", sinkhorn, power prior": LvbdLossConfig(
        permutation_frame=40, assignment="sinkhorn", prior="power", prior_r="memory", fisher_form="explicit"
    ),
    ", laplace prior": LvbdLossConfig(permutation_frame=40, prior="laplace"),
    ", KL": LvbdLossConfig(permutation_frame=40, prior="gaussian", divergence="kl"),
}
"""Between them they call every loss and every family of priors."""


def _train(name: str, loss_config: LvbdLossConfig) -> None:
    rng = np.random.Generator(np.random.Philox(0))
    params = init_params(SMALL, 0, loss_config=loss_config)
    refs = rng.standard_normal((2, SMALL.sources, 320), dtype=np.float32)
    refs[0, 0] = 0  # a silent reference takes its own way
    eps = rng.standard_normal((2, SMALL.sources, 320 // SMALL.hop, SMALL.latent), dtype=np.float32)
    for items in (2, 1):  # an axis of one makes other strides, and with them other types
        loss_and_grads(
            params,
            refs[:items].sum(axis=1),
            refs[:items],
            eps[:items],
            np.ones(items, bool),
            config=SMALL,
            loss_config=loss_config,
            ops=engine(name),
        )


def _multiply() -> None:
    """Products of rows that lie side by side, and of rows that overlap or have gaps: which comes first varies."""
    whole = np.ones((2, 4, 3), np.float32)
    gaps = np.ones((2, 4, 5), np.float32)[:, :, :3]
    for left in (whole, gaps):
        rows_times(left, whole[0, :3])
        for right in (whole, gaps):
            sum_of_products(left, right)
            add_rows_times(left, whole[0, :3], right)


def _separate(name: str) -> None:
    Separator(engine=name).warm_up()


def _stream() -> None:
    stream = HopStream(init_params(SMALL, 0), SMALL)
    for _ in range(SMALL.block + 1):
        stream.step(np.zeros(stream.hop, np.float32))


def stages() -> Iterator[tuple[str, Callable[[], object]]]:
    """What is run, and what it is called."""
    for name in ENGINES:
        for what, loss in LOSSES.items():
            yield f"{name} engine, training{what}", partial(_train, name, loss)
        yield f"{name} engine, separation", partial(_separate, name)
    yield "streaming", _stream
    yield "products", _multiply
    yield "peak", partial(peak, 1)


def warm_up(heard: Callable[[int, str], None]) -> int:
    """Run every stage and return the number of kernels that lie in the cache of the fast engine afterwards."""
    for done, (name, stage) in enumerate(stages()):
        heard(done, name)
        stage()
    return kernels().compiled
