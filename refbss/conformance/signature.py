"""The calling convention: what a callable is given of a case, and how what it returns gets its names.

Every array and every attribute of the case goes in as a keyword under the name that the vector gives it; attributes
that the case leaves at their default are given too. What the callable does not name may be left out where the law's
default says the same: an attribute at its default, a first state of zeros. It returns one array, a sequence in the
order of the case's outputs, or a mapping by name. docs/conformance.md says it with examples.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache, partial
from pathlib import Path
from sysconfig import get_path
from traceback import extract_tb
from typing import Any, NamedTuple

import numpy as np

from refbss._types import Array
from refbss.conformance.implementation import CallFailure
from refbss.conformance.vectors import Vector
from refbss.engine import engine

WHOLE = ("model", "objective", "train")
"""Operators whose parameters go in as one mapping, ``params``: their names have dots."""
ALONE = {"model": "est", "objective": "loss"}
"""The output that a single array is, where it is not the first."""
STATES = {"h0": "h_n", "c0": "c_n"}
"""The states that a recurrent layer starts from, by the argument, and those that it ends in."""
COUNTED = ("assignment",)
"""Outputs that may come as integers or truths: they are zeros and ones, and reported only."""
COMMAND_LINE = "refbss_cli"
"""The package whose exceptions end the program; refbss itself does not import it."""
LONGEST_MESSAGE = 300

Offered = Mapping[str, Any]


@cache
def law_defaults(op: str) -> Mapping[str, Any]:
    """The attributes of an operator that the law has a default for, and the default; none of an unknown operator."""
    forward = getattr(engine("reference"), f"{op}_forward", None)
    parameters = {} if forward is None else inspect.signature(forward).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


def attributes(vector: Vector) -> dict[str, Any]:
    """Every attribute of a call, those at the law's default too."""
    return {**law_defaults(vector.op), **vector.attrs}


def offer(vector: Vector, arrays: Offered) -> dict[str, Any]:
    """Everything that a callable may ask for: ``arrays`` (inputs and params, by name) and every attribute.

    A whole model whose case has no noise gets ``eps`` as None.
    """
    attrs = attributes(vector)
    if vector.op not in WHOLE:
        return {**arrays, **attrs}
    inputs = {"eps": None, **{name: arrays[name] for name in vector.inputs}}
    return {"params": {name: arrays[name] for name in vector.params}, **inputs, **attrs}


def may_be_left_out(vector: Vector, name: str) -> bool:
    """Whether a callable that takes no argument of this name computes the same without it."""
    if name == "eps" and vector.op in WHOLE and name not in {*vector.inputs, *vector.attrs}:
        return True
    if name in vector.inputs:
        unused = vector.op == "model" and name == "eps" and not vector.attrs.get("config", {}).get("sample", True)
        return unused or (name in (*STATES, "eps") and not np.any(vector.inputs[name]))
    if vector.op.startswith("prior_") and name == "offset":
        return bool(vector.attrs[name] == 0)
    defaults = law_defaults(vector.op)
    if name in vector.params or name not in defaults:
        return False
    value, default = vector.attrs.get(name, defaults[name]), defaults[name]
    return bool(value == (list(default) if isinstance(default, tuple) else default))


class Names(NamedTuple):
    """What the signature of a callable says of its arguments."""

    positional: tuple[str, ...]
    """Those that have no keyword."""
    keywords: tuple[str, ...]
    required: tuple[str, ...]
    everything: bool
    """It has ``**kwargs``, or a signature that Python cannot tell."""
    row: bool
    """It has ``*args``."""


