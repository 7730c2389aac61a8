"""Operators of ONNX in its reference evaluator, where ONNX has the form of refbss: to be judged by tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator

from refbss.conformance.convert import to_layout

OPSET = 17


def _run(op: str, inputs: dict[str, Any], outputs: int = 1, **attributes: Any) -> Any:
    names = [f"y{i}" for i in range(outputs)]
    kind = helper.np_dtype_to_tensor_dtype(next(iter(inputs.values())).dtype)
    node = helper.make_node(op, list(inputs), names, **attributes)
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info(name, kind, None) for name in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name in names],
    )
    found = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)]))
    return found.run(None, inputs)


def _recurrent(op: str, x: Any, states: dict[str, Any], params: dict[str, Any], **attributes: Any) -> list[Any]:
    """ONNX runs time first and has an axis of directions; its rows are [z; r; h] and [i; o; f; c]."""
    stored = to_layout(params, "torch", "onnx").tensors
    given = {"x": x.swapaxes(0, 1), **{name: stored[f"{name}_l0"] for name in "WRB"}, "": None}
    given |= {name: state[None] for name, state in states.items()}
    inputs = {name: array for name, array in given.items() if array is not None}
    outputs = ["y", *(f"last_{name}" for name in states)]
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    node = helper.make_node(op, list(given), outputs, hidden_size=states["h"].shape[1], **attributes)
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info(name, kind, None) for name in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    y, *last = ReferenceEvaluator(model).run(None, inputs)
    return [np.ascontiguousarray(y[:, 0].swapaxes(0, 1)), *(state[0] for state in last)]


def gru(x: Any, h0: Any, **params: Any) -> Any:
    return _recurrent("GRU", x, {"h": h0}, params, linear_before_reset=1)


def lstm(x: Any, h0: Any, c0: Any, **params: Any) -> Any:
    return _recurrent("LSTM", x, {"h": h0, "c": c0}, params)


def conv1d(x: Any, weight: Any, bias: Any, stride: int, pad_left: int) -> Any:
    return _run("Conv", {"x": x, "w": weight, "b": bias}, strides=[stride], pads=[pad_left, 0])[0]


def conv_transpose1d(x: Any, weight: Any, bias: Any, stride: int, trim_right: int) -> Any:
    return _run("ConvTranspose", {"x": x, "w": weight, "b": bias}, strides=[stride], pads=[0, trim_right])[0]


def layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    return _run("LayerNormalization", {"x": x, "w": weight, "b": bias}, axis=-1, epsilon=eps)[0]


def linear(x: Any, weight: Any, bias: Any) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    return _run("Gemm", {"x": rows, "w": weight, "b": bias}, transB=1)[0].reshape(*x.shape[:-1], -1)


def prelu(x: Any, weight: Any) -> Any:
    return _run("PRelu", {"x": x, "slope": weight[:, None]})[0]


def sigmoid(x: Any) -> Any:
    return _run("Sigmoid", {"x": x})[0]


def tanh(x: Any) -> Any:
    return _run("Tanh", {"x": x})[0]


def softplus(x: Any) -> Any:
    return _run("Softplus", {"x": x})[0]
