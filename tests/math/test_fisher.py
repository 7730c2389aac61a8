"""Every equation of docs/math/fisher.md, worked out again from the traced values of its right-hand side.

A test of a form runs on its worked example and on a case of the power family with other sizes, whose log_r is
repeated along two axes. The values of phi and its derivatives are those that the family traced; sig, a and the
gradients that are no traced values are written out here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp, sqrt
from typing import Any, NamedTuple

import numpy as np
import pytest

from refbss._types import Array
from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[Any, Any], None]
Traced = Callable[[str], Trace]
FORMS = ("explicit", "weighted", "implicit")
WHICH = ("example", "wide")


@cache
def wide(form: str) -> Trace:
    """Two axes of vectors of four components; log_r (3, 1) is repeated along the first axis and the components."""
    rng = np.random.default_rng(5)
    shapes = {"mu": (2, 3, 4), "log_var": (2, 3, 4), "eps": (2, 3, 4), "log_r": (3, 1)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()} | {"shape": np.array([1.75])}
    attributes = {"family": "power", "form": form, "offset": 0.25}
    return trace(Example("fisher", "fisher", "", arrays, ("f",), {"f": rng.standard_normal((2, 3))}, attributes))


class Case:
    """One run. Letters as on the page; numbers of a vector have an axis of length 1 for the components."""

    def __init__(self, run: Trace) -> None:
        self.run, self.given = run, run.inputs
        self.form = run.example.attributes["form"]
        self.mu, self.eps = self.given["mu"], self.given["eps"]
        self.sig = np.vectorize(lambda x: sqrt(exp(x)))(self.given["log_var"])
        self.a = np.broadcast_to(np.vectorize(lambda x: 1 / exp(x))(self.given["log_r"]), self.mu.shape)
        self.z, self.psi = run.value("fisher.1"), run.value("fisher.3")
        self.u, self.df = run.value("fisher.2")[..., None], run.cotangents["f"][..., None]

    def phi(self, order: str) -> Array:
        """phi (2) of the family, or a derivative of it: by u (3), twice by u (4), by s (5), by u and s (6)."""
        value: Array = self.run.value(f"{self.run.example.attributes['family']}.{order}")[..., None]
        return value

    def value(self, number: int, target: str | None = None) -> Array:
        """The traced value of (fisher.number); numbers of a vector get their axis of components."""
        found: Array = self.run.value(f"fisher.{number}", target)
        return found[..., None] if found.shape == self.mu.shape[:-1] else found


def total(parts: Array) -> Array:
    """Sum over the components, one after the other."""
    return sum(parts[..., d : d + 1] for d in range(parts.shape[-1]))


class Direct(NamedTuple):
    """The gradients that a form gives to what it uses."""

    psi: Array
    sig: Array
    z: Array | float
    a: Array | float
    phi: Array | float
    u: Array | float
    s: Array | float


def direct(case: Case) -> Direct:
    """(fisher.14), (fisher.15), or (fisher.16) to (fisher.18), from traced values where there are any."""
    if case.form == "explicit":
        v = case.value(14)
        return Direct(v, -v * case.eps / case.sig**2, 0, 0, 0, 0, 0)
    if case.form == "weighted":
        v = case.value(15)
        return Direct(v * case.sig, v * case.psi, 0, 0, 0, 0, 0)
    z, a, df = case.z, case.a, case.df
    return Direct(
        psi=case.value(18, "dpsi"),
        sig=case.value(18, "dsig"),
        z=-4 * df * case.phi("3") * a**2 * z,
        a=-df * (case.phi("2") + 4 * case.phi("3") * a * z**2),
        phi=case.value(16),
        u=case.value(17),
        s=-2 * df * total(a**2 * z**2) * case.phi("6"),
    )


def build(form: str, which: str, traced: Traced) -> Case:
    if which == "wide":
        return Case(wide(form))
    return Case(traced("fisher" if form == "weighted" else f"fisher/{form}"))


@pytest.fixture(params=WHICH)
def explicit(request: pytest.FixtureRequest, traced: Traced) -> Case:
    return build("explicit", request.param, traced)


@pytest.fixture(params=WHICH)
def weighted(request: pytest.FixtureRequest, traced: Traced) -> Case:
    return build("weighted", request.param, traced)


@pytest.fixture(params=WHICH)
def implicit(request: pytest.FixtureRequest, traced: Traced) -> Case:
    return build("implicit", request.param, traced)


@pytest.fixture(params=[(form, which) for form in FORMS for which in WHICH], ids="-".join)
def case(request: pytest.FixtureRequest, traced: Traced) -> Case:
    """Every form."""
    return build(*request.param, traced)


@pytest.mark.equation("fisher.1")
def test_sample(case: Case, same: Same) -> None:
    same(case.z, case.mu + case.sig * case.eps)


@pytest.mark.equation("fisher.2")
def test_quadratic_form(case: Case, same: Same) -> None:
    same(case.u, total(case.a * case.z * case.z))


@pytest.mark.equation("fisher.3")
def test_score_of_the_prior(case: Case, same: Same) -> None:
    same(case.psi, -case.phi("2") * case.a * case.z)


@pytest.mark.equation("fisher.4")
def test_explicit_form(explicit: Case, same: Same) -> None:
    c = explicit
    want = total((c.psi + c.eps / c.sig) ** 2) / 2
    same(c.value(4), want)
    same(c.run.outputs["f"], want[..., 0])


@pytest.mark.equation("fisher.5")
def test_weighted_form(weighted: Case, same: Same) -> None:
    c = weighted
    want = total((c.sig * c.psi + c.eps) ** 2) / 2
    same(c.value(5), want)
    same(c.run.outputs["f"], want[..., 0])


@pytest.mark.equation("fisher.6")
def test_implicit_form(implicit: Case, same: Same) -> None:
    c = implicit
    want = total(c.psi**2) / 2 + c.value(7) + total(1 / c.sig**2) / 2
    same(c.value(6), want)
    same(c.run.outputs["f"], want[..., 0])


@pytest.mark.equation("fisher.7")
def test_divergence_of_the_score(implicit: Case, same: Same) -> None:
    c = implicit
    same(c.value(7), total(-c.phi("2") * c.a - 2 * c.phi("3") * (c.a * c.z) ** 2))


@pytest.mark.equation("fisher.14")
def test_gradient_at_the_difference_of_the_scores(explicit: Case, same: Same) -> None:
    c = explicit
    same(c.value(14), c.df * (c.psi + c.eps / c.sig))


@pytest.mark.equation("fisher.15")
def test_gradient_at_the_weighted_difference(weighted: Case, same: Same) -> None:
    c = weighted
    same(c.value(15), c.df * (c.sig * c.psi + c.eps))


@pytest.mark.equation("fisher.16")
def test_gradient_of_phi_in_the_divergence(implicit: Case, same: Same) -> None:
    c = implicit
    same(c.value(16), -c.df * total(c.a))


@pytest.mark.equation("fisher.16", "fisher.17")
def test_gradient_of_u_in_the_divergence(implicit: Case, same: Same) -> None:
    c = implicit
    same(c.value(17), -2 * c.df * total(c.a**2 * c.z**2) * c.phi("4"))


@pytest.mark.equation("fisher.18")
def test_gradients_of_the_two_sums_of_squares(implicit: Case, same: Same) -> None:
    c = implicit
    same(c.value(18, "dpsi"), c.df * c.psi)
    same(c.value(18, "dsig"), -c.df / (c.sig * c.sig * c.sig))


@pytest.mark.equation("fisher.8", "fisher.14", "fisher.15")
def test_gradient_of_phi(case: Case, same: Same) -> None:
    first = direct(case)
    same(case.value(8), first.phi - total(first.psi * case.a * case.z))


@pytest.mark.equation("fisher.9")
def test_gradient_of_the_quadratic_form(case: Case, same: Same) -> None:
    same(case.value(9), direct(case).u + case.value(8) * case.phi("3"))


@pytest.mark.equation("fisher.9", "fisher.17")
def test_gradient_of_the_parameter_is_summed_over_all_vectors(case: Case, same: Same) -> None:
    each = direct(case).s + case.value(8) * case.phi("5")
    same(case.run.grads["shape"], [sum(each.ravel())])


@pytest.mark.equation("fisher.8", "fisher.10", "fisher.16")
def test_gradient_of_the_sample(case: Case, same: Same) -> None:
    first = direct(case)
    want = first.z - case.phi("2") * case.a * first.psi + 2 * case.value(9) * case.a * case.z
    same(case.value(10), want)


@pytest.mark.equation("fisher.11")
def test_gradient_of_the_mean(case: Case, same: Same) -> None:
    same(case.value(11), case.value(10))
    same(case.run.grads["mu"], case.value(10))


@pytest.mark.equation("fisher.11", "fisher.12", "fisher.14", "fisher.15", "fisher.18")
def test_gradient_of_the_log_variance(case: Case, same: Same) -> None:
    want = (direct(case).sig + case.value(10) * case.eps) * case.sig / 2
    same(case.value(12), want)
    same(case.run.grads["log_var"], want)


@pytest.mark.equation("fisher.8", "fisher.10", "fisher.13", "fisher.16")
def test_gradient_of_the_log_scatter(case: Case, same: Same) -> None:
    first = direct(case)
    each = -case.a * (first.a - case.phi("2") * case.z * first.psi + case.value(9) * case.z**2)
    repeated = (0,) if each.ndim == 2 else (0, 2)
    want = np.sum(each, axis=repeated).reshape(case.given["log_r"].shape)
    same(case.run.value("fisher.13"), want)
    same(case.run.grads["log_r"], want)


MU, LOG_VAR = [0.5, -0.75], [0.25, -0.5]


def expectation(form: str, family: str, shape: float, log_r: list[float]) -> tuple[float, dict[str, Array]]:
    """Of F and its gradients over the noise, by 8 x 8 nodes of Gauss and Hermite: exact up to degree 15."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    eps = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    same_for_all = {"mu": np.tile(MU, (64, 1)), "log_var": np.tile(LOG_VAR, (64, 1))}
    arrays = same_for_all | {"eps": eps, "log_r": np.array(log_r), "shape": np.array([shape])}
    run = trace(Example("fisher", "fisher", "", arrays, ("f",), {"f": weight}, {"family": family, "form": form}))
    grads = {name: grad.sum(axis=0) if grad.shape == (64, 2) else grad for name, grad in run.grads.items()}
    return float(weight @ run.outputs["f"]), grads


