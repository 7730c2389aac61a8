"""Golden cases of a step of Adam and of the clipping of gradients, and what others understand by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from book import BITS, Book, Case, Formula, Mistake, draw
from mpmath import mp, mpf
from number import Number

EDGE = ("edge",)
GENERATOR = "golden/generate/formulas_adam.py"


def root(x: Any) -> Any:
    """Square roots of an array of Numbers. No derivative is wanted, so zero is as good as any."""
    return np.array([Number(mpmath.sqrt(number.value)) for number in x.flat], dtype=object).reshape(x.shape)


def corrections(beta1: float, beta2: float, step: int) -> tuple[Any, Any]:
    """1 - beta^step of both moments, in double precision at least, as everybody computes it."""
    with mpmath.workprec(max(mp.prec, BITS["float64"])):
        return 1 - mpf(beta1) ** step, 1 - mpf(beta2) ** step


def corrected(m: Any, v: Any, c1: Any, c2: Any, eps: float) -> Any:
    """The direction of the step, from both moments and their corrections."""
    return (m / c1) / (root(v / c2) + eps)


def adam(
    theta: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    direction: Callable[..., Any] = corrected,
    counted_from: int = 1,
    square: Callable[[Any], Any] = lambda g: g * g,
    share: Callable[[float], float] = lambda beta1: 1 - beta1,
    after: bool = True,
    sign: int = -1,
) -> dict[str, Any]:
    """theta, g, m, v of any one shape -> theta_new, m_new, v_new. From ``direction`` on: there to be mistaken."""
    m_new = m * beta1 + g * share(beta1)
    v_new = v * beta2 + square(g) * (1 - beta2)
    moments = (m_new, v_new) if after else (m, v)
    step = direction(*moments, *corrections(beta1, beta2, t + counted_from), eps)
    return {"theta_new": theta + step * learning_rate * sign, "m_new": m_new, "v_new": v_new}


def other(**how: Any) -> Formula:
    """A step with a change."""
    return lambda **arguments: adam(**arguments, **how)


def case(name: str, shape: tuple[int, ...], t: int, eps: float = 1e-8, **more: Any) -> Case:
    """A step of a tensor of this shape after t others; what is not given is drawn, or of Adam's usual values."""
    label = f"adam/{name}"
    arrays = {
        "theta": draw(f"{label}/theta", *shape, scale=0.5),
        "g": draw(f"{label}/g", *shape),
        "m": draw(f"{label}/m", *shape, scale=0.5),
        "v": draw(f"{label}/v", *shape, scale=0.25, mean=0.25),
    }
    attrs = {"t": t, "learning_rate": 0.125, "beta1": 0.9, "beta2": 0.999, "eps": eps}
    return Case(name, arrays | more.pop("arrays", {}), attrs | more.pop("attrs", {}), **more)


