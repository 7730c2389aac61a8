"""The cases of whole models, objectives and training chains: configurations, parameters and signals.

Configurations are written out field by field, under the names of the LVBD's configuration. Every number comes from
book.draw or is a product or sum of such numbers that float32 holds exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch_lvbd
from book import draw
from number import Named

Options = dict[str, Any]

TINY: Options = {
    "sources": 2,
    "sample_rate_hz": 8000,
    "conv_channels": [12, 16, 16],
    "conv_kernels": [8, 4, 4],
    "conv_strides": [4, 2, 2],
    "gru_hidden": 16,
    "gru_sections": 3,
    "norm": True,
    "norm_eps": 1e-5,
    "residual": True,
    "concat_conv": True,
    "latent": 16,
    "memory": True,
    "block": 32,
    "time_constants": 2,
    "theta_init": [1.0, -1.0],
    "e0": 0.1,
    "delta": 1e-3,
    "truncate": 0,
    "log_var_min": -8.0,
    "log_var_max": -2.0,
    "sample": True,
    "slope_init": 0.25,
    "memory_init": 0.1,
}
"""The preset lvbd-tiny."""

MICRO: Options = TINY | {
    "conv_channels": [2, 3],
    "conv_kernels": [4, 3],
    "conv_strides": [2, 2],
    "gru_hidden": 3,
    "gru_sections": 1,
    "latent": 2,
    "block": 3,
    "e0": 0.25,
    "delta": 0.0625,
    "log_var_min": -3.0,
    "log_var_max": 1.0,
}
"""Every part of the model, each as small as it can be without being symmetric."""

THREE = MICRO | {"sources": 3}
BARE = MICRO | {
    "conv_channels": [2, 2, 3],
    "conv_kernels": [4, 4, 3],
    "conv_strides": [2, 2, 2],
    "norm": False,
    "residual": False,
    "gru_hidden": 4,
    "gru_sections": 2,
    "time_constants": 1,
    "theta_init": [0.5],
    "truncate": 1,
    "block": 2,
}
FORGETFUL = MICRO | {
    "memory": False,
    "concat_conv": False,
    "conv_kernels": [5, 3],
    "conv_strides": [3, 2],
}

LOSS: Options = {
    "assignment": "pit",
    "temp": 0.25,
    "sinkhorn_temp_db": 4.0,
    "sinkhorn_temp_end_db": 1.0,
    "sinkhorn_steps": 3,
    "si_sdr_eps": 1e-3,
    "silent_ratio": 1e-6,
    "silent_floor": 0.25,
    "fisher_weight": 0.75,
    "divergence": "fisher",
    "fisher_form": "weighted",
    "prior": "student",
    "prior_shape": 3.5,
    "learn_prior_shape": False,
    "prior_r": "identity",
    "prior_offset": 0.25,
    "memory_rho": 0.0625,
    "permutation_weight": 0.0,
    "permutation_frame": 5,
    "permutation_temp": 0.25,
    "permutation_weights": [1.0, 0.5, 0.25, 2.0],
    "permutation_floor": 0.0625,
    "mixture_weight": 0.0,
}
"""Floors are high enough to be seen. With 45 samples there are 9 frames, too few for the last permutation weight."""
ALL_TERMS: Options = {"permutation_weight": 3.0, "mixture_weight": 0.875}


@dataclass(frozen=True)
class Question:
    """What one case asks.

    ``why`` is the reason of a call that must be refused; empty where there is an answer. A case that is not ``small``
    is stored without w, the model's largest intermediate, and without mistakes.
    """

    id: str
    inputs: Named
    params: Named
    attrs: Options
    flags: tuple[str, ...] = ()
    equations: tuple[str, ...] = ()
    why: str = ""
    small: bool = True

    @property
    def op(self) -> str:
        """model, objective or train."""
        return self.id.split("/")[0]


def eighths(value: float) -> float:
    """The nearest multiple of 1/8, at least 1/8, at most 2: what book.draw can scale by."""
    return min(2.0, max(1, round(8 * value)) / 8)


def parameters(label: str, config: Options, loss_config: Options | None = None) -> Named:
    """Random parameters of the LVBD; biases, slopes and the memory's start are random too."""
    made = {}
    for name, shape in torch_lvbd.parameter_shapes(config, loss_config or {}).items():
        scale, mean = 0.25, 0.0
        if (name.endswith("weight") and len(shape) > 1) or "_l0" in name:
            scale = eighths(math.sqrt(3.0 / math.prod(shape[1:])))
        elif name.endswith("weight"):
            scale, mean = (0.125, 0.25) if ".act." in name else (0.5, 1.0)
        elif name.startswith(("memory.", "prior.")):
            scale, mean = 0.75, 1.5 if name == "prior.shape" else 0.0
        made[name] = draw(f"{label}/{name}", *shape, scale=scale, mean=mean)
    return made


