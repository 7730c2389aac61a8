"""refbss doctor: the machine as refbss sees it, and what costs speed there."""

from __future__ import annotations

from typing import Any

import click

from refbss_cli.options import emit, json_option


@click.command(short_help="Print what the machine has, and what costs speed.")
@json_option
def doctor(as_json: bool) -> None:
    """Print versions, processors, vectors, BLAS, compiled kernels and the measured peak; say what costs speed.

    The peak is that of single-precision products of square matrices, on one thread and on all; it takes a few seconds
    to measure.
    """
    from refbss import machine

    facts = machine.describe()
    peaks = [machine.peak(count) for count in sorted({1, facts["processors"]})] if facts["compiled"] else []
    warnings = machine.costs(facts, peaks[0] if peaks else None)
    result = {**facts, "peaks": [peak._asdict() for peak in peaks], "warnings": warnings}
    emit(result, _lines(facts, peaks, warnings), as_json=as_json)


def _lines(facts: dict[str, Any], peaks: list[Any], warnings: list[str]) -> list[str]:
    memory = f", {facts['memory_gb']:.1f} GB of memory free" if facts["memory_gb"] is not None else ""
    kernels = facts["kernels"]
    lines = [
        f"refbss {facts['refbss']}, Python {facts['python']}, NumPy {facts['numpy']}, Numba {facts['numba']}",
        f"{facts['system']}, {facts['processor']}: {facts['processors']} of {facts['processors_of_the_machine']} "
        f"processors to use, vectors of {facts['vector_bits']} bits{memory}",
    ]
    for library in facts["blas"]:
        lines.append(
            f"BLAS: {library['name']} {library['version']} with {library['kernels']} kernels, {library['threads']} "
            "threads; held to one thread while refbss works"
        )
    access = "" if kernels["writable"] else f", which cannot be written ({kernels['refused']})"
    lines.append(f"compiled kernels: {kernels['count']} in {kernels['folder']}{access}")
    for peak in peaks:
        lines.append(
            f"peak on {peak.threads} thread{'s' if peak.threads > 1 else ''}: fast engine {peak.fast:.0f} GFLOP/s, "
            f"BLAS {peak.blas:.0f} GFLOP/s"
        )
    return lines + ([f"warning: {warning}" for warning in warnings] or ["Nothing here costs speed."])
