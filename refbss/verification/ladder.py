"""The ladder: the checks that one operator or loss climbs, cheapest first.

Each rung takes (spec, case, seed, dtype) and raises CheckFailure with a message that replays. ``climb`` runs all of
them. The comparison of compiled with interpreted kernels needs a second process and is in ``jit``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refbss.verification.adjoint import adjoint_error
from refbss.verification.bad_calls import check_errors
from refbss.verification.compare import worst
from refbss.verification.draw import LAYOUTS
from refbss.verification.gradcheck import check_gradients
from refbss.verification.spec import Arrays, Case, OpSpec

DTYPES = ("float64", "float32")
ADJOINT_TOLERANCE = 1e-13  # a few hundred roundings of float64


class CheckFailure(AssertionError):
    """A rung that did not hold. The message names op, case, seed, dtype, the error and its index."""


def place(spec: OpSpec, case: Case, seed: int, dtype: str) -> str:
    """Return the part of a message from which a failure replays."""
    return f"{spec.name} case {case.name!r} seed {seed} {dtype}"


def full_run(spec: OpSpec, case: Case, seed: int, dtype: str) -> tuple[Arrays, Arrays, Arrays, Any]:
    """Return the outputs, the cotangents drawn for them, the gradients and the cache."""
    outputs, cache = spec.run(spec.draw(case, seed, dtype), case.attributes)
    cotangents = spec.draw_cotangents(case, seed, outputs)
    return outputs, cotangents, spec.pull(cotangents, cache), cache


def check_shapes(spec: OpSpec, case: Case, seed: int, dtype: str) -> None:
    """Outputs have the oracle's shapes, gradients those of their arguments; all have the dtype of the call."""
    arrays = spec.draw(case, seed, dtype)
    outputs, _, grads, _ = full_run(spec, case, seed, dtype)
    wanted = spec.oracle(**doubled(arrays), **case.attributes)
    pairs = [(name, outputs[name], np.shape(array)) for name, array in zip(spec.outputs, wanted, strict=True)]
    pairs += [(f"d{name}", grad, arrays[name].shape) for name, grad in grads.items()]
    for name, got, shape in pairs:
        if not isinstance(got, np.ndarray) or got.shape != shape or got.dtype != dtype:
            came = f"{getattr(got, 'dtype', type(got).__name__)} {np.shape(got)}"
            raise CheckFailure(f"{place(spec, case, seed, dtype)}: {name} is {came}, wanted {dtype} {shape}")


def check_oracle(spec: OpSpec, case: Case, seed: int, dtype: str) -> None:
    """Outputs equal those of the independent oracle, run in float64 on the same numbers."""
    arrays = spec.draw(case, seed, dtype)
    outputs, _ = spec.run(arrays, case.attributes)
    allowed = spec.tolerances.oracle64 if dtype == "float64" else spec.tolerances.oracle32
    wanted = spec.oracle(**doubled(arrays), **case.attributes)
    compare(dict(zip(spec.outputs, wanted, strict=True)), outputs, allowed, place(spec, case, seed, dtype), "oracle")


def check_adjoint(spec: OpSpec, case: Case, seed: int, dtype: str) -> None:
    """<A u, v> = <u, A'v> for every argument the op is linear in."""
    for argument in spec.linear if case.linear is None else case.linear:
        error = adjoint_error(spec, case, argument, seed)
        if not error <= ADJOINT_TOLERANCE:
            message = f"adjoint in {argument}: relative error {error:.3e}, allowed {ADJOINT_TOLERANCE:.0e}"
            raise CheckFailure(f"{place(spec, case, seed, dtype)}: {message}")


def check_differences(spec: OpSpec, case: Case, seed: int, dtype: str) -> None:
    """Every element of every gradient, and one random direction, equal extrapolated differences."""
    report = check_gradients(spec, seed, case=case.name)
    if not report.worst_error <= spec.tolerances.gradient64:
        raise CheckFailure(f"{report}, allowed {spec.tolerances.gradient64:.0e}")


def check_single(spec: OpSpec, case: Case, seed: int, dtype: str) -> None:
    """Gradients in float32 equal those in float64 for the same numbers."""
    arrays = spec.draw(case, seed, "float32")
    _, cotangents, grads, _ = full_run(spec, case, seed, "float32")
    _, cache = spec.run(doubled(arrays), case.attributes)
    wanted = spec.pull(doubled(cotangents), cache)
    compare(wanted, grads, spec.tolerances.gradient32, place(spec, case, seed, "float32"), "float64 gradient of")


