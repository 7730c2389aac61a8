"""How a training step grows with the length, the number and the sources of its mixtures: time, memory, exponents.

``python -m refbss.bench.scaling SECONDS BATCH SOURCES THREADS SEED`` times one size in a process of its own, because a
process never gives back the memory that it once had.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from refbss.bench.process import BenchError, answer, cause, command, environment, results_stream

if TYPE_CHECKING:
    from refbss.training.shards import Pool

SWEEPS: dict[str, tuple[float, ...]] = {
    "seconds of a mixture": (0.5, 1, 2, 4, 8, 16),
    "mixtures a step": (4, 8, 16, 32),
    "sources": (2, 3, 4, 6),
}
"""What grows; the rest is 2 s, 8 mixtures, 2 sources."""
MOST = 1.05
"""Largest exponent that still counts as linear."""
ROUNDS = 7


@dataclass(frozen=True)
class Sweep:
    """One quantity that grows, and what a step took at each size; exponents of seconds and of memory."""

    quantity: str
    sizes: tuple[float, ...]
    seconds: tuple[float, ...]
    memory_mb: tuple[float, ...]
    """Largest resident size beyond that of the process with kernels and parameters in place."""
    time_exponent: float
    memory_exponent: float

    def lines(self) -> list[str]:
        """A Markdown table."""
        found = [f"| {self.quantity} | s a step | memory, MB |", "|---|---|---|"]
        rows = zip(self.sizes, self.seconds, self.memory_mb, strict=True)
        found += [f"| {size:g} | {seconds:.3f} | {memory:.0f} |" for size, seconds, memory in rows]
        missed = ", missed" if max(self.time_exponent, self.memory_exponent) > MOST else ""
        found.append(
            f"| exponent (goal: at most {MOST}{missed}) | {self.time_exponent:.2f} | {self.memory_exponent:.2f} |"
        )
        return found


def scale(threads: int, seed: int, say: Callable[[str], None]) -> Iterator[Sweep]:
    """Run every sweep on so many threads."""
    from refbss.bench.timing import exponent

    for place, (quantity, sizes) in enumerate(SWEEPS.items()):
        seconds, memory = [], []
        for size in sizes:
            say(f"{quantity}: {size:g}")
            arguments = [2.0, 8.0, 2.0]
            arguments[place] = size
            done = subprocess.run(
                command("refbss.bench.scaling", *arguments, threads, seed),
                env=environment(),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
            who = f"a step with {quantity} = {size:g}"
            if done.returncode != 0:
                raise BenchError(f"{who}: {cause(done.stderr, done.returncode)}")
            found = answer(done.stdout, who)
            seconds.append(found["seconds"])
            memory.append(found["memory_mb"])
        numbers = [float(size) for size in sizes]
        yield Sweep(
            quantity,
            tuple(numbers),
            tuple(seconds),
            tuple(memory),
            exponent(numbers, seconds),
            exponent(numbers, memory),
        )


def _step(seconds: float, batch: int, sources: int, threads: int, seed: int) -> dict[str, float]:
    """Median seconds of a step of lvbd-small at one size, and the memory that it takes."""
    import resource

    import numpy as np

    from refbss.bench.ours import TrainingStep
    from refbss.config import load_config
    from refbss.models.lvbd_params import init_params
    from refbss.training.config import PRESETS, RunConfig
    from refbss.training.shards import team

    overrides = (f"mix.seconds={seconds}", f"train.batch={batch}", f"model.sources={sources}", f"mix.sources={sources}")
    config = load_config(RunConfig, PRESETS["lvbd-small"], overrides=overrides)
    params = init_params(config.model, seed, loss_config=config.loss)
    rng = np.random.Generator(np.random.Philox(seed))

    def step(samples: int, run: Pool) -> TrainingStep:
        refs = 0.1 * rng.standard_normal((batch, sources, samples), dtype=np.float32)
        frames = -(-samples // config.model.hop)
        eps = rng.standard_normal((batch, sources, frames, config.model.latent), dtype=np.float32)
        return TrainingStep(params, (refs.sum(axis=1), refs, eps, np.ones(batch, bool)), config, run)

    def resident_mb() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    with team(threads) as run:
        step(512, run)()
        before, times = resident_mb(), []
        measured = step(config.mix.samples, run)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            measured()
            times.append(time.perf_counter() - began)
    return {"seconds": float(np.median(times[2:])), "memory_mb": resident_mb() - before}


if __name__ == "__main__":
    out = results_stream()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    length, count, voices, workers, first = (float(value) for value in sys.argv[1:])
    print(json.dumps(_step(length, int(count), int(voices), int(workers), int(first))), file=out)
