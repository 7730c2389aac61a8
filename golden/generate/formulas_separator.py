"""Golden cases of the adaptive separator, by its demixing matrices, and how others would build it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from book import BadCase, Book, Case, Mistake, draw
from number import Named
from pieces import sigmoid

EDGE = ("edge",)
GENERATOR = "golden/generate/formulas_separator.py"
PARAMS = ("adapt_weight", "adapt_bias", "memory_weight", "fc_weight", "fc_bias")
Outputs = dict[str, Any]
Gate = Callable[[Any], Any]


def arguments_of_gate(g: Any, r: Any, adapt_weight: Any, adapt_bias: Any, memory_weight: Any) -> Any:
    """g (B, T, H), r (B, P, R) -> (B, P, T, M)."""
    rows = []
    for p in range(adapt_weight.shape[0]):
        remembered = r[:, p] @ memory_weight.T
        rows.append(g @ adapt_weight[p].T + adapt_bias[p] + remembered[:, None])
    return np.stack(rows, axis=1)


def halves(y: Any) -> Outputs:
    """mu and l of the rows of the fully connected layer."""
    latent = y.shape[-1] // 2
    return {"mu": y[..., :latent], "l": y[..., latent:]}


def adaptive_separator(
    x: Any,
    g: Any,
    r: Any,
    adapt_weight: Any,
    adapt_bias: Any,
    memory_weight: Any,
    fc_weight: Any,
    fc_bias: Any,
    *,
    gate: Gate = sigmoid,
    rows: Callable[[Any], Outputs] = halves,
) -> Outputs:
    """x (B, T, M), g (B, T, H), r (B, P, R) -> mu, l (B, P, T, D): x times a demixing matrix a source and frame."""
    w = gate(arguments_of_gate(g, r, adapt_weight, adapt_bias, memory_weight))
    demixing = fc_weight * w[..., None, :]
    return rows(np.sum(demixing * x[:, None, :, None, :], axis=-1) + fc_bias)


def softmax(s: Any, axis: int) -> Any:
    """Shares that add up to one along an axis."""
    return np.exp(s) / np.sum(np.exp(s), axis=axis, keepdims=True)


def exchanged(y: Any) -> Outputs:
    """l stands first."""
    mu, l = halves(y).values()
    return {"mu": l, "l": mu}


def alternating(y: Any) -> Outputs:
    """mu and l take turns."""
    return {"mu": y[..., ::2], "l": y[..., 1::2]}


def gate_after_layer(
    x: Any,
    g: Any,
    r: Any,
    adapt_weight: Any,
    adapt_bias: Any,
    memory_weight: Any,
    fc_weight: Any,
    fc_bias: Any,
) -> Outputs | None:
    """The gate multiplies what the fully connected layer returns."""
    if fc_weight.shape[0] != fc_weight.shape[1]:
        return None
    w = sigmoid(arguments_of_gate(g, r, adapt_weight, adapt_bias, memory_weight))
    return halves(w * (x @ fc_weight.T + fc_bias)[:, None])


def memory_gradients_averaged(arrays: Named, cotangents: Named, grads: Named, attrs: Any) -> Named:
    """The mean over frames in place of the sum."""
    frames = arrays["x"].shape[1]
    return {name: grads[name] / frames for name in ("r", "memory_weight")}


def weights(label: str, sources: int, channels: int, control: int, latent: int, reading: int) -> Named:
    """Parameters of a separator."""
    return {
        "adapt_weight": draw(f"{label}/adapt_weight", sources, channels, control),
        "adapt_bias": draw(f"{label}/adapt_bias", sources, channels),
        "memory_weight": draw(f"{label}/memory_weight", channels, reading),
        "fc_weight": draw(f"{label}/fc_weight", 2 * latent, channels, scale=1.5),
        "fc_bias": draw(f"{label}/fc_bias", 2 * latent),
    }


def separator_case(
    name: str, b: int, t: int, p: int, m: int, h: int, d: int, r: int, scale: float = 1.0, **more: Any
) -> Case:
    """A case of these sizes (the letters of the axes); x and g times ``scale``."""
    label = f"adaptive_separator/{name}"
    arrays = {
        "x": draw(f"{label}/x", b, t, m, scale=2.0) * scale,
        "g": draw(f"{label}/g", b, t, h) * scale,
        "r": draw(f"{label}/r", b, p, r),
        **weights(label, p, m, h, d, r),
    }
    return Case(name, arrays | more.pop("arrays", {}), **more)


AXES = {
    "x": "B T M",
    "g": "B T H",
    "adapt_weight": "P M H",
    "adapt_bias": "P M",
    "fc_weight": "2D M",
    "fc_bias": "2D",
    "mu": "B P T D",
    "l": "B P T D",
}

BOOK = Book(
    op="adaptive_separator",
    inputs=("x", "g", "r"),
    params=PARAMS,
    outputs=("mu", "l"),
    differentiable=("x", "g", "r", *PARAMS),
    equations=tuple(f"separator.{i}" for i in range(1, 9)),
    formula=adaptive_separator,
    cases=(
        separator_case("plain", b=1, t=4, p=2, m=5, h=3, d=2, r=6),
        separator_case("square", b=1, t=3, p=2, m=4, h=5, d=2, r=3),
        separator_case("two-items", b=2, t=1, p=3, m=4, h=1, d=2, r=5),
        separator_case("three-sources", b=1, t=2, p=3, m=2, h=4, d=1, r=5),
        separator_case("one-source", b=1, t=3, p=1, m=2, h=4, d=2, r=5, flags=EDGE),
        separator_case("one-frame", b=2, t=1, p=2, m=3, h=2, d=1, r=4, flags=EDGE),
        separator_case("silence", b=1, t=3, p=2, m=3, h=2, d=1, r=4, scale=0.0, flags=EDGE),
        separator_case(
            "empty-memory", b=1, t=2, p=2, m=3, h=2, d=2, r=4, arrays={"r": np.zeros((1, 2, 4))}, flags=EDGE
        ),
        separator_case("amplitude-1e-4", b=1, t=3, p=2, m=3, h=2, d=1, r=4, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "softmax-over-sources",
            "your gates of one channel add up to 1 over the sources; in the case every gate is a sigmoid of its own",
            lambda **a: adaptive_separator(**a, gate=lambda s: softmax(s, 1)),
        ),
        Mistake(
            "softmax-over-channels",
            "your gates of one source add up to 1 over the channels; in the case every gate is a sigmoid of its own",
            lambda **a: adaptive_separator(**a, gate=lambda s: softmax(s, -1)),
        ),
        Mistake(
            "gate-doubled",
            "your gate is 2*sigmoid, which is 1 at 0; the case wants the sigmoid, which is 1/2 there",
            lambda **a: adaptive_separator(**a, gate=lambda s: 2 * sigmoid(s)),
        ),
        Mistake(
            "halves-exchanged",
            "you read the rows of the fully connected layer as [l; mu]; the case has [mu; l]",
            lambda **a: adaptive_separator(**a, rows=exchanged),
        ),
        Mistake(
            "rows-alternating",
            "you take every other row of the fully connected layer for mu; the case has D rows of mu, then D of l",
            lambda **a: adaptive_separator(**a, rows=alternating),
        ),
        Mistake(
            "gate-after-layer",
            "you multiply the output of the fully connected layer by the gate; the case multiplies its input",
            gate_after_layer,
        ),
        Mistake(
            "memory-left-out",
            "you leave C r_p out of the gate's argument; the case wants sigm(A_p g + c_p + C r_p)",
            lambda r, **a: adaptive_separator(r=r * 0, **a),
        ),
        Mistake(
            "first-memory-for-all",
            "you give every source the memory of the first; the case gives each its own",
            lambda r, **a: adaptive_separator(r=r[:, [0] * r.shape[1]], **a),
        ),
        Mistake(
            "memory-gradients-averaged",
            "your gradients of r and of its weight are means over the frames; the case wants the sums",
            gradient=memory_gradients_averaged,
        ),
    ),
    bad_cases=(
        BadCase("other-frames", "g has 3 frames, x has 4", {"g": draw("adaptive_separator/bad/g", 1, 3, 3)}),
        BadCase(
            "other-reading", "r has 5 elements, its weight wants 6", {"r": draw("adaptive_separator/bad/r", 1, 2, 5)}
        ),
    ),
    generator=GENERATOR,
    axes=AXES | {"r": "B P R", "memory_weight": "M R"},
)
