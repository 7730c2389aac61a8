"""Worked examples of the losses, the priors and Adam: see ``refbss.audit.examples``."""

from __future__ import annotations

from typing import Any

from refbss.audit.examples import Example

_FISHER = {
    "mu": [[0.5, -1.0], [1.5, 0.25]],
    "log_var": [[0.4, -0.6], [-0.2, 0.8]],
    "eps": [[1.5, -0.5], [0.75, -1.25]],
    "log_r": [0.3, -0.1],
    "shape": [3.0],
}


def _fisher(form: str) -> Example:
    name = "fisher" if form == "weighted" else f"fisher/{form}"
    return Example(
        name,
        "fisher",
        f"two samples of two latents, Student's family with nu = 3, {form} form",
        _FISHER,
        ("f",),
        {"f": [2.0, -0.75]},
        {"family": "student", "form": form},
    )


LOSSES = (
    Example(
        "si_sdr",
        "si_sdr",
        "one estimate, two references, three samples",
        {"est": [[[1.0, -2.0, 0.5]]], "ref": [[[0.5, -1.5, 1.0], [2.0, 0.25, -1.0]]]},
        ("loss",),
        {"loss": [[[1.5, -0.5]]]},
        {"eps": 0.01},
    ),
    Example(
        "silent",
        "silent",
        "two estimates, two samples",
        {"est": [[[0.1, -0.2], [0.5, 0.25]]], "mix": [[1.0, -2.0]]},
        ("loss",),
        {"loss": [[1.5, -0.5]]},
        {"floor": 0.01},
    ),
    Example(
        "pit",
        "assignment",
        "two outputs, two references; the best assignment is the crossed one",
        {"cost": [[[3.0, 1.0], [2.0, 5.0]]]},
        ("loss", "assignment"),
        {"loss": [1.5]},
    ),
    Example(
        "softmax_assignment",
        "assignment",
        "two outputs, three references",
        {"cost": [[[3.0, 1.0, -0.5], [2.0, 5.0, 0.25]]], "score": [[[0.1, 0.9, 0.4], [0.6, 0.2, 0.7]]]},
        ("loss", "assignment"),
        {"loss": [1.5]},
        {"temp": 0.5},
    ),
    Example(
        "sinkhorn_assignment",
        "assignment",
        "two outputs, two references, two steps",
        {"cost": [[[3.0, 1.0], [2.0, 5.0]]]},
        ("loss", "assignment"),
        {"loss": [1.5]},
        {"temp": 2.0, "steps": 2},
    ),
    Example(
        "softmax_permutation",
        "softmax_permutation",
        "two outputs, one reference, four frames of two samples; the reference moves from output 0 to output 1",
        {
            "est": [[[1.0, -2.0, 0.5, 1.5, 0.25, 0.75, -0.5, 1.25], [0.6, 0.8, -1.0, 0.3, 2.0, -1.5, 1.1, 1.75]]],
            "ref": [[[1.0, -1.5, 0.5, 2.0, 1.75, -1.0, 0.75, 1.25]]],
        },
        ("loss",),
        {"loss": [1.5]},
        {"frame": 2, "temp": 0.25, "weights": (1.0, 0.5), "floor": 0.01},
    ),
    Example(
        "utterance_similarity",
        "softmax_permutation",
        "two outputs, one reference, three samples",
        {"est": [[[1.0, -2.0, 0.5], [0.25, 1.5, -1.0]]], "ref": [[[0.5, -1.5, 1.0]]]},
        ("c",),
        {"c": [[[1.5], [-0.5]]]},
        {"floor": 0.01},
    ),
    Example(
        "mixture_consistency",
        "mixture",
        "two estimates, two samples",
        {"est": [[[0.5, -1.0], [0.25, -0.4]]], "mix": [[1.0, -2.0]]},
        ("loss",),
        {"loss": [1.5]},
    ),
    Example(
        "gaussian_kl",
        "kl",
        "two samples of two latents, one variance of the prior for both samples",
        {"mu": [[0.5, -1.0], [1.5, 0.25]], "log_var": [[0.4, -0.6], [-0.2, 0.8]], "log_r": [0.3, -0.1]},
        ("kl",),
        {"kl": [2.0, -0.75]},
    ),
    _fisher("weighted"),
    _fisher("explicit"),
    _fisher("implicit"),
)


def _prior(name: str, says: str, u: list[float], shape: list[float] | None, **attributes: Any) -> Example:
    outputs = ("log_f", "phi", "phi_1", "phi_2") if shape is None else (*_VALUES, "phi_shape", "phi_1_shape")
    arrays = {"u": u} if shape is None else {"u": u, "shape": shape}
    page = name.removeprefix("prior_").split("/")[0]
    return Example(name, page, says, arrays, outputs, {}, attributes)


_VALUES = ("log_f", "phi", "phi_1", "phi_2")

PRIORS_AND_ADAM = (
    _prior("prior_gaussian", "two numbers u, three latents", [1.5, 4.0], None, dim=3, offset=0.0),
    _prior("prior_student", "two numbers u, two latents, nu = 3", [1.5, 4.0], [3.0], dim=2, offset=0.0),
    _prior("prior_power", "two numbers u, beta = 0.75", [1.5, 4.0], [0.75], dim=2, offset=0.5),
    _prior("prior_laplace", "two numbers u, three latents (odd)", [1.5, 4.0], None, dim=3, offset=0.5),
    _prior("prior_laplace/even", "two numbers u, four latents (even)", [1.5, 4.0], None, dim=4, offset=0.5),
    Example(
        "adam",
        "adam",
        "two tensors of one number each, clipped and moved by one step, the third",
        {"theta": [0.5, -1.0], "g": [3.0, -4.0], "m": [0.1, -0.2], "v": [0.5, 0.25]},
        ("theta_new", "m_new", "v_new"),
        {},
        {"clip": 2.5, "t": 2, "learning_rate": 0.1, "beta1": 0.5, "beta2": 0.75, "eps": 0.01},
    ),
)
