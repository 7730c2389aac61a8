"""Golden cases of the memory bank: reading it, activity, writing it; and what its statistics are mistaken for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from book import BadCase, Book, Case, Mistake, draw
from pieces import gradient_of, sigmoid, stopped

EDGE = ("edge",)
GENERATOR = "golden/generate/formulas_memory.py"
Outputs = dict[str, Any]


def per_constant(m: Any) -> list[Any]:
    """m (B, P, K, D) as K arrays (B, P, D)."""
    return [m[:, :, k] for k in range(m.shape[2])]


def memory_read(m: Any, q: Any) -> Outputs:
    """m, q (B, P, K, D) -> r (B, P, 2KD): the moments of every time constant, then the mean squares of every one."""
    return {"r": np.concatenate(per_constant(m) + per_constant(q), axis=-1)}


def interleaved(m: Any, q: Any) -> Outputs:
    """Moment and mean square of one time constant stand together."""
    pairs = zip(per_constant(m), per_constant(q), strict=True)
    return {"r": np.concatenate([part for pair in pairs for part in pair], axis=-1)}


def latent_first(m: Any, q: Any) -> Outputs:
    """The time constants run faster than the latent's elements."""
    rows = [array[..., d] for array in (m, q) for d in range(m.shape[3])]
    return {"r": np.concatenate(rows, axis=-1)}


def read_case(name: str, *shape: int, scale: float = 1.0, **more: Any) -> Case:
    """A case of a state of this shape (B, P, K, D), times ``scale``."""
    arrays = {n: draw(f"memory_read/{name}/{n}", *shape) * scale for n in ("m", "q")}
    return Case(name, arrays, **more)


READ = Book(
    op="memory_read",
    inputs=("m", "q"),
    outputs=("r",),
    differentiable=("m", "q"),
    equations=("memory.1", "memory.14"),
    formula=memory_read,
    cases=(
        read_case("plain", 1, 2, 3, 4),
        read_case("two-items", 2, 1, 4, 3),
        read_case("three-sources", 2, 3, 2, 1),
        read_case("one-constant", 2, 3, 1, 4, flags=EDGE),
        read_case("one-element", 1, 1, 1, 1, flags=EDGE),
        read_case("empty-memory", 1, 2, 3, 2, scale=0.0, flags=EDGE),
        read_case("amplitude-1e-4", 1, 3, 2, 2, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "squares-first",
            "you put the mean squares before the moments; the case wants [m_1; ..; m_K; q_1; ..; q_K]",
            lambda m, q: memory_read(q, m),
        ),
        Mistake(
            "interleaved",
            "you put every q_k behind its m_k; the case wants [m_1; ..; m_K; q_1; ..; q_K]",
            interleaved,
        ),
        Mistake(
            "latent-first",
            "you lay out (K, D) with the time constants running fastest; the case wants D elements of one constant "
            "together",
            latent_first,
        ),
        Mistake(
            "variance-for-mean-square",
            "you read q - m^2, the variance; the case reads q as it is",
            lambda m, q: memory_read(m, q - m * m),
        ),
    ),
    bad_cases=(
        BadCase("other-shape", "q is (1, 3, 3, 3), m is (1, 2, 3, 4)", {"q": draw("memory_read/bad/q", 1, 3, 3, 3)}),
    ),
    generator=GENERATOR,
    axes={"m": "B P K D", "q": "B P K D", "r": "B P 2KD"},
)


def energy(mu: Any) -> Any:
    """Mean square over the latent's elements: (B, P, L, D) -> (B, P, L)."""
    return sum(mu[..., d] ** 2 for d in range(mu.shape[-1])) / mu.shape[-1]


def saturated(e: Any, e0: float) -> Any:
    """Activity of an energy."""
    return e / (e + e0)


def memory_activity(mu: Any, *, e0: float) -> Outputs:
    """mu (B, P, L, D) -> a (B, P, L)."""
    return {"a": saturated(energy(mu), e0)}


def block_energy(mu: Any, *, e0: float) -> Outputs:
    """One energy for all frames."""
    e = energy(mu)
    return {"a": saturated(e * 0 + np.sum(e, axis=-1, keepdims=True) / e.shape[-1], e0)}


def denominator_held(mu: Any, *, e0: float) -> Outputs:
    """The energy in the denominator passes no gradient."""
    e = energy(mu)
    return {"a": e / (stopped(e) + e0)}


def activity_case(name: str, *shape: int, e0: float = 0.1, scale: float = 1.0, **more: Any) -> Case:
    """A case of a block of this shape (B, P, L, D), times ``scale``."""
    mu = draw(f"memory_activity/{name}/mu", *shape, scale=2.0) * scale
    return Case(name, {"mu": mu} | more.pop("arrays", {}), {"e0": e0}, **more)


def pauses(label: str, *shape: int) -> np.ndarray:
    """A block of which every second frame is silent."""
    mu = draw(label, *shape, scale=2.0)
    mu[:, :, ::2] = 0.0
    return mu


