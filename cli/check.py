"""refbss check: judge an implementation, in any language, by the golden vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from refbss._files import check_writable, replaced
from refbss_cli.options import Progress, emit, json_option

if TYPE_CHECKING:
    from refbss.conformance.implementation import Implementation
    from refbss.conformance.judge import Verdict
    from refbss.conformance.results import Results
    from refbss.conformance.vectors import Library

SILENT_S = 1.0
"""Progress is shown only of a check that takes longer."""


@click.command()
@click.argument("target", required=False, metavar="[TARGET]")
@click.option("--op", "ops", multiple=True, metavar="OP", help="Operator, case or pattern to judge; repeatable.")
@click.option("--model", metavar="CASE", help="Whole model to judge, a case or pattern below model/.")
@click.option(
    "--framework",
    type=click.Choice(["numpy", "torch", "jax"]),
    default=None,
    help="Arrays that TARGET takes.  [default: torch for a torch.nn.Module, else numpy]",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64", "both"]),
    default=None,
    help="What to compute in.  [default: float32; of answers as files, what they say]",
)
@click.option("--grads", is_flag=True, help="Judge the gradients too.")
@click.option("--vjp", metavar="TARGET", help="Function that gives the gradients of a numpy TARGET.")
@click.option(
    "--state-map",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file: which of a module's parameters and layers is which of the case's.",
)
@click.option("--results", type=click.Path(path_type=Path), metavar="DIR", help="Judge answers as files, not a TARGET.")
@click.option("--vectors", type=click.Path(path_type=Path), metavar="DIR", help="Judge by the vectors of this folder.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write a JUnit report.")
@click.option("--verbose", is_flag=True, help="List the cases that agree too.")
@json_option
def check(
    target: str | None,
    ops: tuple[str, ...],
    model: str | None,
    framework: str | None,
    dtype: str | None,
    grads: bool,
    vjp: str | None,
    state_map: Path | None,
    results: Path | None,
    vectors: Path | None,
    junit: Path | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Judge an implementation, in any language, by the golden vectors.

    TARGET is module:attribute or path/to/file.py:attribute: a function, a class, a torch.nn.Module, or for --model a
    builder of one. The words reference and fast stand for the engines of refbss. Exit code 0: everything agrees,
    1: something does not, 2: wrong usage or input.
    """
    from refbss._checks import InputError
    from refbss.conformance import report
    from refbss.conformance.vectors import Library

    _refuse_what_does_not_fit(target, ops, model, results, framework or vjp or state_map, dtype)
    if junit is not None and (trouble := _trouble(junit, check_writable)):
        raise InputError(trouble)
    library = Library(vectors)
    if results is not None:
        verdicts = _judge_results(results, library, ops, dtype, grads)
    else:
        assert target is not None
        verdicts = _judge_target(
            target, library, _patterns(target, ops, model), framework, dtype, grads, vjp, state_map
        )
    trouble = _trouble(junit, partial(_write, report.junit(verdicts))) if junit is not None else ""
    judged = target or str(results)
    emit(report.as_dict(judged, verdicts, grads=grads), report.text_lines(verdicts, verbose=verbose), as_json=as_json)
    if trouble:
        raise InputError(trouble)
    return int(not all(verdict.passed for verdict in verdicts))


def _refuse_what_does_not_fit(
    target: str | None,
    ops: Sequence[str],
    model: str | None,
    results: Path | None,
    of_a_target: str | Path | None,
    dtype: str | None,
) -> None:
    from refbss.engine import ENGINES

    if (target is None) == (results is None):
        raise click.UsageError("wanted either a TARGET or --results DIR.")
    if results is not None:
        if of_a_target or model:
            raise click.UsageError("--model, --framework, --vjp and --state-map want a TARGET, not --results.")
        if dtype == "both":
            raise click.UsageError("--dtype both wants a TARGET: an answer as a file is of one dtype.")
    if model and ops:
        raise click.UsageError("wanted --op or --model, not both.")
    if target in ENGINES and of_a_target:
        raise click.UsageError(f"--framework, --vjp and --state-map want a TARGET of yours, not {target}.")


def _patterns(target: str, ops: Sequence[str], model: str | None) -> list[str]:
    """The cases to judge, as patterns; none stands for all, which only the engines of refbss can answer."""
    from refbss.engine import ENGINES

    if model:
        return [model if model.startswith("model/") else f"model/{model}"]
    if not ops and target not in ENGINES:
        raise click.UsageError("--op is missing: the operator that TARGET computes, such as --op gru.")
    return list(ops)


def _trouble(path: Path, use: Callable[[Path], None]) -> str:
    """What is wrong with a file that is to be written, as one line; empty if nothing is."""
    try:
        use(path)
    except OSError as error:
        return f"{path}: cannot be written ({error.strerror}), wanted the name of a file"
    return ""


def _write(content: bytes, path: Path) -> None:
    with replaced(path) as part:
        part.write_bytes(content)


def _judge_target(
    target: str,
    library: Library,
    patterns: Sequence[str],
    framework: str | None,
    dtype: str | None,
    grads: bool,
    vjp: str | None,
    state_map: Path | None,
) -> list[Verdict]:
    from refbss.conformance.diverted import diverted
    from refbss.conformance.state_map import read_state_map
    from refbss.conformance.targets import implementation
    from refbss.conformance.vectors import DTYPES

    ids = _ids(library, patterns)
    dtypes = DTYPES if dtype == "both" else (dtype or DTYPES[0],)
    entries = None if state_map is None else read_state_map(state_map)
    with diverted():
        ops = {case.split("/")[0] for case in ids}
        found = implementation(target, framework, ops=ops, vjp=vjp, state_map=entries)
        return _judge(library, found, [(case, each) for case in ids for each in dtypes], grads)


def _judge_results(
    folder: Path, library: Library, patterns: Sequence[str], dtype: str | None, grads: bool
) -> list[Verdict]:
    from refbss.conformance.judge import stray
    from refbss.conformance.results import Results

    results = Results(folder, library)
    ids = _ids(library, patterns or results.ops)
    verdicts = _judge(library, results, [(case, dtype or results.dtype_of(case)) for case in ids], grads)
    judged = {case.split("/")[0] for case in ids}
    strays = results.strays.items()
    return verdicts + [stray(case, path) for case, path in strays if not patterns or case.split("/")[0] in judged]


def _ids(library: Library, patterns: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(case for pattern in patterns for case in library.find(pattern))) or list(library.ids)


def _judge(
    library: Library, implementation: Implementation | Results, asked: Sequence[tuple[str, str]], grads: bool
) -> list[Verdict]:
    from refbss.conformance.judge import judge

    start = time.monotonic()
    verdicts = []
    with Progress("checking", len(asked)) as progress:
        for done, (case, dtype) in enumerate(asked, 1):
            verdicts.append(judge(library.load(case), implementation, dtype, grads))
            if time.monotonic() - start > SILENT_S:
                progress.update(done, case)
    return verdicts
