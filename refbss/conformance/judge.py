"""The judgement: an implementation's answers against the golden ones, case by case, with the reason of a failure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refbss._types import Array
from refbss.conformance.implementation import Answer, CallFailure, Implementation
from refbss.conformance.near_miss import Hint, could_show, diagnose, looked_at
from refbss.conformance.results import Unanswered
from refbss.conformance.signature import required
from refbss.conformance.vectors import DTYPES, Arrays, Vector
from refbss.verification.compare import worst

EITHER_DTYPE = {("clip_gradients", "norm")}
"""Outputs that may be float64 in a float32 run: a norm is often a Python number."""


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one case in one dtype."""

    case: str
    op: str
    dtype: str
    valid: bool
    """False: a call that must be refused."""
    passed: bool
    problem: str = ""
    """One line: what came and what was wanted. Empty if passed."""
    hints: tuple[Hint, ...] = ()
    stored: tuple[str, ...] = ()
    """Mistakes that the case could have recognised in what failed."""
    wrong: tuple[str, ...] = ()
    """What the hints should explain: the arrays of numbers that are wrong, gradients where every output is right."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Worst error of ``outputs`` and, where they were judged, ``grads``."""
    tol: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Error of every array, by kind and name; infinite where its shape is wrong."""
    not_given: tuple[str, ...] = ()
    """Outputs that were not answered and need not be."""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.case} {self.dtype}: {self.problem or 'passed'}"


class Finding(NamedTuple):
    """One array compared: its error, and what is wrong with it, empty if nothing is."""

    error: float
    problem: str


def compare(vector: Vector, name: str, label: str, got: Array, wanted: Array, dtype: str, tol: float) -> Finding:
    """Compare one array with the golden one."""
    if got.shape != wanted.shape:
        axes = f" ({vector.axes[name]})" if name in vector.axes else ""
        return Finding(math.inf, f"{label} has shape {got.shape}, wanted {wanted.shape}{axes}")
    either = vector.op == "train" or (vector.op, name) in EITHER_DTYPE
    if got.dtype.name not in (DTYPES if either else (dtype,)):
        return Finding(math.inf, f"{label} is {got.dtype} in a {dtype} run, wanted {dtype}")
    if not np.all(np.isfinite(got)):
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(got))[0])
        return Finding(math.inf, f"{label} holds {got[index]} at {list(index)}, wanted {wanted[index]:.9g}")
    found = worst(got, wanted)
    if found.error <= tol:
        return Finding(found.error, "")
    digits = ".9g" if dtype == "float32" else ".17g"
    return Finding(
        found.error,
        f"{label} differs by {found.error:.1e}, {tol:.1e} allowed, at {list(found.place)}: got {found.got:{digits}}, "
        f"wanted {found.wanted:{digits}}",
    )


def judge(vector: Vector, implementation: Implementation, dtype: str, grads: bool) -> Verdict:
    """Put one case to an implementation, in one dtype, with gradients or without."""
    start = time.perf_counter()
    grads = grads and bool(vector.grads)
    failure = ""
    try:
        answer = implementation.answer(vector, dtype, grads)
    except Unanswered as error:
        return _verdict(vector, None, str(error), dtype, grads, unanswered=True)
    except CallFailure as error:
        failure, answer = str(error), None
    if answer is None and vector.valid and grads:
        try:  # of what fails in the gradients alone, the outputs can still be judged
            answer = implementation.answer(vector, dtype, False)
        except CallFailure as error:
            failure, answer = str(error), None
    verdict = _verdict(vector, answer, failure, dtype, grads)
    return Verdict(**{**vars(verdict), "seconds": time.perf_counter() - start})


def _verdict(
    vector: Vector, answer: Answer | None, failure: str, dtype: str, grads: bool, unanswered: bool = False
) -> Verdict:
    def verdict(problem: str, **more: object) -> Verdict:
        known = {"case": vector.id, "op": vector.op, "dtype": dtype, "valid": vector.valid}
        return Verdict(**known, passed=not problem, problem=problem, **more)  # type: ignore[arg-type]

    if unanswered:
        return verdict(failure)
    if not vector.valid:
        return verdict("" if answer is None else f"was accepted, wanted it refused: {vector.why}")
    if answer is None:
        return verdict(failure or "was not answered")
    absent = [name for name in required(vector, grads and not failure) if name not in answer.outputs]
    if absent:
        return verdict(f"was answered without {', '.join(absent)}")
    answer = Answer(_single_numbers(vector.outputs, answer.outputs), _single_numbers(vector.grads, answer.grads))
    allowed = vector.tol[dtype]
    outputs = _compare_all(vector, "outputs", answer.outputs, dtype)
    arrays = {"outputs": {name: found.error for name, found in outputs.items()}}
    errors = {"outputs": max(arrays["outputs"].values(), default=math.inf)}
    wrong = [name for name, found in outputs.items() if found.problem]
    wrong_grads: list[str] = []
    said = ""
    if grads and not failure:
        judged = _compare_all(vector, "grads", answer.grads, dtype)
        missing = [name for name in vector.grads if name not in judged]
        wrong_grads = [name for name, found in judged.items() if found.problem]
        if judged:
            arrays["grads"] = {name: found.error for name, found in judged.items()}
            errors["grads"] = max(arrays["grads"].values())
        if missing:
            said = f"no gradient of {', '.join(missing)}"
        elif wrong_grads:
            worst_name = max(wrong_grads, key=lambda name: judged[name].error)
            others = [name for name in wrong_grads if name != worst_name]
            said = judged[worst_name].problem + (f"; wrong too: {', '.join(others)}" if others else "")
    if failure:
        said = f"outputs {'differ' if wrong else 'agree'}; gradients: {failure}"
    not_given = tuple(name for name in vector.outputs if name not in outputs)
    figures: dict[str, object] = {"errors": errors, "tol": dict(allowed), "arrays": arrays, "not_given": not_given}
    kind, got, bad = ("outputs", answer.outputs, wrong) if wrong else ("grads", answer.grads, wrong_grads)
    figures |= {
        "hints": diagnose(vector, kind, got, bad, dtype),
        "stored": could_show(vector, kind, got, bad),
        "wrong": looked_at(vector, kind, got, bad),
    }
    if not wrong:
        return verdict(said, **figures)
    problem = _outputs_problem(vector, outputs, wrong)
    if said:
        problem += "; gradients too" if wrong_grads and not failure else "; gradients not judged"
    return verdict(problem, **figures)


def _single_numbers(golden: Arrays, got: Arrays) -> Arrays:
    """What came, where a single number may have no axis or one of size 1."""
    either = {(), (1,)}
    return {
        name: a.reshape(golden[name].shape) if name in golden and {a.shape, golden[name].shape} == either else a
        for name, a in got.items()
    }


def _compare_all(vector: Vector, kind: str, got: Arrays, dtype: str) -> dict[str, Finding]:
    golden: Arrays = getattr(vector, kind)
    label = "the gradient of " * (kind == "grads")
    return {
        name: compare(vector, name, f"{label}{name}", got[name], wanted, dtype, vector.tol[dtype][kind])
        for name, wanted in golden.items()
        if name in got
    }


def _outputs_problem(vector: Vector, outputs: Mapping[str, Finding], wrong: Sequence[str]) -> str:
    """The first wrong output; of a whole model, the layers before it and what follows from it."""
    first, *others = wrong
    problem = outputs[first].problem
    if vector.op != "model":
        return problem + (f"; {', '.join(others)} too" if others else "")
    order = list(vector.outputs)
    before = [name for name in outputs if order.index(name) < order.index(first)]
    unseen = [name for name in order[: order.index(first)] if name not in outputs]
    said = f"{', '.join(before)} agree{'s' * (len(before) == 1)}, " if before else ""
    said += f"{first} is the first that differs"
    said += f" (not given: {', '.join(unseen)}): " if unseen else ": "
    said += problem.removeprefix(f"{first} ").removeprefix("differs ")
    return said + (f"; {', '.join(others)} follow{'s' * (len(others) == 1)} from it" if others else "")


def stray(case: str, path: Path) -> Verdict:
    """The verdict on an answer to what is no case."""
    op = case.split("/")[0]
    return Verdict(case, op, DTYPES[0], True, False, f"is not a case, but there is an answer to it: {path}")