ACTIVITY = Book(
    op="memory_activity",
    inputs=("mu",),
    outputs=("a",),
    differentiable=("mu",),
    equations=("memory.2", "memory.13"),
    formula=memory_activity,
    cases=(
        activity_case("plain", 1, 2, 3, 4),
        activity_case("two-items", 2, 1, 4, 3, e0=0.75),
        activity_case("three-sources", 1, 3, 5, 2, e0=2.0),
        activity_case("one-frame", 2, 3, 1, 2, e0=0.75, flags=EDGE),
        activity_case("one-dimension", 1, 2, 5, 1, flags=EDGE),
        activity_case("silence", 1, 2, 3, 2, scale=0.0, flags=EDGE),
        activity_case("pauses", 1, 2, 4, 3, arrays={"mu": pauses("memory_activity/pauses", 1, 2, 4, 3)}, flags=EDGE),
        activity_case("constant-input", 1, 2, 3, 4, arrays={"mu": np.full((1, 2, 3, 4), 0.5)}, flags=EDGE),
        activity_case("amplitude-1e-4", 1, 2, 4, 3, scale=2.0**-13, flags=EDGE),
        activity_case("loud", 1, 1, 3, 4, e0=2.0, scale=8.0, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "sum-for-mean",
            "you add up the squares of the D elements; the case takes their mean",
            lambda mu, e0: {"a": saturated(energy(mu) * mu.shape[-1], e0)},
        ),
        Mistake(
            "magnitudes-for-squares",
            "you take the mean of |mu|; the case takes the mean of mu^2",
            lambda mu, e0: {"a": saturated(np.sum(abs(mu), axis=-1) / mu.shape[-1], e0)},
        ),
        Mistake(
            "root-of-energy",
            "you take the root of the mean square; the case takes the mean square itself",
            lambda mu, e0: {"a": saturated(np.sqrt(energy(mu)), e0)},
        ),
        Mistake(
            "threshold-squared",
            "you divide by e + e0^2; the case divides by e + e0",
            lambda mu, e0: memory_activity(mu, e0=e0 * e0),
        ),
        Mistake(
            "hard-gate",
            "your activity is 1 where e > e0 and 0 elsewhere; the case wants e/(e + e0)",
            lambda mu, e0: {"a": np.where(energy(mu) > e0, 1, 0)},
        ),
        Mistake(
            "block-energy",
            "you take one energy for the whole block; the case has one a frame",
            block_energy,
        ),
        Mistake(
            "denominator-held-constant",
            "your gradient treats e + e0 as a constant; the derivative by e is e0/(e + e0)^2",
            gradient=gradient_of(denominator_held, "mu"),
        ),
    ),
    bad_cases=(BadCase("no-threshold", "e0 is null, wanted a number above 0", attrs={"e0": None}),),
    generator=GENERATOR,
    axes={"mu": "B P L D", "a": "B P L"},
)

Statistics = tuple[Any, Any]


def weighted(mu: Any, a: Any, delta: float) -> Statistics:
    """Means of mu and of its square (B, P, D), weighted by the activity a (B, P, L)."""
    total = np.sum(a, axis=-1)[..., None] + delta
    return (
        np.sum(a[..., None] * mu, axis=2) / total,
        np.sum(a[..., None] * mu * mu, axis=2) / total,
    )


def unweighted(mu: Any, a: Any, delta: float) -> Statistics:
    """Means over the frames."""
    return np.sum(mu, axis=2) / mu.shape[2], np.sum(mu * mu, axis=2) / mu.shape[2]


def around_mean(mu: Any, a: Any, delta: float) -> Statistics:
    """The second is the variance."""
    mean, _ = weighted(mu, a, delta)
    return mean, weighted(mu - mean[:, :, None], a, delta)[1]


def mean_squared(mu: Any, a: Any, delta: float) -> Statistics:
    """The second is the square of the first."""
    mean, _ = weighted(mu, a, delta)
    return mean, mean * mean


def mean_activity(a: Any) -> Any:
    """The gate of a block (B, P)."""
    return np.sum(a, axis=-1) / a.shape[-1]


def memory_write(
    m: Any,
    q: Any,
    mu: Any,
    theta: Any,
    *,
    e0: float,
    delta: float,
    activity: Callable[[Any, float], Any] = lambda mu, e0: saturated(energy(mu), e0),
    gate: Callable[[Any], Any] = mean_activity,
    statistics: Callable[[Any, Any, float], Statistics] = weighted,
    rate: Callable[[Any], Any] = sigmoid,
) -> Outputs:
    """m, q (B, P, K, D), mu (B, P, L, D), theta (K,) -> m_new, q_new: old and new mixed at the rates of K constants."""
    a = activity(mu, e0)
    mean, square = statistics(mu, a, delta)
    share = gate(a)[..., None, None] * rate(theta)[:, None]
    return {
        "m_new": (1 - share) * m + share * mean[:, :, None],
        "q_new": (1 - share) * q + share * square[:, :, None],
    }


