"""The training objective of LVBD, L = L_rec + lam_F F + lam_perm L_perm + lam_mix L_mix, with its gradient.

The reconstruction costs minus the SI-SDR in dB of output p against reference j, or the log-energy of output p where
reference j is silent. Fisher divergence and softmax permutation loss: [paper]; weights, forms and mixture consistency:
[ours].
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refbss._checks import InputError, check_arrays
from refbss._types import Array
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
from refbss.models.params import Params


class LossResult(NamedTuple):
    """Mean loss over the items, every term per item, and the gradient of every parameter."""

    loss: float
    terms: dict[str, Array]
    grads: Params


def _reconstruction(
    est: Array, mix: Array, refs: Array, config: LvbdLossConfig, ops: SimpleNamespace
) -> tuple[Array, Any]:
    """Assigned cost per item (B,), and what the backward pass needs."""
    cost, pair = ops.si_sdr_forward(est, refs, eps=config.si_sdr_eps)
    quiet, silence = ops.silent_forward(est, mix, floor=config.silent_floor)
    energy, limit = np.square(refs).sum(axis=2), config.silent_ratio * np.square(mix).sum(axis=1)
    silent = (energy <= limit[:, None])[:, None, :]
    cost = np.where(silent, quiet[:, :, None], cost)
    score = None
    if config.assignment == "pit":
        loss, _, assign = ops.pit_forward(cost)
    elif config.assignment == "sinkhorn":
        loss, _, assign = ops.sinkhorn_assignment_forward(
            cost, temp=config.sinkhorn_temp_db, steps=config.sinkhorn_steps
        )
    else:
        similarity, score = ops.utterance_similarity_forward(est, refs, floor=config.permutation_floor)
        loss, _, assign = ops.softmax_assignment_forward(cost, similarity, temp=config.temp)
    return loss, (pair, silence, silent, assign, score)


def _reconstruction_backward(dloss: Array, cache: Any, config: LvbdLossConfig, ops: SimpleNamespace) -> Array:
    pair, silence, silent, assign, score = cache
    if config.assignment == "pit":
        grads = ops.pit_backward(dloss, assign)
    elif config.assignment == "sinkhorn":
        grads = ops.sinkhorn_assignment_backward(dloss, assign)
    else:
        grads = ops.softmax_assignment_backward(dloss, assign)
    dest: Array = ops.si_sdr_backward(np.where(silent, 0, grads.dcost), pair).dest
    if silent.any():
        dest = dest + ops.silent_backward(np.where(silent, grads.dcost, 0).sum(axis=2), silence).dest
    if score is not None:
        dest = dest + ops.utterance_similarity_backward(grads.dscore, score).dest
    return dest


def _scatter(params: Params, outputs: lvbd.Outputs, config: LvbdConfig, loss_config: LvbdLossConfig) -> Array:
    """log R, broadcastable to (B, P, T, D). The memory's R is that of the block before and counts as a constant."""
    if loss_config.prior_r == "learned":
        return params["prior.log_r"][None, :, None, :]
    if loss_config.prior_r == "memory":
        frames = np.arange(outputs.mu.shape[2]) // config.block
        scatter = np.log(outputs.q_blocks[:, :, :, -1].astype(np.float64) + loss_config.memory_rho)
        return scatter.astype(outputs.mu.dtype)[:, :, frames]
    return np.zeros((1, 1, 1, config.latent), outputs.mu.dtype)


