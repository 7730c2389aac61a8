"""The LVBD loss terms in PyTorch float64, an oracle that shares no line with refbss; torch_lvbd.py puts them together.

Where a second road to a quantity exists, this file takes it:

- the score psi(z) = grad log f(z' R^-1 z) and its divergence come from autograd on log f, not from phi and phi';
- log K_v(x) (laplace prior) is the trapezoid rule on the integral of exp(-x cosh t) cosh(v t), not a recurrence;
- PIT tries every permutation; the KL divergence comes from torch.distributions.

Letters: B batch, N samples, T frames, P sources, J references (J = P), D latent size. Everything is differentiable.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

TINY = 1e-30


# ---------------------------------------------------------------- reconstruction


def energy(x: Tensor) -> Tensor:
    return (x**2).sum(-1)


def si_sdr_loss(est: Tensor, ref: Tensor, eps: float) -> Tensor:
    """Negative SI-SDR in dB of every pair, est (B,P,N), ref (B,J,N) -> (B,P,J)."""
    g = torch.einsum("bpn,bjn->bpj", est, ref) ** 2
    q = energy(est)[:, :, None] * energy(ref)[:, None]
    return -10 * torch.log10((g + eps * q + TINY) / (q - g + eps * q + TINY))


def silent_loss(est: Tensor, mix: Tensor, floor: float) -> Tensor:
    """Level in dB of est (B,P,N) against the mixture (B,N), with an energy floor relative to it -> (B,P)."""
    x = energy(mix)[:, None]
    return 10 * torch.log10((energy(est) + floor * x + TINY) / (x + TINY))


def cost_matrix(est: Tensor, ref: Tensor, mix: Tensor, loss_config: dict[str, Any]) -> Tensor:
    """Cost (B,P,J): negative SI-SDR, or the silent loss in the columns of silent references."""
    silent = energy(ref) <= loss_config["silent_ratio"] * energy(mix)[:, None]
    quiet = silent_loss(est, mix, loss_config["silent_floor"])
    return torch.where(silent[:, None], quiet[:, :, None], si_sdr_loss(est, ref, loss_config["si_sdr_eps"]))


def pit(cost: Tensor) -> Tensor:
    """Least mean cost over all permutations; reference j takes output perm[j]."""
    n = cost.shape[-1]
    means = [cost[:, list(perm), list(range(n))].mean(-1) for perm in itertools.permutations(range(n))]
    return torch.stack(means).min(0).values


def sinkhorn_plan(cost: Tensor, temp: float, steps: int) -> Tensor:
    """exp(-cost/temp) with rows (over j), then columns (over p), normalised `steps` times."""
    log_plan = -cost / temp
    for _ in range(steps):
        log_plan = log_plan - torch.logsumexp(log_plan, dim=2, keepdim=True)
        log_plan = log_plan - torch.logsumexp(log_plan, dim=1, keepdim=True)
    return torch.exp(log_plan)


def similarity(est: Tensor, ref: Tensor, frame: int, floor: float) -> tuple[Tensor, Tensor]:
    """Similarity c (B,P,J,F) and activity o (B,J,F) in whole frames of `frame` samples."""
    count = est.shape[-1] // frame
    y = est[..., : count * frame].unflatten(-1, (count, frame))
    s = ref[..., : count * frame].unflatten(-1, (count, frame))
    e_y, e_s = energy(y), energy(s)
    d_y = floor * e_y.mean(-1, keepdim=True) + TINY
    d_s = floor * e_s.mean(-1, keepdim=True) + TINY
    inner = torch.einsum("bpfn,bjfn->bpjf", y, s)
    c = inner**2 / ((e_y + d_y)[:, :, None] * (e_s + d_s)[:, None])
    return c, e_s / (e_s + d_s)


def reconstruction(est: Tensor, ref: Tensor, mix: Tensor, loss_config: dict[str, Any]) -> Tensor:
    """Assigned cost per item (B,)."""
    cost = cost_matrix(est, ref, mix, loss_config)
    kind = loss_config["assignment"]
    if kind == "pit":
        return pit(cost)
    if kind == "sinkhorn":
        plan = sinkhorn_plan(cost, loss_config["sinkhorn_temp_db"], loss_config["sinkhorn_steps"])
        return (plan * cost).sum((1, 2)) / cost.shape[1]
    score = similarity(est, ref, est.shape[-1], loss_config["permutation_floor"])[0][..., 0]
    plan = torch.softmax(score / loss_config["temp"], dim=1)
    return (plan * cost).sum(1).mean(-1)


# ---------------------------------------------------------------- regularisers


def permutation_loss(
    est: Tensor, ref: Tensor, frame: int, temp: float, weights: tuple[float, ...], floor: float
) -> Tensor:
    """Multi-resolution differences of the soft assignment, per item (B,)."""
    c, o = similarity(est, ref, frame, floor)
    plan = torch.softmax(c / temp, dim=1)
    frames = plan.shape[-1]
    total = est.new_zeros(est.shape[0])
    for r, weight in enumerate(weights):
        width = 2**r
        costs = []
        for tau in range(width, frames - width + 1):
            step = plan[..., tau : tau + width].mean(-1) - plan[..., tau - width : tau].mean(-1)
            costs.append(o[..., tau] * (step**2).sum(1))
        if costs:
            total = total + weight * torch.stack(costs, -1).mean((1, 2))
    return total


def mixture_loss(est: Tensor, mix: Tensor) -> Tensor:
    return energy(mix - est.sum(1)) / (energy(mix) + TINY)


def log_bessel_k(v: float, x: Tensor) -> Tensor:
    """log K_v(x) = log of the integral over t > 0 of exp(-x cosh t) cosh(v t), by the trapezoid rule."""
    h = 0.1  # the error of the rule is about exp(-pi^2 / h)
    t = torch.arange(0, 30 + h / 2, h, dtype=x.dtype)
    # log cosh(v t) and the half weight of t = 0; x is taken out as exp(-x) so that nothing underflows
    log_weight = torch.logaddexp(v * t, -v * t) - math.log(2)
    log_weight = log_weight + torch.cat([t.new_tensor([math.log(0.5)]), t.new_zeros(t.numel() - 1)])
    terms = -x[..., None] * (2 * torch.sinh(t / 2) ** 2) + log_weight
    return math.log(h) - x + torch.logsumexp(terms, -1)


def log_f(u: Tensor, dim: int, shape: Tensor, offset: float, family: str) -> Tensor:
    """Log density of the prior at u = z' R^-1 z, up to what does not depend on u."""
    if family == "gaussian":
        return -u / 2
    if family == "student":
        return -(shape + dim) / 2 * torch.log1p(u / shape)
    if family == "power":
        return -((u + offset) ** shape) / 2
    assert family == "laplace", family
    w = u + offset
    return (2 - dim) / 4 * torch.log(w) + log_bessel_k(dim / 2 - 1, torch.sqrt(2 * w))


