"""The process that times one peer: its threads are those that the process may use, from before the peer is imported.

``python -m refbss.bench.worker`` reads a Job as JSON from stdin and writes one line of JSON a result to stdout. NumPy's
BLAS is held to one thread by the environment; the fast engine does not use it. Whatever else is printed goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

from refbss.bench.process import results_stream

if TYPE_CHECKING:
    from refbss._types import Array

TOLERANCE = 1e-4
"""Largest difference of a peer's results, relative to the largest element: both are float32, in other orders."""
STEP_TOLERANCE = 2e-3
"""The same for the gradients of the whole untrained network, which multiplies roundings: those of refbss are up to 2e-4
off the gradients in float64, those of PyTorch up to 6e-4."""


class Differs(Exception):
    """A peer computes something else: timing it would compare two different things."""


@dataclass(frozen=True)
class Job:
    """What a worker does."""

    peer: str
    """torch, torch-compile, jax, or nothing: refbss alone."""
    threads: int
    ops: tuple[str, ...]
    """Names of operator cases."""
    model: tuple[str, ...]
    """Names of model cases."""
    preset: str
    seconds: float
    """About how long a case is timed, each way."""
    seed: int


@dataclass(frozen=True)
class Result:
    """Times of one case on some threads, in ms; ratio and its spread where there is a peer."""

    case: str
    way: str
    threads: int
    peer: str
    ours_ms: float
    peer_ms: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    gflops: float | None
    share_of_peak: float | None
    goal: float | None
    rounds: int
    largest_difference: float | None


def _compare(case: str, ours: dict[str, Array], theirs: dict[str, Array], allowed: float = TOLERANCE) -> float:
    """Largest relative difference. Raises Differs."""
    import numpy as np

    largest = 0.0
    for name, array in ours.items():
        other = np.asarray(theirs[name])
        if other.shape != array.shape:
            raise Differs(f"{case}: {name} has shape {other.shape} there and {array.shape} here")
        scale = float(np.abs(array).max()) or 1.0
        difference = float(np.abs(array - other).max()) / scale
        if not difference <= allowed:
            raise Differs(f"{case}: {name} differs by {difference:.1e} of its largest element, allowed {allowed:.0e}")
        largest = max(largest, difference)
    return largest


def _named(outputs: list[Array], grads: dict[str, Array]) -> dict[str, Array]:
    return {f"output {i}": array for i, array in enumerate(outputs)} | {f"d{name}": g for name, g in grads.items()}


