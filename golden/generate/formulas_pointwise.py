"""Golden cases of the activations and of the reparameterised sample, and the functions that are taken for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
from book import BadCase, Book, Case, Mistake, draw
from number import EXACT_BITS, Named, numbers, pull
from pieces import Gradient, gradient_of, sigmoid, stopped

EDGE = ("edge",)
GENERATOR = "golden/generate/formulas_pointwise.py"
Attrs = Mapping[str, Any]
Activation = Callable[[Any], Any]

FAR = np.array([-40.0, -0.25, 40.0, 0.5, -12.0, 12.0])
OVERFLOW = np.array([[-1000.0, 128.0, 0.75], [1000.0, -128.0, -1.5]])
"""exp(128) is more than float32 holds, exp(1000) more than float64."""


def pointwise(activation: Activation) -> Callable[..., dict[str, Any]]:
    """The formula of an activation of x, of any shape."""
    return lambda x: {"y": activation(x)}


def cut(x: Any, least: float, most: float) -> Any:
    """x between two bounds."""
    return np.where(x < least, least, np.where(x > most, most, x))


def derivative_at_output(activation: Activation) -> Gradient:
    """The mistake of taking the derivative at y in place of x."""

    def wrong(arrays: Named, cotangents: Named, grads: Named, attrs: Attrs) -> Named:
        with mpmath.workprec(EXACT_BITS):
            y = stopped(activation(numbers(arrays["x"])))
            return pull([(activation(y), cotangents["y"])], {"x": y})

    return wrong


def activation_book(op: str, activation: Activation, mistakes: tuple[Mistake, ...]) -> Book:
    """The cases of one activation: the same questions for all. No call is wrong for every implementation."""

    def case(name: str, x: np.ndarray, **more: Any) -> Case:
        return Case(name, {"x": x}, **more)

    return Book(
        op=op,
        inputs=("x",),
        outputs=("y",),
        differentiable=("x",),
        equations=(f"{op}.1", f"{op}.2"),
        formula=pointwise(activation),
        cases=(
            case("plain", draw(f"{op}/plain", 4, 5, scale=2.0)),
            case("one-axis", draw(f"{op}/one-axis", 7, scale=2.0)),
            case("four-axes", draw(f"{op}/four-axes", 2, 1, 4, 3, scale=2.0)),
            case("wide", draw(f"{op}/wide", 3, 6, scale=2.0) * 4.0),
            case("one-number", draw(f"{op}/one-number", 1), flags=EDGE),
            case("zeros", np.zeros((2, 3)), flags=EDGE),
            case("constant-input", np.full((2, 1, 3), 0.75), flags=EDGE),
            case("amplitude-1e-4", draw(f"{op}/amplitude", 3, 4, scale=2.0) * 2.0**-13, flags=EDGE),
            case("far", FAR, flags=EDGE),
            case("overflow", OVERFLOW, flags=EDGE),
        ),
        mistakes=mistakes,
        bad_cases=(),
        generator=GENERATOR,
        axes={"x": "...", "y": "..."},
    )


SIGMOID = activation_book(
    "sigmoid",
    sigmoid,
    (
        Mistake(
            "sign-flipped",
            "you compute 1/(1 + exp(x)); the case wants 1/(1 + exp(-x))",
            pointwise(lambda x: sigmoid(-x)),
        ),
        Mistake(
            "hard-sigmoid-fifth",
            "you compute 0.2 x + 0.5 cut to [0, 1] (early Keras); the case wants 1/(1 + exp(-x))",
            pointwise(lambda x: cut(x / 5 + 0.5, 0, 1)),
        ),
        Mistake(
            "hard-sigmoid-sixth",
            "you compute x/6 + 0.5 cut to [0, 1] (torch.nn.Hardsigmoid); the case wants 1/(1 + exp(-x))",
            pointwise(lambda x: cut(x / 6 + 0.5, 0, 1)),
        ),
        Mistake(
            "tanh-of-x",
            "you compute (1 + tanh x)/2, which is the sigmoid of 2 x; the case wants (1 + tanh(x/2))/2",
            pointwise(lambda x: (1 + np.tanh(x)) / 2),
        ),
        Mistake(
            "tanh-in-its-place",
            "you compute tanh x; the case wants the logistic function, between 0 and 1",
            pointwise(np.tanh),
        ),
        Mistake(
            "softsign",
            "you compute (1 + x/(1 + |x|))/2, a fast stand-in; the case wants 1/(1 + exp(-x))",
            pointwise(lambda x: (1 + x / (1 + abs(x))) / 2),
        ),
        Mistake(
            "derivative-of-the-input",
            "your derivative is x(1 - x); the case wants y(1 - y), y the output",
            gradient=lambda arrays, cotangents, *_: {"x": cotangents["y"] * arrays["x"] * (1.0 - arrays["x"])},
        ),
        Mistake(
            "derivative-at-the-output",
            "you take the derivative at y, so the sigmoid acts twice; the case wants y(1 - y) dy",
            gradient=derivative_at_output(sigmoid),
        ),
    ),
)

TANH = activation_book(
    "tanh",
    np.tanh,
    (
        Mistake(
            "sigmoid-in-its-place",
            "you compute the logistic function; the case wants tanh x, between -1 and 1",
            pointwise(sigmoid),
        ),
        Mistake(
            "argument-halved",
            "you compute 2/(1 + exp(-x)) - 1, which is tanh(x/2); the case wants 2/(1 + exp(-2x)) - 1",
            pointwise(lambda x: np.tanh(x / 2)),
        ),
        Mistake(
            "lecun-tanh",
            "you compute 1.7159 tanh(2x/3), LeCun's; the case wants tanh x",
            pointwise(lambda x: 1.7159 * np.tanh(2 * x / 3)),
        ),
        Mistake(
            "hard-tanh",
            "you cut x to [-1, 1]; the case wants tanh x",
            pointwise(lambda x: cut(x, -1, 1)),
        ),
        Mistake(
            "softsign",
            "you compute x/(1 + |x|); the case wants tanh x",
            pointwise(lambda x: x / (1 + abs(x))),
        ),
        Mistake(
            "derivative-of-the-input",
            "your derivative is 1 - x^2; the case wants 1 - y^2, y the output",
            gradient=lambda arrays, cotangents, *_: {"x": cotangents["y"] * (1.0 - arrays["x"] * arrays["x"])},
        ),
        Mistake(
            "derivative-at-the-output",
            "you take the derivative at y, so tanh acts twice; the case wants (1 - y^2) dy",
            gradient=derivative_at_output(np.tanh),
        ),
    ),
)


def softplus(x: Any) -> Any:
    """log(1 + exp x)."""
    return np.log(1 + np.exp(x))


SOFTPLUS = activation_book(
    "softplus",
    softplus,
    (
        Mistake(
            "relu",
            "you compute max(x, 0); the case wants log(1 + exp x), which is log 2 at 0",
            pointwise(lambda x: np.where(x > 0, x, 0)),
        ),
        Mistake(
            "base-two-logarithm",
            "you take the logarithm to the base 2; the case wants the natural one",
            pointwise(lambda x: softplus(x) / mpmath.log(2)),
        ),
        Mistake(
            "zero-at-zero",
            "you subtract log 2 (shifted softplus); the case wants log(1 + exp x)",
            pointwise(lambda x: softplus(x) - mpmath.log(2)),
        ),
        Mistake(
            "sign-flipped",
            "you compute log(1 + exp(-x)); the case wants log(1 + exp x)",
            pointwise(lambda x: softplus(-x)),
        ),
        Mistake(
            "elu-plus-one",
            "you compute x + 1 for x > 0 and exp x elsewhere; the case wants log(1 + exp x)",
            pointwise(lambda x: np.where(x > 0, x + 1, np.exp(x))),
        ),
        Mistake(
            "derivative-at-the-output",
            "you take the sigmoid of y for the derivative; the case wants the sigmoid of x",
            gradient=derivative_at_output(softplus),
        ),
    ),
)


def reparameterise(mu: Any, log_var: Any, eps: Any) -> dict[str, Any]:
    """mu, log_var and eps of one shape -> z: the mean and the noise times the root of the variance."""
    return {"z": mu + np.sqrt(np.exp(log_var)) * eps}


def gradient_without_half(arrays: Named, cotangents: Named, grads: Named, attrs: Attrs) -> Named:
    """The inner derivative of log_var/2 is left out."""
    return {"log_var": 2.0 * grads["log_var"]}


def reparameterise_case(name: str, shape: tuple[int, ...], scale: float = 1.0, **more: Any) -> Case:
    """A case of these sizes; mu times ``scale``."""
    label = f"reparameterise/{name}"
    arrays = {
        "mu": draw(f"{label}/mu", *shape) * scale,
        "log_var": draw(f"{label}/log_var", *shape, scale=2.0),
        "eps": draw(f"{label}/eps", *shape, scale=2.0),
    }
    return Case(name, arrays | more.pop("arrays", {}), **more)


REPARAMETERISE = Book(
    op="reparameterise",
    inputs=("mu", "log_var", "eps"),
    outputs=("z",),
    differentiable=("mu", "log_var"),
    equations=tuple(f"reparameterise.{i}" for i in range(1, 4)),
    formula=reparameterise,
    cases=(
        reparameterise_case("plain", (3, 4)),
        reparameterise_case("one-axis", (7,)),
        reparameterise_case("four-axes", (2, 1, 3, 4)),
        reparameterise_case("one-number", (1, 1), flags=EDGE),
        reparameterise_case("no-noise", (2, 3), arrays={"eps": np.zeros((2, 3))}, flags=EDGE),
        reparameterise_case("unit-variance", (3, 2), arrays={"log_var": np.zeros((3, 2))}, flags=EDGE),
        reparameterise_case("silence", (2, 5), scale=0.0, flags=EDGE),
        reparameterise_case(
            "wide-log-variance",
            (2, 4),
            arrays={"log_var": draw("reparameterise/wide", 2, 4, scale=2.0) * 4.0},
            flags=EDGE,
        ),
        reparameterise_case("amplitude-1e-4", (3, 3), 2.0**-13, arrays={"log_var": np.full((3, 3), -18.0)}, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "variance-for-deviation",
            "you multiply the noise by exp(log_var), the variance; the case wants exp(log_var/2), the deviation",
            lambda mu, log_var, eps: {"z": mu + np.exp(log_var) * eps},
        ),
        Mistake(
            "logarithm-kept",
            "you multiply the noise by log_var itself; the case wants exp(log_var/2)",
            lambda mu, log_var, eps: {"z": mu + log_var * eps},
        ),
        Mistake(
            "precision-for-variance",
            "you multiply the noise by exp(-log_var/2), the root of the precision; the case wants exp(log_var/2)",
            lambda mu, log_var, eps: {"z": mu + np.exp(-log_var / 2) * eps},
        ),
        Mistake(
            "softplus-deviation",
            "you multiply the noise by log(1 + exp(log_var)); the case wants exp(log_var/2)",
            lambda mu, log_var, eps: {"z": mu + softplus(log_var) * eps},
        ),
        Mistake(
            "noise-not-scaled",
            "you add the noise as it is; the case multiplies it by exp(log_var/2)",
            lambda mu, log_var, eps: {"z": mu + eps},
        ),
        Mistake(
            "noise-left-out",
            "you return the mean, as in evaluation; the case wants mu + exp(log_var/2) eps",
            lambda mu, log_var, eps: {"z": mu},
        ),
        Mistake(
            "gradient-without-half",
            "your gradient of log_var lacks the factor 1/2; the case wants dz*eps*exp(log_var/2)/2",
            gradient=gradient_without_half,
        ),
        Mistake(
            "gradient-without-noise",
            "your gradient of log_var lacks the noise; the case wants dz*eps*exp(log_var/2)/2",
            gradient=gradient_of(lambda mu, log_var, eps: reparameterise(mu, log_var, eps * 0 + 1), "log_var"),
        ),
    ),
    bad_cases=(
        BadCase("other-log-var", "log_var is (3, 5), mu is (3, 4)", {"log_var": draw("reparameterise/bad/l", 3, 5)}),
        BadCase("other-eps", "eps is (2, 4), mu is (3, 4)", {"eps": draw("reparameterise/bad/eps", 2, 4)}),
    ),
    generator=GENERATOR,
    axes={"mu": "...", "log_var": "...", "eps": "...", "z": "..."},
)

BOOKS = (SIGMOID, TANH, SOFTPLUS, REPARAMETERISE)
