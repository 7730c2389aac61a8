"""Golden cases of the separator's recursion over blocks with memory, and how others would let it run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from book import BadCase, Book, Case, Mistake, draw
from formulas_memory import mean_activity, memory_read, memory_write
from formulas_separator import AXES, EDGE, PARAMS, Outputs, adaptive_separator, weights
from pieces import gradient_of, stopped


def memory_separator(
    x: Any,
    g: Any,
    m0: Any,
    q0: Any,
    theta: Any,
    *,
    block: int,
    e0: float,
    delta: float,
    memory: bool,
    truncate: int,
    reads: bool = True,
    own_write: bool = False,
    gate: Callable[[Any], Any] = mean_activity,
    **params: Any,
) -> Outputs:
    """x (B, T, M), g (B, T, H), m0, q0 (B, P, K, D), theta (K,) -> mu, l (B, P, T, D), states (B, P, blocks + 1, K, D).

    Mistakes: ``reads`` False ignores the state, ``own_write`` separates a block a second time with the state that it
    left, ``gate`` is that of the write.
    """

    def separate(part: slice, state: tuple[Any, Any]) -> Outputs:
        r = memory_read(*state)["r"] * int(memory and reads)
        return adaptive_separator(x[:, part], g[:, part], r, **params)

    state = (m0, q0)
    states, blocks = [state], []
    for n, start in enumerate(range(0, x.shape[1], block)):
        if truncate and n and n % truncate == 0:
            state = (stopped(state[0]), stopped(state[1]))
        part = slice(start, start + block)
        out = separate(part, state)
        if memory:
            written = memory_write(*state, out["mu"], theta, e0=e0, delta=delta, gate=gate)
            state = (written["m_new"], written["q_new"])
        blocks.append(separate(part, state) if own_write else out)
        states.append(state)
    return {
        "mu": np.concatenate([out["mu"] for out in blocks], axis=2),
        "l": np.concatenate([out["l"] for out in blocks], axis=2),
        "m_blocks": np.stack([m for m, _ in states], axis=2),
        "q_blocks": np.stack([q for _, q in states], axis=2),
    }


def written_every_frame(x: Any, block: int, **a: Any) -> Outputs:
    """Every frame is a block; the states are those at the borders of the blocks that were wanted."""
    out = memory_separator(x=x, block=1, **a)
    borders = [*range(0, x.shape[1], block), x.shape[1]]
    return out | {name: out[name][:, :, borders] for name in ("m_blocks", "q_blocks")}


def memory_kept_on(memory: bool, **a: Any) -> Outputs | None:
    """The switch is ignored."""
    return None if memory else memory_separator(memory=True, **a)


def cut_everywhere(truncate: int, **a: Any) -> Outputs:
    """The gradient of the state stops at every block."""
    return memory_separator(truncate=1, **a)


def never_cut(truncate: int, **a: Any) -> Outputs:
    """The gradient of the state passes every block."""
    return memory_separator(truncate=0, **a)


def case(
    name: str,
    t: int,
    block: int,
    b: int = 1,
    p: int = 2,
    m: int = 3,
    h: int = 2,
    d: int = 1,
    k: int = 2,
    scale: float = 1.0,
    **more: Any,
) -> Case:
    """A case of these sizes (the letters of the axes); x, g and the bias of the last layer times ``scale``."""
    label = f"memory_separator/{name}"
    params = weights(label, p, m, h, d, 2 * k * d)
    arrays = {
        "x": draw(f"{label}/x", b, t, m, scale=2.0) * scale,
        "g": draw(f"{label}/g", b, t, h) * scale,
        "m0": draw(f"{label}/m0", b, p, k, d),
        "q0": draw(f"{label}/q0", b, p, k, d, scale=0.5, mean=0.5),
        "theta": draw(f"{label}/theta", k, scale=1.5, mean=0.5),
        **params,
        "fc_bias": params["fc_bias"] * scale,
    }
    attrs = {"block": block, "e0": 0.1, "delta": 0.001, "memory": True, "truncate": 0} | more.pop("attrs", {})
    return Case(name, arrays | more.pop("arrays", {}), attrs, **more)


INPUTS = ("x", "g", "m0", "q0", "theta")
WITHOUT_MEMORY = ("memory_separator.2", "memory_separator.5", "memory_separator.7")
EMPTY = {"m0": np.zeros((1, 2, 2, 1)), "q0": np.zeros((1, 2, 2, 1))}

BOOK = Book(
    op="memory_separator",
    inputs=("x", "g", "m0", "q0"),
    params=(*PARAMS, "theta"),
    outputs=("mu", "l", "m_blocks", "q_blocks"),
    differentiable=("x", "g", *PARAMS, "m0", "q0", "theta"),
    equations=tuple(f"memory_separator.{i}" for i in range(1, 8)),
    formula=memory_separator,
    cases=(
        case("plain", t=6, block=2, m=4, h=3),
        case("short-last-block", t=5, block=3, h=4),
        case("two-items", t=4, block=3, b=2, p=1, m=2, h=3),
        case("two-elements", t=3, block=2, m=4, h=1, d=2, k=1),
        case("one-block", t=3, block=5, m=4, flags=EDGE),
        case("one-frame", t=1, block=1, flags=EDGE),
        case("one-source", t=4, block=2, p=1, d=2, k=1, flags=EDGE),
        case("memory-off", t=4, block=2, attrs={"memory": False}, equations=WITHOUT_MEMORY, flags=EDGE),
        case("truncate-1", t=3, block=1, attrs={"truncate": 1}, flags=EDGE, kinks=(*INPUTS, *PARAMS)),
        case("truncate-2", t=5, block=1, p=1, attrs={"truncate": 2}, flags=EDGE, kinks=(*INPUTS, *PARAMS)),
        case("empty-memory", t=4, block=2, arrays=EMPTY, flags=EDGE),
        case("silence", t=4, block=2, scale=0.0, flags=EDGE),
        case("amplitude-1e-4", t=3, block=2, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "memory-of-the-current-block",
            "a block of yours reads the state after its own write; the case reads the state as it stood when the block "
            "began",
            lambda **a: memory_separator(**a, own_write=True),
        ),
        Mistake(
            "written-every-frame",
            "you write the memory after every frame; the case writes it after every block",
            written_every_frame,
        ),
        Mistake(
            "never-written",
            "all your blocks read the initial state; in the case each reads what those before it wrote",
            lambda **a: memory_separator(**a, gate=lambda activity: activity[..., 0] * 0),
        ),
        Mistake(
            "never-read",
            "you write the memory but do not read it; the case adds C r to the gate's argument",
            lambda **a: memory_separator(**a, reads=False),
        ),
        Mistake(
            "short-block-over-full-length",
            "you divide the activities of the short last block by the full block length; the case divides by the "
            "frames that it has",
            lambda block, **a: memory_separator(block=block, gate=lambda s: np.sum(s, axis=-1) / block, **a),
        ),
        Mistake(
            "memory-kept-on",
            "you read and write the memory although memory is False; the case drops C r and leaves the state alone",
            memory_kept_on,
        ),
        Mistake(
            "gradient-cut-at-every-block",
            "your gradient of the state stops at every block (a detach in the loop); in the case it runs on, up to "
            "every truncate-th border",
            gradient=gradient_of(cut_everywhere, *INPUTS, *PARAMS),
        ),
        Mistake(
            "truncation-ignored",
            "your gradient of the state runs through all blocks; the case cuts it at every truncate-th border",
            gradient=gradient_of(never_cut, *INPUTS, *PARAMS),
        ),
    ),
    bad_cases=(
        BadCase("other-frames", "g has 4 frames, x has 6", {"g": draw("memory_separator/bad/g", 1, 4, 3)}),
        BadCase(
            "other-constants", "theta has 3 constants, the state has 2", {"theta": draw("memory_separator/bad/t", 3)}
        ),
    ),
    generator="golden/generate/formulas_recursion.py",
    axes=AXES
    | {
        "memory_weight": "M 2KD",
        "m0": "B P K D",
        "q0": "B P K D",
        "theta": "K",
        "m_blocks": "B P NB+1 K D",
        "q_blocks": "B P NB+1 K D",
    },
)
