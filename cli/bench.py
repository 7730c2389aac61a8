"""refbss bench: time refbss, alone or in turns with PyTorch and JAX, after checking that both compute the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import FiniteFloat, Progress, emit, json_option, seed_option

if TYPE_CHECKING:
    from refbss.bench.suite import Session, Start
    from refbss.bench.worker import Job


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """A list like 1,2 of numbers of threads, each of them once."""
    if value is None:
        return None
    try:
        found = tuple(int(part) for part in value.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise click.BadParameter(f"{value!r} is not a list of numbers of threads like 1,2")
    return tuple(dict.fromkeys(found))


@click.command(short_help="Time refbss, alone or against PyTorch and JAX.")
@click.option("--against", metavar="PEERS", help="Of torch, torch-compile and jax, with commas between.")
@click.option("--op", "op", metavar="NAME", help="Only this operator.")
@click.option("--model", "preset", metavar="PRESET", help="Only the model: training, separation, streaming.")
@click.option("--cold", is_flag=True, help="Only cold starts: imports, and the first refbss separate ever.")
@click.option("--scaling", is_flag=True, help="Only how time and memory of a training step grow with its size.")
@click.option(
    "--threads", callback=_numbers, help="Numbers of threads to use.  [default: 1,2, or 1 where there is one processor]"
)
@click.option(
    "--seconds", type=FiniteFloat(min=0), default=2.0, show_default=True, help="About how long a case is timed."
)
@seed_option
@json_option
def bench(
    against: str | None,
    op: str | None,
    preset: str | None,
    cold: bool,
    scaling: bool,
    threads: tuple[int, ...] | None,
    seconds: float,
    seed: int,
    as_json: bool,
) -> int:
    """Time the fast engine: operators at the shapes of a training step of lvbd-small, and the model itself.

    With --against every case is first checked to give the same results in the peer, gradients included, and then both
    are timed in turns in one process on the same processors. Ratios are the peer's time over that of refbss, the median
    over rounds. GFLOP/s count matrix products; the peak is that of products of square matrices in the same process.
    The machine should have nothing else to do.
    """
    if sum((op is not None, preset is not None, cold, scaling)) > 1:
        raise click.UsageError("--op, --model, --cold and --scaling exclude each other.")
    from refbss import machine
    from refbss.bench import suite
    from refbss.bench.process import BenchError
    from refbss.bench.scaling import scale

    peers = _peers(against)
    counts = _threads(threads)
    jobs = [] if cold or scaling else _jobs(peers, op, preset, counts, seconds, seed)
    facts = machine.describe()
    click.echo(_plan(jobs, cold, scaling, peers), err=True)
    sessions: list[Session] = []
    starts: list[Start] = []
    growth: list[Any] = []
    total = sum(2 * len(job.ops) + len(job.model) for job in jobs)
    cold = cold or not (op or preset or scaling)
    if cold:
        total += 3 + len(suite.modules(peers))
    done = 0
    with Progress("bench", total or None) as progress:

        def heard(result: Any) -> None:
            nonlocal done
            done += 1
            progress.update(done, f"{result.case}, {result.threads} threads, {result.peer or 'alone'}")

        try:
            for job in jobs:
                sessions.append(suite.run_job(job, heard))
            if cold:
                for start in suite.cold_starts(peers):
                    starts.append(start)
                    done += 1
                    progress.update(done, start.name)
            if scaling:
                for sweep in scale(max(counts), seed, lambda note: progress.update(done, note)):
                    growth.append(sweep)
        except BenchError as error:
            click.echo(f"refbss: error: {error}", err=True)
            return 1
    result = {
        "machine": facts,
        "sessions": [asdict(session) for session in sessions],
        "cold_starts": [asdict(start) for start in starts],
        "scaling": [asdict(sweep) for sweep in growth],
    }
    emit(result, _lines(facts, sessions, starts, growth), as_json=as_json)
    return 0


def _peers(against: str | None) -> list[str]:
    """Names of the peers, each once. Raises InputError on an unknown or missing one."""
    import importlib.util

    from refbss._checks import InputError
    from refbss.bench.suite import PEERS

    names = [] if against is None else list(dict.fromkeys(name.strip() for name in against.split(",")))
    for name in names:
        if name not in PEERS:
            raise InputError(f"bench: --against is {name!r}, wanted of {', '.join(PEERS)}")
        if importlib.util.find_spec(name.split("-")[0]) is None:
            raise InputError(f"bench: --against is {name!r}, which is not installed (pip install 'refbss[check]')")
    return names


def _threads(given: tuple[int, ...] | None) -> tuple[int, ...]:
    """Numbers of threads. Raises InputError where there are not so many processors."""
    from refbss import machine
    from refbss._checks import InputError

    most = machine.cpus()
    if given is None:
        return (1, 2) if most > 1 else (1,)
    if max(given) > most:
        raise InputError(f"bench: --threads is {max(given)}, wanted at most {most}: the processors that may be used")
    return given


def _jobs(
    peers: list[str], op: str | None, preset: str | None, threads: tuple[int, ...], seconds: float, seed: int
) -> list[Job]:
    """A job for each peer and number of threads. Raises InputError on an unknown operator or preset."""
    from refbss._checks import InputError
    from refbss.bench.cases import MODEL_CASES, op_cases
    from refbss.bench.worker import Job
    from refbss.training.config import PRESETS

    names = sorted({case.op for case in op_cases()})
    if op is not None and op not in names:
        raise InputError(f"bench: --op is {op!r}, wanted one of {', '.join(names)}")
    if preset is not None and preset not in PRESETS:
        raise InputError(f"bench: --model is {preset!r}, wanted one of {', '.join(PRESETS)}")
    ops = () if preset else tuple(case.name for case in op_cases() if op in (None, case.op))
    jobs = []
    for count in threads:
        model = () if op else tuple(name for name in MODEL_CASES if count == 1 or not name.startswith("streaming"))
        jobs += [Job(peer, count, ops, model, preset or "lvbd-small", seconds, seed) for peer in peers or [""]]
    return jobs


def _plan(jobs: list[Job], cold: bool, scaling: bool, peers: list[str]) -> str:
    if cold:
        return "Timing cold starts: imports, and refbss separate with and without compiled kernels"
    if scaling:
        return "Timing training steps of growing length, batch and number of sources, each size in its own process"
    cases = sum(2 * len(job.ops) + len(job.model) for job in jobs)
    rivals = f" against {', '.join(peers)}" if peers else ""
    return f"Timing {cases} cases{rivals}, about {cases * 2 * jobs[0].seconds / 60:.0f} minutes"


def _lines(facts: dict[str, Any], sessions: list[Session], starts: list[Start], growth: list[Any]) -> list[str]:
    from refbss.bench.suite import table

    versions = {session.job.peer: session.version for session in sessions if session.version}
    others = "".join(f", {name} {version}" for name, version in versions.items())
    lines = [
        f"{facts['processor']}, {facts['processors']} processors, vectors of {facts['vector_bits']} bits; "
        f"Python {facts['python']}, NumPy {facts['numpy']}, Numba {facts['numba']}{others}",
    ]
    for session in sessions:
        peak = session.peak
        beside = f", beside {session.job.peer}" if session.job.peer else ""
        lines.append(
            f"peak, threads {peak['threads']}{beside}: {max(peak['fast'], peak['blas']):.0f} GFLOP/s "
            f"(refbss {peak['fast']:.0f}, NumPy's BLAS {peak['blas']:.0f})"
        )
    if sessions:
        lines += ["", *table([result for session in sessions for result in session.results])]
    if starts:
        lines += ["", "| cold start | s | limit, s |", "|---|---|---|"]
        for start in starts:
            limit = "" if start.limit_s is None else f"{start.limit_s:g}"
            missed = ", missed" if start.limit_s is not None and start.seconds > start.limit_s else ""
            lines.append(f"| {start.name} | {start.seconds:.2f} | {limit}{missed} |")
    for sweep in growth:
        lines += ["", *sweep.lines()]
    return lines
