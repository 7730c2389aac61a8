"""The golden vectors of whole models, of the training objective and of training chains, put to an engine of refbss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from refbss._types import Array
from refbss.conformance.implementation import Answer
from refbss.conformance.vectors import Arrays, Vector
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
from refbss.models.lvbd_loss import LossResult, loss_and_grads
from refbss.models.params import Params
from refbss.training.optimizers import adam_init, adam_step, clip_gradients


class Call(NamedTuple):
    """One call of an operator: its positional arguments, and what it returned, the cache last."""

    arguments: tuple[Any, ...]
    returned: tuple[Any, ...]


def watched(ops: SimpleNamespace, calls: dict[str, list[Call]]) -> SimpleNamespace:
    """The same engine, which notes every call of a forward function in ``calls``, by the function's name."""

    def watch(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **attributes: Any) -> Any:
            returned = function(*arguments, **attributes)
            calls.setdefault(name, []).append(Call(arguments, returned))
            return returned

        return noted if name.endswith("_forward") else function

    return SimpleNamespace(**{name: watch(name, function) for name, function in vars(ops).items()})


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration: JSON's lists are tuples there."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _adaptive_matrix(cache: Any) -> Array:
    """w (B, P, T, M) from the cache of the separator: whole in the fast engine, block by block in the law."""
    if hasattr(cache, "w"):
        whole: Array = cache.w
        return whole
    return np.concatenate([block.w for block in cache.separators], axis=2)


def model(vector: Vector, arrays: Arrays, cotangents: Arrays, ops: SimpleNamespace, grads: bool) -> Answer:
    """Every intermediate of LVBD, as its operators were given and returned them, and the gradients.

    Raises InputError where the model refuses the question.
    """
    config = LvbdConfig(**_fields(vector.attrs["config"]))
    params = {name: arrays[name] for name in vector.params}
    calls: dict[str, list[Call]] = {}
    out, cache = lvbd.forward(params, arrays["mix"], arrays.get("eps"), config=config, ops=watched(ops, calls))
    (separator,) = calls["memory_separator_forward"]
    x, control = separator.arguments[:2]
    mu, low = separator.returned[:2]
    found = {f"h{i + 1}": calls["prelu_forward"][i].returned[0] for i in range(len(config.conv_channels))}
    found |= {f"g{i}": call.arguments[0] for i, call in enumerate(calls["gru_forward"])}
    found |= {f"g{config.gru_sections}": control, "x": x, "mu": mu, "l": low}
    found["w"] = _adaptive_matrix(separator.returned[-1]).astype(mu.dtype)
    found |= {name: getattr(out, name) for name in ("log_var", "z", "m_blocks", "q_blocks", "est")}
    answered = {name: found[name] for name in vector.outputs}
    if not grads:
        return Answer(answered, {})
    pulled = lvbd.backward(cotangents["est"], cotangents["mu"], cotangents["log_var"], cache)
    return Answer(answered, {name: pulled[name] for name in vector.grads})


def _lvbd_loss(params: Params, arrays: Arrays, attrs: Mapping[str, Any], ops: SimpleNamespace) -> LossResult:
    return loss_and_grads(
        params,
        arrays["mix"],
        arrays["refs"],
        arrays.get("eps"),
        arrays["clean"] != 0.0,
        config=LvbdConfig(**_fields(attrs["config"])),
        loss_config=LvbdLossConfig(**_fields(attrs["loss_config"])),
        ops=ops,
    )


def objective(vector: Vector, arrays: Arrays, cotangents: Arrays, ops: SimpleNamespace, grads: bool) -> Answer:
    """The terms of every item (B,), the mean loss () and its gradients; the cotangent of the loss is 1.

    Raises InputError where the objective refuses the question.
    """
    result = _lvbd_loss({name: arrays[name] for name in vector.params}, arrays, vector.attrs, ops)
    found = result.terms | {"loss": np.asarray(result.loss, arrays["mix"].dtype)}
    answered = {name: found[name] for name in vector.outputs}
    return Answer(answered, {name: result.grads[name] for name in vector.grads} if grads else {})


def _squared_error(y: Array, target: Array) -> tuple[float, Array]:
    """Mean of (y - target)^2 over all elements, and its gradient by y."""
    gap = y - target
    return float(np.square(gap.astype(np.float64)).mean()), gap * gap.dtype.type(2.0 / gap.size)


def _linear(params: Params, arrays: Arrays, attrs: Mapping[str, Any], ops: SimpleNamespace) -> tuple[float, Params]:
    y, cache = ops.linear_forward(arrays["x"], params["weight"], params["bias"])
    loss, dy = _squared_error(y, arrays["target"])
    back = ops.linear_backward(dy, cache)
    return loss, {"weight": back.dw, "bias": back.db}


def _gru(params: Params, arrays: Arrays, attrs: Mapping[str, Any], ops: SimpleNamespace) -> tuple[float, Params]:
    weights = {name: params[f"gru.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    h0 = np.zeros((arrays["x"].shape[0], weights["weight_hh"].shape[1]), arrays["x"].dtype)
    states, h_n, gru_cache = ops.gru_forward(arrays["x"], *weights.values(), h0)
    y, head_cache = ops.linear_forward(states, params["head.weight"], params["head.bias"])
    loss, dy = _squared_error(y, arrays["target"])
    head = ops.linear_backward(dy, head_cache)
    gru = ops.gru_backward(head.dx, np.zeros_like(h_n), gru_cache)
    grads = {"gru.weight_ih_l0": gru.dw_ih, "gru.weight_hh_l0": gru.dw_hh}
    grads |= {"gru.bias_ih_l0": gru.db_ih, "gru.bias_hh_l0": gru.db_hh}
    return loss, grads | {"head.weight": head.dw, "head.bias": head.db}


def _lvbd(params: Params, arrays: Arrays, attrs: Mapping[str, Any], ops: SimpleNamespace) -> tuple[float, Params]:
    result = _lvbd_loss(params, arrays, attrs, ops)
    return result.loss, result.grads


CHAINS: Mapping[str, Callable[..., tuple[float, Params]]] = {"linear": _linear, "gru": _gru, "lvbd": _lvbd}
"""Loss and gradients of what is trained, by the name in the case's attributes."""


def train(vector: Vector, arrays: Arrays, cotangents: Arrays, ops: SimpleNamespace, grads: bool) -> Answer:
    """The loss before every step of Adam (S,), and sum and sum of squares of every parameter after some steps (Q, 2).

    The sums are taken in float64, in the order of the case's parameters.
    """
    attrs = vector.attrs
    options = {name: attrs[name] for name in ("learning_rate", "beta1", "beta2")} | {"eps": attrs["adam_eps"]}
    params = {name: arrays[name] for name in vector.params}
    state, losses, sums = adam_init(params), [], {}
    for step in range(1, max(attrs["steps"]) + 1):
        loss, gradient = CHAINS[attrs["model"]](params, arrays, attrs, ops)
        losses.append(loss)
        gradient, _ = clip_gradients(gradient, attrs["clip_norm"])
        params, state = adam_step(params, gradient, state, **options)
        if step in attrs["steps"]:
            values = [value.astype(np.float64) for value in params.values()]
            sums[f"checksum_{step}"] = np.array([[value.sum(), np.square(value).sum()] for value in values])
    return Answer({"loss": np.array(losses), **sums}, {})
