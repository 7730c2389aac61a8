"""Outputs and gradients agree with PyTorch float64 autograd of independently written formulas, to 1e-10.

The formulas use PyTorch's own operators where it has them. The Fisher divergence starts from log f alone: score,
divergence and every gradient are PyTorch's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refbss.verification.compare import worst
from refbss.verification.registry import SPECS
from refbss.verification.spec import Case, OpSpec

torch = pytest.importorskip("torch")
functional = torch.nn.functional
TOLERANCE = 1e-10
Tensor = Any


def torch_conv1d(x: Tensor, w: Tensor, b: Tensor, stride: int = 1, pad_left: int = 0) -> tuple[Tensor, ...]:
    return (functional.conv1d(functional.pad(x, (pad_left, 0)), w, b, stride=stride),)


def torch_conv_transpose1d(x: Tensor, w: Tensor, b: Tensor, stride: int = 1, trim_right: int = 0) -> tuple[Tensor, ...]:
    y = functional.conv_transpose1d(x, w, b, stride=stride)
    return (y[..., : y.shape[-1] - trim_right],)


def torch_gru(x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, h0: Tensor) -> tuple[Tensor, ...]:
    module = torch.nn.GRU(x.shape[-1], h0.shape[-1], batch_first=True, dtype=torch.float64)
    weights = {"weight_ih_l0": w_ih, "weight_hh_l0": w_hh, "bias_ih_l0": b_ih, "bias_hh_l0": b_hh}
    y, h_n = torch.func.functional_call(module, weights, (x, h0[None]))
    return y, h_n[0]


def torch_lstm(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, h0: Tensor, c0: Tensor
) -> tuple[Tensor, ...]:
    module = torch.nn.LSTM(x.shape[-1], h0.shape[-1], batch_first=True, dtype=torch.float64)
    weights = {"weight_ih_l0": w_ih, "weight_hh_l0": w_hh, "bias_ih_l0": b_ih, "bias_hh_l0": b_hh}
    y, (h_n, c_n) = torch.func.functional_call(module, weights, (x, (h0[None], c0[None])))
    return y, h_n[0], c_n[0]


def torch_layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> tuple[Tensor, ...]:
    return (functional.layer_norm(x, (x.shape[-1],), gamma, beta, eps),)


def torch_reparameterise(mu: Tensor, log_var: Tensor, eps: Tensor) -> tuple[Tensor, ...]:
    law = torch.distributions.Normal(mu, torch.exp(log_var).sqrt())
    return (law.loc + law.scale * eps,)


def torch_memory_read(m: Tensor, q: Tensor) -> tuple[Tensor, ...]:
    return (torch.cat([m.flatten(2), q.flatten(2)], dim=2),)


def torch_memory_activity(mu: Tensor, e0: float) -> tuple[Tensor, ...]:
    energy = (mu * mu).mean(dim=-1)
    return (energy / (energy + e0),)


def torch_memory_write(m: Tensor, q: Tensor, mu: Tensor, theta: Tensor, e0: float, delta: float) -> tuple[Tensor, ...]:
    (a,) = torch_memory_activity(mu, e0)
    weight = a / (a.sum(dim=2, keepdim=True) + delta)
    rate = torch.sigmoid(theta)[:, None] * a.mean(dim=2)[:, :, None, None]
    first = torch.einsum("bpt,bptd->bpd", weight, mu)[:, :, None]
    second = torch.einsum("bpt,bptd->bpd", weight, mu**2)[:, :, None]
    return torch.lerp(m, first.expand_as(m), rate.expand_as(m)), torch.lerp(q, second.expand_as(q), rate.expand_as(q))


def torch_adaptive_separator(
    x: Tensor, g: Tensor, r: Tensor, a: Tensor, c: Tensor, read: Tensor, v: Tensor, b: Tensor
) -> tuple[Tensor, ...]:
    per_source = [
        torch.sigmoid(functional.linear(g, a[p], c[p]) + functional.linear(r[:, p], read)[:, None])
        for p in range(a.shape[0])
    ]
    y = functional.linear(torch.stack(per_source, dim=1) * x[:, None], v, b)
    return torch.chunk(y, 2, dim=-1)


def torch_memory_separator(
    x: Tensor,
    g: Tensor,
    a: Tensor,
    c: Tensor,
    read: Tensor,
    v: Tensor,
    b: Tensor,
    m0: Tensor,
    q0: Tensor,
    theta: Tensor,
    block: int,
    e0: float,
    delta: float,
    memory: bool = True,
    truncate: int = 0,
) -> tuple[Tensor, ...]:
    m, q, states, outputs = m0, q0, [(m0, q0)], []
    for n, (part, control) in enumerate(zip(x.split(block, dim=1), g.split(block, dim=1), strict=True)):
        if truncate and n and n % truncate == 0:
            m, q = m.detach(), q.detach()
        (r,) = torch_memory_read(m, q)
        outputs.append(torch_adaptive_separator(part, control, r if memory else 0.0 * r, a, c, read, v, b))
        if memory:
            m, q = torch_memory_write(m, q, outputs[-1][0], theta, e0, delta)
        states.append((m, q))
    mu, raw = (torch.cat(parts, dim=2) for parts in zip(*outputs, strict=True))
    m_blocks, q_blocks = (torch.stack(parts, dim=2) for parts in zip(*states, strict=True))
    return mu, raw, m_blocks, q_blocks


def torch_si_sdr(est: Tensor, ref: Tensor, eps: float = 1e-8) -> tuple[Tensor, ...]:
    cosine = functional.cosine_similarity(est[:, :, None], ref[:, None], dim=-1, eps=1e-20)
    loss = 10.0 * torch.log10((1.0 - cosine**2 + eps) / (cosine**2 + eps))
    heard = (ref != 0.0).any(dim=-1)[:, None].expand_as(loss)
    return (torch.where(heard, loss, 0.0 * cosine),)


def torch_silent(est: Tensor, mix: Tensor, floor: float = 1e-3) -> tuple[Tensor, ...]:
    return (10.0 * torch.log10(est.pow(2).sum(-1) / mix.pow(2).sum(-1)[:, None] + floor),)


def torch_pit(cost: Tensor) -> tuple[Tensor, ...]:
    outputs, eye = range(cost.shape[1]), torch.eye(cost.shape[1], dtype=cost.dtype)
    orders = list(itertools.permutations(outputs))
    means = torch.stack([cost[:, list(order), list(outputs)].mean(dim=1) for order in orders], dim=1)
    loss, place = means.min(dim=1)
    return loss, torch.stack([eye[list(orders[int(i)])].T for i in place])


def torch_softmax_assignment(cost: Tensor, score: Tensor, temp: float) -> tuple[Tensor, ...]:
    assignment = torch.softmax(score / temp, dim=1)
    return (assignment * cost).sum(dim=1).mean(dim=1), assignment


def torch_sinkhorn_assignment(cost: Tensor, temp: float, steps: int) -> tuple[Tensor, ...]:
    logits = -cost / temp
    for _ in range(steps):
        logits = torch.log_softmax(torch.log_softmax(logits, dim=2), dim=1)
    return (logits.exp() * cost).sum(dim=1).mean(dim=1), logits.exp()


def torch_similarity(est: Tensor, ref: Tensor, frame: int, floor: float) -> tuple[Tensor, Tensor]:
    y, s = (torch.stack(signal.split(frame, dim=-1)[: signal.shape[-1] // frame], dim=2) for signal in (est, ref))
    energies = [(frames * frames).sum(-1) for frames in (y, s)]
    floored = [e + floor * e.mean(dim=-1, keepdim=True) + 1e-30 for e in energies]
    inner = (y[:, :, None] * s[:, None]).sum(-1)
    return inner**2 / (floored[0][:, :, None] * floored[1][:, None]), energies[1] / floored[1]


def torch_softmax_permutation(
    est: Tensor, ref: Tensor, frame: int, temp: float, weights: tuple[float, ...], floor: float = 1e-3
) -> tuple[Tensor, ...]:
    c, activity = torch_similarity(est, ref, frame, floor)
    pi, loss = torch.softmax(c / temp, dim=1), 0.0 * est.sum(dim=(1, 2))
    for r, weight in enumerate(weights):
        reach = 2**r
        if pi.shape[-1] >= 2 * reach:
            windows = functional.avg_pool1d(pi.flatten(1, 2), reach, stride=1).unflatten(1, pi.shape[1:3])
            change = windows[..., reach:] - windows[..., :-reach]
            loss = loss + weight * (activity[..., reach : pi.shape[-1] - reach + 1] * change.pow(2).sum(1)).mean((1, 2))
    return (loss,)


def torch_utterance_similarity(est: Tensor, ref: Tensor, floor: float = 1e-3) -> tuple[Tensor, ...]:
    return (torch_similarity(est, ref, est.shape[-1], floor)[0][..., 0],)


def torch_mixture_consistency(est: Tensor, mix: Tensor) -> tuple[Tensor, ...]:
    return ((torch.linalg.norm(mix - est.sum(1), dim=-1) / torch.linalg.norm(mix, dim=-1)) ** 2,)


def torch_gaussian_kl(mu: Tensor, log_var: Tensor, log_r: Tensor) -> tuple[Tensor, ...]:
    normal = torch.distributions.Normal
    prior = normal(torch.zeros_like(mu), torch.exp(log_r / 2.0).expand_as(mu))
    return (torch.distributions.kl_divergence(normal(mu, torch.exp(log_var / 2.0)), prior).sum(-1),)


def log_bessel_k(order: float, x: Tensor) -> Tensor:
    """log K_v(x) from the integral of exp(-x cosh t) cosh(v t), by the trapezoidal rule."""
    t = torch.arange(0.0, 9.0, 0.02, dtype=torch.float64)
    weight = torch.full_like(t, 0.02)
    weight[0] = 0.01
    terms = torch.exp(-x[..., None] * (torch.cosh(t) - 1.0)) * torch.cosh(order * t) * weight
    return torch.log(terms.sum(-1)) - x


def log_f(u: Tensor, dim: int, shape: Tensor, family: str, offset: float) -> Tensor:
    if family == "student":
        return -0.5 * (shape + dim) * torch.log(1.0 + u / shape)
    if family == "power":
        return -0.5 * (u + offset) ** shape
    if family == "laplace":
        w = u + offset
        return (2.0 - dim) / 4.0 * torch.log(w) + log_bessel_k(dim / 2.0 - 1.0, torch.sqrt(2.0 * w))
    return -0.5 * u


def torch_fisher(
    mu: Tensor,
    log_var: Tensor,
    eps: Tensor,
    log_r: Tensor,
    shape: Tensor,
    family: str,
    form: str = "weighted",
    offset: float = 0.0,
) -> tuple[Tensor, ...]:
    sig = torch.exp(log_var / 2.0)
    z = mu + sig * eps
    u = (z * z / torch.exp(log_r)).sum(-1)
    (psi,) = torch.autograd.grad(log_f(u, mu.shape[-1], shape, family, offset).sum(), z, create_graph=True)
    if form == "weighted":
        return (0.5 * (sig**2 * (psi + eps / sig) ** 2).sum(-1),)
    if form == "explicit":
        return (0.5 * ((psi + (z - mu) / sig**2) ** 2).sum(-1),)
    spread = sum(torch.autograd.grad(psi[..., d].sum(), z, create_graph=True)[0][..., d] for d in range(mu.shape[-1]))
    return (0.5 * (psi**2).sum(-1) + spread + 0.5 * (1.0 / sig**2).sum(-1),)


FORMULAS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "conv1d": torch_conv1d,
    "conv_transpose1d": torch_conv_transpose1d,
    "gru": torch_gru,
    "lstm": torch_lstm,
    "layer_norm": torch_layer_norm,
    "linear": lambda x, w, b: (functional.linear(x, w, b),),
    "prelu": lambda x, a: (functional.prelu(x, a),),
    "sigmoid": lambda x: (torch.sigmoid(x),),
    "tanh": lambda x: (torch.tanh(x),),
    "softplus": lambda x: (functional.softplus(x, threshold=700.0),),
    "reparameterise": torch_reparameterise,
    "memory_read": torch_memory_read,
    "memory_activity": torch_memory_activity,
    "memory_write": torch_memory_write,
    "adaptive_separator": torch_adaptive_separator,
    "memory_separator": torch_memory_separator,
    "si_sdr": torch_si_sdr,
    "silent": torch_silent,
    "pit": torch_pit,
    "softmax_assignment": torch_softmax_assignment,
    "sinkhorn_assignment": torch_sinkhorn_assignment,
    "softmax_permutation": torch_softmax_permutation,
    "utterance_similarity": torch_utterance_similarity,
    "mixture_consistency": torch_mixture_consistency,
    "gaussian_kl": torch_gaussian_kl,
    "fisher": torch_fisher,
}
CASES = [
    pytest.param(spec, case, id=f"{name}-{case.name}".replace(" ", "_"))
    for name, spec in SPECS.items()
    for case in spec.cases
]


def autograd(
    spec: OpSpec, case: Case, arrays: dict[str, np.ndarray], cotangents: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return PyTorch's outputs and gradients, zero for what an output does not depend on."""
    tensors = {name: torch.tensor(array, requires_grad=name in spec.differentiable) for name, array in arrays.items()}
    outputs = dict(zip(spec.outputs, FORMULAS[spec.name](**tensors, **case.attributes), strict=True))
    objective = sum((outputs[name] * torch.tensor(v)).sum() for name, v in cotangents.items())
    wanted = [tensors[name] for name in spec.differentiable]
    grads = torch.autograd.grad(objective, wanted, allow_unused=True)
    zeros = [torch.zeros_like(t) if g is None else g for t, g in zip(wanted, grads, strict=True)]
    return (
        {name: output.detach().numpy() for name, output in outputs.items()},
        {name: grad.numpy() for name, grad in zip(spec.differentiable, zeros, strict=True)},
    )