def names(function: Callable[..., Any], *, after: int = 0) -> Names:
    """The arguments of a callable, the first ``after`` left out."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[after:]
    except Exception:  # there is none, or an object raises whatever it is asked for
        return Names((), (), (), True, True)
    ordinary = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return Names(
        tuple(p.name for p in ordinary if p.kind == p.POSITIONAL_ONLY),
        tuple(p.name for p in ordinary if p.kind != p.POSITIONAL_ONLY),
        tuple(p.name for p in ordinary if p.default is p.empty),
        any(p.kind == p.VAR_KEYWORD for p in parameters),
        any(p.kind == p.VAR_POSITIONAL for p in parameters),
    )


def unwrapped(target: Any) -> Any:
    """What a ``functools.partial`` calls in the end; anything else as it is."""
    while isinstance(target, partial):
        target = target.func
    return target


def counted(name: str, array: Array, dtype: str) -> Array:
    """An array in the dtype of the run where it is an assignment of integers or truths; any other as it is."""
    return array.astype(dtype) if name in COUNTED and array.dtype.kind in "biu" else array


def shown(vector: Vector, name: str) -> str:
    """An argument of the case as a message names it: ``pad_left=5``, ``h0 of shape (2, 3)``."""
    arrays = vector.inputs | vector.params
    return f"{name} of shape {arrays[name].shape}" if name in arrays else f"{name}={vector.attrs.get(name)!r}"


def arguments(
    function: Callable[..., Any], vector: Vector, offered: Offered, *, taken: Sequence[str] = (), after: int = 0
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments for one call. Raises CallFailure, naming the argument, where they do not fit.

    ``taken`` are names that the object has been given already, by its constructor; the call need not take them.
    """
    has = names(function, after=after)
    for name in has.required:
        if name not in offered:
            raise CallFailure(f"wants an argument {name!r}; the case has {', '.join(offered)}")
    if not has.everything:
        for name in offered:
            known = name in has.keywords or name in has.positional or name in taken
            if not known and not may_be_left_out(vector, name):
                raise CallFailure(f"takes no argument {name!r}; the case has {shown(vector, name)}")
    positional = [offered[name] for name in has.positional if name in offered]
    rest = [name for name in offered if name not in has.positional]
    return positional, {n: offered[n] for n in rest if n in has.keywords or (has.everything and n not in taken)}


class Called(NamedTuple):
    """A call that came back."""

    returned: Any
    target: Any
    """What was called: the target, or the instance that was made of a class."""
    taken: tuple[str, ...]
    """What the constructor took of the case."""


def call(target: Any, vector: Vector, arrays: Offered) -> Called:
    """Call a function, an object, or a new instance of a class, on a case. Raises CallFailure."""
    offered = offer(vector, arrays)
    taken: tuple[str, ...] = ()
    if isinstance(target, type):
        target, taken = _constructed(target, offered)
    positional, keywords = arguments(target, vector, offered, taken=taken)
    with user_code():
        return Called(target(*positional, **keywords), target, taken)


def _constructed(target: type, offered: Offered) -> tuple[Any, tuple[str, ...]]:
    """An instance of a class, built with what its constructor names of the case, and those names."""
    has = names(target)
    unknown = [name for name in has.required if name not in offered]
    if unknown:
        raise CallFailure(f"the constructor wants an argument {unknown[0]!r}; the case has {', '.join(offered)}")
    chosen = [name for name in has.keywords if name in offered]
    with user_code():
        return target(**{name: offered[name] for name in chosen}), tuple(chosen)


@contextmanager
def user_code() -> Iterator[None]:
    """Around a call of somebody else's code: what it prints goes to stderr, what it raises becomes CallFailure.

    That includes SystemExit and pytest's way to skip; an interrupt and a termination pass.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except CallFailure:
        raise
    except BaseException as error:
        if stops(error):
            raise
        raise CallFailure(raised(error)) from error


def stops(error: BaseException) -> bool:
    """Whether an exception ends the program: Ctrl-C, or what the command line itself raises at a signal."""
    if isinstance(error, Exception):
        return False
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    ours = place is not None and place.tb_frame.f_globals.get("__package__") == COMMAND_LINE
    return ours or isinstance(error, KeyboardInterrupt)


def raised(error: BaseException) -> str:
    """What an exception of somebody else's code says, on one line, with the line of that code."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # it cannot even say what it is
        text = ""
    if len(text) > LONGEST_MESSAGE:
        text = text[:LONGEST_MESSAGE] + " .."
    frames = [frame for frame in extract_tb(error.__traceback__) if not _library(frame.filename)]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}{': ' * bool(text)}{text}{place}"


