"""The LVBD training loss in PyTorch float64, an oracle that shares no line with refbss.

Written from the equations: the forward pass here, the loss terms in torch_losses.py, gradients by autograd. The GRU is
a plain loop over time. Parameter names and layouts are those of the model. `config` and `loss_config` are the fields of
LvbdConfig and LvbdLossConfig as dicts.

Letters: B batch, N samples, T frames, P sources, M channels of the virtual array, D latent size, K time constants,
H hidden units. Run as a script to check the oracle itself.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import torch_losses as terms_of  # beside this file, however this file was loaded

Named = dict[str, Tensor]


# ---------------------------------------------------------------- model


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x); F.softplus switches to x above 20 and is 2e-9 off there."""
    return torch.logaddexp(x, torch.zeros_like(x))


def gru(x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    """x (B,T,I) -> y (B,T,H), zero first state; rows of the weights are [r; z; n]."""
    h = x.new_zeros(x.shape[0], w_hh.shape[1])
    states = []
    for t in range(x.shape[1]):
        i_r, i_z, i_n = (x[:, t] @ w_ih.T + b_ih).chunk(3, dim=1)
        h_r, h_z, h_n = (h @ w_hh.T + b_hh).chunk(3, dim=1)
        r = torch.sigmoid(i_r + h_r)
        z = torch.sigmoid(i_z + h_z)
        n = torch.tanh(i_n + r * h_n)
        h = (1 - z) * n + z * h
        states.append(h)
    return torch.stack(states, dim=1)


def encode(params: Named, mix: Tensor, config: dict[str, Any]) -> Named:
    """Mix (B,N) -> h1..h3 (B,C,T_i), g0..g3 (B,T,H) and the virtual array x (B,T,M)."""
    out: Named = {}
    hop = math.prod(config["conv_strides"])
    h = F.pad(mix, (0, -mix.shape[1] % hop))[:, None]
    for i, (k, s) in enumerate(zip(config["conv_kernels"], config["conv_strides"], strict=True)):
        w, b = params[f"encoder.conv.{i}.weight"], params[f"encoder.conv.{i}.bias"]
        h = F.prelu(F.conv1d(F.pad(h, (k - s, 0)), w, b, stride=s), params[f"encoder.act.{i}.weight"])
        out[f"h{i + 1}"] = h
    features = h.transpose(1, 2)
    g = features
    if config["norm"]:
        gamma, beta = params["encoder.norm.weight"], params["encoder.norm.bias"]
        g = F.layer_norm(g, g.shape[-1:], gamma, beta, config["norm_eps"])
    out["g0"] = g
    array = [features] if config["concat_conv"] else []
    for i in range(config["gru_sections"]):
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        y = gru(g, *(params[f"encoder.gru.{i}.{name}"] for name in names))
        if config["norm"]:
            gamma, beta = params[f"encoder.gru_norm.{i}.weight"], params[f"encoder.gru_norm.{i}.bias"]
            y = F.layer_norm(y, y.shape[-1:], gamma, beta, config["norm_eps"])
        g = y + g if config["residual"] else y
        out[f"g{i + 1}"] = g
        array.append(g)
    out["x"] = torch.cat(array, dim=-1)
    return out


def write_memory(m: Tensor, q: Tensor, mu: Tensor, theta: Tensor, config: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """State m, q (B,P,K,D) after a block mu (B,P,L,D)."""
    energy = (mu**2).mean(-1)
    a = energy / (energy + config["e0"])
    total = a.sum(-1)[..., None] + config["delta"]
    first = (a[..., None] * mu).sum(2) / total
    second = (a[..., None] * mu**2).sum(2) / total
    step = torch.sigmoid(theta)[None, None, :, None] * a.mean(-1)[..., None, None]
    return m + step * (first[:, :, None] - m), q + step * (second[:, :, None] - q)


def separate(params: Named, x: Tensor, g: Tensor, config: dict[str, Any]) -> Named:
    """Virtual array x (B,T,M), control g (B,T,H) -> w (B,P,T,M), mu and l (B,P,T,D), states (B,P,NB+1,K,D)."""
    size, block = config["latent"], config["block"]
    remembers = config["memory"]
    if remembers:
        m = params["memory.m0"].expand(x.shape[0], -1, -1, -1)
        q = softplus(params["memory.q0"]).expand(x.shape[0], -1, -1, -1)
        m_blocks, q_blocks = [m], [q]
    ws, mus, ls = [], [], []
    for n, start in enumerate(range(0, x.shape[1], block)):
        if remembers and config["truncate"] and n and n % config["truncate"] == 0:
            m, q = m.detach(), q.detach()
        g_block, x_block = g[:, start : start + block], x[:, start : start + block]
        logits = torch.einsum("pmh,bth->bptm", params["separator.adapt.weight"], g_block)
        logits = logits + params["separator.adapt.bias"][None, :, None]
        if remembers:
            read = torch.cat([m.flatten(2), q.flatten(2)], dim=-1)
            logits = logits + (read @ params["separator.memory.weight"].T)[:, :, None]
        w = torch.sigmoid(logits)
        out = F.linear(w * x_block[:, None], params["separator.fc.weight"], params["separator.fc.bias"])
        mu, low = out[..., :size], out[..., size:]
        ws.append(w)
        mus.append(mu)
        ls.append(low)
        if remembers:
            m, q = write_memory(m, q, mu, params["memory.theta"], config)
            m_blocks.append(m)
            q_blocks.append(q)
    named = {"w": torch.cat(ws, 2), "mu": torch.cat(mus, 2), "l": torch.cat(ls, 2)}
    if remembers:
        named |= {"m_blocks": torch.stack(m_blocks, 2), "q_blocks": torch.stack(q_blocks, 2)}
    return named


def decode(params: Named, z: Tensor, samples: int, config: dict[str, Any]) -> Tensor:
    """Latent z (B,P,T,D) -> est (B,P,N)."""
    y = z.flatten(0, 1).transpose(1, 2)
    layers = list(zip(config["conv_kernels"], config["conv_strides"], strict=True))[::-1]
    for i, (k, s) in enumerate(layers):
        y = F.conv_transpose1d(y, params[f"decoder.conv.{i}.weight"], params[f"decoder.conv.{i}.bias"], stride=s)
        y = y[..., : y.shape[-1] - (k - s)]
        if i < len(layers) - 1:
            y = F.prelu(y, params[f"decoder.act.{i}.weight"])
    return y[:, 0].unflatten(0, z.shape[:2])[..., :samples]


def forward(params: Named, mix: Tensor, eps: Tensor | None, config: dict[str, Any]) -> Named:
    """Mix (B,N), noise eps (B,P,T,D) -> every intermediate by name. Without `sample`, z = mu and eps counts as zero."""
    out = encode(params, mix, config)
    out |= separate(params, out["x"], out[f"g{config['gru_sections']}"], config)
    low, high = config["log_var_min"], config["log_var_max"]
    out["log_var"] = low + (high - low) * torch.sigmoid(out["l"])
    if eps is None or not config["sample"]:
        eps = torch.zeros_like(out["mu"])
    out["eps"] = eps
    out["z"] = out["mu"] + torch.exp(out["log_var"] / 2) * eps
    out["est"] = decode(params, out["z"], mix.shape[1], config)
    return out


# ---------------------------------------------------------------- objective


def prior_scale(params: Named, out: Named, config: dict[str, Any], loss_config: dict[str, Any]) -> Tensor:
    """log R, broadcastable to mu (B,P,T,D)."""
    kind = loss_config["prior_r"]
    if kind == "learned":
        return params["prior.log_r"][None, :, None]
    if kind == "memory":
        before = out["q_blocks"][:, :, :-1, -1].detach()  # q of time constant K as block n begins
        each_frame = before.repeat_interleave(config["block"], dim=2)[:, :, : out["mu"].shape[2]]
        return torch.log(each_frame + loss_config["memory_rho"])
    assert kind == "identity", kind
    return torch.zeros_like(out["mu"])


def divergence(params: Named, out: Named, config: dict[str, Any], loss_config: dict[str, Any]) -> Tensor:
    """Divergence from the prior, mean over sources and frames, per item (B,)."""
    mu, log_var = out["mu"], out["log_var"]
    log_r = prior_scale(params, out, config, loss_config)
    if loss_config["divergence"] == "kl":
        normal = torch.distributions.Normal
        posterior = normal(mu, torch.exp(log_var / 2))
        prior = normal(torch.zeros_like(mu), torch.exp(log_r / 2).expand_as(mu))
        return torch.distributions.kl_divergence(posterior, prior).sum(-1).mean((1, 2))
    shape = mu.new_tensor([loss_config["prior_shape"]])
    if loss_config["learn_prior_shape"]:
        shape = softplus(params["prior.shape"])
    family, form, offset = loss_config["prior"], loss_config["fisher_form"], loss_config["prior_offset"]
    return terms_of.fisher(mu, log_var, out["eps"], log_r, shape, family, form, offset).mean((1, 2))


def loss(
    params: Named,
    mix: Tensor,
    refs: Tensor,
    eps: Tensor | None,
    clean: Tensor,
    config: dict[str, Any],
    loss_config: dict[str, Any],
) -> tuple[Tensor, Named]:
    """Mean loss over the items and the terms of each item, before their weights; clean (B,) bool."""
    out = forward(params, mix, eps, config)
    terms = {"reconstruction": terms_of.reconstruction(out["est"], refs, mix, loss_config)}
    total = terms["reconstruction"]
    if loss_config["fisher_weight"]:
        terms["divergence"] = divergence(params, out, config, loss_config)
        total = total + loss_config["fisher_weight"] * terms["divergence"]
    if loss_config["permutation_weight"]:
        keys = ("permutation_frame", "permutation_temp", "permutation_weights", "permutation_floor")
        terms["permutation"] = terms_of.permutation_loss(out["est"], refs, *(loss_config[key] for key in keys))
        total = total + loss_config["permutation_weight"] * terms["permutation"]
    if loss_config["mixture_weight"]:
        terms["mixture"] = torch.where(clean, terms_of.mixture_loss(out["est"], mix), 0.0)
        total = total + loss_config["mixture_weight"] * terms["mixture"]
    terms["loss"] = total
    return total.mean(), terms


# ---------------------------------------------------------------- random cases and self-check


def parameter_shapes(config: dict[str, Any], loss_config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of every parameter that these options use."""
    channels, kernels = config["conv_channels"], config["conv_kernels"]
    p, d, k, hidden, last = (
        config["sources"], config["latent"], config["time_constants"], config["gru_hidden"], channels[-1],
    )  # fmt: skip
    m = last * bool(config["concat_conv"]) + config["gru_sections"] * hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (c_in, c_out, size) in enumerate(zip((1, *channels), channels, kernels, strict=False)):
        shapes |= {f"encoder.conv.{i}.weight": (c_out, c_in, size), f"encoder.conv.{i}.bias": (c_out,)}
        shapes |= {f"encoder.act.{i}.weight": (c_out,)}
    norms = [("encoder.norm", last)] if config["norm"] else []
    for i in range(config["gru_sections"]):
        prefix, c_in = f"encoder.gru.{i}", hidden if i else last
        shapes |= {f"{prefix}.weight_ih_l0": (3 * hidden, c_in), f"{prefix}.weight_hh_l0": (3 * hidden, hidden)}
        shapes |= {f"{prefix}.bias_ih_l0": (3 * hidden,), f"{prefix}.bias_hh_l0": (3 * hidden,)}
        norms += [(f"encoder.gru_norm.{i}", hidden)] if config["norm"] else []
    for prefix, c in norms:
        shapes |= {f"{prefix}.weight": (c,), f"{prefix}.bias": (c,)}
    shapes |= {"separator.adapt.weight": (p, m, hidden), "separator.adapt.bias": (p, m)}
    shapes |= {"separator.fc.weight": (2 * d, m), "separator.fc.bias": (2 * d,)}
    if config["memory"]:
        shapes |= {"separator.memory.weight": (m, 2 * k * d), "memory.theta": (k,)}
        shapes |= {"memory.m0": (p, k, d), "memory.q0": (p, k, d)}
    mirror = (d, *channels[-2::-1], 1)
    for i, (c_in, c_out, size) in enumerate(zip(mirror, mirror[1:], kernels[::-1], strict=False)):
        shapes |= {f"decoder.conv.{i}.weight": (c_in, c_out, size), f"decoder.conv.{i}.bias": (c_out,)}
        if i < len(kernels) - 1:
            shapes[f"decoder.act.{i}.weight"] = (c_out,)
    if loss_config.get("prior_r") == "learned":
        shapes["prior.log_r"] = (p, d)
    if loss_config.get("learn_prior_shape"):
        shapes["prior.shape"] = (1,)
    return shapes


def random_case(
    seed: int, config: dict[str, Any], loss_config: dict[str, Any] | None = None, *, samples: int = 155, batch: int = 2
) -> dict[str, Any]:
    """Random parameters (biases too), mix (B,N), refs (B,P,N), eps (B,P,T,D) and clean (B,) as float64 NumPy arrays.

    Item 0 is clean; the last item has noise, and one reference of it is silent.
    """
    rng = np.random.default_rng(seed)
    params = {}
    for name, shape in parameter_shapes(config, loss_config or {}).items():
        fan_in = math.prod(shape[1:]) if name.endswith("weight") and len(shape) > 1 else 4
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.25 if ".act." in name else 0.1
        params[name] = centre * (len(shape) == 1) + rng.standard_normal(shape) / np.sqrt(fan_in)
    frames = -(-samples // math.prod(config["conv_strides"]))
    refs = rng.standard_normal((batch, config["sources"], samples)) * rng.uniform(0.5, 2, (batch, config["sources"], 1))
    refs[..., : samples // 3] *= 0.05
    refs[-1, -1] *= 1e-5
    clean = np.arange(batch) < max(1, batch - 1)
    noise = 0.3 * rng.standard_normal((batch, samples)) * ~clean[:, None]
    eps = rng.standard_normal((batch, config["sources"], frames, config["latent"]))
    return {"params": params, "mix": refs.sum(1) + noise, "refs": refs, "eps": eps, "clean": clean}


def as_tensors(arrays: dict[str, np.ndarray], *, grad: bool = False) -> Named:
    return {name: torch.tensor(value, dtype=torch.float64, requires_grad=grad) for name, value in arrays.items()}


def check_gru() -> None:
    layer = torch.nn.GRU(6, 7, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 11, 6, dtype=torch.float64)
    torch.testing.assert_close(gru(x, *layer.parameters()), layer(x)[0], rtol=0, atol=1e-13)


def check_fisher_forms() -> None:
    """Explicit = implicit in expectation; weighted = its own integration by parts (Stein). 3 standard errors."""
    n, d = 200_000, 4
    mu, log_r = torch.randn(d, dtype=torch.float64), 0.5 * torch.randn(d, dtype=torch.float64)
    log_var, eps = torch.randn(d, dtype=torch.float64) - 1, torch.randn(n, d, dtype=torch.float64)
    mu, log_var = mu.expand(n, d), log_var.expand(n, d)
    for family, value, offset in (("gaussian", 0, 0), ("student", 3.5, 0), ("power", 0.7, 0.3), ("laplace", 0, 0.3)):
        shape = torch.tensor([float(value)], dtype=torch.float64)
        forms = {
            form: terms_of.fisher(mu, log_var, eps, log_r, shape, family, form, offset)
            for form in ("explicit", "implicit", "weighted")
        }
        z = (mu + torch.exp(log_var / 2) * eps).requires_grad_()
        psi = terms_of.score(z, log_r, shape, offset, family)
        stein = torch.exp(log_var) * (0.5 * psi**2 + terms_of.jacobian_diagonal(psi, z))
        for name, gap in (
            ("explicit - implicit", forms["explicit"] - forms["implicit"]),
            ("weighted - Stein", forms["weighted"] - stein.sum(-1) - d / 2),
        ):
            gap = gap.detach()
            errors = float(gap.mean() / (gap.std() / math.sqrt(n)))
            print(f"{family} {name}: {float(gap.mean()):+.2e}, {errors:+.2f} standard errors")
            assert abs(errors) < 3


def check_scores() -> None:
    """Scores with a closed form: laplace in 1 and 3 dimensions (elementary Bessel functions), student in 5."""
    shape = torch.tensor([2.5], dtype=torch.float64)
    for d in (1, 3, 5):
        z = torch.randn(50, d, dtype=torch.float64).requires_grad_()
        u = (z**2).sum(-1, keepdim=True)
        x = torch.sqrt(2 * u)
        # D = 1: f = exp(-x); D = 3: f = exp(-x) / x up to a constant
        phi = {1: 2 / x, 3: 2 / x * (1 + 1 / x), 5: (2.5 + 5) / (2.5 + u)}[d]
        psi = terms_of.score(z, torch.zeros_like(z), shape, 0.0, "student" if d == 5 else "laplace")
        torch.testing.assert_close(psi, -phi * z, rtol=1e-12, atol=1e-14)


def check_assignments() -> None:
    cost = 5 * torch.randn(4, 3, 3, dtype=torch.float64)
    plan = terms_of.sinkhorn_plan(cost, 5.0, 200)
    torch.testing.assert_close(plan.sum(1), torch.ones(4, 3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(plan.sum(2), torch.ones(4, 3, dtype=torch.float64), rtol=0, atol=1e-6)
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        return
    for item, value in zip(cost.numpy(), terms_of.pit(cost).tolist(), strict=True):
        rows, columns = linear_sum_assignment(item)
        assert abs(item[rows, columns].mean() - value) < 1e-12


def main() -> None:
    torch.manual_seed(20240206)
    for check in (check_gru, check_scores, check_assignments, check_fisher_forms):
        check()
        print(f"{check.__name__}: passed")


if __name__ == "__main__":
    main()
