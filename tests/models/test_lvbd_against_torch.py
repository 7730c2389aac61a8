"""The LVBD loss and every gradient against PyTorch autograd, float64, one option at a time and all together.

The oracle is golden/generate/torch_lvbd.py, written from the equations without refbss. In float64 the two differ by
less than 1e-13 (measured); the tolerances allow a hundredfold for other BLAS libraries.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from refbss.engine import engine
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.lvbd_loss import LvbdLossConfig, loss_and_grads
from refbss.models.lvbd_params import init_params

ORACLE = Path(__file__).parents[2] / "golden" / "generate" / "torch_lvbd.py"
RTOL_LOSS = 1e-12  # of the loss
RTOL_GRAD = 1e-11  # of the largest entry of that parameter's gradient

CONFIG: dict[str, Any] = {
    "sources": 2,
    "sample_rate_hz": 8000,
    "conv_channels": (5, 6, 7),
    "conv_kernels": (8, 4, 4),
    "conv_strides": (4, 2, 2),
    "gru_hidden": 7,
    "gru_sections": 3,
    "norm": True,
    "norm_eps": 1e-5,
    "residual": True,
    "concat_conv": True,
    "latent": 4,
    "memory": True,
    "block": 3,
    "time_constants": 2,
    "theta_init": (1.0, -1.0),
    "e0": 0.2,
    "delta": 0.01,
    "truncate": 0,
    "log_var_min": -3.0,
    "log_var_max": 1.0,
    "sample": True,
    "slope_init": 0.25,
    "memory_init": 0.1,
}
LOSS: dict[str, Any] = {
    "assignment": "pit",
    "temp": 0.3,
    "sinkhorn_temp_db": 4.0,
    "sinkhorn_temp_end_db": 1.0,
    "sinkhorn_steps": 3,
    "si_sdr_eps": 1e-8,
    "silent_ratio": 1e-6,
    "silent_floor": 1e-3,
    "fisher_weight": 0.0,
    "divergence": "fisher",
    "fisher_form": "weighted",
    "prior": "student",
    "prior_shape": 3.5,
    "learn_prior_shape": False,
    "prior_r": "identity",
    "prior_offset": 0.3,
    "memory_rho": 0.05,
    "permutation_weight": 0.0,
    "permutation_frame": 10,
    "permutation_temp": 0.1,
    "permutation_weights": (1.0, 0.6, 0.3, 0.2),
    "permutation_floor": 1e-3,
    "mixture_weight": 0.0,
}
# With 155 samples: 10 latent frames in blocks of 3, 3, 3, 1; 15 permutation frames, too few for the last resolution.
# Every option away from its default in turn; weights of order one, so that each term shows in the comparison.
ALL_TERMS = {"fisher_weight": 0.7, "permutation_weight": 3.0, "mixture_weight": 0.9}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "three sources": {"sources": 3},
    "one source": {"sources": 1},
    "no memory": {"memory": False},
    "no conv in the array": {"concat_conv": False},
    "no norm": {"norm": False},
    "another norm": {"norm_eps": 0.3},
    "no residual": {"residual": False, "gru_hidden": 5},
    "no norm, no residual": {"norm": False, "residual": False, "gru_hidden": 5},
    "one gru section": {"gru_sections": 1},
    "one time constant": {"time_constants": 1, "theta_init": (0.5,)},
    "block longer than the signal": {"block": 32},
    "block of one frame": {"block": 1},
    "truncated at every block": {"truncate": 1, "fisher_weight": 0.7},
    "truncated at every other block": {"truncate": 2, "fisher_weight": 0.7},
    "truncated, blocks of one frame": {"truncate": 3, "block": 1, "prior_r": "memory", "fisher_weight": 0.7},
    "two layers": {"conv_channels": (5, 7), "conv_kernels": (8, 3), "conv_strides": (4, 2)},
    "kernels as long as their strides": {"conv_kernels": (4, 2, 2)},
    "odd strides": {"conv_kernels": (7, 5, 4), "conv_strides": (3, 2, 1)},
    "whole hops": {"samples": 160, **ALL_TERMS},
    "shorter than a hop": {"samples": 9},
    "an item of silence": {"silence": True, **ALL_TERMS},
    "no sampling": {"sample": False},
    "no sampling, fisher": {"sample": False, "fisher_weight": 1.0},
    "softmax": {"assignment": "softmax"},
    "softmax, hot": {"assignment": "softmax", "temp": 0.9},
    "softmax, three sources": {"assignment": "softmax", "sources": 3},
    "sinkhorn": {"assignment": "sinkhorn"},
    "sinkhorn, hot": {"assignment": "sinkhorn", "sinkhorn_temp_db": 30.0},
    "sinkhorn, three sources": {"assignment": "sinkhorn", "sources": 3},
    "permutation": {"permutation_weight": 3.0},
    "permutation, three sources": {"permutation_weight": 3.0, "sources": 3},
    "mixture": {"mixture_weight": 0.9},
    "other floors": {**ALL_TERMS, "si_sdr_eps": 0.02, "silent_floor": 0.05, "permutation_floor": 0.2},
    "loud silence": {"silent_ratio": 0.3, "silent_floor": 0.05},
    "another floor, softmax": {"assignment": "softmax", "permutation_floor": 0.2},
    "kl": {"fisher_weight": 0.7, "divergence": "kl", "prior": "gaussian"},
    "kl, learned r": {"fisher_weight": 0.7, "divergence": "kl", "prior": "gaussian", "prior_r": "learned"},
    "kl, memory r": {"fisher_weight": 0.7, "divergence": "kl", "prior": "gaussian", "prior_r": "memory"},
    "other constants": {**ALL_TERMS, "e0": 0.6, "delta": 0.2, "log_var_min": -1.0, "log_var_max": 2.0},
    "other permutation": {
        **ALL_TERMS,
        "permutation_frame": 16,
        "permutation_temp": 0.4,
        "permutation_weights": (0.2, 1.5),
    },
    "another prior": {
        "fisher_weight": 0.7,
        "prior": "power",
        "prior_shape": 0.8,
        "prior_offset": 0.9,
        "prior_r": "memory",
        "memory_rho": 0.4,
    },
    "one sinkhorn step": {"assignment": "sinkhorn", "sinkhorn_steps": 1},
    "all": ALL_TERMS,
    "all, softmax, memory r": {**ALL_TERMS, "assignment": "softmax", "prior_r": "memory"},
    "all, sinkhorn, learned shape": {
        **ALL_TERMS,
        "assignment": "sinkhorn",
        "sources": 3,
        "prior_r": "learned",
        "learn_prior_shape": True,
        "prior": "power",
    },
}
SHAPES = {"gaussian": (1.0, False), "student": (3.5, True), "power": (0.8, True), "laplace": (1.0, False)}
for _family, (_shape, _learns) in SHAPES.items():
    for _form in ("weighted", "explicit", "implicit"):
        for _r in ("identity", "learned", "memory"):
            _case = {"fisher_weight": 0.7, "prior": _family, "prior_shape": _shape, "fisher_form": _form, "prior_r": _r}
            CASES[f"{_form} {_family}, {_r} r"] = _case
            if _learns and _r == "learned":
                CASES[f"{_form} {_family}, learned shape"] = {**_case, "learn_prior_shape": True}
for _latent in (3, 5):
    CASES[f"laplace in {_latent} dimensions"] = {"fisher_weight": 0.7, "prior": "laplace", "latent": _latent}


@functools.cache
def load_oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("torch_lvbd", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(case: str) -> tuple[dict[str, Any], dict[str, Any]]:
    config = CONFIG | {key: value for key, value in CASES[case].items() if key in CONFIG}
    loss_config = LOSS | {key: value for key, value in CASES[case].items() if key in LOSS}
    return config, loss_config


@functools.cache
def judged(case: str) -> tuple[dict[str, Any], float, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs of the case, and the loss, terms and gradients that autograd finds."""
    oracle = load_oracle()
    config, loss_config = options(case)
    inputs = oracle.random_case(sum(case.encode()), config, loss_config, samples=CASES[case].get("samples", 155))
    if CASES[case].get("silence"):
        inputs["refs"][-1] = inputs["mix"][-1] = 0.0
    params = oracle.as_tensors(inputs["params"], grad=True)
    mix, refs, eps = (torch.from_numpy(inputs[name]) for name in ("mix", "refs", "eps"))
    total, terms = oracle.loss(params, mix, refs, eps, torch.from_numpy(inputs["clean"]), config, loss_config)
    total.backward()
    grads = {name: np.zeros(p.shape) if p.grad is None else p.grad.numpy() for name, p in params.items()}
    return inputs, total.item(), {name: term.detach().numpy() for name, term in terms.items()}, grads


