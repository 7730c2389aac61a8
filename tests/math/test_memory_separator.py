"""Every equation of docs/math/memory_separator.md, worked out again from the traced values of its right-hand side.

The example has one item, source, channel, unit, latent and time constant, so that everything in a block is a number, or
a list of numbers, one for each frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp
from typing import NamedTuple

import numpy as np
import pytest

from refbss.audit.examples import find
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
BLOCKS = (range(0, 2), range(2, 3))
"""The frames of each; the last block is short."""
SHARED = {"da": "a", "dc": "c", "dread": "read", "dv": "v", "db": "b"}
"""Gradients to which every block adds, and what they belong to."""


class Statistics(NamedTuple):
    """Of one block, (memory.2) to (memory.5): activities, mean and sum of them, means, and the rate."""

    a: list[float]
    gain: float
    total: float
    zbar: float
    qbar: float
    eta: float


@pytest.fixture
def run(traced: Callable[[str], Trace]) -> Trace:
    return traced("memory_separator")


@pytest.fixture(scope="module")
def cut() -> Trace:
    """The example with the gradient of the state cut at every border."""
    return variant(truncate=1)


@pytest.fixture(scope="module")
def without() -> Trace:
    """The example without memory."""
    return variant(memory=False)


def variant(**attributes: object) -> Trace:
    example = find("memory_separator")
    return trace(replace(example, attributes={**example.attributes, **attributes}))


def number(run: Trace, name: str) -> float:
    """An input that is one number."""
    return run.inputs[name].item()


def state(run: Trace, name: str, n: int) -> float:
    """m or q before block n."""
    if n == 0:
        return number(run, f"{name}0")
    return run.value("memory_separator.3", name, start=BLOCKS[n - 1].start).item()


def cotangent(run: Trace, name: str, n: int) -> float:
    """Of the state before block n as an output."""
    return run.cotangents[f"{name}_blocks"][0, 0, n, 0, 0]


def complete(run: Trace, name: str, n: int) -> float:
    """The whole gradient of the state before block n."""
    last = n == len(BLOCKS)
    return cotangent(run, name, n) if last else run.value("memory_separator.7", f"d{name}", n=n).item()


def latents(run: Trace, n: int) -> list[float]:
    return list(run.value("memory_separator.2", "mu", start=BLOCKS[n].start)[0, 0, :, 0])


def sigmoid(s: float) -> float:
    return 1 / (1 + exp(-s))


def gains(run: Trace, n: int, reading: tuple[float, float]) -> list[float]:
    """The adaptive matrix of every frame of block n: (separator.1)."""
    weights = run.inputs["read"][0]
    constant = number(run, "c") + weights[0] * reading[0] + weights[1] * reading[1]
    return [sigmoid(number(run, "a") * run.inputs["g"][0, t, 0] + constant) for t in BLOCKS[n]]


def statistics(run: Trace, mu: list[float]) -> Statistics:
    e0, delta = run.example.attributes["e0"], run.example.attributes["delta"]
    a = [z**2 / (z**2 + e0) for z in mu]
    total = sum(a) + delta
    zbar = sum(w * z for w, z in zip(a, mu, strict=True)) / total
    qbar = sum(w * z**2 for w, z in zip(a, mu, strict=True)) / total
    return Statistics(a, sum(a) / len(a), total, zbar, qbar, sigmoid(number(run, "theta")))


@pytest.mark.equation("memory_separator.1")
def test_reading(run: Trace, same: Same) -> None:
    for n, frames in enumerate(BLOCKS):
        value = run.value("memory_separator.1", start=frames.start)
        same(value, [[[state(run, "m", n), state(run, "q", n)]]])


@pytest.mark.equation("memory_separator.2")
def test_separated_block(run: Trace, without: Trace, same: Same) -> None:
    for ran in (run, without):
        x, v, b = ran.inputs["x"][0, :, 0], ran.inputs["v"][:, 0], ran.inputs["b"]
        w = []
        for n in range(len(BLOCKS)):
            w += gains(ran, n, (state(ran, "m", n), state(ran, "q", n)) if ran is run else (0.0, 0.0))
        for row, name in enumerate(("mu", "l")):
            parts = [ran.value("memory_separator.2", name, start=frames.start) for frames in BLOCKS]
            assert [part.shape[2] for part in parts] == [len(frames) for frames in BLOCKS]
            want = [[[[v[row] * w[t] * x[t] + b[row]] for t in range(len(x))]]]
            same(np.concatenate(parts, axis=2), want)
            same(ran.outputs[name], want)


@pytest.mark.equation("memory_separator.3")
def test_written_state(run: Trace, same: Same) -> None:
    for n, frames in enumerate(BLOCKS):
        s = statistics(run, latents(run, n))
        share = s.eta * s.gain
        for name, mean in (("m", s.zbar), ("q", s.qbar)):
            value = run.value("memory_separator.3", name, start=frames.start)
            same(value.item(), (1 - share) * state(run, name, n) + share * mean)
            same(run.outputs[f"{name}_blocks"][:, :, n + 1], value)
        same(run.outputs["m_blocks"][:, :, 0], run.inputs["m0"])
        same(run.outputs["q_blocks"][:, :, 0], run.inputs["q0"])


@pytest.mark.equation("memory_separator.3")
def test_without_memory_the_state_stays(without: Trace, same: Same) -> None:
    assert not without.find("memory_separator.3")
    for n in range(len(BLOCKS) + 1):
        same(without.outputs["m_blocks"][:, :, n], without.inputs["m0"])
        same(without.outputs["q_blocks"][:, :, n], without.inputs["q0"])


@pytest.mark.equation("memory_separator.4")
def test_gradients_through_the_write(run: Trace, same: Same) -> None:
    e0 = run.example.attributes["e0"]
    dthetas = []
    for n in range(len(BLOCKS)):
        mu, s = latents(run, n), statistics(run, latents(run, n))
        dm_next, dq_next = complete(run, "m", n + 1), complete(run, "q", n + 1)
        share = s.eta * s.gain
        dshare = (s.zbar - state(run, "m", n)) * dm_next + (s.qbar - state(run, "q", n)) * dq_next
        dzbar, dqbar = share * dm_next, share * dq_next
        dmu = []
        for a, z in zip(s.a, mu, strict=True):
            da = s.eta * dshare / len(mu) + ((z - s.zbar) * dzbar + (z**2 - s.qbar) * dqbar) / s.total
            dmu.append(a * (dzbar + 2 * z * dqbar) / s.total + 2 * z * da * e0 / (z**2 + e0) ** 2)
        dthetas.append(s.eta * (1 - s.eta) * s.gain * dshare)
        same(run.value("memory_separator.4", "dm", n=n).item(), (1 - share) * dm_next)
        same(run.value("memory_separator.4", "dq", n=n).item(), (1 - share) * dq_next)
        same(run.value("memory_separator.4", "dmu_write", n=n), [[[[d] for d in dmu]]])
        same(run.value("memory_separator.4", "dtheta_n", n=n), [dthetas[n]])
    same(run.grads["theta"], [sum(dthetas)])


@pytest.mark.equation("memory_separator.5")
def test_gradients_through_the_separator(run: Trace, same: Same) -> None:
    v, a, read = run.inputs["v"][:, 0], number(run, "a"), run.inputs["read"][0]
    for n, frames in enumerate(BLOCKS):
        reading = (state(run, "m", n), state(run, "q", n))
        w = gains(run, n, reading)
        through = run.value("memory_separator.4", "dmu_write", n=n)[0, 0, :, 0]
        dmu = [run.cotangents["mu"][0, 0, t, 0] + through[i] for i, t in enumerate(frames)]
        dl = [run.cotangents["l"][0, 0, t, 0] for t in frames]
        x, g = ([run.inputs[name][0, t, 0] for t in frames] for name in ("x", "g"))
        du = [v[0] * dmu[i] + v[1] * dl[i] for i in range(len(frames))]
        ds = [du[i] * x[i] * w[i] * (1 - w[i]) for i in range(len(frames))]
        want = {
            "dx": [[[w[i] * du[i]] for i in range(len(frames))]],
            "dg": [[[a * s] for s in ds]],
            "dr": [[[read[0] * sum(ds), read[1] * sum(ds)]]],
            "da": [[[sum(ds[i] * g[i] for i in range(len(frames)))]]],
            "dc": [[sum(ds)]],
            "dread": [[sum(ds) * reading[0], sum(ds) * reading[1]]],
            "dv": [[sum(d * w[i] * x[i] for i, d in enumerate(half))] for half in (dmu, dl)],
            "db": [sum(dmu), sum(dl)],
        }
        for name, value in want.items():
            same(run.value("memory_separator.5", f"grads.{name}", n=n), value)
        same(run.grads["x"][:, frames.start : frames.stop], want["dx"])
        same(run.grads["g"][:, frames.start : frames.stop], want["dg"])
    for name, array in SHARED.items():
        parts = [run.value("memory_separator.5", f"grads.{name}", n=n) for n in range(len(BLOCKS))]
        same(run.grads[array], parts[0] + parts[1])


@pytest.mark.equation("memory_separator.6")
def test_gradient_through_the_reading_is_added(run: Trace, same: Same) -> None:
    for n in range(len(BLOCKS)):
        read = run.value("memory_separator.5", "grads.dr", n=n)[0, 0]
        for name, through in zip(("dm", "dq"), read, strict=True):
            written = run.value("memory_separator.4", name, n=n).item()
            same(run.value("memory_separator.6", name, n=n).item(), written + through)


@pytest.mark.equation("memory_separator.7")
def test_cotangent_of_the_state_is_added(run: Trace, same: Same) -> None:
    for name in ("m", "q"):
        for n in range(len(BLOCKS)):
            used = run.value("memory_separator.6", f"d{name}", n=n).item()
            same(run.value("memory_separator.7", f"d{name}", n=n).item(), used + cotangent(run, name, n))
        same(run.grads[f"{name}0"].item(), complete(run, name, 0))


@pytest.mark.equation("memory_separator.7")
def test_where_the_gradient_is_cut_only_the_cotangent_is_left(cut: Trace, run: Trace, same: Same) -> None:
    for name in ("m", "q"):
        same(cut.value("memory_separator.7", f"d{name}", n=1).item(), cotangent(cut, name, 1))
        used = cut.value("memory_separator.6", f"d{name}", n=0).item()
        same(cut.value("memory_separator.7", f"d{name}", n=0).item(), used + cotangent(cut, name, 0))
        same(cut.outputs[f"{name}_blocks"], run.outputs[f"{name}_blocks"])


@pytest.mark.equation("memory_separator.7")
def test_without_memory_the_cotangents_of_all_states_add(without: Trace, same: Same) -> None:
    for name in ("m", "q"):
        same(without.grads[f"{name}0"].item(), sum(cotangent(without, name, n) for n in range(len(BLOCKS) + 1)))
    assert without.grads["theta"].tolist() == [0.0]
    assert without.grads["read"].tolist() == [[0.0, 0.0]]
