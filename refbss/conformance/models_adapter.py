"""Whole models: a builder ``build(config)`` of a torch.nn.Module, whose layers are watched as they are computed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from refbss._checks import InputError
from refbss.conformance.implementation import CallFailure
from refbss.conformance.signature import may_be_left_out, names, outputs_by_name, shown, user_code
from refbss.conformance.state_map import StateMap, entries_for, meant
from refbss.conformance.vectors import Vector


def build(target: Any, is_module: bool, vector: Vector) -> tuple[Any, tuple[str, ...]]:
    """The module that ``target(config)`` returns, or a copy of ``target`` if it is one. Raises CallFailure."""
    config = copy.deepcopy(dict(vector.attrs["config"]))
    with user_code():
        return (copy.deepcopy(target) if is_module else target(config)), tuple(vector.attrs)


@contextmanager
def watched(module: Any, state_map: StateMap, vector: Vector) -> Iterator[dict[str, Any]]:
    """What the layers of the state map give while the module is called, by the case's names.

    Of a layer that returns several values, a GRU, the first counts. Raises InputError where there is no such layer,
    CallFailure for one that is called twice.
    """
    modules, seen, hooks = dict(module.named_modules()), {}, []

    def watch(theirs: str, place: Any) -> Any:
        def note(_: Any, __: Any, returned: Any) -> None:
            value = returned[0] if isinstance(returned, tuple | list) and returned else returned
            if not hasattr(value, "permute"):
                raise CallFailure(f"layer {theirs} gives a {type(value).__name__}, wanted a tensor")
            if place.name in seen:
                raise CallFailure(f"layer {theirs} is called more than once, wanted a mapping of intermediates instead")
            seen[place.name] = value.permute(place.ours(tuple(value.shape)))

        return note

    for theirs, place in entries_for(vector, "outputs", state_map.layers).items():
        if theirs not in modules:
            raise InputError(f"state map: the module has no layer {theirs!r}{meant(theirs, 'it', modules)}")
        place.ours(vector.outputs[place.name].shape)  # refuses an order of other axes
        hooks.append(modules[theirs].register_forward_hook(watch(theirs, place)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def run(
    module: Any, vector: Vector, inputs: dict[str, Any], taken: tuple[str, ...], state_map: StateMap, grads: bool
) -> dict[str, Any]:
    """Call the module on (mix, eps), and return est and every intermediate that it gave or that was watched."""
    has = names(module.forward)
    chosen = {name: value for name, value in inputs.items() if name in has.keywords or has.everything}
    row: list[Any] = []
    if not chosen:
        room = len(inputs) if has.row else len(has.positional) + len(has.keywords)
        row = list(inputs.values())[:room]
    given = [*chosen, *list(inputs)[: len(row)]]
    for name in inputs:
        if name not in given and not may_be_left_out(vector, name):
            raise CallFailure(f"its forward takes no {name!r}; the case has {shown(vector, name)}")
    with watched(module, state_map if vector.valid else StateMap(), vector) as seen, user_code():
        returned = module(*row, **chosen)
    if isinstance(returned, tuple) and hasattr(returned, "_asdict"):
        returned = returned._asdict()
    if not vector.valid:
        return {}
    found = dict(returned) if isinstance(returned, dict) else {"est": returned}
    return outputs_by_name(vector, seen | found, grads)
