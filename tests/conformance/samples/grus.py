"""GRUs in NumPy as others write them, right and wrong, and callables that misbehave: to be judged by tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from refbss.ops.gru import gru_backward, gru_forward

ANSWER = 42


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def make(order: str = "rzn", *, reset_before: bool = False, other_way: bool = False) -> Callable[..., Any]:
    """A GRU that reads its rows in this order, resets before the product, or mixes the other way round."""

    def gru(x: Any, h0: Any, weight_ih_l0: Any, weight_hh_l0: Any, bias_ih_l0: Any, bias_hh_l0: Any) -> Any:
        def rows(stacked: Any) -> list[Any]:
            blocks = dict(zip(order, np.split(stacked, 3), strict=True))
            return [blocks[gate] for gate in "rzn"]

        w, u, b, c = (rows(array) for array in (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0))
        h, states = h0, []
        for t in range(x.shape[1]):
            i = [x[:, t] @ w[gate].T + b[gate] for gate in range(3)]
            r = sigmoid(i[0] + h @ u[0].T + c[0])
            z = sigmoid(i[1] + h @ u[1].T + c[1])
            n = np.tanh(i[2] + ((r * h) @ u[2].T + c[2] if reset_before else r * (h @ u[2].T + c[2])))
            h = z * n + (1 - z) * h if other_way else (1 - z) * n + z * h
            states.append(h)
        return np.stack(states, axis=1), h

    return gru


right = make()
keras = make("zrn")
reset_before = make(reset_before=True)
other_way = make(other_way=True)


def pull(
    cotangents: Any, x: Any, h0: Any, weight_ih_l0: Any, weight_hh_l0: Any, bias_ih_l0: Any, bias_hh_l0: Any
) -> Any:
    """The gradients, in the order of the arguments."""
    _, _, cache = gru_forward(x, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, h0)
    grads = gru_backward(*cotangents, cache)
    return grads.dx, grads.dh0, grads.dw_ih, grads.dw_hh, grads.db_ih, grads.db_hh


def pull_named(cotangents: Any, **given: Any) -> Any:
    """The same by name."""
    return dict(zip(given, pull(cotangents, **given), strict=True))


def pull_mean(cotangents: Any, **given: Any) -> Any:
    """Averaged over the batch in place of summed."""
    return {name: grad / len(given["x"]) for name, grad in pull_named(cotangents, **given).items()}


def pull_one_bias(cotangents: Any, **given: Any) -> Any:
    """One bias's gradient for both."""
    grads = pull_named(cotangents, **given)
    return grads | {"bias_hh_l0": grads["bias_ih_l0"]}


def pull_without_state(cotangents: Any, **given: Any) -> Any:
    """Nothing for h0."""
    return pull_named(cotangents, **given) | {"h0": None}


def pull_five(cotangents: Any, **given: Any) -> Any:
    """One gradient short."""
    return pull(cotangents, **given)[:5]


def pull_raises(cotangents: Any, **given: Any) -> Any:
    """Not written yet."""
    raise NotImplementedError("no backward pass")


def only_y(**given: Any) -> Any:
    return right(**given)[0]


def both_by_name(**given: Any) -> Any:
    y, h_n = right(**given)
    return {"h_n": h_n, "y": y, "gates": 0}


def three(**given: Any) -> Any:
    return (*right(**given), None)


def nothing(**given: Any) -> None:
    return None


def words(**given: Any) -> str:
    return "y"


def float64(**given: Any) -> Any:
    return tuple(array.astype(np.float64) for array in right(**given))


def in_float32(**given: Any) -> Any:
    found = right(**{name: array.astype(np.float32) for name, array in given.items()})
    return tuple(array.astype(given["x"].dtype) for array in found)


def time_first(**given: Any) -> Any:
    y, h_n = right(**given)
    return y.swapaxes(0, 1), h_n


def nan(**given: Any) -> Any:
    y, h_n = right(**given)
    y[0, 0, 0] = np.nan
    return y, h_n


def without_h0(x: Any, weight_ih_l0: Any, weight_hh_l0: Any, bias_ih_l0: Any, bias_hh_l0: Any) -> Any:
    h0 = np.zeros((len(x), weight_hh_l0.shape[1]), x.dtype)
    return right(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0)


def wants_more(x: Any, hidden_size: int, **rest: Any) -> Any:
    return x, hidden_size


def accepts_everything(x: Any, h0: Any, **rest: Any) -> Any:
    """Returns something of the right shape whatever it is given."""
    y = np.zeros((*x.shape[:2], h0.shape[1]), x.dtype)
    return y, h0


def spoils_its_arguments(x: Any, **given: Any) -> Any:
    found = right(x, **given)
    x *= 0
    return found


def exits(**given: Any) -> Any:
    print("leaving")
    sys.exit(3)


def raises(**given: Any) -> Any:
    raise ValueError("first line\nsecond \x1b[31mline\x1b[0m")


def interrupted(**given: Any) -> Any:
    raise KeyboardInterrupt


class Layer:
    """Takes the weights when it is built, and has its gradients with it."""

    def __init__(self, weight_ih_l0: Any, weight_hh_l0: Any, bias_ih_l0: Any, bias_hh_l0: Any) -> None:
        self.weights = (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0)

    def __call__(self, x: Any, h0: Any) -> Any:
        return right(x, h0, *self.weights)

    def vjp(self, cotangents: Any, x: Any, h0: Any) -> Any:
        return pull(cotangents, x, h0, *self.weights)


class Plain:
    """Is built without arguments."""

    def __call__(self, **given: Any) -> Any:
        return right(**given)


ready = Plain()


def conv1d(x: Any, weight: Any, bias: Any, stride: int) -> Any:
    """A convolution that cannot pad."""
    taps, frames = weight.shape[2], (x.shape[2] - weight.shape[2]) // stride + 1
    windows = np.stack([x[:, :, t * stride : t * stride + taps] for t in range(frames)], axis=1)
    return np.einsum("btck,ock->bot", windows, weight) + bias[:, None]


def conv1d_padded(x: Any, weight: Any, bias: Any, stride: int, pad_left: int) -> Any:
    """A convolution that can."""
    return conv1d(np.pad(x, ((0, 0), (0, 0), (pad_left, 0))), weight, bias, stride)


def conv1d_bare(x: Any, weight: Any, bias: Any) -> Any:
    """A convolution without any attribute."""
    return conv1d(x, weight, bias, 1)