def check_purity(spec: OpSpec, case: Case, seed: int, dtype: str) -> None:
    """No argument is changed, nothing returned shares memory with one, two backward passes are equal bit by bit."""
    arrays = spec.draw(case, seed, dtype)
    given = copied(arrays)
    outputs, cache = spec.run(arrays, case.attributes)
    cotangents = spec.draw_cotangents(case, seed, outputs)
    made, pulled = copied(outputs), copied(cotangents)
    first = spec.pull(cotangents, cache)
    firsts = copied(first)
    second = spec.pull(cotangents, cache)
    where = place(spec, case, seed, dtype)
    compare(given, arrays, 0.0, where, "value before the call of")
    compare(made, outputs, 0.0, where, "value before the backward pass of")
    compare(pulled, cotangents, 0.0, where, "value before the backward pass of the cotangent of")
    compare(firsts, second, 0.0, where, "first backward pass of")
    arguments = {**arrays, **{f"cotangent of {name}": v for name, v in cotangents.items()}}
    for result, array in [*outputs.items(), *((f"d{name}", grad) for name, grad in first.items())]:
        for name, argument in arguments.items():
            if np.shares_memory(array, argument):
                raise CheckFailure(f"{where}: {result} shares memory with {name}, wanted an array of its own")


def check_layouts(spec: OpSpec, case: Case, seed: int, dtype: str) -> None:
    """Transposed, strided and reversed views of arguments and cotangents give the results of contiguous arrays."""
    outputs, cotangents, grads, _ = full_run(spec, case, seed, dtype)
    arrays = spec.draw(case, seed, dtype)
    allowed = spec.tolerances.layout64 if dtype == "float64" else spec.tolerances.layout32
    for layout, view in LAYOUTS.items():
        got, cache = spec.run({name: view(array) for name, array in arrays.items()}, case.attributes)
        pulled = spec.pull({name: view(v) for name, v in cotangents.items()}, cache)
        where = f"{place(spec, case, seed, dtype)}, {layout}"
        compare(outputs, got, allowed, where, "contiguous")
        compare(grads, pulled, allowed, where, "contiguous gradient of")


def check_bad_calls(spec: OpSpec, case: Case, seed: int, dtype: str) -> None:
    """Bad calls raise InputError and say the argument's name, what came and what was wanted."""
    if case is spec.cases[0]:
        check_errors(spec, seed)


def copied(arrays: Arrays) -> Arrays:
    """Return copies of the arrays."""
    return {name: array.copy() for name, array in arrays.items()}


def doubled(arrays: Arrays) -> Arrays:
    """Return the arrays in float64."""
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def compare(wanted: Arrays, got: Arrays, allowed: float, where: str, against: str) -> None:
    """Raise CheckFailure if an array departs from what was wanted by more than ``allowed``, relative to its largest."""
    for name, array in wanted.items():
        found = worst(got[name], array)
        if not found.error <= allowed:
            raise CheckFailure(f"{where}: {name} against {against} {name}: {found}, allowed {allowed:.1e}")


@dataclass(frozen=True)
class Rung:
    """One check and the dtypes it runs in."""

    name: str
    check: Callable[[OpSpec, Case, int, str], None]
    dtypes: tuple[str, ...] = DTYPES


RUNGS = (
    Rung("shapes", check_shapes),
    Rung("oracle", check_oracle),
    Rung("adjoint", check_adjoint, ("float64",)),
    Rung("purity", check_purity),
    Rung("differences", check_differences, ("float64",)),
    Rung("single precision", check_single, ("float32",)),
    Rung("layouts", check_layouts),
    Rung("errors", check_bad_calls, ("float64",)),
)


def climb(spec: OpSpec, seed: int = 0) -> dict[str, str]:
    """Run every rung on every case. Returns the first message of each rung that failed, a crash included."""
    failures: dict[str, str] = {}
    for rung in RUNGS:
        for case in spec.cases:
            for dtype in rung.dtypes:
                try:
                    rung.check(spec, case, seed, dtype)
                except Exception as failure:
                    message = f"{place(spec, case, seed, dtype)}: {type(failure).__name__}: {failure}"
                    failures.setdefault(rung.name, str(failure) if isinstance(failure, CheckFailure) else message)
    return failures
