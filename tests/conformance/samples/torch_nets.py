"""A small separator in PyTorch, with the names and layers of somebody who does not know refbss: to be judged whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Causal(nn.Conv1d):
    """A convolution that is padded on the left by what it overlaps."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.kernel_size[0] - self.stride[0], 0)))


class Net(nn.Module):
    """LVBD without memory: front (conv, slopes), one recurrent section, masks, linear layer, synthesis."""

    def __init__(self, config: dict[str, Any], *, fault: str = "") -> None:
        super().__init__()
        self.config, self.fault = config, fault
        channels, kernels, strides = config["conv_channels"], config["conv_kernels"], config["conv_strides"]
        sizes = list(zip([1, *channels], channels, kernels, strides, strict=False))
        self.front = nn.ModuleList(nn.Sequential(Causal(i, o, k, s), nn.PReLU(o)) for i, o, k, s in sizes)
        width, hidden, latent = channels[-1], config["gru_hidden"], config["latent"]
        self.norm_in = nn.LayerNorm(width, eps=config["norm_eps"])
        self.rnn = nn.GRU(width, hidden, batch_first=True)
        self.norm_out = nn.LayerNorm(hidden, eps=config["norm_eps"])
        self.mask = nn.Parameter(torch.zeros(config["sources"], hidden, hidden))
        self.mask_bias = nn.Parameter(torch.zeros(config["sources"], hidden))
        self.kernel = nn.Parameter(torch.zeros(hidden, 2 * latent))  # stored as (in, out)
        self.bias = nn.Parameter(torch.zeros(2 * latent))
        mirror = list(
            zip([latent, *channels[-2::-1]], [*channels[-2::-1], 1], kernels[::-1], strides[::-1], strict=True)
        )
        self.back = nn.ModuleList(nn.ConvTranspose1d(i, o, k, s) for i, o, k, s in mirror)
        self.slopes = nn.PReLU(mirror[0][1])

    def forward(self, mix: Tensor, eps: Tensor) -> Tensor | dict[str, Tensor]:
        h = mix[:, None]
        for layer in self.front:
            h = layer(h)
        g = self.norm_in(h.transpose(1, 2))
        y = self.norm_out(self.rnn(g)[0])
        x = y if self.fault == "no-residual" else y + g
        w = torch.sigmoid(torch.einsum("pmh,bth->bptm", self.mask, x) + self.mask_bias[:, None])
        mu, low = ((w * x[:, None]) @ self.kernel + self.bias).chunk(2, dim=-1)
        bottom, top = self.config["log_var_min"], self.config["log_var_max"]
        log_var = bottom + (top - bottom) * torch.sigmoid(low)
        z = mu + torch.exp(log_var / 2) * eps
        s = z.flatten(0, 1).transpose(1, 2)
        for i, layer in enumerate(self.back):
            overlap = layer.kernel_size[0] - layer.stride[0]
            s = layer(s)
            s = s[..., overlap:] if self.fault == "trimmed-left" else s[..., : s.shape[-1] - overlap]
            if i == 0:
                s = self.slopes(s)
        est = s[:, 0].unflatten(0, z.shape[:2])
        if self.fault == "est-only":
            return est
        return {"g1": x, "w": w, "mu": mu, "log_var": log_var, "z": z, "est": est}


def build(config: dict[str, Any]) -> Net:
    """As it should be."""
    return Net(config)


def est_only(config: dict[str, Any]) -> Net:
    """Returns the estimates alone."""
    return Net(config, fault="est-only")


def no_residual(config: dict[str, Any]) -> Net:
    """Forgets to add the section's input to its output."""
    return Net(config, fault="no-residual")


def trimmed_left(config: dict[str, Any]) -> Net:
    """Cuts the first samples of the synthesis in place of the last."""
    return Net(config, fault="trimmed-left")