class Worker:
    """Runs the cases of a job against its peer."""

    def __init__(self, job: Job, pool: Any) -> None:
        from refbss.machine import keep_freed_memory, peak

        keep_freed_memory()
        self.job = job
        self.pool = pool
        self.peak = peak(job.threads)
        self.peer: Any = None
        if job.peer == "jax":
            from refbss.conformance.peers_jax import JaxPeer

            self.peer = JaxPeer(job.threads)
        elif job.peer:
            from refbss.conformance.peers_torch import TorchPeer

            self.peer = TorchPeer(job.threads, compiled=job.peer == "torch-compile")

    def results(self) -> Iterator[Result]:
        """Time every case. Raises Differs."""
        from refbss.bench.cases import op_cases

        for case in op_cases():
            if case.name in self.job.ops:
                for way in ("forward", "forward+backward"):
                    yield self._op(case, way)
        for name in self.job.model:
            yield {"training step": self._training, "separation of 10 s": self._separation}.get(name, self._streaming)()

    def _result(
        self, case: str, way: str, ours: Callable[[], Any], peer: Callable[[], Any] | None, flops: float,
        goal: float | None, difference: float | None,
    ) -> Result:  # fmt: skip
        import numpy as np

        from refbss.bench.timing import in_turns, ratio

        timed = in_turns(ours, peer, self.job.seconds)
        seconds = float(np.median(timed.ours))
        found = ratio(timed) if peer is not None else None
        gflops = flops / seconds / 1e9 if flops else None
        return Result(
            case, way, self.job.threads, self.job.peer, 1e3 * seconds,
            1e3 * float(np.median(timed.peer)) if found else None,
            found.median if found else None, found.low if found else None, found.high if found else None,
            gflops, gflops / self.peak.gflops if gflops else None, goal if found else None, len(timed.ours), difference,
        )  # fmt: skip

    def _op(self, case: Any, way: str) -> Result:
        import numpy as np

        from refbss.bench.cases import GOAL_THREADS
        from refbss.bench.ours import OpRun

        rng = np.random.Generator(np.random.Philox(self.job.seed))
        arrays = case.draw(rng)
        outputs, _ = OpRun(case, arrays, self.pool, 1, []).arrays_of(OpRun(case, arrays, self.pool, 1, [])())
        both = way == "forward+backward"
        cotangents = [rng.standard_normal(out.shape).astype(np.float32) for out in outputs] if both else []
        run = OpRun(case, arrays, self.pool, self.job.threads, cotangents)
        peer, difference = None, None
        if self.peer is not None:
            peer = self.peer.op(case.op, arrays, case.differentiate if both else (), cotangents, case.attributes)
            theirs = self.peer.arrays_of(peer())
            difference = _compare(f"{case.name}, {way}", _named(*run.arrays_of(run())), _named(*theirs))
        goal = case.goals[self.job.peer] if self.job.peer and both and self.job.threads == GOAL_THREADS else 1.0
        return self._result(case.name, way, run, peer, case.flops * (3 if both else 1), goal, difference)

    def _model(self) -> tuple[Any, Any]:
        """Configuration and parameters of the preset."""
        from refbss.config import load_config
        from refbss.models.lvbd_params import init_params
        from refbss.training.config import PRESETS, RunConfig

        config = load_config(RunConfig, PRESETS[self.job.preset])
        return config, init_params(config.model, self.job.seed, loss_config=config.loss)

    def _flops_a_second(self, config: Any) -> float:
        from refbss.models.info import multiply_adds

        return 2.0 * sum(multiply_adds(config.model).values())

    def _goal(self, case: str) -> float | None:
        from refbss.bench.cases import MODEL_CASES

        threads, goals = MODEL_CASES[case]
        return goals.get(self.job.peer) if self.job.threads == threads else 1.0

    def _training(self) -> Result:
        import numpy as np

        from refbss.bench.ours import TrainingStep
        from refbss.training.optimizers import clip_gradients

        config, params = self._model()
        rng = np.random.Generator(np.random.Philox(self.job.seed))
        batch, samples, sources = config.train.batch, config.mix.samples, config.model.sources
        refs = (0.1 * rng.standard_normal((batch, sources, samples))).astype(np.float32)
        frames = -(-samples // config.model.hop)
        eps = rng.standard_normal((batch, sources, frames, config.model.latent), dtype=np.float32)
        data = (refs.sum(axis=1), refs, eps, np.ones(batch, bool))
        step = TrainingStep(params, data, config, self.pool)
        peer, difference = None, None
        if self.peer is not None:
            peer = self.peer.training_step(params, *data, config)
            loss, grads = step.gradients()
            grads, _ = clip_gradients(grads, config.train.clip_norm)
            first = peer()
            ours = {"loss": np.array(loss)} | {f"d{name}": grad for name, grad in grads.items()}
            of_first = self.peer.gradients_of(first)
            theirs = {"loss": np.array(self.peer.losses_of(first))} | {f"d{name}": g for name, g in of_first.items()}
            difference = _compare("training step", ours, theirs, STEP_TOLERANCE)
        flops = 3 * self._flops_a_second(config) * batch * config.mix.seconds
        return self._result(
            "training step", self.job.preset, step, peer, flops, self._goal("training step"), difference
        )

    def _separation(self) -> Result:
        import numpy as np

        from refbss.bench import ours

        config, params = self._model()
        rng = np.random.Generator(np.random.Philox(self.job.seed))
        seconds, threads = 10.0, self.job.threads
        samples = round(seconds * config.model.sample_rate_hz)
        mix = (0.1 * rng.standard_normal((threads, samples))).astype(np.float32)
        run = ours.separation(params, mix, config.model, self.pool, threads)
        peer, difference = None, None
        if self.peer is not None:
            peer = self.peer.separation(params, mix, config.model)
            est = {"est": np.concatenate(run())}
            difference = _compare("separation of 10 s", est, {"est": np.asarray(peer())})
        flops = self._flops_a_second(config) * threads * seconds
        goal = self._goal("separation of 10 s")
        return self._result("separation of 10 s", self.job.preset, run, peer, flops, goal, difference)

    def _streaming(self) -> Result:
        import numpy as np

        from refbss.bench import ours

        config, params = self._model()
        rng = np.random.Generator(np.random.Philox(self.job.seed))
        hop = config.model.hop
        mix = (0.1 * rng.standard_normal((3 * config.model.block, hop))).astype(np.float32)
        step, peer, difference = ours.streaming(params, config.model), None, None
        if self.peer is not None:
            their_step = self.peer.streaming(params, config.model)
            est = {"est": np.concatenate([step(samples) for samples in mix], axis=1)}
            theirs = {"est": np.concatenate([np.array(their_step(samples)) for samples in mix], axis=1)}
            difference = _compare("streaming, a hop", est, theirs)
            peer = _walk(their_step, mix)
        flops = self._flops_a_second(config) * hop / config.model.sample_rate_hz
        return self._result(
            "streaming, a hop",
            self.job.preset,
            _walk(step, mix),
            peer,
            flops,
            self._goal("streaming, a hop"),
            difference,
        )


def _walk(step: Callable[[Array], Any], mix: Array) -> Callable[[], Any]:
    """The next hop of an endless signal at each call."""
    place = 0

    def work() -> Any:
        nonlocal place
        place = (place + 1) % len(mix)
        return step(mix[place])

    return work


def main(out: TextIO) -> int:
    """Read the job, then import what it needs: processors and threads are settled first."""
    job = Job(**json.loads(sys.stdin.read()))
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))[: job.threads]
        os.sched_setaffinity(0, allowed)
    from refbss.training.shards import team

    with team(job.threads) as pool:
        worker = Worker(job, pool)
        lines = {"peak": worker.peak._asdict(), "peer": worker.peer.version() if worker.peer is not None else ""}
        print(json.dumps(lines), file=out, flush=True)
        try:
            for result in worker.results():
                print(json.dumps(asdict(result)), file=out, flush=True)
        except Differs as error:
            print(json.dumps({"differs": str(error)}), file=out, flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(results_stream()))
