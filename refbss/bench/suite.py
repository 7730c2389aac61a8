"""The whole benchmark: a process for each peer and number of threads, cold starts, and the table of it all."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from refbss.bench.process import BenchError, answer, cause, command, environment, importing, stray
from refbss.bench.worker import Job, Result

PEERS = ("torch", "torch-compile", "jax")


@dataclass(frozen=True)
class Session:
    """What one worker process found: its job, the peak of its threads, the peer's version, the results."""

    job: Job
    peak: dict[str, Any]
    version: str
    results: list[Result]


def run_job(job: Job, heard: Callable[[Result], None]) -> Session:
    """Run a worker. Raises BenchError with what it said."""
    who = f"the worker for {job.peer or 'refbss'}"
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            command("refbss.bench.worker"),
            env=environment(OPENBLAS_NUM_THREADS="1", JAX_PLATFORMS="cpu"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            with suppress(BrokenPipeError):  # it is gone already; what it died of is said below
                process.stdin.write(json.dumps(asdict(job)))
                process.stdin.close()
            head: dict[str, Any] = {}
            results: list[Result] = []
            for line in process.stdout:
                said = answer(line, who)
                if "differs" in said:
                    raise BenchError(said["differs"])
                if "peak" in said:
                    head = said
                else:
                    results.append(_result(said, line, who))
                    heard(results[-1])
            if process.wait() != 0 or not head:
                errors.seek(0)
                raise BenchError(f"{who} stopped: {cause(errors.read(), process.returncode)}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    return Session(job, head["peak"], head["peer"], results)


def _result(said: dict[str, Any], line: str, who: str) -> Result:
    try:
        return Result(**said)
    except TypeError:
        raise stray(line, who) from None


@dataclass(frozen=True)
class Start:
    """A cold start: what was started, and how long it took."""

    name: str
    seconds: float
    limit_s: float | None


def _start(name: str, words: Sequence[str], times: int, limit_s: float | None, **more: str) -> Start:
    """The shortest of several runs of a command. Raises BenchError."""
    found, around = [], environment(**more)
    for _ in range(times):
        began = time.perf_counter()
        done = subprocess.run(words, env=around, capture_output=True, encoding="utf-8", errors="replace", check=False)
        found.append(time.perf_counter() - began)
        if done.returncode != 0:
            raise BenchError(f"{name}: {cause(done.stderr, done.returncode)}")
    return Start(name, min(found), limit_s)


def modules(peers: Sequence[str]) -> list[str]:
    """What is imported for the peers, each once."""
    return list(dict.fromkeys(peer.split("-")[0] for peer in peers))


def cold_starts(peers: Sequence[str]) -> Iterator[Start]:
    """Imports, and refbss separate on a file of 10 s: the first time ever, with no kernel compiled, and later ones."""
    import numpy as np

    from refbss.data.audio_io import write_audio

    yield _start("import refbss", importing("refbss"), 5, 0.3)
    for module in modules(peers):
        yield _start(f"import {module}", importing(module), 3, None)
    with tempfile.TemporaryDirectory() as folder:
        mix = (0.1 * np.random.Generator(np.random.Philox(0)).standard_normal(80000)).astype(np.float32)
        path = Path(folder) / "mix.wav"
        write_audio(path, mix, 8000)
        words = command("refbss_cli.main", "separate", path, "--out", Path(folder) / "out")
        kernels = str(Path(folder) / "kernels")
        yield _start("refbss separate of 10 s, the first ever", words, 1, 30.0, NUMBA_CACHE_DIR=kernels)
        yield _start("refbss separate of 10 s, later", words, 3, 1.5, NUMBA_CACHE_DIR=kernels)


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
