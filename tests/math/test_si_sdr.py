"""Every equation of docs/math/si_sdr.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log10

import numpy as np
import pytest

from refbss.audit.examples import Example
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
REFERENCES, SAMPLES = range(2), range(3)
KAPPA = 10 / log(10)
TINY = 1e-30


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("si_sdr")


@pytest.fixture
def inner(run: Trace) -> list[float]:
    """<e, s> of the estimate and every reference."""
    e, s = run.inputs["est"][0, 0], run.inputs["ref"][0]
    return [sum(e[n] * s[j, n] for n in SAMPLES) for j in REFERENCES]


@pytest.fixture
def energies(run: Trace) -> list[float]:
    """|s|^2 of every reference."""
    return [sum(run.inputs["ref"][0, j, n] ** 2 for n in SAMPLES) for j in REFERENCES]


@pytest.mark.equation("si_sdr.1")
def test_squared_inner_product_and_product_of_energies(
    run: Trace, inner: list[float], energies: list[float], same: Same
) -> None:
    energy = sum(run.inputs["est"][0, 0, n] ** 2 for n in SAMPLES)
    same(run.value("si_sdr.1", "g"), [[[inner[j] ** 2 for j in REFERENCES]]])
    same(run.value("si_sdr.1", "q"), [[[energy * energies[j] for j in REFERENCES]]])


@pytest.mark.equation("si_sdr.2")
def test_two_sides_of_the_ratio(run: Trace, same: Same) -> None:
    g, q, eps = run.value("si_sdr.1", "g"), run.value("si_sdr.1", "q"), run.example.attributes["eps"]
    same(run.value("si_sdr.2", "signal"), g + eps * q)
    same(run.value("si_sdr.2", "residual"), q - g + eps * q)


@pytest.mark.equation("si_sdr.3")
def test_loss(run: Trace, same: Same) -> None:
    signal, residual = run.value("si_sdr.2", "signal"), run.value("si_sdr.2", "residual")
    want = [[[-10 * log10(signal[0, 0, j] / residual[0, 0, j]) for j in REFERENCES]]]
    same(run.value("si_sdr.3"), want)
    same(run.outputs["loss"], want)


@pytest.mark.equation("si_sdr.3")
def test_loss_is_minus_the_si_sdr_of_the_scaled_reference(
    run: Trace, inner: list[float], energies: list[float]
) -> None:
    e, s, eps = run.inputs["est"][0, 0], run.inputs["ref"][0], run.example.attributes["eps"]
    for j in REFERENCES:
        target = inner[j] / energies[j] * s[j]
        floor = eps * sum(e**2)
        ratio = (sum(target**2) + floor) / (sum((e - target) ** 2) + floor)
        assert run.outputs["loss"][0, 0, j] == pytest.approx(-10 * log10(ratio), rel=1e-14)


@pytest.mark.equation("si_sdr.4")
def test_gradient_of_the_squared_inner_product(run: Trace, same: Same) -> None:
    signal, residual = run.value("si_sdr.2", "signal")[0, 0], run.value("si_sdr.2", "residual")[0, 0]
    d = run.cotangents["loss"][0, 0]
    same(run.value("si_sdr.4"), [[[-KAPPA * d[j] * (1 / signal[j] + 1 / residual[j]) for j in REFERENCES]]])


@pytest.mark.equation("si_sdr.5")
def test_gradient_of_the_product_of_energies(run: Trace, same: Same) -> None:
    signal, residual = run.value("si_sdr.2", "signal")[0, 0], run.value("si_sdr.2", "residual")[0, 0]
    d, eps = run.cotangents["loss"][0, 0], run.example.attributes["eps"]
    want = [[[-KAPPA * d[j] * (eps / signal[j] - (1 + eps) / residual[j]) for j in REFERENCES]]]
    same(run.value("si_sdr.5"), want)


@pytest.mark.equation("si_sdr.6")
def test_gradient_of_the_estimate(run: Trace, inner: list[float], energies: list[float], same: Same) -> None:
    e, s = run.inputs["est"][0, 0], run.inputs["ref"][0]
    dg, dq = run.value("si_sdr.4")[0, 0], run.value("si_sdr.5")[0, 0]
    want = [sum(2 * dg[j] * inner[j] * s[j, n] + 2 * dq[j] * energies[j] * e[n] for j in REFERENCES) for n in SAMPLES]
    same(run.value("si_sdr.6"), [[want]])
    same(run.grads["est"], [[want]])


def example(est: object, ref: object, dloss: object, eps: float) -> Trace:
    return trace(Example("si_sdr", "si_sdr", "", {"est": est, "ref": ref}, ("loss",), {"loss": dloss}, {"eps": eps}))


@pytest.fixture(scope="module")
def wide() -> Trace:
    """Two items, three estimates, four references, five samples; quarters, so that every sum is exact."""
    rng = np.random.default_rng(0)
    est, ref, dloss = (rng.integers(-8, 9, shape) / 4 for shape in ((2, 3, 5), (2, 4, 5), (2, 3, 4)))
    return example(est, ref, dloss, 0.25)


@pytest.mark.equation("si_sdr.1", "si_sdr.2", "si_sdr.3", "si_sdr.4", "si_sdr.5", "si_sdr.6")
def test_several_pairs(wide: Trace, same: Same) -> None:
    e, s, d = wide.inputs["est"], wide.inputs["ref"], wide.cotangents["loss"]
    inner, energy = np.einsum("bpn,bjn->bpj", e, s), np.einsum("bjn,bjn->bj", s, s)
    g, q, a, r = (
        wide.value(f"si_sdr.{number}", name) for number, name in ((1, "g"), (1, "q"), (2, "signal"), (2, "residual"))
    )
    dg, dq = wide.value("si_sdr.4"), wide.value("si_sdr.5")
    same(g, inner * inner)
    same(q, np.einsum("bpn,bpn,bj->bpj", e, e, energy))
    same(a, g + q / 4)
    same(r, q - g + q / 4)
    same(wide.outputs["loss"], -10 * np.log10(a / r))
    same(dg, -KAPPA * d * (1 / a + 1 / r))
    same(dq, -KAPPA * d * (0.25 / a - 1.25 / r))
    same(
        wide.grads["est"],
        2 * np.einsum("bpj,bpj,bjn->bpn", dg, inner, s) + 2 * np.einsum("bpj,bj,bpn->bpn", dq, energy, e),
    )


@pytest.mark.equation("si_sdr.2", "si_sdr.3", "si_sdr.6")
@pytest.mark.parametrize(
    ("est", "ref"), [([0.0, 0.0], [0.5, 1.0]), ([1.0, -2.0], [0.0, 0.0]), ([0.0, 0.0], [0.0, 0.0])]
)
def test_silence(est: list[float], ref: list[float], same: Same) -> None:
    run = example([[est]], [[ref]], [[[1.5]]], 0.01)
    same(run.value("si_sdr.2", "signal"), [[[TINY]]])
    same(run.value("si_sdr.2", "residual"), [[[TINY]]])
    assert run.outputs["loss"].tolist() == [[[0.0]]]
    assert run.grads["est"].tolist() == [[[0.0, 0.0]]]


@pytest.mark.equation("si_sdr.2")
def test_rounding_does_not_make_the_residual_smaller_than_its_floor(same: Same) -> None:
    run = example([[[0.1]]], [[[1.7]]], [[[1.5]]], 1e-8)
    g, q = run.value("si_sdr.1", "g"), run.value("si_sdr.1", "q")
    assert g > q
    same(run.value("si_sdr.2", "residual"), 1e-8 * q)
    bound = 10 * log10(1 + 1e8)
    assert run.outputs["loss"].item() == pytest.approx(-bound, rel=1e-14)
