"""What changes from step to step: the learning rate, and the temperature of the assignment."""

from __future__ import annotations

from refbss.models.lvbd_config import LvbdLossConfig
from refbss.training.config import TrainConfig


def learning_rate(step: int, steps: int | None, config: TrainConfig) -> float:
    """Learning rate of step 0, 1, ..: a linear rise over warmup_steps, then a linear fall to final_fraction [ours].

    ``steps`` is the length of the run; None while it is not known yet, which leaves out the fall.
    """
    rise = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if steps is None or step < config.warmup_steps:
        return config.learning_rate * rise
    done = (step - config.warmup_steps) / max(1, steps - 1 - config.warmup_steps)
    return config.learning_rate * (1.0 - (1.0 - config.final_fraction) * min(1.0, done))


def sinkhorn_temperature_db(step: int, steps: int | None, config: LvbdLossConfig) -> float:
    """Temperature of the sinkhorn assignment, geometric over the run [ours]; constant while its length is unknown."""
    first, last = config.sinkhorn_temp_db, config.sinkhorn_temp_end_db
    if steps is None or steps < 2:
        return first
    return float(first * (last / first) ** min(1.0, step / (steps - 1)))