def score(z: Tensor, log_r: Tensor, shape: Tensor, offset: float, family: str) -> Tensor:
    """psi = d/dz log f(u), by autograd; z must require a gradient."""
    log_p = log_f((z**2 * torch.exp(-log_r)).sum(-1), z.shape[-1], shape, offset, family)
    return torch.autograd.grad(log_p.sum(), z, create_graph=True)[0]


def jacobian_diagonal(psi: Tensor, z: Tensor) -> Tensor:
    """d psi_d / d z_d for each d; one latent vector does not see another, so the sum over all of them is harmless."""
    if not psi.requires_grad:
        return torch.zeros_like(psi)
    columns = [torch.autograd.grad(psi[..., d].sum(), z, create_graph=True)[0][..., d] for d in range(z.shape[-1])]
    return torch.stack(columns, -1)


def fisher(
    mu: Tensor, log_var: Tensor, eps: Tensor, log_r: Tensor, shape: Tensor, family: str, form: str, offset: float
) -> Tensor:
    """Fisher divergence of N(mu, diag e^log_var) from the prior, one sample, summed over the last axis."""
    sig = torch.exp(log_var / 2)
    z = mu + sig * eps
    z = z if z.requires_grad else z.clone().requires_grad_()
    psi = score(z, log_r, shape, offset, family)
    if form == "weighted":
        return 0.5 * ((sig * psi + eps) ** 2).sum(-1)
    if form == "explicit":
        return 0.5 * ((psi + eps / sig) ** 2).sum(-1)
    assert form == "implicit", form
    return (0.5 * psi**2 + jacobian_diagonal(psi, z) + 0.5 * torch.exp(-log_var)).sum(-1)
