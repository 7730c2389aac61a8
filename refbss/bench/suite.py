"""The whole benchmark: a process for each peer and number of threads, cold starts, and the table of it all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from refbss.bench.worker import Job, Result

PEERS = ("torch", "torch-compile", "jax")


class BenchError(RuntimeError):
    """A worker could not do its job, or a peer computes something else."""


@dataclass(frozen=True)
class Session:
    """What one worker process found: its job, the peak of its threads, the peer's version, the results."""

    job: Job
    peak: dict[str, Any]
    version: str
    results: list[Result]


def run_job(job: Job, heard: Callable[[Result], None]) -> Session:
    """Run a worker. Raises BenchError with what it said."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "refbss.bench.worker"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(job)))
            process.stdin.close()
            head: dict[str, Any] = {}
            results: list[Result] = []
            for line in process.stdout:
                said = json.loads(line)
                if "differs" in said:
                    raise BenchError(said["differs"])
                if "peak" in said:
                    head = said
                else:
                    results.append(Result(**said))
                    heard(results[-1])
            if process.wait() != 0 or not head:
                errors.seek(0)
                last = errors.read().strip().splitlines()[-1:] or ["it said nothing"]
                raise BenchError(f"the worker for {job.peer or 'refbss'} stopped: {last[0]}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    return Session(job, head["peak"], head["peer"], results)


@dataclass(frozen=True)
class Start:
    """A cold start: what was started, and how long it took."""

    name: str
    seconds: float
    limit_s: float | None


def _seconds(command: Sequence[str], environment: dict[str, str], times: int) -> float:
    """The shortest of several runs. Raises BenchError."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        found.append(time.perf_counter() - began)
        if done.returncode != 0:
            raise BenchError(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}")
    return min(found)


def cold_starts(peers: Sequence[str]) -> Iterator[Start]:
    """Imports, and refbss separate on a file of 10 s: the first time ever, with no kernel compiled, and later ones."""
    import numpy as np

    from refbss.data.audio_io import write_audio

    plain = dict(os.environ)
    yield Start("import refbss", _seconds([sys.executable, "-c", "import refbss"], plain, 5), 0.3)
    for peer in peers:
        module = peer.split("-")[0]
        yield Start(f"import {module}", _seconds([sys.executable, "-c", f"import {module}"], plain, 3), None)
    with tempfile.TemporaryDirectory() as folder:
        mix = (0.1 * np.random.Generator(np.random.Philox(0)).standard_normal(80000)).astype(np.float32)
        path = Path(folder) / "mix.wav"
        write_audio(path, mix, 8000)
        command = [sys.executable, "-m", "refbss_cli.main", "separate", str(path), "--out", str(Path(folder) / "out")]
        cold = {**plain, "NUMBA_CACHE_DIR": str(Path(folder) / "kernels")}
        yield Start("refbss separate of 10 s, the first ever", _seconds(command, cold, 1), 30.0)
        yield Start("refbss separate of 10 s, later", _seconds(command, cold, 3), 1.5)


def table(results: Sequence[Result]) -> list[str]:
    """Lines of a Markdown table. Where a goal is missed the last column says so."""
    peers = any(result.peer for result in results)
    head = "| case | way | threads | refbss, ms | GFLOP/s | of peak |"
    line = "|---|---|---|---|---|---|"
    if peers:
        head += " peer | its ms | times as fast | 80 % of rounds | goal |"
        line += "---|---|---|---|---|"
    lines = [head, line]
    for r in results:
        rate = f"{r.gflops:.0f}" if r.gflops is not None else ""
        share = f"{100 * r.share_of_peak:.0f} %" if r.share_of_peak is not None else ""
        row = f"| {r.case} | {r.way} | {r.threads} | {_ms(r.ours_ms)} | {rate} | {share} |"
        if peers and r.ratio is not None and r.peer_ms is not None:
            met = "" if r.goal is None else f"{r.goal:g}" + ("" if r.ratio >= r.goal else ", missed")
            row += f" {r.peer} | {_ms(r.peer_ms)} | {r.ratio:.2f} | {r.ratio_low:.2f} to {r.ratio_high:.2f} | {met} |"
        lines.append(row)
    return lines


def _ms(value: float) -> str:
    return (
        f"{value:.3f}"
        if value < 1
        else f"{value:.2f}"
        if value < 10
        else f"{value:.0f}"
        if value >= 100
        else f"{value:.1f}"
    )
