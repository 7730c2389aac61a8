"""Every equation of docs/math/softmax_permutation.md, worked out again from traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import cos, exp

import numpy as np
import pytest

from refbss.audit.examples import find
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
TINY = 1e-30


@pytest.fixture(scope="module")
def wide() -> Trace:
    """Two items, three outputs, two references, five frames and a sample that is left out."""
    samples = range(11)
    est = [[[cos(1.0 + i + 2.3 * p * n + n) for n in samples] for p in range(3)] for i in range(2)]
    ref = [[[cos(0.5 * i + 1.7 * j * n + 0.8 * n) for n in samples] for j in range(2)] for i in range(2)]
    arrays, cotangents = {"est": est, "ref": ref}, {"loss": [1.5, -0.5]}
    return trace(replace(find("softmax_permutation"), arrays=arrays, cotangents=cotangents))


@pytest.fixture
def losses(traced: Callable[[str], Trace], wide: Trace) -> list[Trace]:
    return [traced("softmax_permutation"), wide]


@pytest.fixture
def utterance(traced: Callable[[str], Trace]) -> Trace:
    return traced("utterance_similarity")


@pytest.fixture(scope="module")
def silent() -> Trace:
    """The similarity of an output that is silent."""
    example = find("utterance_similarity")
    est, ref = example.inputs()["est"], example.inputs()["ref"]
    return trace(replace(example, arrays={"est": 0.0 * est, "ref": ref}))


def frames(run: Trace, name: str) -> np.ndarray:
    """The frames of a signal: item, channel, frame, sample."""
    signal = run.inputs[name]
    length = run.example.attributes.get("frame", signal.shape[2])
    starts = range(0, signal.shape[2] - length + 1, length)
    return np.array([[[channel[n : n + length] for n in starts] for channel in item] for item in signal])


def with_floor(run: Trace, name: str) -> np.ndarray:
    """Energies of the frames of a signal with floor: (softmax_permutation.1)."""
    cut, floor = frames(run, name), run.example.attributes["floor"]
    energies = np.empty(cut.shape[:3])
    for i, p, f in np.ndindex(energies.shape):
        energies[i, p, f] = sum(z * z for z in cut[i, p, f])
    want = np.empty_like(energies)
    for i, p, f in np.ndindex(energies.shape):
        want[i, p, f] = energies[i, p, f] + floor * sum(energies[i, p]) / cut.shape[2] + TINY
    return want


def inner(run: Trace) -> np.ndarray:
    """Inner products of the frames: item, output, reference, frame."""
    y, s = frames(run, "est"), frames(run, "ref")
    x = np.empty((len(y), y.shape[1], s.shape[1], y.shape[2]))
    for i, p, j, f in np.ndindex(x.shape):
        x[i, p, j, f] = sum(a * b for a, b in zip(y[i, p, f], s[i, j, f], strict=True))
    return x


def dc(run: Trace) -> np.ndarray:
    """The gradient of the similarity; of the whole utterance it is given."""
    return run.cotangents["c"][..., None] if "c" in run.cotangents else run.value("softmax_permutation.12")


def softmax(run: Trace) -> np.ndarray:
    return run.value("softmax_permutation.6")


def resolutions(run: Trace) -> Iterator[tuple[int, int, float, range]]:
    """r, length of its windows, its weight, and the places at which both windows fit."""
    count = softmax(run).shape[3]
    for r, weight in enumerate(run.example.attributes["weights"]):
        yield r, 2**r, weight, range(2**r, count - 2**r + 1)


@pytest.mark.equation("softmax_permutation.1")
def test_energy_with_floor(losses: list[Trace], utterance: Trace, silent: Trace, same: Same) -> None:
    for run in (*losses, utterance, silent):
        same(run.value("softmax_permutation.1"), with_floor(run, "est"))
    assert np.all(silent.value("softmax_permutation.1") == TINY)


@pytest.mark.equation("softmax_permutation.2")
def test_similarity(losses: list[Trace], utterance: Trace, same: Same) -> None:
    for run in (*losses, utterance):
        u, v, x = run.value("softmax_permutation.1"), with_floor(run, "ref"), inner(run)
        want = np.empty_like(x)
        for i, p, j, f in np.ndindex(x.shape):
            want[i, p, j, f] = x[i, p, j, f] ** 2 / (u[i, p, f] * v[i, j, f])
        same(run.value("softmax_permutation.2"), want)
    same(utterance.outputs["c"], want[..., 0])


@pytest.mark.equation("softmax_permutation.3")
def test_gradient_of_the_inner_product(losses: list[Trace], utterance: Trace, same: Same) -> None:
    for run in (*losses, utterance):
        u, v, x = run.value("softmax_permutation.1"), with_floor(run, "ref"), inner(run)
        want = np.empty_like(x)
        for i, p, j, f in np.ndindex(x.shape):
            want[i, p, j, f] = 2 * dc(run)[i, p, j, f] * x[i, p, j, f] / (u[i, p, f] * v[i, j, f])
        same(run.value("softmax_permutation.3"), want)


@pytest.mark.equation("softmax_permutation.4")
def test_gradient_of_the_outputs(losses: list[Trace], utterance: Trace, same: Same) -> None:
    for run in (*losses, utterance):
        y, s, u = frames(run, "est"), frames(run, "ref"), run.value("softmax_permutation.1")
        c, dinner, floor = (
            run.value("softmax_permutation.2"),
            run.value("softmax_permutation.3"),
            run.example.attributes["floor"],
        )
        references, count = range(s.shape[1]), y.shape[2]
        want = np.empty_like(y)
        for i, p in np.ndindex(y.shape[:2]):
            du = [-sum(dc(run)[i, p, j, f] * c[i, p, j, f] for j in references) / u[i, p, f] for f in range(count)]
            for f in range(count):
                denergy = du[f] + floor * sum(du) / count
                want[i, p, f] = sum(dinner[i, p, j, f] * s[i, j, f] for j in references) + 2 * denergy * y[i, p, f]
        same(run.value("softmax_permutation.4"), want)
        used = count * y.shape[3]
        same(run.grads["est"][:, :, :used], want.reshape(*y.shape[:2], used))
        assert not np.any(run.grads["est"][:, :, used:])


@pytest.mark.equation("softmax_permutation.5")
def test_activity_of_the_reference(losses: list[Trace], same: Same) -> None:
    for run in losses:
        s, v = frames(run, "ref"), with_floor(run, "ref")
        want = np.empty_like(v)
        for place in np.ndindex(v.shape):
            want[place] = sum(z**2 for z in s[place]) / v[place]
        same(run.value("softmax_permutation.5"), want)


@pytest.mark.equation("softmax_permutation.6")
def test_softmax_over_outputs(losses: list[Trace], same: Same) -> None:
    for run in losses:
        c, temp = run.value("softmax_permutation.2"), run.example.attributes["temp"]
        want = np.empty_like(c)
        for i, p, j, f in np.ndindex(c.shape):
            want[i, p, j, f] = exp(c[i, p, j, f] / temp) / sum(exp(other / temp) for other in c[i, :, j, f])
        same(softmax(run), want)


@pytest.mark.equation("softmax_permutation.7")
def test_difference_of_two_windows(losses: list[Trace], same: Same) -> None:
    for run in losses:
        pi = softmax(run)
        for r, h, _, places in resolutions(run):
            want = np.empty((*pi.shape[:3], len(places)))
            for i, p, j in np.ndindex(pi.shape[:3]):
                row = pi[i, p, j]
                want[i, p, j] = [sum(row[t : t + h]) / h - sum(row[t - h : t]) / h for t in places]
            for step in run.find("softmax_permutation.7", r=r):
                same(step.value, want)
            assert {step.phase for step in run.find("softmax_permutation.7", r=r)} == {"forward", "backward"}


@pytest.mark.equation("softmax_permutation.8")
def test_loss(losses: list[Trace], same: Same) -> None:
    for run in losses:
        active, total = run.value("softmax_permutation.5"), np.zeros(len(softmax(run)))
        references = range(active.shape[1])
        for r, _, weight, places in resolutions(run):
            delta = run.value("softmax_permutation.7", r=r)
            for i in range(len(total)):
                squares = [
                    active[i, j, t] * sum(d**2 for d in delta[i, :, j, n])
                    for j in references
                    for n, t in enumerate(places)
                ]
                total[i] += weight * sum(squares) / (len(places) * len(references))
            same(run.value("softmax_permutation.8", r=r), total)
        same(run.outputs["loss"], total)


@pytest.mark.equation("softmax_permutation.9")
def test_gradient_of_the_later_running_sum(losses: list[Trace], same: Same) -> None:
    for run in losses:
        for r, h, _, _ in resolutions(run):
            same(run.value("softmax_permutation.9", r=r), run.value("softmax_permutation.11", r=r) / h)


@pytest.mark.equation("softmax_permutation.9", "softmax_permutation.10")
def test_gradient_of_the_softmax(losses: list[Trace], same: Same) -> None:
    for run in losses:
        for r, h, _, places in resolutions(run):
            ddelta, count = run.value("softmax_permutation.11", r=r), softmax(run).shape[3]
            want = np.empty((*ddelta.shape[:3], count))
            for i, p, j in np.ndindex(ddelta.shape[:3]):
                dsums = [0.0] * (count + 1)
                for t, d in zip(places, ddelta[i, p, j], strict=True):
                    dsums[t + h] += d / h
                    dsums[t] -= 2 * d / h
                    dsums[t - h] += d / h
                want[i, p, j] = [sum(dsums[f + 1 :]) for f in range(count)]
            same(run.value("softmax_permutation.10", r=r), want)


@pytest.mark.equation("softmax_permutation.11")
def test_gradient_of_the_differences(losses: list[Trace], same: Same) -> None:
    for run in losses:
        active, dloss = run.value("softmax_permutation.5"), run.cotangents["loss"]
        for r, _, weight, places in resolutions(run):
            delta = run.value("softmax_permutation.7", r=r)
            want = np.empty_like(delta)
            for i, p, j, n in np.ndindex(delta.shape):
                share = 2 * weight / (len(places) * active.shape[1])
                want[i, p, j, n] = dloss[i] * share * active[i, j, places[n]] * delta[i, p, j, n]
            same(run.value("softmax_permutation.11", r=r), want)


@pytest.mark.equation("softmax_permutation.12")
def test_gradient_of_the_similarity(losses: list[Trace], same: Same) -> None:
    for run in losses:
        pi, temp = softmax(run), run.example.attributes["temp"]
        dpi = sum(run.value("softmax_permutation.10", r=r) for r, *_ in resolutions(run))
        want = np.empty_like(pi)
        for i, p, j, f in np.ndindex(pi.shape):
            mean = sum(weight * d for weight, d in zip(pi[i, :, j, f], dpi[i, :, j, f], strict=True))
            want[i, p, j, f] = pi[i, p, j, f] / temp * (dpi[i, p, j, f] - mean)
        same(run.value("softmax_permutation.12"), want)
