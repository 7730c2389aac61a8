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


def gru(x: Any, h0: Any, **params: Any) -> Any:
    """ONNX runs time first and has an axis of directions; its rows are [z; r; h]."""
    stored = to_layout(params, "torch", "onnx").tensors
    given = {"x": x.swapaxes(0, 1), **{name: stored[f"{name}_l0"] for name in "WRB"}, "": None, "h": h0[None]}
    inputs = {name: array for name, array in given.items() if array is not None}
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    node = helper.make_node("GRU", list(given), ["y", "last"], hidden_size=h0.shape[1], linear_before_reset=1)
    graph = helper.make_graph(
        [node],
        "gru",
        [helper.make_tensor_value_info(name, kind, None) for name in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name in ("y", "last")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    y, last = ReferenceEvaluator(model).run(None, inputs)
    return np.ascontiguousarray(y[:, 0].swapaxes(0, 1)), last[0]


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
