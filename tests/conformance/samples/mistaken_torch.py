"""Implementations in PyTorch, each with one mistake that people make; the name of a function is op__mistake.

Written as somebody would write them who knows PyTorch and not these vectors: with torch.nn.functional, and a loop
where there is no such function.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def _gru(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor, c: Tensor, **how: Any) -> tuple[Tensor, Tensor]:
    order = how.get("order", "rzn")
    part = {gate: slice(i * h.shape[1], (i + 1) * h.shape[1]) for i, gate in enumerate(order)}
    gate = how.get("gate", torch.sigmoid)
    states = []
    for t in range(x.shape[1]):
        a, s = x[:, t] @ w.T + b, h @ u.T + c
        r, z = gate((a + s)[:, part["r"]]), gate((a + s)[:, part["z"]])
        if how.get("before"):
            n = torch.tanh(a[:, part["n"]] + (r * h) @ u[part["n"]].T + c[part["n"]])
        else:
            n = torch.tanh(a[:, part["n"]] + r * s[:, part["n"]])
        h = z * n + (1 - z) * h if how.get("other_way") else (1 - z) * n + z * h
        states.append(h)
    return torch.stack(states, 1), h


def gru__gates_zrn(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _gru(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, order="zrn")


def gru__reset_before_matmul(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _gru(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, before=True)


def gru__update_other_way(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _gru(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, other_way=True)


def gru__hard_sigmoid_gates(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    def hard(s: Tensor) -> Tensor:
        return (0.2 * s + 0.5).clamp(0, 1)

    return _gru(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, gate=hard)


def gru__single_bias(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _gru(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, torch.zeros_like(bias_ih_l0) + 0 * bias_hh_l0)


def gru__h0_ignored(x, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _gru(x, torch.zeros_like(h0), weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0)


def _lstm(x, h, c, w, u, b, d, order="ifgo", gate=torch.sigmoid, push=0.0, coupled=False, squash=torch.tanh, cut=""):
    part = {name: slice(k * h.shape[1], (k + 1) * h.shape[1]) for k, name in enumerate(order)}
    outputs, cells = [], []
    for t in range(x.shape[1]):
        h, c = h.detach() if cut == "h" else h, c.detach() if cut == "c" else c
        s = x[:, t] @ w.T + b + h @ u.T + d
        i, f, o = gate(s[:, part["i"]]), gate(s[:, part["f"]] + push), gate(s[:, part["o"]])
        c = (1 - i if coupled else f) * c + i * torch.tanh(s[:, part["g"]])
        h = o * squash(c)
        outputs.append(h)
        cells.append(c)
    return torch.stack(outputs, 1), h, c, torch.stack(cells, 1)


def lstm__gates_iofg(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, order="iofg")[:3]


def lstm__gates_igfo(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, order="igfo")[:3]


def lstm__gates_ifog(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, order="ifog")[:3]


def lstm__gates_figo(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, order="figo")[:3]


def lstm__forget_bias(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, push=1.0)[:3]


def lstm__coupled_gates(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, coupled=True)[:3]


def lstm__hard_sigmoid_gates(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    def hard(s: Tensor) -> Tensor:
        return (0.2 * s + 0.5).clamp(0, 1)

    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, gate=hard)[:3]


def lstm__output_without_tanh(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, squash=torch.clone)[:3]


def lstm__cells_for_outputs(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    _, h_n, c_n, cells = _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0)
    return cells, h_n, c_n


def lstm__states_swapped(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    y, h_n, c_n, _ = _lstm(x, c0, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0)
    return y, c_n, h_n


def lstm__states_ignored(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    zero = torch.zeros_like(h0)
    return _lstm(x, zero, zero, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0)[:3]


def lstm__single_bias(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, 0 * bias_hh_l0)[:3]


def lstm__gradient_not_through_gates(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, cut="h")[:3]


def lstm__gradient_not_through_cells(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    return _lstm(x, h0, c0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, cut="c")[:3]


def conv1d__kernel_flipped(x, weight, bias, stride, pad_left):
    return F.conv1d(F.pad(x, (pad_left, 0)), weight.flip(2), bias, stride)


def conv1d__padding_on_the_right(x, weight, bias, stride, pad_left):
    return F.conv1d(F.pad(x, (0, pad_left)), weight, bias, stride)


def conv1d__bias_missing(x, weight, bias, stride, pad_left):
    return F.conv1d(F.pad(x, (pad_left, 0)), weight, None, stride)


def conv_transpose1d__trim_on_the_left(x, weight, bias, stride, trim_right):
    return F.conv_transpose1d(x, weight, bias, stride)[..., trim_right:]


def conv_transpose1d__kernel_flipped(x, weight, bias, stride, trim_right):
    y = F.conv_transpose1d(x, weight.flip(2), bias, stride)
    return y[..., : y.shape[-1] - trim_right]


def layer_norm__sample_variance(x, weight, bias, eps):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + eps) * weight + bias


def layer_norm__eps_outside_root(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (x.std(-1, keepdim=True, unbiased=False) + eps) * weight + bias


def layer_norm__mean_kept(x, weight, bias, eps):
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + eps) * weight + bias


def linear__weight_transposed(x, weight, bias):
    return x @ weight + bias


def prelu__max_form(x, weight):
    return torch.maximum(x, weight[:, None] * x)


def prelu__absolute_slope(x, weight):
    return torch.where(x > 0, x, weight.abs()[:, None] * x)


def reparameterise__variance_for_deviation(mu, log_var, eps):
    return mu + torch.exp(log_var) * eps


def _si_sdr(est: Tensor, ref: Tensor, eps: float, scale: float = -10.0 / math.log(10)) -> Tensor:
    g = torch.einsum("bpn,bjn->bpj", est, ref) ** 2
    q = (est**2).sum(-1)[:, :, None] * (ref**2).sum(-1)[:, None]
    return scale * torch.log((g + eps * q + 1e-30) / ((q - g).clamp(min=0) + eps * q + 1e-30))


def si_sdr__natural_log(est, ref, eps):
    return _si_sdr(est, ref, eps, scale=-1.0)


def si_sdr__sign(est, ref, eps):
    return _si_sdr(est, ref, eps, scale=10.0 / math.log(10))


def si_sdr__mean_removed(est, ref, eps):
    return _si_sdr(est - est.mean(-1, keepdim=True), ref - ref.mean(-1, keepdim=True), eps)


def gaussian_kl__posterior_log_std(mu, log_var, log_r):
    return 0.5 * (log_r - 2 * log_var - 1 + (torch.exp(2 * log_var) + mu**2) * torch.exp(-log_r)).sum(-1)


def gaussian_kl__mean_over_components(mu, log_var, log_r):
    return 0.5 * (log_r - log_var - 1 + (torch.exp(log_var) + mu**2) * torch.exp(-log_r)).mean(-1)


def softmax_assignment__softmax_over_references(cost, score, temp):
    plan = torch.softmax(score / temp, dim=2)
    return (plan * cost).sum((1, 2)) / cost.shape[2], plan


def softmax_assignment__assignment_held_constant(cost, score, temp):
    plan = torch.softmax(score / temp, dim=1)
    return (plan.detach() * cost).sum((1, 2)) / cost.shape[2], plan


def sinkhorn_assignment__columns_first(cost, temp, steps):
    plan = -cost / temp
    for _ in range(steps):
        plan = plan - torch.logsumexp(plan, 1, keepdim=True)
        plan = plan - torch.logsumexp(plan, 2, keepdim=True)
    return (plan.exp() * cost).sum((1, 2)) / cost.shape[1], plan.exp()


def mixture_consistency__not_normalised(est, mix):
    return ((mix - est.sum(1)) ** 2).sum(-1)


def memory_read__interleaved(m, q):
    return torch.stack([m, q], dim=3).flatten(2)


def memory_activity__sum_for_mean(mu, e0):
    e = (mu**2).sum(-1)
    return e / (e + e0)


def adaptive_separator__softmax_over_sources(x, g, r, adapt_weight, adapt_bias, memory_weight, fc_weight, fc_bias):
    s = torch.einsum("pmh,bth->bptm", adapt_weight, g) + adapt_bias[:, None] + (r @ memory_weight.T)[:, :, None]
    mu, low = (torch.softmax(s, 1) * x[:, None] @ fc_weight.T + fc_bias).chunk(2, -1)
    return mu, low


def _phi(u: Tensor, dim: int, shape: Tensor, family: str, offset: float) -> tuple[Tensor, Tensor]:
    """phi and its derivative by u of the families that need no Bessel function."""
    if family == "gaussian":
        return torch.ones_like(u), torch.zeros_like(u)
    if family == "student":
        return (shape + dim) / (shape + u), -(shape + dim) / (shape + u) ** 2
    if family == "power":
        w = u + offset
        return shape * w ** (shape - 1), shape * (shape - 1) * w ** (shape - 2)
    raise NotImplementedError(family)


def _fisher(mu, log_var, eps, log_r, shape, family, form, offset, sign=-1.0):
    sig, a = torch.exp(log_var / 2), torch.exp(-log_r).expand_as(mu)
    z = mu + sig * eps
    phi, phi_1 = _phi((a * z**2).sum(-1), mu.shape[-1], shape, family, offset)
    psi = sign * phi[..., None] * a * z
    if form == "weighted":
        return 0.5 * ((sig * psi + eps) ** 2).sum(-1)
    if form == "explicit":
        return 0.5 * ((psi + eps / sig) ** 2).sum(-1)
    divergence = sign * (phi * a.sum(-1) + 2 * phi_1 * (a**2 * z**2).sum(-1))
    return 0.5 * (psi**2).sum(-1) + divergence + 0.5 * (sig**-2).sum(-1)


def fisher__score_sign(mu, log_var, eps, log_r, shape, family, form, offset):
    return _fisher(mu, log_var, eps, log_r, shape, family, form, offset, sign=1.0)


def fisher__explicit_for_weighted(mu, log_var, eps, log_r, shape, family, form, offset):
    form = "explicit" if form == "weighted" else form
    return _fisher(mu, log_var, eps, log_r, shape, family, form, offset)


def fisher__divergence_missing(mu, log_var, eps, log_r, shape, family, form, offset):
    if form != "implicit":
        return _fisher(mu, log_var, eps, log_r, shape, family, form, offset)
    sig, a = torch.exp(log_var / 2), torch.exp(-log_r).expand_as(mu)
    z = mu + sig * eps
    psi = _phi((a * z**2).sum(-1), mu.shape[-1], shape, family, offset)[0][..., None] * a * z
    return 0.5 * (psi**2).sum(-1) + 0.5 * (sig**-2).sum(-1)
