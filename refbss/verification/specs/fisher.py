"""What fisher must satisfy, for every family and form."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import kve

from refbss._types import Array
from refbss.losses.fisher import fisher_backward, fisher_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec, Tolerances


def phi_of(u: Any, dim: int, shape: float, family: str, offset: float) -> Any:
    """Return phi = -2 f'/f from the table of the families; u may be complex."""
    w = u + offset
    if family == "student":
        return (shape + dim) / (shape + u)
    if family == "power":
        return shape * w ** (shape - 1.0)
    if family == "laplace":
        x = np.sqrt(2.0 * w)
        return np.sqrt(2.0 / w) * kve(dim / 2.0, x) / kve(dim / 2.0 - 1.0, x)
    return 1.0


def score(z: Array, r: Array, shape: float, family: str, offset: float) -> Array:
    """Return psi = grad log p at z, with R = diag(r); z may be complex."""
    psi: Array = -phi_of(np.sum(z * z / r), len(z), shape, family, offset) * z / r
    return psi


def divergence(z: Array, r: Array, shape: float, family: str, offset: float) -> float:
    """Return div psi by complex steps, one a coordinate: no derivative is written down."""
    total = 0.0
    for d in range(len(z)):
        moved = z.astype(complex)
        moved[d] += 1e-30j
        total += float(score(moved, r, shape, family, offset)[d].imag) / 1e-30
    return total


def oracle(
    mu: Array,
    log_var: Array,
    eps: Array,
    log_r: Array,
    shape: Array,
    *,
    family: str,
    form: str = "weighted",
    offset: float = 0.0,
) -> tuple[Array, ...]:
    """The three forms as section 7 of the design states them, vector by vector."""
    prior = np.exp(np.broadcast_to(log_r, mu.shape))
    value = np.empty(mu.shape[:-1])
    for index in np.ndindex(value.shape):
        sig, r = np.sqrt(np.exp(log_var[index])), prior[index]
        z = mu[index] + sig * eps[index]
        psi = score(z, r, float(shape[0]), family, offset)
        gap = psi + (z - mu[index]) / sig**2
        if form == "implicit":
            spread = divergence(z, r, float(shape[0]), family, offset)
            value[index] = 0.5 * psi @ psi + spread + 0.5 * np.sum(1.0 / sig**2)
        else:
            value[index] = 0.5 * np.sum((sig * gap if form == "weighted" else gap) ** 2)
    return (value,)


def draw(shape: tuple[int, ...], prior: tuple[int, ...], parameter: float) -> Any:
    """Return the function that draws arrays of this shape, log_r of the shape ``prior``."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return {
            "mu": normal(rng, *shape),
            "log_var": normal(rng, *shape, mean=-0.5, scale=0.5),
            "eps": normal(rng, *shape),
            "log_r": normal(rng, *prior, scale=0.4),
            "shape": np.array([parameter]),
        }

    return arrays


def sample_as_constant(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient of log_var leaves out the path through the sample z."""

    def faulty_forward(mu: Array, log_var: Array, eps: Array, *arrays: Array, **attributes: Any) -> tuple[Any, ...]:
        value, cache = forward(mu, log_var, eps, *arrays, **attributes)
        return value, (np.exp(log_var / 2.0) * eps / 2.0, cache)

    def faulty_backward(df: Array, cache: Any) -> Any:
        path, inner = cache
        grads = backward(df, inner)
        return grads._replace(dlog_var=(grads.dlog_var - grads.dmu * path).astype(grads.dmu.dtype))

    return faulty_forward, faulty_backward


def one_zero_row() -> Array:
    """Means of which one vector is zero."""
    mu = np.ones((2, 2, 3))
    mu[1, 0] = 0.0
    return mu


PARAMETER = {"gaussian": 1.0, "student": 3.3, "power": 0.7, "laplace": 1.0}
OFFSET = {"gaussian": 0.0, "student": 0.0, "power": 0.1, "laplace": 0.1}
FORMS = ("weighted", "explicit", "implicit")
SHAPES = {"weighted": ((2, 2, 3), (2, 1, 3)), "explicit": ((2, 3), (3,)), "implicit": ((3, 2), (3, 2))}
DIMENSIONS = tuple(
    Case(
        f"{family} {form}",
        draw(*SHAPES[form], PARAMETER[family]),
        {"family": family, "form": form, "offset": OFFSET[family]},
    )
    for family in PARAMETER
    for form in FORMS
)
EXPLICIT = (
    Case("student explicit of three axes", draw((2, 2, 3), (2, 1, 3), 3.3), {"family": "student", "form": "explicit"}),
)
EXTREMES = tuple(
    Case(f"{family} {form} D = {dim}", draw((dim,), (1,), 2.5), {"family": family, "form": form, "offset": 0.3})
    for family, form, dim in (
        ("laplace", "implicit", 1),
        ("laplace", "weighted", 5),
        ("student", "implicit", 9),
        ("power", "implicit", 4),
        ("power", "weighted", 1),
        ("laplace", "implicit", 12),
    )
)

SPEC = OpSpec(
    name="fisher",
    forward=fisher_forward,
    backward=fisher_backward,
    oracle=oracle,
    outputs=("f",),
    differentiable=("mu", "log_var", "log_r", "shape"),
    cases=DIMENSIONS + EXPLICIT + EXTREMES,
    faults=(Fault("gradient of log_var without the path through the sample", "differences", sample_as_constant),),
    bad_calls=(
        BadCall("log_var shape", r"log_var has shape \(2, 2, 4\).*, wanted", {"log_var": np.zeros((2, 2, 4))}),
        BadCall("eps shape", r"eps has shape \(2, 3\).*, wanted 3 axes", {"eps": np.zeros((2, 3))}),
        BadCall(
            "log_r length", r"log_r has shape \(4,\), wanted one that broadcasts to \(2, 2, 3\)", {"log_r": np.zeros(4)}
        ),
        BadCall("shape length", r"shape has shape \(2,\).*, wanted 1", {"shape": np.ones(2)}),
        BadCall(
            "family",
            "fisher: family is 'cauchy', wanted one of gaussian, student, power, laplace",
            attributes={"family": "cauchy"},
        ),
        BadCall("form", "form is 'kl', wanted one of weighted, explicit, implicit", attributes={"form": "kl"}),
        BadCall("offset", r"offset is -0\.5, wanted a finite number at least 0", attributes={"offset": -0.5}),
        BadCall(
            "nu", r"shape.* is 0\.0, wanted a finite number above 0", {"shape": np.zeros(1)}, {"family": "student"}
        ),
        BadCall(
            "zero sample",
            r"offset is 0\.0 .*, wanted an offset above 0 for laplace",
            {"mu": np.zeros((2, 2, 3)), "eps": np.zeros((2, 2, 3))},
            {"family": "laplace"},
        ),
        BadCall(
            "one zero sample",
            r"offset is 0\.0 .*, wanted an offset above 0 for power",
            {"mu": one_zero_row(), "eps": np.zeros((2, 2, 3))},
            {"family": "power"},
        ),
    ),
    free_axes=("mu",),
    step=1e-3,
    tolerances=Tolerances(
        oracle64=1e-12, reason="the oracle's Bessel functions are good to about 1e-14 and their ratio is squared"
    ),
)
