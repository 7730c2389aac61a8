"""Conversion of whole files of weights between the layouts of :mod:`refbss.conformance.layouts`.

The recurrent weights are found by name, converted, and named anew; every other tensor is passed on as it is. A name
is ``<prefix><part>_l<layer>``, with ``_reverse`` at its end for the reverse direction: ``encoder.gru.0.weight_ih_l0``
of PyTorch becomes ``encoder.gru.0.kernel_l0``. ONNX has both directions in one tensor and no such ending. Names
without ``_l<layer>`` are those of layer 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from refbss._checks import InputError, check_choice
from refbss.conformance.layouts import PARTS, READERS, ROLES, WRITERS, Layer, Part, Tensor

LAYOUTS = ("torch", "refbss", "keras", "onnx")
"""Layouts by name; ``refbss`` is another word for ``torch``."""


class Place(NamedTuple):
    """Where a layer is: the prefix of its names, its number, its direction."""

    prefix: str
    layer: int
    reverse: bool


class Move(NamedTuple):
    """Tensors that became others: names before and after."""

    cell: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]


class Conversion(NamedTuple):
    """The tensors in the new layout, what became of the recurrent ones, and the names of all others."""

    tensors: dict[str, Tensor]
    moved: tuple[Move, ...]
    unchanged: tuple[str, ...]


def to_layout(tensors: Mapping[str, Tensor], source: str, target: str, *, sum_biases: bool = False) -> Conversion:
    """Convert the GRU and LSTM weights among ``tensors`` from one layout to another.

    The conversion is exact in both directions, bit for bit, for any dtype; except that an LSTM of Keras has one
    bias: from PyTorch or ONNX its second one has to be zero, or ``sum_biases`` adds the two in their dtype. The
    arrays of the result may share memory with those given. Raises InputError where no recurrent weights are found,
    a shape is none of the layout, a layer has no counterpart in ``target``, or two tensors get one name.
    """
    check_choice("convert", LAYOUTS, source=source, target=target)
    source, target = (layout.replace("refbss", "torch") for layout in (source, target))
    groups = _grouped(tensors, source)
    if not groups:
        wanted = " and ".join("".join(names) for names in ROLES[source][:2])
        raise InputError(f"convert: no recurrent weights in the layout {source}, wanted {wanted}, with or without _l0")
    layers: dict[Place, Layer] = {}
    for place, parts in groups.items():
        for reverse, layer in enumerate(READERS[source](parts)):
            layers[place._replace(reverse=place.reverse or bool(reverse))] = layer
    used = {part.name for parts in groups.values() for part in parts.values()}
    result = {name: tensor for name, tensor in tensors.items() if name not in used}
    unchanged = tuple(result)
    written = _nodes(layers) if target == "onnx" else {place: [layer] for place, layer in layers.items()}
    for place, directions in written.items():
        for part, tensor in WRITERS[target](directions, sum_biases).items():
            name = _name(place, part)
            if name in result:
                raise InputError(f"convert: two tensors would be called {name}, wanted different prefixes")
            result[name] = tensor
    return Conversion(result, tuple(_moves(groups, written, source, target, result)), unchanged)


def _grouped(tensors: Mapping[str, Tensor], layout: str) -> dict[Place, dict[str, Part]]:
    """The tensors of every recurrent layer by part."""
    reverse = "" if layout == "onnx" else "(_reverse)?"
    names = re.compile(rf"(.*?)(?<![A-Za-z0-9])({'|'.join(PARTS[layout])})(?:_l(0|[1-9][0-9]*){reverse})?", re.DOTALL)
    groups: dict[Place, dict[str, Part]] = {}
    for name, tensor in tensors.items():
        match = names.fullmatch(name)
        if match:
            prefix, part, layer, *ending = match.groups()
            parts = groups.setdefault(Place(prefix, int(layer or 0), any(ending)), {})
            if part in parts:
                raise InputError(f"convert: {parts[part].name} and {name} are both layer 0, wanted one of them")
            parts[part] = Part(name, tensor)
    return {place: parts for place, parts in groups.items() if _is_recurrent(layout, set(parts))}


def _is_recurrent(layout: str, parts: set[str]) -> bool:
    """Whether the names are those of a recurrent layer: ``kernel``, ``bias`` and letters belong to others too."""
    return {"torch": bool(parts), "keras": "recurrent_kernel" in parts, "onnx": {"W", "R"} <= parts}[layout]


def _nodes(layers: Mapping[Place, Layer]) -> dict[Place, list[Layer]]:
    """The directions of every layer in the order of ONNX. Raises InputError where there is a reverse one alone."""
    nodes: dict[Place, list[Layer]] = {}
    for place in sorted(layers):
        if place.reverse and place._replace(reverse=False) not in nodes:
            raise InputError(
                f"convert: {layers[place].origin} is a reverse direction alone, wanted the forward one too"
            )
        nodes.setdefault(place._replace(reverse=False), []).append(layers[place])
    return nodes


def _name(place: Place, part: str) -> str:
    return f"{place.prefix}{part}_l{place.layer}{'_reverse' if place.reverse else ''}"


def _moves(
    groups: Mapping[Place, Mapping[str, Part]],
    written: Mapping[Place, list[Layer]],
    source: str,
    target: str,
    result: Mapping[str, Tensor],
) -> list[Move]:
    """Names before and after: direction by direction, or layer by layer where one side has both in one tensor."""
    stacked = "onnx" in (source, target)
    found = []
    for key in dict.fromkeys(place._replace(reverse=False) if stacked else place for place in groups):
        both = [key, key._replace(reverse=True)] if stacked else [key]
        for before, after in zip(ROLES[source], ROLES[target], strict=True):
            old = [groups[p][part].name for p in both if p in groups for part in before if part in groups[p]]
            new = [_name(p, part) for p in both if p in written for part in after if _name(p, part) in result]
            if old:
                cell = next(written[p][0].cell for p in both if p in written)
                found.append(Move(cell, tuple(old), tuple(new)))
    return found