@pytest.mark.parametrize("truncate", [1, 2, 3])
def test_truncated_gradients_are_those_of_a_detached_state(truncate: int) -> None:
    spec = SPECS["memory_separator"]
    case = Case(
        "truncated", spec.case("block of one frame").draw, {"block": 1, "e0": 0.1, "delta": 1e-2, "truncate": truncate}
    )
    arrays = spec.draw(case, 0, "float64")
    outputs, cache = spec.run(arrays, case.attributes)
    cotangents = spec.draw_cotangents(case, 0, outputs)
    grads = spec.pull(cotangents, cache)
    _, torch_grads = autograd(spec, case, arrays, cotangents)
    whole = spec.pull(cotangents, spec.run(arrays, {**case.attributes, "truncate": 0})[1])
    for name in spec.differentiable:
        found = worst(grads[name], torch_grads[name])
        assert found.error <= TOLERANCE, f"truncate {truncate} seed 0: d{name} against PyTorch: {found}"
    assert truncate == 3 or not np.allclose(grads["m0"], whole["m0"], rtol=1e-6)


def test_every_op_has_a_formula() -> None:
    assert set(FORMULAS) == set(SPECS)


@pytest.mark.parametrize(("spec", "case"), CASES)
def test_agrees_with_torch(spec: OpSpec, case: Case, figures: dict[str, str]) -> None:
    seed = 0
    arrays = spec.draw(case, seed, "float64")
    outputs, cache = spec.run(arrays, case.attributes)
    cotangents = spec.draw_cotangents(case, seed, outputs)
    grads = spec.pull(cotangents, cache)
    torch_outputs, torch_grads = autograd(spec, case, arrays, cotangents)
    pairs = [(name, outputs[name], torch_outputs[name]) for name in spec.outputs]
    pairs += [(f"d{name}", grads[name], torch_grads[name]) for name in spec.differentiable]
    for name, got, wanted in pairs:
        found = worst(got, wanted)
        place = f"{spec.name} case {case.name!r} seed {seed} float64: {name}"
        assert found.error <= TOLERANCE, f"{place} against PyTorch: {found}, allowed {TOLERANCE:.0e}"
        key, before = "largest error against PyTorch", figures.get("largest error against PyTorch", "0.0e+00")
        if found.error > float(before.split()[0]):
            figures[key] = f"{found.error:.1e} in {place} (all ops, cases, outputs and gradients so far)"
