"""torch.nn.Modules: built from the sizes of a case, loaded with its parameters by name, and called as PyTorch does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss.conformance.implementation import CallFailure
from refbss.conformance.signature import (
    STATES,
    Offered,
    arguments,
    attributes,
    may_be_left_out,
    names,
    outputs_by_name,
    shown,
    user_code,
)
from refbss.conformance.state_map import Place, StateMap, entries_for, meant
from refbss.conformance.vectors import Vector

Loaded = dict[str, tuple[Any, Place]]
"""The module's parameter, and how its axes lie, for every parameter of the case."""


def _separator(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    sources, channels, hidden = shapes["adapt_weight"]
    found = {"sources": sources, "channels": channels, "gru_hidden": hidden, "latent": shapes["fc_bias"][0] // 2}
    return found | ({"time_constants": shapes["theta"][0]} if "theta" in shapes else {})


def _recurrent(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    return {"input_size": shapes["weight_ih_l0"][1], "hidden_size": shapes["weight_hh_l0"][1], "batch_first": True}


SIZES: Mapping[str, Callable[[Mapping[str, tuple[int, ...]]], dict[str, Any]]] = {
    "gru": _recurrent,
    "lstm": _recurrent,
    "conv1d": lambda of: {
        "in_channels": of["weight"][1],
        "out_channels": of["weight"][0],
        "kernel_size": of["weight"][2],
    },
    "conv_transpose1d": lambda of: {
        "in_channels": of["weight"][0],
        "out_channels": of["weight"][1],
        "kernel_size": of["weight"][2],
    },
    "prelu": lambda of: {"num_parameters": of["weight"][0]},
    "layer_norm": lambda of: {"normalized_shape": of["weight"][0]},
    "linear": lambda of: {"in_features": of["weight"][1], "out_features": of["weight"][0]},
    "adaptive_separator": _separator,
    "memory_separator": _separator,
}
"""What the constructor of a module may ask for, under PyTorch's names where PyTorch has the module, beside the
attributes of the case; from the shapes of the case's parameters."""

DONE_HERE = ("pad_left", "trim_right")
"""Attributes that torch.nn.Conv1d and torch.nn.ConvTranspose1d lack: what does not take them gets a padded input, and
its output is trimmed."""


def build(target: Any, is_module: bool, vector: Vector) -> tuple[Any, tuple[str, ...]]:
    """A module for a case, and the names that its constructor took. Raises CallFailure.

    ``target`` is a class, a function that returns a module, or (``is_module``) a module, which is copied.
    """
    if is_module:
        with user_code():
            for name, value in attributes(vector).items():
                _same(target, name, value)
            return copy.deepcopy(target), tuple(name for name in vector.attrs if hasattr(target, name))
    sizes = sizes_of(vector)
    attrs = attributes(vector)
    has = names(target)
    offered = {**sizes, **attrs}
    for name in has.required:
        if name not in offered:
            given = ", ".join(offered) or "nothing"
            raise CallFailure(
                f"the constructor wants an argument {name!r}; it can be given {given}. Wrap it in a function of those"
            )
    taken = [name for name in offered if name in has.keywords or (has.everything and name in (*sizes, "stride", "eps"))]
    with user_code():
        return target(**{name: offered[name] for name in taken}), tuple(taken)


def sizes_of(vector: Vector) -> dict[str, Any]:
    """What a constructor may ask for beside the attributes of the case."""
    shapes = {name: array.shape for name, array in vector.params.items()}
    return SIZES[vector.op](shapes) if vector.op in SIZES else {}


def _same(module: Any, name: str, value: Any) -> None:
    """A module that exists already must have been built with the attribute of the case."""
    if hasattr(module, name):
        has = getattr(module, name)
        equal = (has[0] if isinstance(has, tuple) and len(has) == 1 else has) == value
        if not (equal.all() if hasattr(equal, "all") else equal):
            raise CallFailure(f"was built with {name}={' '.join(repr(has).split())}; the case has {name}={value!r}")


def load(module: Any, vector: Vector, state_map: StateMap, torch: Any, dtype: str) -> Loaded:
    """Give a module the parameters of a case, in ``dtype``; every one must find its place. Raises CallFailure.

    Names are equal, equal with dots turned into underscores, or what the state map says.
    """
    params = vector.params
    with user_code():
        module.to(getattr(torch, dtype))
        module.eval()
        theirs = dict(module.named_parameters())
    if lazy := [name for name, parameter in theirs.items() if torch.nn.parameter.is_lazy(parameter)]:
        given = ", ".join(sizes_of(vector)) or "its sizes"
        raise CallFailure(
            f"its {lazy[0]} has no shape before the first call: the module is lazy; wanted one that is built with its "
            f"sizes: a constructor or a builder is given {given}"
        )
    mapped = entries_for(vector, "params", state_map.parameters)
    if unknown := [name for name in mapped if name not in theirs]:
        raise InputError(f"state map: the module has no parameter {unknown[0]!r}{meant(unknown[0], 'it', theirs)}")
    flat = {name.replace(".", "_"): name for name in params}
    places: dict[str, Place] = {}
    for name in theirs:
        ours = name if name in params else flat.get(name.replace(".", "_")) or name
        places[name] = mapped.get(name, Place(ours))
    missing = [name for name in params if name not in {place.name for place in places.values()}]
    extra = [name for name, place in places.items() if place.name not in params]
    if missing or extra:
        lacks = f"it lacks {_few(missing)}" * bool(missing)
        raise CallFailure(
            f"parameters do not match by name: {lacks}{' and ' * bool(missing and extra)}"
            f"{f'has {_few(extra)}, which the case has not' * bool(extra)}; a state map can rename them"
        )
    loaded: Loaded = {}
    for name, place in places.items():
        array = params[place.name]
        wanted = array.transpose(place.theirs(array.shape))
        if tuple(theirs[name].shape) != wanted.shape:
            raise CallFailure(f"parameter {name} has shape {tuple(theirs[name].shape)}, wanted {wanted.shape}")
        if place.name in loaded:
            raise CallFailure(f"parameters do not match: two of the module's are {place.name}")
        with user_code(), torch.no_grad():
            theirs[name].copy_(torch.tensor(wanted.copy(), dtype=getattr(torch, dtype)))
        theirs[name].requires_grad_(True)
        loaded[place.name] = (theirs[name], place)
    return loaded


def _few(found: list[str]) -> str:
    return ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")


def forward(module: Any, vector: Vector, inputs: Offered, taken: tuple[str, ...]) -> Any:
    """Call a module: inputs by name where its forward names them, in order where not. Raises CallFailure."""
    has = names(module.forward)
    attrs = {n: v for n, v in attributes(vector).items() if n not in taken and n not in DONE_HERE}
    renamed = bool(set(has.required) - {*inputs, *attrs})  # perhaps a state, which then is not left out
    needed = [n for n in inputs if not may_be_left_out(vector, n) or (renamed and n in STATES)]
    if has.everything or all(name in has.keywords for name in needed):
        attrs |= {name: vector.attrs[name] for name in DONE_HERE if name in has.keywords and name in vector.attrs}
        positional, keywords = arguments(module.forward, vector, {**inputs, **attrs})
        with user_code():
            return module(*positional, **keywords)
    for name in attrs:
        if not may_be_left_out(vector, name):
            raise CallFailure(f"takes no argument {name!r}; the case has {shown(vector, name)}")
    room = len(has.positional) + len(has.keywords)
    row = _in_order(inputs, paired=has.row or room < len(inputs))
    room = len(row) if has.row else room
    for name in [name for held, _ in row[room:] for name in held if name in needed]:
        raise CallFailure(f"its forward takes {room} inputs, no {name!r}; the case has {shown(vector, name)}")
    with user_code():
        return module(*(value for _, value in row[:room]))


def _in_order(inputs: Offered, *, paired: bool) -> list[tuple[tuple[str, ...], Any]]:
    """What PyTorch's layers are given, each with its names: states have an axis of layers; an LSTM's may be a pair."""
    row: list[tuple[tuple[str, ...], Any]] = [((n,), a[None] if n in STATES else a) for n, a in inputs.items()]
    if paired and "c0" in inputs:
        *row, (_, h0), (_, c0) = row
        row.append((("h0", "c0"), (h0, c0)))
    return row


def apply(
    module: Any, vector: Vector, inputs: dict[str, Any], taken: tuple[str, ...], grads: bool, torch: Any
) -> dict[str, Any]:
    """Call the module of an operator, with the padding and trimming that it lacks itself. Raises CallFailure.

    Returns the outputs by the names of the case.
    """
    if "h0" in vector.inputs and getattr(module, "batch_first", True) is False:
        raise CallFailure("was built with batch_first=False; the case is batch first")
    own = {*taken, *names(module.forward).keywords}
    extra = {name: vector.attrs.get(name, 0) for name in DONE_HERE if name not in own}
    if min(extra.values(), default=0) < 0:
        raise CallFailure(f"{extra} cannot be done for it")
    if pad := extra.get("pad_left", 0):
        inputs = inputs | {"x": torch.nn.functional.pad(inputs["x"], (pad, 0))}
    returned = _unpaired(vector, forward(module, vector, inputs, taken))
    found = outputs_by_name(vector, returned, grads)
    if trim := extra.get("trim_right", 0):
        shortened = _trimmed(found.get("y", returned), trim, torch)  # what is to be refused has no outputs by name
        found |= {"y": shortened} if found else {}
    for name in STATES.values():
        state = found.get(name)
        if isinstance(state, torch.Tensor | np.ndarray) and state.ndim == 3 and state.shape[0] == 1:
            found[name] = state[0]
    return found


def _unpaired(vector: Vector, returned: Any) -> Any:
    """(y, (h_n, c_n)), as torch.nn.LSTM has it, in a row; anything else as it is."""
    row = vector.op == "lstm" and isinstance(returned, tuple | list) and len(returned) == 2
    return (returned[0], *returned[1]) if row and isinstance(returned[1], tuple | list) else returned


def _trimmed(y: Any, trim: int, torch: Any) -> Any:
    if not isinstance(y, torch.Tensor | np.ndarray) or not y.ndim:
        return y
    if trim >= y.shape[-1]:
        raise CallFailure(f"returned {y.shape[-1]} samples, of which trim_right={trim} cannot be cut off")
    return y[..., : y.shape[-1] - trim]