def straight_through(theta: Any) -> Any:
    """The sigmoid of theta with the derivative one."""
    return stopped(sigmoid(theta)) + (theta - stopped(theta))


def write_case(name: str, shape: tuple[int, int, int, int], frames: int, scale: float = 1.0, **more: Any) -> Case:
    """A case of a state of this shape (B, P, K, D) and so many frames; state and block times ``scale``."""
    batch, sources, constants, latent = shape
    label = f"memory_write/{name}"
    arrays = {
        "m": draw(f"{label}/m", *shape) * scale,
        "q": draw(f"{label}/q", *shape, scale=0.5, mean=0.5) * scale,
        "mu": draw(f"{label}/mu", batch, sources, frames, latent, scale=1.5, mean=0.25) * scale,
        "theta": draw(f"{label}/theta", constants, scale=2.0, mean=-0.5),
    }
    attrs = {"e0": more.pop("e0", 0.1), "delta": more.pop("delta", 0.001)}
    return Case(name, arrays | more.pop("arrays", {}), attrs, **more)


WRITE = Book(
    op="memory_write",
    inputs=("m", "q", "mu", "theta"),
    outputs=("m_new", "q_new"),
    differentiable=("m", "q", "mu", "theta"),
    equations=tuple(f"memory.{i}" for i in range(2, 14)),
    formula=memory_write,
    cases=(
        write_case("plain", (1, 2, 3, 4), 5),
        write_case("two-items", (2, 1, 3, 2), 4, e0=0.5, delta=0.25),
        write_case("three-sources", (1, 3, 1, 2), 5, e0=1.0),
        write_case("many-constants", (1, 1, 7, 2), 3, e0=0.25),
        write_case("one-frame", (1, 2, 2, 3), 1, flags=EDGE),
        write_case("silence", (1, 2, 2, 2), 3, arrays={"mu": np.zeros((1, 2, 3, 2))}, flags=EDGE),
        write_case("pauses", (1, 2, 2, 3), 5, arrays={"mu": pauses("memory_write/pauses", 1, 2, 5, 3)}, flags=EDGE),
        write_case(
            "empty-memory",
            (1, 2, 2, 2),
            3,
            arrays={"m": np.zeros((1, 2, 2, 2)), "q": np.zeros((1, 2, 2, 2))},
            flags=EDGE,
        ),
        write_case("constant-input", (1, 2, 2, 2), 4, arrays={"mu": np.full((1, 2, 4, 2), 0.75)}, flags=EDGE),
        write_case("amplitude-1e-4", (1, 1, 2, 3), 4, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "gate-missing",
            "you write every block with the full rate; the case multiplies it by G, the block's mean activity",
            lambda **a: memory_write(**a, gate=lambda activity: activity[..., 0] * 0 + 1),
        ),
        Mistake(
            "rate-without-sigmoid",
            "you use theta as the rate; the case wants eta = 1/(1 + exp(-theta))",
            lambda **a: memory_write(**a, rate=lambda theta: theta),
        ),
        Mistake(
            "decay-for-rate",
            "you take sigm(theta) as the share of the old state that stays; in the case it is the share of the new",
            lambda **a: memory_write(**a, rate=lambda theta: 1 - sigmoid(theta)),
        ),
        Mistake(
            "variance-for-mean-square",
            "you write the variance around the block's mean into q; the case writes the mean of mu^2",
            lambda **a: memory_write(**a, statistics=around_mean),
        ),
        Mistake(
            "square-of-mean",
            "you write the square of the mean into q; the case writes the mean of mu^2",
            lambda **a: memory_write(**a, statistics=mean_squared),
        ),
        Mistake(
            "plain-mean",
            "you give all frames the same weight; the case weights them by their activity",
            lambda **a: memory_write(**a, statistics=unweighted),
        ),
        Mistake(
            "delta-missing",
            "you divide by the sum of the activities; the case adds delta to it",
            lambda delta, **a: memory_write(**a, delta=0),
        ),
        Mistake(
            "activity-held-constant",
            "your gradient of mu treats the activity as a constant; the case pulls it back through the activity too",
            gradient=gradient_of(
                lambda **a: memory_write(**a, activity=lambda mu, e0: stopped(saturated(energy(mu), e0))), "mu"
            ),
        ),
        Mistake(
            "rate-gradient-without-sigmoid",
            "your gradient of theta lacks the factor eta(1 - eta)",
            gradient=gradient_of(lambda **a: memory_write(**a, rate=straight_through), "theta"),
        ),
    ),
    bad_cases=(
        BadCase("other-latent", "mu has 3 elements, the state has 4", {"mu": draw("memory_write/bad/mu", 1, 2, 5, 3)}),
        BadCase("other-constants", "theta has 2 constants, the state has 3", {"theta": draw("memory_write/bad/t", 2)}),
    ),
    generator=GENERATOR,
    axes={
        "m": "B P K D",
        "q": "B P K D",
        "mu": "B P L D",
        "theta": "K",
        "m_new": "B P K D",
        "q_new": "B P K D",
    },
)

BOOKS = (READ, ACTIVITY, WRITE)