def _library(filename: str) -> bool:
    """Whether a line of a traceback belongs to Python, to an installed package, to no file, or to this package."""
    ours = Path(filename).parent == Path(__file__).parent
    return ours or filename.startswith(("<", get_path("stdlib"))) or "site-packages" in filename


def required(vector: Vector, grads: bool) -> list[str]:
    """Outputs that have to be given. Reported ones may be missing, and the last states, unless gradients want them."""
    if vector.op == "model" and not grads:
        return ["est"]
    wanted = list(vector.cotangents or vector.outputs)
    return [name for name in wanted if grads or name not in STATES.values()]


@user_code()
def outputs_by_name(vector: Vector, returned: Any, grads: bool) -> dict[str, Any]:
    """What a callable returned, by the names of the case's outputs. Raises CallFailure where it does not fit.

    A case to refuse has no outputs: whatever was returned, the result is empty.
    """
    order = list(vector.outputs)
    if not vector.valid:
        return {}
    fields = getattr(returned, "_fields", ())
    if isinstance(returned, tuple) and set(fields) & set(order):
        returned = dict(zip(fields, returned, strict=True))
    if isinstance(returned, Mapping):
        found = {name: returned[name] for name in order if returned.get(name) is not None}
        if not found:
            raise CallFailure(f"returned a mapping of {_listed(returned)}; the case wants {_listed(order)}")
    elif returned is None:
        raise CallFailure(f"returned nothing; the case wants {_listed(order)}")
    elif isinstance(returned, tuple | list):
        if vector.op in WHOLE:
            raise CallFailure(
                f"returned {len(returned)} values in a row, wanted a mapping by name, of {_listed(order)}"
            )
        if len(returned) > len(order):
            raise CallFailure(f"returned {len(returned)} values; the case has {len(order)} outputs, {_listed(order)}")
        found = {name: value for name, value in zip(order, returned, strict=False) if value is not None}
    elif vector.op == "train":
        raise CallFailure(f"returned one value, wanted a mapping by name, of {_listed(order)}")
    else:
        found = {ALONE.get(vector.op, order[0]): returned}
    missing = [name for name in required(vector, False) if name not in found]
    if missing:
        raise CallFailure(f"returned {_listed(found)}; the case wants {_listed(missing)} too")
    missing = [name for name in required(vector, grads) if name not in found]
    if missing:
        raise CallFailure(
            f"returned {_listed(found)}; --grads wants {_listed(missing)} too: the golden gradients are those of "
            f"{_listed(vector.cotangents)} together"
        )
    return found


@user_code()
def grads_by_name(vector: Vector, returned: Any) -> dict[str, Any]:
    """What a vjp returned, by argument. A None in it counts as not given. Raises CallFailure where it does not fit."""
    order = list(vector.grads)
    if hasattr(returned, "_asdict"):
        returned = returned._asdict() if set(returned._fields) & set(order) else tuple(returned)
    if isinstance(returned, Mapping):
        found = {name: returned[name] for name in order if returned.get(name) is not None}
        if not found:
            raise CallFailure(f"vjp returned a mapping of {_listed(returned)}; the case wants {_listed(order)}")
        return found
    if returned is None:
        raise CallFailure(f"vjp returned nothing; the case wants gradients of {_listed(order)}")
    values = list(returned) if isinstance(returned, tuple | list) else [returned]
    if len(values) != len(order):
        raise CallFailure(f"vjp returned {len(values)} gradients, wanted {len(order)}: {_listed(order)}")
    return {name: value for name, value in zip(order, values, strict=True) if value is not None}


def _listed(found: Any) -> str:
    text = [str(name) for name in found]
    return ", ".join(text[:12]) + (f" and {len(text) - 12} more" if len(text) > 12 else "") or "nothing"
