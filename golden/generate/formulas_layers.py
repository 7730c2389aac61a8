"""Golden cases of the linear layer, layer normalisation and the parametric rectifier, and their usual confusions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from book import BadCase, Book, Case, Mistake, draw
from number import Named
from pieces import gradient_of, stopped

EDGE = ("edge",)
GENERATOR = "golden/generate/formulas_layers.py"
Outputs = dict[str, Any]
Attrs = Mapping[str, Any]


def linear(x: Any, weight: Any, bias: Any) -> Outputs:
    """x (..., I), weight (O, I), bias (O,) -> y (..., O): every input channel spreads over all outputs."""
    y = bias
    for i in range(weight.shape[1]):
        y = y + x[..., i, None] * weight[:, i]
    return {"y": y}


def weight_transposed(x: Any, weight: Any, bias: Any) -> Outputs | None:
    """The weight is read as (I, O)."""
    return linear(x, weight.T, bias) if weight.shape[0] == weight.shape[1] else None


def weight_gradient_transposed(arrays: Named, cotangents: Named, grads: Named, attrs: Attrs) -> Named:
    """x' dy in place of dy' x."""
    weight = grads["weight"]
    return {"weight": weight.T} if weight.shape[0] == weight.shape[1] else {}


def gradients_averaged(arrays: Named, cotangents: Named, grads: Named, attrs: Attrs) -> Named:
    """The mean over rows in place of the sum."""
    rows = math.prod(arrays["x"].shape[:-1])
    return {name: grads[name] / rows for name in ("weight", "bias")}


def linear_case(name: str, x: tuple[int, ...], outputs: int, scale: float = 1.0, **more: Any) -> Case:
    """A case of x of this shape; x times ``scale``."""
    label = f"linear/{name}"
    arrays = {
        "x": draw(f"{label}/x", *x, scale=2.0) * scale,
        "weight": draw(f"{label}/weight", outputs, x[-1]),
        "bias": draw(f"{label}/bias", outputs),
    }
    return Case(name, arrays | more.pop("arrays", {}), **more)


LINEAR = Book(
    op="linear",
    inputs=("x",),
    params=("weight", "bias"),
    outputs=("y",),
    differentiable=("x", "weight", "bias"),
    equations=tuple(f"linear.{i}" for i in range(1, 5)),
    formula=linear,
    cases=(
        linear_case("plain", (5, 3), 4),
        linear_case("square", (2, 5, 3), 3),
        linear_case("several-leading-axes", (2, 3, 2, 4), 3),
        linear_case("one-output", (4, 6), 1),
        linear_case("one-row", (4,), 3, flags=EDGE),
        linear_case("one-input", (3, 1), 5, flags=EDGE),
        linear_case("silence", (3, 4), 2, scale=0.0, flags=EDGE),
        linear_case("constant-input", (4, 2), 3, arrays={"x": np.ones((4, 2))}, flags=EDGE),
        linear_case("amplitude-1e-4", (4, 3), 3, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "weight-transposed",
            "you compute x W with the weight read as (in, out); the case wants x W' with (out, in), as torch.nn.Linear",
            weight_transposed,
        ),
        Mistake(
            "bias-missing",
            "you leave out the bias; the case adds it to every row",
            lambda x, weight, bias: linear(x, weight, bias * 0),
        ),
        Mistake(
            "weight-gradient-transposed",
            "your gradient of the weight is x' dy; the case wants dy' x, of the shape (out, in)",
            gradient=weight_gradient_transposed,
        ),
        Mistake(
            "gradients-averaged",
            "your gradients of weight and bias are means over the rows; the case wants their sums",
            gradient=gradients_averaged,
        ),
    ),
    bad_cases=(
        BadCase("wrong-input-size", "x has 4 channels, the weight wants 3", {"x": draw("linear/bad/x", 5, 4)}),
        BadCase("wrong-bias", "bias has 3 channels, the weight makes 4", {"bias": draw("linear/bad/bias", 3)}),
    ),
    generator=GENERATOR,
    axes={"x": "... I", "weight": "O I", "bias": "O", "y": "... O"},
)


def centred(x: Any, axes: tuple[int, ...] = (-1,)) -> tuple[Any, Any]:
    """x less its mean over the axes, and the mean square of that."""
    count = math.prod(x.shape[axis] for axis in axes)
    away = x - np.sum(x, axis=axes, keepdims=True) / count
    return away, np.sum(away * away, axis=axes, keepdims=True) / count


def layer_norm(x: Any, weight: Any, bias: Any, *, eps: float, axes: tuple[int, ...] = (-1,)) -> Outputs | None:
    """x (..., C), weight and bias (C,) -> y (..., C); None where x lacks one of the axes."""
    if x.ndim < -min(axes):
        return None
    away, spread = centred(x, axes)
    return {"y": away / np.sqrt(spread + eps) * weight + bias}


def sample_variance(x: Any, weight: Any, bias: Any, *, eps: float) -> Outputs:
    """The variance is divided by C - 1. Raises ZeroDivisionError for one channel."""
    away, spread = centred(x)
    channels = x.shape[-1]
    return {"y": away / np.sqrt(spread * channels / (channels - 1) + eps) * weight + bias}


def eps_outside_root(x: Any, weight: Any, bias: Any, *, eps: float) -> Outputs:
    """eps is added to the deviation. Raises ZeroDivisionError where the variance is zero."""
    away, spread = centred(x)
    return {"y": away / (np.sqrt(spread) + eps) * weight + bias}


def variance_for_deviation(x: Any, weight: Any, bias: Any, *, eps: float) -> Outputs:
    """The root is forgotten."""
    away, spread = centred(x)
    return {"y": away / (spread + eps) * weight + bias}


def mean_kept(x: Any, weight: Any, bias: Any, *, eps: float) -> Outputs:
    """The mean is not removed, neither from x nor in the variance."""
    return {"y": x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) / x.shape[-1] + eps) * weight + bias}


def statistics_held(x: Any, weight: Any, bias: Any, *, eps: float) -> Outputs:
    """Mean and variance pass no gradient."""
    away, spread = centred(x)
    return {"y": (x - stopped(x - away)) / np.sqrt(stopped(spread) + eps) * weight + bias}


def variance_held(x: Any, weight: Any, bias: Any, *, eps: float) -> Outputs:
    """The variance passes no gradient."""
    away, spread = centred(x)
    return {"y": away / np.sqrt(stopped(spread) + eps) * weight + bias}


def norm_case(
    name: str, shape: tuple[int, ...], eps: float, scale: float = 1.0, offset: float = 0.5, **more: Any
) -> Case:
    """A case of x of this shape, its values around ``offset``, all times ``scale``."""
    label = f"layer_norm/{name}"
    arrays = {
        "x": (draw(f"{label}/x", *shape, scale=2.0) + offset) * scale,
        "weight": draw(f"{label}/weight", shape[-1], mean=0.5),
        "bias": draw(f"{label}/bias", shape[-1]),
    }
    return Case(name, arrays | more.pop("arrays", {}), {"eps": eps}, **more)


LAYER_NORM = Book(
    op="layer_norm",
    inputs=("x",),
    params=("weight", "bias"),
    outputs=("y",),
    differentiable=("x", "weight", "bias"),
    equations=tuple(f"layer_norm.{i}" for i in range(1, 8)),
    formula=layer_norm,
    cases=(
        norm_case("plain", (2, 3, 4), 1e-5),
        norm_case("several-leading-axes", (2, 1, 4, 3), 1e-3),
        norm_case("eps-large", (4, 3), 0.125),
        norm_case("one-row", (6,), 1e-5, flags=EDGE),
        norm_case("variance-near-eps", (2, 2, 3), 1e-5, scale=2.0**-9, flags=EDGE),
        norm_case("amplitude-1e-4", (3, 4), 1e-8, scale=2.0**-13, flags=EDGE),
        norm_case("large-offset", (3, 5), 1e-5, offset=96.0, flags=EDGE),
        norm_case("constant-row", (3, 4), 1e-5, arrays={"x": np.full((3, 4), 0.75)}, flags=EDGE),
        norm_case("silence", (2, 3), 1e-5, scale=0.0, flags=EDGE),
        norm_case("one-channel", (3, 1), 0.25, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "sample-variance",
            "you divide the sum of squares by C - 1; the case wants the variance of the population, divided by C",
            sample_variance,
        ),
        Mistake(
            "eps-outside-root",
            "you divide by sqrt(var) + eps; the case wants sqrt(var + eps)",
            eps_outside_root,
        ),
        Mistake(
            "eps-missing",
            "you divide by sqrt(var); the case wants sqrt(var + eps)",
            lambda eps, **a: layer_norm(**a, eps=0),
        ),
        Mistake(
            "variance-for-deviation",
            "you divide by var + eps; the case wants its square root",
            variance_for_deviation,
        ),
        Mistake(
            "mean-kept",
            "you divide by the root mean square and keep the mean (RMSNorm); the case removes the mean first",
            mean_kept,
        ),
        Mistake(
            "over-time",
            "you take mean and variance over the axis before the last; the case takes them over the last, the channels "
            "of one frame",
            lambda **a: layer_norm(**a, axes=(-2,)),
        ),
        Mistake(
            "over-time-and-channels",
            "you take one mean and variance for all frames and channels (global layer normalisation); the case takes "
            "them for every frame",
            lambda **a: layer_norm(**a, axes=(-2, -1)),
        ),
        Mistake(
            "weight-missing",
            "you do not scale by the weight; the case wants weight*xhat + bias",
            lambda x, weight, bias, eps: layer_norm(x, weight * 0 + 1, bias, eps=eps),
        ),
        Mistake(
            "bias-missing",
            "you leave out the bias; the case wants weight*xhat + bias",
            lambda x, weight, bias, eps: layer_norm(x, weight, bias * 0, eps=eps),
        ),
        Mistake(
            "statistics-held-constant",
            "your gradient of x is weight*dy/sqrt(var + eps), as if mean and variance were constants; the case pulls "
            "it back through both",
            gradient=gradient_of(statistics_held, "x"),
        ),
        Mistake(
            "variance-held-constant",
            "your gradient of x passes through the mean but not through the variance; the case pulls it back through "
            "both",
            gradient=gradient_of(variance_held, "x"),
        ),
    ),
    bad_cases=(
        BadCase("wrong-weight", "weight has 3 channels, x has 4", {"weight": draw("layer_norm/bad/weight", 3)}),
        BadCase("wrong-bias", "bias has 5 channels, x has 4", {"bias": draw("layer_norm/bad/bias", 5)}),
    ),
    generator=GENERATOR,
    axes={"x": "... C", "weight": "C", "bias": "C", "y": "... C"},
)


def prelu(x: Any, weight: Any) -> Outputs:
    """x (B, C, N), weight (C,) or (1,) -> y (B, C, N): the positive part, and the slope times what is left."""
    positive = np.where(x > 0, x, 0)
    return {"y": positive + weight[:, None] * (x - positive)}


def largest(x: Any, weight: Any) -> Outputs:
    """max(x, a x)."""
    line = weight[:, None] * x
    return {"y": np.where(x >= line, x, line)}


def sides_exchanged(x: Any, weight: Any) -> Outputs:
    """The slope counts above zero."""
    negative = np.where(x < 0, x, 0)
    return {"y": negative + weight[:, None] * (x - negative)}


def slope_along_time(x: Any, weight: Any) -> Outputs | None:
    """One slope a sample, where there are as many samples as channels."""
    if weight.size == 1 or x.shape[2] != weight.size:
        return None
    positive = np.where(x > 0, x, 0)
    return {"y": positive + weight * (x - positive)}


def shared_gradient_averaged(arrays: Named, cotangents: Named, grads: Named, attrs: Attrs) -> Named:
    """The mean over channels in place of the sum."""
    return {"weight": grads["weight"] / arrays["x"].shape[1]} if grads["weight"].size == 1 else {}


def slope_one_at_zero(arrays: Named, cotangents: Named, grads: Named, attrs: Attrs) -> Named:
    """x = 0 is counted with the positive numbers."""
    return {"x": np.where(arrays["x"] == 0, cotangents["y"], grads["x"])}


def prelu_case(name: str, x: tuple[int, int, int], slopes: int, scale: float = 1.0, **more: Any) -> Case:
    """A case of x of this shape; x times ``scale``, slopes between 0 and 3/4."""
    arrays = {
        "x": draw(f"prelu/{name}/x", *x, scale=2.0) * scale,
        "weight": draw(f"prelu/{name}/weight", slopes, scale=0.375, mean=0.375),
    }
    return Case(name, arrays | more.pop("arrays", {}), **more)


def with_zeros(*shape: int) -> np.ndarray:
    """Numbers of which every third is exactly zero."""
    x = draw("prelu/exact-zeros/x", *shape, scale=2.0)
    x.ravel()[::3] = 0.0
    return x


PRELU = Book(
    op="prelu",
    inputs=("x",),
    params=("weight",),
    outputs=("y",),
    differentiable=("x", "weight"),
    equations=tuple(f"prelu.{i}" for i in range(1, 4)),
    formula=prelu,
    cases=(
        prelu_case("plain", (2, 3, 5), 3),
        prelu_case("as-many-samples", (2, 4, 4), 4),
        prelu_case("shared-slope", (2, 3, 4), 1),
        prelu_case("negative-slope", (1, 3, 6), 3, arrays={"weight": draw("prelu/negative", 3, scale=0.5, mean=-0.75)}),
        prelu_case("slope-above-one", (3, 2, 4), 2, arrays={"weight": np.array([1.625, 0.3125])}),
        prelu_case("exact-zeros", (1, 2, 6), 2, arrays={"x": with_zeros(1, 2, 6)}, flags=EDGE, kinks=("x",)),
        prelu_case("one-sample", (2, 3, 1), 1, flags=EDGE),
        prelu_case("silence", (1, 3, 4), 3, scale=0.0, flags=EDGE, kinks=("x",)),
        prelu_case("constant-input", (1, 3, 5), 3, arrays={"x": -np.ones((1, 3, 5))}, flags=EDGE),
        prelu_case("amplitude-1e-4", (1, 3, 5), 3, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "max-form",
            "you compute max(x, a*x), which is another function where a > 1; the case wants x for x > 0, a*x elsewhere",
            largest,
        ),
        Mistake(
            "first-slope-for-all",
            "you use the first slope for every channel; the case has one slope a channel",
            lambda x, weight: prelu(x, weight[:1]),
        ),
        Mistake(
            "slope-along-time",
            "you let the slopes run along the last axis, as NumPy broadcasts them; the case wants a[:, None], one "
            "slope a channel",
            slope_along_time,
        ),
        Mistake(
            "sides-exchanged",
            "you multiply the positive side by the slope; the case multiplies the other",
            sides_exchanged,
        ),
        Mistake(
            "absolute-slope",
            "you take the slope's magnitude; the case uses it as it is, negative ones too",
            lambda x, weight: prelu(x, abs(weight)),
        ),
        Mistake(
            "slope-ignored",
            "you set negative numbers to zero (ReLU); the case multiplies them by the slope",
            lambda x, weight: prelu(x, weight * 0),
        ),
        Mistake(
            "shared-gradient-averaged",
            "your gradient of the shared slope is a mean over the channels; the case wants the sum",
            gradient=shared_gradient_averaged,
        ),
        Mistake(
            "slope-one-at-zero",
            "at x = 0 your gradient of x is dy; the case wants a*dy there, as in PyTorch",
            gradient=slope_one_at_zero,
        ),
    ),
    bad_cases=(
        BadCase("wrong-slopes", "there are 4 slopes, x has 3 channels", {"weight": draw("prelu/bad/weight", 4)}),
    ),
    generator=GENERATOR,
    axes={"x": "B C N", "weight": "C or 1", "y": "B C N"},
)

BOOKS = (LINEAR, LAYER_NORM, PRELU)
