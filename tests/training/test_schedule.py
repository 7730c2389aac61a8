"""Learning rate and temperature at chosen steps."""

from __future__ import annotations

import pytest

from refbss.models.lvbd_config import LvbdLossConfig
from refbss.training.config import TrainConfig
from refbss.training.schedule import learning_rate, sinkhorn_temperature_db

CONFIG = TrainConfig(learning_rate=2.0, warmup_steps=4, final_fraction=0.1)


@pytest.mark.parametrize(
    ("step", "steps", "wanted"),
    [
        (0, 15, 0.5),
        (1, 15, 1.0),
        (3, 15, 2.0),
        (4, 15, 2.0),
        (9, 15, 1.1),  # half way from step 4 to step 14
        (14, 15, 0.2),
        (20, 15, 0.2),
        (0, None, 0.5),
        (1000, None, 2.0),
    ],
)
def test_learning_rate(step: int, steps: int | None, wanted: float) -> None:
    assert learning_rate(step, steps, CONFIG) == pytest.approx(wanted)


def test_without_warm_up() -> None:
    config = TrainConfig(learning_rate=2.0, warmup_steps=0, final_fraction=0.0)
    assert [learning_rate(step, 3, config) for step in range(3)] == [2.0, 1.0, 0.0]


def test_a_run_shorter_than_its_warm_up() -> None:
    assert [learning_rate(step, 2, CONFIG) for step in range(2)] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("step", "steps", "wanted"), [(0, 3, 4.0), (1, 3, 2.0), (2, 3, 1.0), (5, None, 4.0), (0, 1, 4.0)]
)
def test_temperature(step: int, steps: int | None, wanted: float) -> None:
    config = LvbdLossConfig(sinkhorn_temp_db=4.0, sinkhorn_temp_end_db=1.0)
    assert sinkhorn_temperature_db(step, steps, config) == pytest.approx(wanted)
