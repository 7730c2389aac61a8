"""Weights of GRU and LSTM layers in the layouts of PyTorch, Keras and ONNX. Bits are moved, none is computed.

=========  ==========================  ===========================  =========================  =====================
layout     input weights               recurrent weights            biases                     gates (GRU; LSTM)
=========  ==========================  ===========================  =========================  =====================
torch      weight_ih (G H, I)          weight_hh (G H, H)           bias_ih, bias_hh (G H)     r z n; i f g o
keras      kernel (I, G H)             recurrent_kernel (H, G H)    bias (2, 3H); LSTM (4H)    z r n; i f g o
onnx       W (D, G H, I)               R (D, G H, H)                B (D, 2 G H)               z r n; i o f g
=========  ==========================  ===========================  =========================  =====================

I inputs, H units, G gates (3 or 4), D directions (forward, then reverse). The letters are PyTorch's: its n is h of
Keras and ONNX, its g is their c. Sources: the equations of torch.nn.GRU and torch.nn.LSTM; keras.layers.GRU with
reset_after=True and keras.layers.LSTM; the ONNX operators GRU with linear_before_reset=1 and LSTM, opset 14.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refbss._checks import InputError

Tensor = NDArray[Any]

PARTS = {
    "torch": ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh"),
    "keras": ("recurrent_kernel", "kernel", "bias"),
    "onnx": ("W", "R", "B", "P"),
}
"""Names of the tensors of a layer in each layout."""
ROLES = {
    "torch": (("weight_ih",), ("weight_hh",), ("bias_ih", "bias_hh")),
    "keras": (("kernel",), ("recurrent_kernel",), ("bias",)),
    "onnx": (("W",), ("R",), ("B",)),
}
"""The same names by what they hold: input weights, recurrent weights, biases."""
GATES = {
    "gru": {"torch": "rzn", "keras": "zrn", "onnx": "zrn"},
    "lstm": {"torch": "ifgo", "keras": "ifgo", "onnx": "iofg"},
}
"""Order in which the blocks of the gates are stacked."""
CELLS = {3: "gru", 4: "lstm"}


class Part(NamedTuple):
    """A tensor and the name that it has in the file."""

    name: str
    tensor: Tensor


class Layer(NamedTuple):
    """One direction of one layer as PyTorch has it. ``origin`` is the name of its recurrent weights in the file."""

    cell: str
    origin: str
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None


def reordered(cell: str, rows: Tensor, source: str, target: str) -> Tensor:
    """The blocks of rows (G H, ...) stacked in the order of another layout."""
    order = GATES[cell]
    blocks = dict(zip(order[source], np.split(rows, len(order[source])), strict=True))
    return np.concatenate([blocks[gate] for gate in order[target]])


def from_torch(parts: Mapping[str, Part]) -> tuple[Layer, ...]:
    """One direction of torch.nn.GRU or torch.nn.LSTM. Raises InputError on other shapes and on projections."""
    if "weight_hr" in parts:
        raise InputError(f"convert: {parts['weight_hr'].name} is a projection, wanted an LSTM without proj_size")
    _complete(parts, "weight_ih", "weight_hh")
    _together(parts, "bias_ih", "bias_hh")
    recurrent = parts["weight_hh"]
    rows, units = _sizes(recurrent, "G H", "H")
    cell = _cell(recurrent, rows, units)
    _want(parts["weight_ih"], rows, None)
    for name in ("bias_ih", "bias_hh"):
        if name in parts:
            _want(parts[name], rows)
    tensors = {name: part.tensor for name, part in parts.items()}
    return (
        Layer(
            cell,
            recurrent.name,
            tensors["weight_ih"],
            tensors["weight_hh"],
            tensors.get("bias_ih"),
            tensors.get("bias_hh"),
        ),
    )


def to_torch(layers: Sequence[Layer], sum_biases: bool) -> dict[str, Tensor]:
    """The tensors of one direction by part; ``sum_biases`` has nothing to do here."""
    (layer,) = layers
    return _given(weight_ih=layer.weight_ih, weight_hh=layer.weight_hh, bias_ih=layer.bias_ih, bias_hh=layer.bias_hh)


def from_keras(parts: Mapping[str, Part]) -> tuple[Layer, ...]:
    """keras.layers.GRU or LSTM. Raises InputError on other shapes and on reset_after=False.

    The LSTM of Keras has one bias: it becomes bias_ih, and bias_hh is zero.
    """
    _complete(parts, "kernel", "recurrent_kernel")
    recurrent = parts["recurrent_kernel"]
    units, columns = _sizes(recurrent, "H", "G H")
    cell = _cell(recurrent, columns, units)
    _want(parts["kernel"], None, columns)
    bias_ih = bias_hh = None
    if "bias" in parts:
        bias = parts["bias"]
        if cell == "lstm":
            _want(bias, columns)
            bias_ih = reordered(cell, bias.tensor, "keras", "torch")
            bias_hh = np.zeros_like(bias_ih)
        elif bias.tensor.shape == (columns,):
            raise InputError(
                f"convert: {bias.name} has shape {bias.tensor.shape}: a GRU with reset_after=False, which resets the "
                "state before the matrix product and is another equation, wanted reset_after=True with a bias (2, 3H)"
            )
        else:
            _want(bias, 2, columns)
            bias_ih, bias_hh = (reordered(cell, row, "keras", "torch") for row in bias.tensor)
    return (
        Layer(
            cell,
            recurrent.name,
            reordered(cell, parts["kernel"].tensor.T, "keras", "torch"),
            reordered(cell, recurrent.tensor.T, "keras", "torch"),
            bias_ih,
            bias_hh,
        ),
    )


def to_keras(layers: Sequence[Layer], sum_biases: bool) -> dict[str, Tensor]:
    """The tensors of one direction by part.

    Raises InputError for an LSTM whose bias_hh is not zero, unless ``sum_biases``: then bias_ih + bias_hh is kept.
    """
    (layer,) = layers
    kernel, recurrent = (reordered(layer.cell, w, "torch", "keras").T for w in (layer.weight_ih, layer.weight_hh))
    bias = None
    if layer.bias_ih is not None and layer.bias_hh is not None:
        b_ih, b_hh = (reordered(layer.cell, b, "torch", "keras") for b in (layer.bias_ih, layer.bias_hh))
        bias = np.stack([b_ih, b_hh]) if layer.cell == "gru" else _one_bias(layer.origin, b_ih, b_hh, sum_biases)
    return _given(kernel=kernel, recurrent_kernel=recurrent, bias=bias)


def _one_bias(origin: str, bias_ih: Tensor, bias_hh: Tensor, sum_biases: bool) -> Tensor:
    if not any(bias_hh.tobytes()):  # -0.0 would not come back
        return bias_ih
    if not sum_biases:
        raise InputError(
            f"convert: the recurrent bias of the LSTM of {origin} is not zero, and an LSTM of Keras has one bias, "
            "wanted --sum-biases (sum_biases=True), which keeps the sum of the two and cannot be undone"
        )
    return bias_ih + bias_hh


def from_onnx(parts: Mapping[str, Part]) -> tuple[Layer, ...]:
    """A GRU or LSTM node: its forward direction, then the reverse where it has two. Raises InputError.

    The node's attribute linear_before_reset must be 1; the weights do not show it. Peepholes are refused.
    """
    if "P" in parts:
        raise InputError(f"convert: {parts['P'].name} holds peepholes, which no other layout has, wanted none")
    _complete(parts, "W", "R")
    recurrent = parts["R"]
    directions, rows, units = _sizes(recurrent, "D", "G H", "H")
    cell = _cell(recurrent, rows, units)
    if directions not in (1, 2):
        raise InputError(f"convert: {recurrent.name} has {directions} directions, wanted 1 or 2")
    _want(parts["W"], directions, rows, None)
    biases: Sequence[tuple[Tensor | None, Tensor | None]] = [(None, None)] * directions
    if "B" in parts:
        _want(parts["B"], directions, 2 * rows)
        biases = [(both[:rows], both[rows:]) for both in parts["B"].tensor]
    layers = []
    for w, r, both in zip(parts["W"].tensor, recurrent.tensor, biases, strict=True):
        b_ih, b_hh = (None if b is None else reordered(cell, b, "onnx", "torch") for b in both)
        w_ih, w_hh = (reordered(cell, stacked, "onnx", "torch") for stacked in (w, r))
        layers.append(Layer(cell, recurrent.name, w_ih, w_hh, b_ih, b_hh))
    return tuple(layers)


def to_onnx(layers: Sequence[Layer], sum_biases: bool) -> dict[str, Tensor]:
    """The tensors of a node with these directions by part; ``sum_biases`` has nothing to do here.

    Raises InputError where the directions differ in anything but their values.
    """
    first = layers[0]
    for other in layers[1:]:
        for name in ("cell", "weight_ih", "weight_hh", "bias_ih"):
            a, b = (_form(getattr(layer, name)) for layer in (first, other))
            if a != b:
                raise InputError(
                    f"convert: {first.origin} and {other.origin} are the directions of one layer, but {name} is {a} "
                    f"in one and {b} in the other, wanted both alike"
                )

    def rows(tensor: Tensor) -> Tensor:
        return reordered(first.cell, tensor, "torch", "onnx")

    biases = [
        np.concatenate([rows(layer.bias_ih), rows(layer.bias_hh)])
        for layer in layers
        if layer.bias_ih is not None and layer.bias_hh is not None
    ]
    return _given(
        W=np.stack([rows(layer.weight_ih) for layer in layers]),
        R=np.stack([rows(layer.weight_hh) for layer in layers]),
        B=np.stack(biases) if biases else None,
    )


READERS: Mapping[str, Callable[[Mapping[str, Part]], tuple[Layer, ...]]] = {
    "torch": from_torch,
    "keras": from_keras,
    "onnx": from_onnx,
}
WRITERS: Mapping[str, Callable[[Sequence[Layer], bool], dict[str, Tensor]]] = {
    "torch": to_torch,
    "keras": to_keras,
    "onnx": to_onnx,
}


def _given(**tensors: Tensor | None) -> dict[str, Tensor]:
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items() if tensor is not None}


def _form(value: Any) -> str:
    return "absent" if value is None else value if isinstance(value, str) else f"{value.dtype}{value.shape}"


def _complete(parts: Mapping[str, Part], *names: str) -> None:
    """Every name is there, and all parts have one dtype."""
    some = next(iter(parts.values())).name
    for name in names:
        if name not in parts:
            raise InputError(f"convert: {some} has no {name} beside it, wanted {' and '.join(names)}")
    dtypes = {part.tensor.dtype: part.name for part in parts.values()}
    if len(dtypes) > 1:
        came = ", ".join(f"{name} is {dtype}" for dtype, name in dtypes.items())
        raise InputError(f"convert: {came}, wanted one dtype in a layer")


def _together(parts: Mapping[str, Part], *names: str) -> None:
    there = [name for name in names if name in parts]
    if there and len(there) < len(names):
        raise InputError(f"convert: {parts[there[0]].name} is alone, wanted {' and '.join(names)} or neither")


def _sizes(part: Part, *axes: str) -> tuple[int, ...]:
    if part.tensor.ndim != len(axes) or 0 in part.tensor.shape:
        raise InputError(f"convert: {part.name} has shape {part.tensor.shape}, wanted ({', '.join(axes)})")
    return part.tensor.shape


def _want(part: Part, *sizes: int | None) -> None:
    """The shape is this one; None stands for the number of inputs, at least 1."""
    shape = part.tensor.shape
    good = len(shape) == len(sizes) and all(
        n == want or (want is None and n) for n, want in zip(shape, sizes, strict=True)
    )
    if not good:
        wanted = ", ".join("I" if size is None else str(size) for size in sizes)
        raise InputError(f"convert: {part.name} has shape {shape}, wanted ({wanted})")


def _cell(recurrent: Part, stacked: int, units: int) -> str:
    gates, rest = divmod(stacked, units)
    if rest or gates not in CELLS:
        raise InputError(
            f"convert: {recurrent.name} has shape {recurrent.tensor.shape}: {stacked} / {units} = {stacked / units:g} "
            "gates, wanted 3 (GRU) or 4 (LSTM)"
        )
    return CELLS[gates]