def noise(label: str, batch: int, samples: int, config: Options) -> Named:
    """eps (B, P, T, D) of about unit variance, where the model samples."""
    if not config["sample"]:
        return {}
    frames = -(-samples // math.prod(config["conv_strides"]))
    return {"eps": draw(f"{label}/eps", batch, config["sources"], frames, config["latent"], scale=1.75)}


def model(
    name: str,
    config: Options,
    samples: int,
    batch: int = 1,
    silent: bool = False,
    flags: tuple[str, ...] = (),
    small: bool = True,
) -> Question:
    """A case of the network alone; with ``silent`` the last item is silence."""
    label = f"model/{name}"
    mix = draw(f"{label}/mix", batch, samples)
    if silent:
        mix[-1] = 0.0
    inputs = {"mix": mix} | noise(label, batch, samples, config)
    return Question(label, inputs, parameters(label, config), {"config": config}, flags, small=small)


def signals(label: str, config: Options, samples: int, silent: bool, soft: bool) -> Named:
    """Two items: a clean one, and one with noise. ``silent`` makes a source of the last item almost silent.

    ``soft`` starts every source with a third at an eighth of its level, so that activities differ over time.
    """
    refs = draw(f"{label}/refs", 2, config["sources"], samples)
    if soft:
        refs[..., : samples // 3] *= 0.125
    if silent:
        refs[-1, -1] *= 2.0**-14
    clean = np.array([1.0, 0.0])
    hiss = 0.25 * draw(f"{label}/noise", 2, samples) * (1.0 - clean[:, None])
    return {"mix": (refs.sum(1) + hiss).astype(np.float32).astype(np.float64), "refs": refs, "clean": clean}


def objective(
    name: str, config: Options, samples: int = 45, silent: bool = False, flags: tuple[str, ...] = (), **loss: Any
) -> Question:
    """A case of the whole objective, with these options of the loss."""
    label = f"objective/{name}"
    loss_config = LOSS | loss
    given = signals(label, config, samples, silent, soft=True)
    clean = given.pop("clean")
    inputs = given | noise(label, 2, samples, config) | {"clean": clean}
    params = parameters(label, config, loss_config)
    return Question(label, inputs, params, {"config": config, "loss_config": loss_config}, flags)


def adam(**more: Any) -> Options:
    """Attributes that every chain has."""
    options = {"steps": [1, 10, 100], "learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.999, "adam_eps": 1e-8}
    return {**options, **more}


def chain(name: str, inputs: Named, params: Named, attrs: Options) -> Question:
    """A case of training."""
    equations = ("adam.1", "adam.2", "adam.3", "adam.4")
    return Question(f"train/{name}", inputs, params, {"model": name, **attrs}, (), equations)


def linear_chain() -> Question:
    """Linear regression from 3 to 2 numbers."""
    inputs = {"x": draw("train/linear/x", 8, 3), "target": draw("train/linear/target", 8, 2, scale=2.0)}
    params = {"weight": draw("train/linear/weight", 2, 3), "bias": draw("train/linear/bias", 2)}
    return chain("linear", inputs, params, adam(clip_norm=0.5))


def gru_chain() -> Question:
    """A GRU of 3 units with a linear head, against a sequence of targets; its first state is zero."""
    label, hidden = "train/gru", 3
    inputs = {"x": draw(f"{label}/x", 2, 8, 2, scale=2.0), "target": draw(f"{label}/target", 2, 8, 2)}
    shapes = {
        "gru.weight_ih_l0": (3 * hidden, 2),
        "gru.weight_hh_l0": (3 * hidden, hidden),
        "gru.bias_ih_l0": (3 * hidden,),
        "gru.bias_hh_l0": (3 * hidden,),
        "head.weight": (2, hidden),
        "head.bias": (2,),
    }
    params = {name: draw(f"{label}/{name}", *shape) for name, shape in shapes.items()}
    return chain("gru", inputs, params, adam(clip_norm=0.5))


def lvbd_chain() -> Question:
    """A micro LVBD with the whole objective, on one batch with fixed noise."""
    label, samples = "train/lvbd", 48
    config, loss_config = MICRO, LOSS | ALL_TERMS | {"fisher_weight": 0.0625}
    given = signals(label, config, samples, silent=False, soft=True)
    clean = given.pop("clean")
    inputs = given | noise(label, 2, samples, config) | {"clean": clean}
    attrs = adam(learning_rate=1e-3, clip_norm=10.0, config=config, loss_config=loss_config)
    return chain("lvbd", inputs, parameters(label, config, loss_config), attrs)


def wrong_noise() -> Question:
    """eps has a frame too many."""
    label = "model/wrong-noise"
    inputs = {"mix": draw(f"{label}/mix", 1, 12), "eps": draw(f"{label}/eps", 1, 2, 3, 2)}
    why = "eps has 3 frames, a mixture of 12 samples has 2 at a hop of 6"
    return Question(label, inputs, parameters(label, FORGETFUL), {"config": FORGETFUL}, ("error",), why=why)


def wrong_references() -> Question:
    """A reference too many."""
    label = "objective/wrong-references"
    inputs = {"mix": draw(f"{label}/mix", 1, 12), "refs": draw(f"{label}/refs", 1, 3, 12)}
    inputs |= {"eps": draw(f"{label}/eps", 1, 2, 2, 2), "clean": np.ones(1)}
    attrs = {"config": FORGETFUL, "loss_config": LOSS}
    why = "refs has 3 references, the model has 2 outputs"
    return Question(label, inputs, parameters(label, FORGETFUL, LOSS), attrs, ("error",), why=why)


def questions() -> list[Question]:
    """Every case, in order."""
    return [
        model("lvbd-tiny", TINY, 520, small=False),
        model("three-sources", THREE, 35),
        model("bare", BARE, 38, batch=2, silent=True, flags=("edge",)),
        model("no-memory", FORGETFUL, 30),
        model("one-frame", MICRO | {"sample": False}, 3, flags=("edge",)),
        wrong_noise(),
        objective("all-terms", MICRO, silent=True, **ALL_TERMS),
        objective("softmax-memory-r", MICRO, assignment="softmax", prior_r="memory"),
        objective("sinkhorn-explicit-laplace", MICRO, assignment="sinkhorn", fisher_form="explicit", prior="laplace"),
        objective(
            "three-sources-implicit-power",
            THREE,
            fisher_form="implicit",
            prior="power",
            prior_shape=0.75,
            learn_prior_shape=True,
            prior_r="learned",
            fisher_weight=0.125,
            **ALL_TERMS,
        ),
        objective("three-sources-sinkhorn", THREE, silent=True, assignment="sinkhorn", **ALL_TERMS),
        objective("kl-no-memory", FORGETFUL, divergence="kl", prior="gaussian", prior_r="learned"),
        objective("no-sampling", BARE | {"sample": False}, fisher_weight=0.0, mixture_weight=0.875),
        wrong_references(),
        linear_chain(),
        gru_chain(),
        lvbd_chain(),
    ]
