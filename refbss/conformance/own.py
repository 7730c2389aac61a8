"""The engines of refbss as implementations: the law is judged by the golden vectors as everybody else is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import numpy as np

from refbss import priors
from refbss._checks import InputError
from refbss._types import Array
from refbss.conformance import own_models
from refbss.conformance.implementation import Answer, CallFailure
from refbss.conformance.vectors import Arrays, Vector
from refbss.engine import ENGINES, engine
from refbss.training.optimizers import AdamState, adam_step, clip_gradients

LAYER = {"weight": "w", "bias": "b"}
RECURRENT = {"weight_ih_l0": "w_ih", "weight_hh_l0": "w_hh", "bias_ih_l0": "b_ih", "bias_hh_l0": "b_hh"}
SEPARATOR = {"adapt_weight": "a", "adapt_bias": "c", "memory_weight": "read", "fc_weight": "v", "fc_bias": "b"}
ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "conv1d": LAYER,
    "conv_transpose1d": LAYER,
    "linear": LAYER,
    "prelu": {"weight": "a"},
    "layer_norm": {"weight": "gamma", "bias": "beta"},
    "gru": RECURRENT,
    "lstm": RECURRENT,
    "adaptive_separator": SEPARATOR,
    "memory_separator": SEPARATOR,
}
"""PyTorch's name of a parameter and the law's argument, where they differ."""


class Engine:
    """One of refbss's engines. Raises InputError on an unknown name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ops = engine(name)

    def answer(self, vector: Vector, dtype: str, grads: bool) -> Answer:
        """Work the case out. Raises CallFailure where the engine refuses the call."""
        special = SPECIAL.get("prior" if vector.op.startswith("prior_") else vector.op)
        arrays = {name: np.asarray(a, dtype) for name, a in (vector.inputs | vector.params).items()}
        cotangents = {name: np.asarray(a, dtype) for name, a in vector.cotangents.items()}
        try:
            if special is not None:
                return special(vector, arrays, cotangents, self.ops, grads)
            return self._operator(vector, arrays, cotangents, grads)
        except InputError as error:
            raise CallFailure(str(error)) from error

    def _operator(self, vector: Vector, arrays: Arrays, cotangents: Arrays, grads: bool) -> Answer:
        forward = getattr(self.ops, f"{vector.op}_forward", None)
        if forward is None:
            raise CallFailure(f"the engine {self.name!r} has no operator {vector.op!r}")
        named = ARGUMENTS.get(vector.op, {})
        given = {named.get(name, name): array for name, array in arrays.items()}
        order = [name for name in inspect.signature(forward).parameters if name in given]
        *outputs, cache = forward(*(given[name] for name in order), **vector.attrs)
        answered = dict(zip(vector.outputs, outputs, strict=False))
        if not grads or not vector.grads:
            return Answer(answered, {})
        pulled = getattr(self.ops, f"{vector.op}_backward")(*cotangents.values(), cache)
        return Answer(answered, {name: getattr(pulled, f"d{named.get(name, name)}") for name in vector.grads})


def _prior(vector: Vector, arrays: Arrays, cotangents: Arrays, ops: SimpleNamespace, grads: bool) -> Answer:
    """phi and phi_1 of a family, pulled back with its analytic derivatives; log_f is reported."""
    family = priors.get(vector.op.removeprefix("prior_"))
    shape = arrays.get("shape", np.ones(1))
    arguments = (arrays["u"].astype(np.float64), vector.attrs["dim"], float(shape[0]), vector.attrs["offset"])
    functions = ("phi", "phi_1", "phi_2", "log_f", "phi_shape", "phi_1_shape")
    value: dict[str, Array] = {name: getattr(family, name)(*arguments) for name in functions}
    d, d_1 = (cotangents[name].astype(np.float64) for name in ("phi", "phi_1"))
    pulled = {"u": d * value["phi_1"] + d_1 * value["phi_2"]}
    pulled["shape"] = np.sum(d * value["phi_shape"] + d_1 * value["phi_1_shape"]).reshape(1)
    dtype = arrays["u"].dtype
    return Answer(
        {name: value[name].astype(dtype) for name in vector.outputs},
        {name: pulled[name].astype(dtype) for name in vector.grads if grads},
    )


def _adam(vector: Vector, arrays: Arrays, cotangents: Arrays, ops: SimpleNamespace, grads: bool) -> Answer:
    attrs = dict(vector.attrs)
    state = AdamState({"theta": arrays["m"]}, {"theta": arrays["v"]}, attrs.pop("t"))
    params, after = adam_step({"theta": arrays["theta"]}, {"theta": arrays["g"]}, state, **attrs)
    return Answer({"theta_new": params["theta"], "m_new": after.m["theta"], "v_new": after.v["theta"]}, {})


def _clip(vector: Vector, arrays: Arrays, cotangents: Arrays, ops: SimpleNamespace, grads: bool) -> Answer:
    clipped, norm = clip_gradients(arrays, vector.attrs["clip"])
    return Answer({f"{name}_new": array for name, array in clipped.items()} | {"norm": np.array([norm])}, {})


SPECIAL: Mapping[str, Callable[[Vector, Arrays, Arrays, SimpleNamespace, bool], Answer]] = {
    "prior": _prior,
    "adam": _adam,
    "clip_gradients": _clip,
    "model": own_models.model,
    "objective": own_models.objective,
    "train": own_models.train,
}
"""Operators that the engines do not hold as a pair of functions."""


def own(name: str) -> Engine | None:
    """The engine of that name, or None where it is not one of ours."""
    return Engine(name) if name in ENGINES else None
