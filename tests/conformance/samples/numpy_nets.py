"""Whole models and objectives in NumPy, as callables that take every parameter in one mapping."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss.engine import engine
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
from refbss.models.lvbd_loss import loss_and_grads

OPS = engine("reference")


def tuples(options: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def model(params: Any, mix: Any, eps: Any, config: Any) -> Any:
    """What the network returns, by name."""
    outputs, _ = lvbd.forward(params, mix, eps, config=LvbdConfig(**tuples(config)), ops=OPS)
    return {name: getattr(outputs, name) for name in ("mu", "log_var", "z", "est")}


def model_vjp(cotangents: Any, params: Any, mix: Any, eps: Any, config: Any) -> Any:
    """Gradients by parameter name."""
    _, cache = lvbd.forward(params, mix, eps, config=LvbdConfig(**tuples(config)), ops=OPS)
    return lvbd.backward(*cotangents, cache)


def estimates(params: Any, mix: Any, eps: Any, config: Any) -> Any:
    """The estimates alone."""
    return model(params, mix, eps, config)["est"]


def shifted(params: Any, mix: Any, eps: Any, config: Any) -> Any:
    """z is wrong, and what follows from it."""
    found = model(params, mix, eps, config)
    return found | {"z": -found["z"], "est": np.flip(found["est"], -1)}


def objective(params: Any, config: Any, loss_config: Any, mix: Any, refs: Any, clean: Any, eps: Any) -> Any:
    """The training loss."""
    options = LvbdConfig(**tuples(config)), LvbdLossConfig(**tuples(loss_config))
    found = loss_and_grads(params, mix, refs, eps, clean != 0.0, config=options[0], loss_config=options[1], ops=OPS)
    return np.asarray(found.loss, mix.dtype)


objective.vjp = lambda cotangent, **given: gradients(cotangent, **given)  # type: ignore[attr-defined]


def gradients(
    cotangent: Any, params: Any, config: Any, loss_config: Any, mix: Any, refs: Any, clean: Any, eps: Any
) -> Any:
    """Its gradients; the loss has one cotangent, so it comes bare."""
    assert np.shape(cotangent) == ()
    options = LvbdConfig(**tuples(config)), LvbdLossConfig(**tuples(loss_config))
    found = loss_and_grads(params, mix, refs, eps, clean != 0.0, config=options[0], loss_config=options[1], ops=OPS)
    return {name: cotangent * grad for name, grad in found.grads.items()}
