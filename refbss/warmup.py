"""Compiling kernels ahead: small runs of everything that compiles, in the types that real runs have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from refbss._checks import InputError
from refbss._jit import unkept
from refbss.engine import ENGINES, engine
from refbss.fast._products import add_rows_times, rows_times, sum_of_products
from refbss.machine import compiling, kernels, peak
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
    ", laplace prior, learned scatter": LvbdLossConfig(permutation_frame=40, prior="laplace", prior_r="learned"),
    ", student prior, scatter of the memory": LvbdLossConfig(permutation_frame=40, prior_r="memory"),
    ", KL": LvbdLossConfig(permutation_frame=40, prior="gaussian", divergence="kl"),
}
"""Between them they call every loss, every family of priors, and the weighted form with each kind of scatter: the kinds
have strides, and with them types, of their own."""


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


def _recurrence(name: str, op: str, gates: int, states: int, dtype: str) -> None:
    """A recurrent layer by itself: what the demo checks the gradient of, and what a benchmark times."""
    ops, batch, frames, inputs, hidden = engine(name), 2, 5, 3, 6
    x, h0 = np.ones((batch, frames, inputs), dtype), np.ones((batch, hidden), dtype)
    w_ih, w_hh, b = (np.ones((gates * hidden, *shape), dtype) for shape in ((inputs,), (hidden,), ()))
    y, *last, cache = getattr(ops, f"{op}_forward")(x, w_ih, w_hh, b, b, *[h0] * states)
    getattr(ops, f"{op}_backward")(y, *last, cache)


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
    yield "reference engine, gru in float64", partial(_recurrence, "reference", "gru", 3, 1, "float64")
    yield "fast engine, lstm", partial(_recurrence, "fast", "lstm", 4, 2, "float32")
    yield "streaming", _stream
    yield "products", _multiply
    yield "peak", partial(peak, 1)


def check() -> None:
    """Raises InputError where kernels are not compiled at all, OSError where none can be kept."""
    if not compiling():
        raise InputError("warmup: NUMBA_DISABLE_JIT is set, wanted it unset: no kernel is compiled with it")
    folder, _, refused = kernels()
    if refused:
        raise OSError(
            f"warmup: {folder} cannot be written ({refused}): no kernel can be kept; "
            "set NUMBA_CACHE_DIR to a folder that can be"
        )


def warm_up(heard: Callable[[int, str], None]) -> int:
    """Run every stage and return the number of kernels that lie in the cache of the fast engine afterwards.

    Raises as :func:`check` does, and OSError where kernels could not be kept.
    """
    check()
    for done, (name, stage) in enumerate(stages()):
        heard(done, name)
        stage()
    folder, count, _ = kernels()
    if unkept:
        lost = "1 kernel" if len(unkept) == 1 else f"{len(unkept)} kernels"
        raise OSError(f"warmup: {lost} could not be kept below {folder}: {', '.join(sorted(set(unkept.values())))}")
    if not count:
        raise OSError(f"warmup: no kernel was kept in {folder}")
    return count