def zeros(*names: str, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Arrays of zeros by name."""
    return {name: np.zeros(shape) for name in names}


STARTING = ("m", "v")
ADAM = Book(
    op="adam",
    inputs=("theta", "g", "m", "v"),
    outputs=("theta_new", "m_new", "v_new"),
    reported=("theta_new", "m_new", "v_new"),
    differentiable=(),
    equations=("adam.2", "adam.3", "adam.4"),
    formula=adam,
    cases=(
        case("plain", (3, 2), 7),
        case("other-betas", (2, 2, 3), 3, attrs={"beta1": 0.5, "beta2": 0.75, "learning_rate": 1e-2}),
        case("large-eps", (5,), 4, eps=2.0**-4, attrs={"beta2": 0.99}),
        case("after-a-thousand", (4, 2), 1000),
        case("first-step", (2, 3), 0, arrays=zeros(*STARTING, shape=(2, 3))),
        case("one-number", (1,), 1, flags=EDGE),
        case("zero-gradient", (2, 3), 2, arrays=zeros("g", shape=(2, 3)), flags=EDGE),
        case("nothing-yet", (4,), 0, arrays=zeros("g", *STARTING, shape=(4,)), flags=EDGE),
        case(
            "gradient-1e-9",
            (5,),
            0,
            arrays={"g": draw("adam/tiny/g", 5) * 2.0**-29, **zeros(*STARTING, shape=(5,))},
            flags=EDGE,
        ),
    ),
    mistakes=(
        Mistake(
            "eps-inside-the-root",
            "you compute sqrt(v + eps); the case wants sqrt(v) + eps",
            other(direction=lambda m, v, c1, c2, eps: (m / c1) / root(v / c2 + eps)),
        ),
        Mistake(
            "eps-before-the-correction",
            "you add eps to the root of the uncorrected v (TensorFlow's epsilon-hat); the case corrects v first",
            other(direction=lambda m, v, c1, c2, eps: (m / c1) / (root(v) + eps) * mpmath.sqrt(c2)),
        ),
        Mistake(
            "eps-missing",
            "you leave out eps; the case adds it to the root",
            other(direction=lambda m, v, c1, c2, eps: (m / c1) / root(v / c2)),
        ),
        Mistake(
            "bias-correction-missing",
            "you use the moments as they are; the case divides them by 1 - beta^t, t counted from 1",
            other(direction=lambda m, v, c1, c2, eps: m / (root(v) + eps)),
        ),
        Mistake(
            "second-correction-missing",
            "you correct the first moment only; the case corrects both",
            other(direction=lambda m, v, c1, c2, eps: (m / c1) / (root(v) + eps)),
        ),
        Mistake(
            "t-one-low",
            "your t is one too low; t is the number of steps before this one, and the correction wants t + 1",
            other(counted_from=0),
        ),
        Mistake(
            "t-one-high",
            "your t is one too high; t is the number of steps before this one, and the correction wants t + 1",
            other(counted_from=2),
        ),
        Mistake(
            "gradient-not-squared",
            "you average |g| in v; the case averages g^2",
            other(square=abs),
        ),
        Mistake(
            "momentum-of-sgd",
            "you compute m = beta1 m + g; the case wants beta1 m + (1 - beta1) g",
            other(share=lambda beta1: 1),
        ),
        Mistake(
            "betas-swapped",
            "you use beta1 for v and beta2 for m; the case has beta1 for the first moment",
            lambda beta1, beta2, **more: adam(beta1=beta2, beta2=beta1, **more),
        ),
        Mistake(
            "moments-of-the-step-before",
            "you step with the moments from before; the case brings them up to date first",
            other(after=False),
        ),
        Mistake(
            "root-missing",
            "you divide by v; the case divides by its root",
            other(direction=lambda m, v, c1, c2, eps: (m / c1) / (v / c2 + eps)),
        ),
        Mistake("ascent", "you add the step; the case subtracts it", other(sign=1)),
    ),
    bad_cases=(),
    generator=GENERATOR,
    axes=dict.fromkeys(("theta", "g", "m", "v", "theta_new", "m_new", "v_new"), "..."),
)


# ---------------------------------------------------------------- clipping


def norm_of(*tensors: Any) -> Any:
    """Euclidean norm of all tensors together."""
    return root(np.array([sum(np.sum(tensor * tensor) for tensor in tensors)]))[0]


def factor(norm: Any, clip: float) -> Any:
    """What brings a norm down to ``clip``, never above one."""
    return clip / norm if norm > clip else 1


def clip_gradients(a: Any, b: Any, *, clip: float) -> dict[str, Any]:
    """a, b of any shape -> a_new, b_new, and the norm before (1,)."""
    return scaled(a, b, norm_of(a, b), clip)


def scaled(a: Any, b: Any, norm: Any, clip: float) -> dict[str, Any]:
    """Both tensors times the factor of this norm."""
    return {"a_new": a * factor(norm, clip), "b_new": b * factor(norm, clip), "norm": np.array([norm])}


def by_value(a: Any, b: Any, *, clip: float) -> dict[str, Any]:
    """Every number by itself."""
    cut = [np.where(x < -clip, -clip, np.where(x > clip, clip, x)) for x in (a, b)]
    return {"a_new": cut[0], "b_new": cut[1], "norm": np.array([norm_of(a, b)])}


def each_tensor(a: Any, b: Any, *, clip: float) -> dict[str, Any]:
    """Every tensor by its own norm."""
    parts = [x * factor(norm_of(x), clip) for x in (a, b)]
    return {"a_new": parts[0], "b_new": parts[1], "norm": np.array([norm_of(a, b)])}


def always(a: Any, b: Any, *, clip: float) -> dict[str, Any]:
    """Also upwards."""
    norm = norm_of(a, b)
    return {"a_new": a * (clip / norm), "b_new": b * (clip / norm), "norm": np.array([norm])}


def norm_with_eps(a: Any, b: Any, *, clip: float) -> dict[str, Any]:
    """torch.nn.utils.clip_grad_norm_."""
    norm = norm_of(a, b)
    share = clip / (norm + 1e-6)
    share = share if share < 1 else 1
    return {"a_new": a * share, "b_new": b * share, "norm": np.array([norm])}


def norm_after(a: Any, b: Any, *, clip: float) -> dict[str, Any]:
    """The norm of what is returned."""
    right = clip_gradients(a, b, clip=clip)
    return {**right, "norm": np.array([norm_of(right["a_new"], right["b_new"])])}


def clip_case(name: str, clip: float, scale: float = 1.0, **more: Any) -> Case:
    """Two tensors of different shapes, and the norm that is allowed."""
    drawn = {part: draw(f"clip_gradients/{name}/{part}", *shape) * scale for part, shape in SHAPES.items()}
    return Case(name, drawn | more.pop("arrays", {}), {"clip": clip}, **more)


SHAPES = {"a": (2, 3), "b": (4,)}
CLIP_GRADIENTS = Book(
    op="clip_gradients",
    inputs=("a", "b"),
    outputs=("a_new", "b_new", "norm"),
    reported=("a_new", "b_new", "norm"),
    differentiable=(),
    equations=("adam.1",),
    formula=clip_gradients,
    cases=(
        clip_case("above", 0.5),
        clip_case("below", 5.0),
        clip_case("far-above", 2.0, 1024.0),
        clip_case("unequal-tensors", 0.75, arrays={"a": draw("clip_gradients/unequal/a", 2, 3) * 0.125}),
        clip_case("one-tensor-zero", 1.0, arrays={"a": np.zeros((2, 3))}, flags=EDGE),
        clip_case("at-the-clip", 5.0, arrays={"a": np.array([[3.0]]), "b": np.array([0.0, -4.0])}, flags=EDGE),
        clip_case("zero-gradient", 1.0, arrays={n: np.zeros(s) for n, s in SHAPES.items()}, flags=EDGE),
        clip_case("amplitude-1e-4", 2.0**-14, 2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "norm-of-each-tensor",
            "you clip each tensor by its own norm; the case takes one norm of all tensors together",
            each_tensor,
        ),
        Mistake("clip-by-value", "you cut every number to [-clip, clip]; the case scales by the norm", by_value),
        Mistake(
            "root-mean-square",
            "you take the root of the mean square; the case wants the root of the sum",
            lambda a, b, *, clip: scaled(a, b, norm_of(a, b) / mpmath.sqrt(a.size + b.size), clip),
        ),
        Mistake(
            "norm-not-rooted",
            "you take the sum of squares; the case wants its root",
            lambda a, b, *, clip: scaled(a, b, norm_of(a, b) ** 2, clip),
        ),
        Mistake(
            "sum-of-norms",
            "you add the norms of the tensors; the case wants the norm of all numbers together",
            lambda a, b, *, clip: scaled(a, b, norm_of(a) + norm_of(b), clip),
        ),
        Mistake(
            "largest-magnitude",
            "you take the largest magnitude; the case wants the Euclidean norm",
            lambda a, b, *, clip: scaled(a, b, max([*abs(a).flat, *abs(b).flat]), clip),
        ),
        Mistake(
            "scaled-up",
            "you scale to the norm clip in any case; the case leaves gradients below it alone",
            always,
        ),
        Mistake(
            "eps-beside-the-norm",
            "you divide by norm + 1e-6 (torch.nn.utils.clip_grad_norm_); the case divides by the norm",
            norm_with_eps,
        ),
        Mistake("norm-afterwards", "you return the norm after clipping; the case wants that before", norm_after),
    ),
    bad_cases=(),
    generator=GENERATOR,
    axes=dict.fromkeys(("a", "b", "a_new", "b_new"), "...") | {"norm": "1"},
)

BOOKS = (ADAM, CLIP_GRADIENTS)
