"""Modules and functions of PyTorch as others write them, right and wrong: to be judged by tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def gru(x: Tensor, h0: Tensor, **weights: Tensor) -> tuple[Tensor, Tensor]:
    """A function of tensors."""
    layer = nn.GRU(x.shape[-1], h0.shape[-1], batch_first=True, dtype=x.dtype)
    y, h_n = torch.func.functional_call(layer, weights, (x, h0[None]))
    return y, h_n[0]


def detached(x: Tensor, h0: Tensor, **weights: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts the state out of the graph."""
    return gru(x, h0.detach(), **weights)


def without_graph(x: Tensor, h0: Tensor, **weights: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing can be differentiated."""
    with torch.no_grad():
        return gru(x, h0, **weights)


def in_bfloat16(**given: Tensor) -> tuple[Tensor, ...]:
    return tuple(value.bfloat16() for value in gru(**given))


class Cell(nn.Module):
    """A GRU of one's own: the state goes in as it is, the weights lie in one of PyTorch's."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = nn.GRU(input_size, hidden_size, batch_first=True)

    def forward(self, x: Tensor, h0: Tensor) -> dict[str, Tensor]:
        y, h_n = self.cell(x, h0[None])
        return {"y": y, "h_n": h_n[0]}


class Flat(nn.Module):
    """The same with the names of the case, as a subclass would have them."""

    def __init__(self, input_size: int, hidden_size: int, **more: Any) -> None:
        super().__init__()
        self.inner = nn.GRU(input_size, hidden_size, **more)
        self.weight = nn.ModuleDict()
        for name, parameter in list(self.inner.named_parameters()):
            self.register_parameter(name, parameter)

    def named_parameters(self, *arguments: Any, **keywords: Any) -> Any:
        return ((n, p) for n, p in super().named_parameters(*arguments, **keywords) if "inner" not in n)

    def forward(self, *given: Tensor) -> Any:
        return self.inner(*given)


def factory(input_size: int, hidden_size: int) -> nn.Module:
    return nn.GRU(input_size, hidden_size, batch_first=True)


def time_first(input_size: int, hidden_size: int) -> nn.Module:
    return nn.GRU(input_size, hidden_size)


def wants_layers(num_layers: int) -> nn.Module:
    return nn.GRU(3, 2, num_layers)


def no_module(input_size: int) -> int:
    return input_size


def fails(input_size: int) -> nn.Module:
    raise RuntimeError("out of licences")


one_size = nn.GRU(3, 2, batch_first=True)
two_layers = nn.GRU(3, 2, num_layers=2, batch_first=True)
stride_two = nn.Conv1d(2, 4, 5, stride=2)


class OneInput(nn.Module):
    """A GRU that always starts from zeros."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(input_size, hidden_size, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


class Causal(nn.Conv1d):
    """Pads by itself, by as much as it is told."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, pad_left: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride)
        self.pad_left = pad_left

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.pad_left, 0)))


class Sharp(nn.Module):
    """A loss without parameters: the names of its inputs are those of the case."""

    def __init__(self, temp: float) -> None:
        super().__init__()
        self.temp = temp

    def forward(self, cost: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        assignment = torch.softmax(score / self.temp, dim=1)
        return (assignment * cost).sum((1, 2)) / cost.shape[2], assignment


def backwards_weight(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer whose bias gets a gradient of twice the size."""
    return x @ weight.T + bias + (bias - bias.detach())
