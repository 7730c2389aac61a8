"""What is logged of the memory bank, worked out again from the operators that read and write it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from refbss.config import load_config
from refbss.engine import engine
from refbss.models import lvbd
from refbss.models.lvbd_params import init_params
from refbss.ops.memory_bank import memory_read_forward
from refbss.training.config import PRESETS, RunConfig
from refbss.training.loop import Trainer
from refbss.training.memory_use import mean_memory_use, memory_use


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load_config(RunConfig, PRESETS["lvbd-tiny"], {"model": {"block": 8}})


@pytest.fixture(scope="module")
def ops() -> SimpleNamespace:
    return engine("reference")


def test_the_numbers(config: RunConfig, ops: SimpleNamespace) -> None:
    params = init_params(config.model, 0)
    mix = np.random.default_rng(0).standard_normal((1, 1200)).astype(np.float32)
    outputs, _ = lvbd.forward(params, mix, None, config=config.model, ops=ops)
    found = memory_use(params, outputs, config.model, ops)
    constants, latent = config.model.time_constants, config.model.latent
    assert found.shape == (1 + 3 * constants,)
    energy = np.square(outputs.mu.astype(np.float64)).mean(axis=-1)
    assert found[0] == pytest.approx((energy / (energy + config.model.e0)).mean(), rel=1e-6)
    blocks = outputs.m_blocks.shape[2] - 1
    assert blocks > 5
    changes = {k: [] for k in range(constants)}
    for k in range(constants):
        m = outputs.m_blocks[0, :, :blocks, k].astype(np.float64)
        assert found[1 + k] == pytest.approx(np.sqrt((m**2).mean()), rel=1e-6)
        q = outputs.q_blocks[0, :, :blocks, k].astype(np.float64)
        assert found[1 + constants + k] == pytest.approx(np.sqrt(q.mean()), rel=1e-6)
        alone = np.zeros((constants, latent))
        alone[k] = 1.0  # every other time constant left out of what is read
        first, _ = memory_read_forward(*(a[:, :, 0] * alone for a in (outputs.m_blocks, outputs.q_blocks)))
        for n in range(blocks):
            now, _ = memory_read_forward(*(a[:, :, n] * alone for a in (outputs.m_blocks, outputs.q_blocks)))
            changes[k].append((now - first) @ params["separator.memory.weight"].T)
        assert found[1 + 2 * constants + k] == pytest.approx(np.sqrt(np.square(changes[k]).mean()), rel=1e-5)


def test_the_mean_over_mixtures(config: RunConfig) -> None:
    params = init_params(config.model, 0)
    rows = [np.arange(7.0), np.arange(7.0) + 2]
    assert mean_memory_use(params, rows) == {
        "activity": 1.0,
        "m": [2.0, 3.0],
        "q": [4.0, 5.0],
        "reading": [6.0, 7.0],
        "eta": [pytest.approx(1 / (1 + np.exp(-1.0))), pytest.approx(1 / (1 + np.exp(1.0)))],
    }


def test_a_bank_that_hears_nothing_new_moves_nothing(config: RunConfig, ops: SimpleNamespace) -> None:
    params = init_params(config.model, 0)
    outputs, _ = lvbd.forward(params, np.zeros((1, 1200), np.float32), None, config=config.model, ops=ops)
    still = outputs._replace(
        m_blocks=np.repeat(outputs.m_blocks[:, :, :1], 4, axis=2),
        q_blocks=np.repeat(outputs.q_blocks[:, :, :1], 4, axis=2),
    )
    assert (memory_use(params, still, config.model, ops)[-config.model.time_constants :] == 0).all()


def test_without_memory(ops: SimpleNamespace) -> None:
    config = load_config(RunConfig, PRESETS["lvbd-tiny"], {"model": {"memory": False}})
    params = init_params(config.model, 0)
    outputs, _ = lvbd.forward(params, np.ones((1, 800), np.float32), None, config=config.model, ops=ops)
    empty = memory_use(params, outputs, config.model, ops)
    assert empty.shape == (0,) and mean_memory_use(params, [empty]) is None


def test_the_log_has_it_where_a_step_is_validated(trainer: Callable[..., Trainer]) -> None:
    """A step without validation does not; what resuming and ranks do to it, the tests of the loop see."""
    run = trainer()
    run.run(lambda step, steps: None)
    lines = [json.loads(line) for line in (Path(run.out) / "log.jsonl").read_text().splitlines()]
    assert [line["memory"] is not None for line in lines] == [False, False, True, False, False, True, True]
    last = lines[-1]["memory"]
    assert set(last) == {"activity", "m", "q", "reading", "eta"} and 0 < last["activity"] < 1
    theta = run.params["memory.theta"].astype(np.float64)
    np.testing.assert_allclose(last["eta"], 1 / (1 + np.exp(-theta)))