@pytest.mark.equation("fisher.4", "fisher.6", "fisher.7", "fisher.14", "fisher.16", "fisher.17", "fisher.18")
def test_explicit_and_implicit_form_agree_in_expectation() -> None:
    """With the exponent 2 the score is a polynomial, so that the mean over the nodes is the expectation."""
    value, grads = expectation("explicit", "power", 2.0, [0.3, -0.2])
    value_too, grads_too = expectation("implicit", "power", 2.0, [0.3, -0.2])
    np.testing.assert_allclose(value_too, value, rtol=1e-12)
    for name in ("mu", "log_var", "log_r"):
        np.testing.assert_allclose(grads_too[name], grads[name], rtol=1e-12)


@pytest.mark.equation("fisher.4", "fisher.5")
def test_explicit_and_weighted_form_against_the_gaussian_in_closed_form() -> None:
    variances = [exp(log_var) for log_var in LOG_VAR]
    explicit = sum(m**2 + (1 / sqrt(v) - sqrt(v)) ** 2 for m, v in zip(MU, variances, strict=True)) / 2
    weighted = sum(v * m**2 + (1 - v) ** 2 for m, v in zip(MU, variances, strict=True)) / 2
    np.testing.assert_allclose(expectation("explicit", "gaussian", 1.0, [0.0, 0.0])[0], explicit, rtol=1e-13)
    np.testing.assert_allclose(expectation("weighted", "gaussian", 1.0, [0.0, 0.0])[0], weighted, rtol=1e-13)