def test_cases_leave_no_option_out() -> None:
    fixed = {"sample_rate_hz", "sinkhorn_temp_end_db", "slope_init", "memory_init"}  # a label, the schedule, the start
    assert set(LvbdConfig.__dataclass_fields__) == set(CONFIG)
    assert set(LvbdLossConfig.__dataclass_fields__) == set(LOSS)
    assert set().union(*CASES.values()) - {"samples", "silence"} == (set(CONFIG) | set(LOSS)) - fixed


def test_the_cases_are_not_blind() -> None:
    """Where everything is on, every parameter has a gradient, and a silent reference and a noisy item take part."""
    inputs, _, terms, grads = judged("all, sinkhorn, learned shape")
    assert all(np.abs(grad).max() > 1e-6 for grad in grads.values())
    assert all(term.any() for term in terms.values())
    assert terms["mixture"][0] > 0 and terms["mixture"][1] == 0
    energy = (inputs["refs"] ** 2).sum(-1) / (inputs["mix"] ** 2).sum(-1, keepdims=True)
    assert np.array_equal(energy <= 1e-6, [[False] * 3, [False, False, True]])


@pytest.mark.parametrize("engine_name", ["reference", "fast"])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients(case: str, engine_name: str) -> None:
    inputs, wanted_loss, wanted_terms, wanted_grads = judged(case)
    config, loss_config = options(case)
    model, objective = LvbdConfig(**config), LvbdLossConfig(**loss_config)
    # The model may hold parameters that these options leave unused; they must not move.
    unused = init_params(model, 0, dtype=np.float64, loss_config=objective)
    loss, terms, grads = loss_and_grads(
        unused | inputs["params"],
        inputs["mix"],
        inputs["refs"],
        inputs["eps"] if config["sample"] else None,
        inputs["clean"],
        config=model,
        loss_config=objective,
        ops=engine(engine_name),
    )
    assert loss == pytest.approx(wanted_loss, rel=RTOL_LOSS), f"{case}: loss {loss!r}, wanted {wanted_loss!r}"
    assert set(terms) >= set(wanted_terms)
    for name, wanted in wanted_terms.items():
        got = terms[name] * inputs["clean"] if name == "mixture" else terms[name]  # counts for clean items alone
        np.testing.assert_allclose(got, wanted, rtol=RTOL_LOSS, atol=1e-12, err_msg=f"{case}: {name}")
    assert set(grads) >= set(wanted_grads)
    assert not any(grads[name].any() for name in set(grads) - set(wanted_grads))
    worst = {name: relative_error(np.asarray(grads[name]), wanted) for name, wanted in wanted_grads.items()}
    failed = {name: f"{error:.1e}" for name, error in worst.items() if not error <= RTOL_GRAD}
    assert not failed, f"{case}: relative gradient errors {failed}"


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest entry of `wanted`; absolute where that is zero."""
    assert got.shape == wanted.shape
    scale = float(np.abs(wanted).max())
    return float(np.abs(got - wanted).max()) / (scale or 1.0)
