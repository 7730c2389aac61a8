"""Calls that must fail: those every array argument shares, and those a spec declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss.verification.spec import BadCall, OpSpec


def shared_bad_calls(spec: OpSpec, seed: int) -> Iterator[BadCall]:
    """Yield the bad calls that follow from the names of the arrays alone."""
    arrays = spec.draw(spec.cases[0], seed, "float64")
    names = list(arrays)
    for name, array in arrays.items():
        yield BadCall(f"{name} a list", f"{name} is a list, wanted a NumPy array", {name: array.tolist()})
        wanted = "wanted float32 or float64"
        yield BadCall(f"{name} integers", f"{name} has dtype int64, {wanted}", {name: array.astype(np.int64)})
        if name not in spec.free_axes:
            yield BadCall(f"{name} empty", rf"{name} has shape \(.*0.*\).*, wanted", {name: array[..., :0]})
            yield BadCall(f"{name} one axis more", rf"{name} has shape \(.*\), wanted", {name: array[None]})
        if len(names) > 1:
            match = f"{name} has dtype float32, wanted float64"
            if name == names[0]:
                match = f"has dtype float64, wanted float32 as {name} has"
            yield BadCall(f"{name} single", match, {name: array.astype(np.float32)})


def bad_cotangents(spec: OpSpec, seed: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (name, pattern, cotangents) of backward calls that must fail."""
    outputs, _ = spec.run(spec.draw(spec.cases[0], seed, "float64"), spec.cases[0].attributes)
    good = spec.draw_cotangents(spec.cases[0], seed, outputs)
    for name, cotangent in good.items():
        grown = np.concatenate([cotangent, cotangent[..., :1]], axis=-1)
        tall = np.concatenate([cotangent, cotangent[:1]], axis=0)
        shape = rf"\bd_?{name} has shape \(.*\).*, wanted"
        yield f"d{name} longer in its last axis", shape, {**good, name: grown}
        yield f"d{name} longer in its first axis", shape, {**good, name: tall}
        yield f"d{name} with an axis more", shape, {**good, name: cotangent[None]}
        yield f"d{name} a list", rf"\bd_?{name} is a list, wanted", {**good, name: cotangent.tolist()}
    single = {name: cotangent.astype(np.float32) for name, cotangent in good.items()}
    yield "cotangents single", r"\bd_?\w+ has dtype float32, wanted float64|wanted float32 as d_?\w+ has", single


def check_errors(spec: OpSpec, seed: int) -> None:
    """Make every bad call and compare the message. Raises AssertionError with all calls that went wrong."""
    case = spec.cases[0]
    arrays = spec.draw(case, seed, "float64")
    wrong: list[str] = []
    for bad in [*shared_bad_calls(spec, seed), *spec.bad_calls]:
        changed = {**arrays, **bad.arrays}
        attributes = {**case.attributes, **bad.attributes}
        wrong += outcome(bad.name, bad.match, lambda a=changed, k=attributes: spec.run(a, k))  # type: ignore[misc]
    _, cache = spec.run(arrays, case.attributes)
    for name, match, cotangents in bad_cotangents(spec, seed):
        wrong += outcome(name, match, lambda v=cotangents: spec.pull(v, cache))  # type: ignore[misc]
    if wrong:
        raise AssertionError(f"{spec.name} case {case.name!r} seed {seed} bad calls:\n  " + "\n  ".join(wrong))


def outcome(name: str, match: str, call: Callable[[], object]) -> list[str]:
    """Return nothing if the call raises InputError with a message that matches, else what happened."""
    try:
        call()
    except InputError as error:
        return [] if re.search(match, str(error)) else [f"{name}: said {str(error)!r}, wanted /{match}/"]
    except Exception as error:
        return [f"{name}: raised {type(error).__name__} ({error}), wanted InputError /{match}/"]
    return [f"{name}: no error, wanted InputError /{match}/"]