def _divergence(
    params: Params,
    outputs: lvbd.Outputs,
    eps: Array | None,
    weight: Array,
    grads: Params,
    config: LvbdConfig,
    loss_config: LvbdLossConfig,
    ops: SimpleNamespace,
) -> tuple[Array, Array, Array]:
    """Divergence per item, mean over sources and frames, and weight times its gradient to mu and log_var.

    Gradients of the prior's own parameters are added to ``grads``.
    """
    mu, log_var = outputs.mu, outputs.log_var
    log_r = _scatter(params, outputs, config, loss_config)
    cotangent = np.broadcast_to((weight / (mu.shape[1] * mu.shape[2]))[:, None, None], mu.shape[:3]).astype(mu.dtype)
    if loss_config.divergence == "kl":
        value, cache = ops.gaussian_kl_forward(mu, log_var, log_r)
        back = ops.gaussian_kl_backward(cotangent, cache)
    else:
        raw = params.get("prior.shape")
        if raw is None:
            shape, shape_cache = np.array([loss_config.prior_shape], mu.dtype), None
        else:
            shape, shape_cache = ops.softplus_forward(raw)
        noise = np.zeros_like(mu) if eps is None or not config.sample else eps
        family = {"family": loss_config.prior, "form": loss_config.fisher_form, "offset": loss_config.prior_offset}
        value, cache = ops.fisher_forward(mu, log_var, noise, log_r, shape, **family)
        back = ops.fisher_backward(cotangent, cache)
        if shape_cache is not None:
            grads["prior.shape"] = ops.softplus_backward(back.dshape, shape_cache).dx
    if loss_config.prior_r == "learned":
        grads["prior.log_r"] = back.dlog_r[0, :, 0, :]
    return value.mean(axis=(1, 2)), back.dmu, back.dlog_var


def loss_and_grads(
    params: Params,
    mix: Array,
    refs: Array,
    eps: Array | None,
    clean: NDArray[np.bool_],
    *,
    config: LvbdConfig,
    loss_config: LvbdLossConfig,
    ops: SimpleNamespace,
    items: int | None = None,
) -> LossResult:
    """Loss, terms and gradients of mix (B, N) against refs (B, P, N).

    ``clean`` (B,) says for which items mixture consistency counts; those whose mixture is silent are left out.
    ``items`` is the number to divide by where this is one shard of a larger batch (default: B), so that the shards'
    losses and gradients add up to the batch's.
    Raises InputError on shapes or dtypes.
    """
    check_arrays("lvbd loss", mix=(mix, "B N"), refs=(refs, f"B {config.sources} N"))
    if np.shape(clean) != mix.shape[:1]:
        raise InputError(f"lvbd loss: clean has shape {np.shape(clean)}, wanted ({mix.shape[0]},) as mix has")
    share = np.full(mix.shape[0], 1.0 / (items or mix.shape[0]), mix.dtype)
    outputs, cache = lvbd.forward(params, mix, eps, config=config, ops=ops)
    est = outputs.est
    rec, rec_cache = _reconstruction(est, mix, refs, loss_config, ops)
    dest = _reconstruction_backward(share, rec_cache, loss_config, ops)
    terms, total = {"reconstruction": rec}, rec.astype(np.float64)
    dmu, dlog_var = np.zeros_like(outputs.mu), np.zeros_like(outputs.log_var)
    prior: Params = {}
    if loss_config.fisher_weight:
        weight = loss_config.fisher_weight * share
        value, dmu, dlog_var = _divergence(params, outputs, eps, weight, prior, config, loss_config, ops)
        terms["divergence"], total = value, total + loss_config.fisher_weight * value
    if loss_config.permutation_weight:
        value, permutation = ops.softmax_permutation_forward(
            est,
            refs,
            frame=loss_config.permutation_frame,
            temp=loss_config.permutation_temp,
            weights=loss_config.permutation_weights,
            floor=loss_config.permutation_floor,
        )
        dest = dest + ops.softmax_permutation_backward(loss_config.permutation_weight * share, permutation).dest
        terms["permutation"], total = value, total + loss_config.permutation_weight * value
    if loss_config.mixture_weight:
        value, mixture = ops.mixture_consistency_forward(est, mix)
        counts = np.asarray(clean, bool) & mix.any(axis=1)
        weight = loss_config.mixture_weight * counts.astype(mix.dtype)
        dest = dest + ops.mixture_consistency_backward(weight * share, mixture).dest
        terms["mixture"], total = np.where(counts, value, 0), total + np.where(counts, weight * value, 0)
    grads = lvbd.backward(dest, dmu, dlog_var, cache) | prior
    for name in params:
        grads.setdefault(name, np.zeros_like(params[name]))
    terms["loss"] = total
    return LossResult(float((total * share).sum()), terms, {name: np.ascontiguousarray(grads[name]) for name in params})
