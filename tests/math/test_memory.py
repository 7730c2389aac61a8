"""Every equation of docs/math/memory.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp

import numpy as np
import pytest

from refbss.audit.examples import find
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
CONSTANTS, LATENTS, FRAMES = range(2), range(2), range(3)
SOURCES = range(2)


@dataclass(frozen=True)
class Write:
    """One source of the example of memory_write: what is given, and what was traced."""

    m: np.ndarray
    q: np.ndarray
    mu: np.ndarray
    dm_new: np.ndarray
    dq_new: np.ndarray
    a: np.ndarray
    gain: float
    total: float
    zbar: np.ndarray
    qbar: np.ndarray
    eta: np.ndarray

    def worth_of_share(self, k: int) -> float:
        """The gradient of eta_k G."""
        moments = sum((self.zbar[d] - self.m[k, d]) * self.dm_new[k, d] for d in LATENTS)
        return moments + sum((self.qbar[d] - self.q[k, d]) * self.dq_new[k, d] for d in LATENTS)


@pytest.fixture
def read(traced: Callable[[str], Trace]) -> Trace:
    return traced("memory_read")


@pytest.fixture
def activity(traced: Callable[[str], Trace]) -> Trace:
    return traced("memory_activity")


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("memory_write")


def source(run: Trace, p: int) -> Write:
    """Numbers of source p of the first item."""
    return Write(
        *(run.inputs[name][0, p] for name in ("m", "q", "mu")),
        *(run.cotangents[name][0, p] for name in ("m_new", "q_new")),
        run.value("memory.2")[0, p],
        run.value("memory.3", "gain")[0, p, 0, 0],
        run.value("memory.3", "total")[0, p, 0],
        run.value("memory.4", "zbar")[0, p],
        run.value("memory.4", "qbar")[0, p],
        run.value("memory.5")[:, 0],
    )


@pytest.fixture
def write(run: Trace) -> Write:
    return source(run, 0)


def with_second_source(name: str) -> Trace:
    """The example of that name with a second source, the first one in reverse order and scaled."""
    example = find(name)
    given = {**example.inputs(), **{f"d{key}": array for key, array in example.pulled().items()}}
    for key, array in given.items():
        if key != "theta":
            given[key] = np.concatenate([array, 0.75 * array[:, :, ::-1]], axis=1)
    arrays = {key: given[key] for key in example.arrays}
    return trace(replace(example, arrays=arrays, cotangents={key: given[f"d{key}"] for key in example.cotangents}))


def energy(mu: np.ndarray) -> float:
    return sum(mu[d] ** 2 for d in LATENTS) / len(LATENTS)


@pytest.mark.equation("memory.1")
def test_state_in_one_row(read: Trace, same: Same) -> None:
    for ran, sources in ((read, [0]), (with_second_source("memory_read"), SOURCES)):
        m, q = ran.inputs["m"][0], ran.inputs["q"][0]
        rows = [[state[p, k, d] for state in (m, q) for k in CONSTANTS for d in LATENTS] for p in sources]
        same(ran.value("memory.1"), [rows])
        same(ran.outputs["r"], [rows])


@pytest.mark.equation("memory.2")
def test_activity(activity: Trace, same: Same) -> None:
    e0 = activity.example.attributes["e0"]
    energies = [energy(mu) for mu in activity.inputs["mu"][0, 0]]
    same(activity.value("memory.2"), [[[e / (e + e0) for e in energies]]])
    same(activity.outputs["a"], activity.value("memory.2"))


@pytest.mark.equation("memory.3")
def test_mean_activity_and_sum_of_weights(run: Trace, write: Write, same: Same) -> None:
    total = sum(write.a[t] for t in FRAMES)
    same(write.gain, total / len(FRAMES))
    same(write.total, total + run.example.attributes["delta"])


@pytest.mark.equation("memory.4")
def test_weighted_means(write: Write, same: Same) -> None:
    same(write.zbar, [sum(write.a[t] * write.mu[t, d] for t in FRAMES) / write.total for d in LATENTS])
    same(write.qbar, [sum(write.a[t] * write.mu[t, d] ** 2 for t in FRAMES) / write.total for d in LATENTS])


@pytest.mark.equation("memory.5")
def test_rates(run: Trace, same: Same) -> None:
    same(run.value("memory.5"), [[1 / (1 + exp(-theta))] for theta in run.inputs["theta"]])


@pytest.mark.equation("memory.6")
def test_new_state(run: Trace, write: Write, same: Same) -> None:
    for name, old, mean in (("m_new", write.m, write.zbar), ("q_new", write.q, write.qbar)):
        share = [write.eta[k] * write.gain for k in CONSTANTS]
        want = [[(1 - share[k]) * old[k, d] + share[k] * mean[d] for d in LATENTS] for k in CONSTANTS]
        same(run.value("memory.6", name), [[want]])
        same(run.outputs[name], run.value("memory.6", name))


@pytest.mark.equation("memory.7")
def test_gradient_of_the_old_state(run: Trace, write: Write, same: Same) -> None:
    for name, new in (("m", write.dm_new), ("q", write.dq_new)):
        want = [[new[k, d] - write.eta[k] * write.gain * new[k, d] for d in LATENTS] for k in CONSTANTS]
        same(run.value("memory.7", f"d{name}"), [[want]])
        same(run.grads[name], run.value("memory.7", f"d{name}"))


@pytest.mark.equation("memory.8")
def test_gradients_of_the_means(run: Trace, write: Write, same: Same) -> None:
    for name, new in (("dzbar", write.dm_new), ("dqbar", write.dq_new)):
        want = [write.gain * sum(write.eta[k] * new[k, d] for k in CONSTANTS) for d in LATENTS]
        same(run.value("memory.8", name), [[want]])


@pytest.mark.equation("memory.9")
def test_gradient_of_the_mean_activity(run: Trace, write: Write, same: Same) -> None:
    same(run.value("memory.9"), [[sum(write.eta[k] * write.worth_of_share(k) for k in CONSTANTS)]])


@pytest.mark.equation("memory.10")
def test_gradient_of_theta(run: Trace, same: Same) -> None:
    for ran, sources in ((run, [0]), (with_second_source("memory_write"), SOURCES)):
        writes = [source(ran, p) for p in sources]
        rates = ran.value("memory.5")[:, 0]
        drate = [sum(w.gain * w.worth_of_share(k) for w in writes) for k in CONSTANTS]
        same(ran.value("memory.10"), [rates[k] * (1 - rates[k]) * drate[k] for k in CONSTANTS])
        same(ran.grads["theta"], ran.value("memory.10"))


@pytest.mark.equation("memory.11")
def test_gradients_of_the_activities(run: Trace, write: Write, same: Same) -> None:
    dzbar, dqbar = run.value("memory.8", "dzbar")[0, 0], run.value("memory.8", "dqbar")[0, 0]
    want = []
    for mu in write.mu:
        towards = sum((mu[d] - write.zbar[d]) * dzbar[d] for d in LATENTS)
        towards += sum((mu[d] ** 2 - write.qbar[d]) * dqbar[d] for d in LATENTS)
        want.append(run.value("memory.9")[0, 0] / len(FRAMES) + towards / write.total)
    same(run.value("memory.11"), [[want]])


@pytest.mark.equation("memory.12")
def test_gradient_of_the_latents(run: Trace, write: Write, same: Same) -> None:
    dzbar, dqbar = run.value("memory.8", "dzbar")[0, 0], run.value("memory.8", "dqbar")[0, 0]
    through = run.value("memory.13")[0, 0]
    want = [
        [write.a[t] / write.total * (dzbar[d] + 2 * write.mu[t, d] * dqbar[d]) + through[t, d] for d in LATENTS]
        for t in FRAMES
    ]
    same(run.value("memory.12"), [[want]])
    same(run.grads["mu"], run.value("memory.12"))


@pytest.mark.equation("memory.13")
def test_gradient_through_the_activity(activity: Trace, run: Trace, same: Same) -> None:
    for ran, da in ((activity, activity.cotangents["a"]), (run, run.value("memory.11"))):
        e0 = ran.example.attributes["e0"]
        slopes = [e0 / (energy(mu) + e0) ** 2 for mu in ran.inputs["mu"][0, 0]]
        want = [
            [2 * mu[d] / len(LATENTS) * da[0, 0, t] * slopes[t] for d in LATENTS]
            for t, mu in enumerate(ran.inputs["mu"][0, 0])
        ]
        same(ran.value("memory.13"), [[want]])
    same(activity.grads["mu"], activity.value("memory.13"))


@pytest.mark.equation("memory.14")
def test_halves_of_the_row(read: Trace, same: Same) -> None:
    dr = read.cotangents["r"][0, 0]
    places = len(CONSTANTS) * len(LATENTS)
    for first, name in ((0, "m"), (places, "q")):
        half = [dr[first + i] for i in range(places)]
        same(read.value("memory.14", f"d{name}"), [[half]])
        rows = [[half[k * len(LATENTS) + d] for d in LATENTS] for k in CONSTANTS]
        same(read.grads[name], [[rows]])
