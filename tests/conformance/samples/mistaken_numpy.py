"""Implementations in NumPy, each with one mistake that people make; the name of a function is op__mistake."""

from __future__ import annotations

import itertools

import numpy as np


def _clipped(value):
    return np.maximum(value, 0.0)


def pit__greedy(cost):
    losses, plans = [], []
    for matrix in cost:
        left, plan = matrix.astype(np.float64), np.zeros_like(matrix)
        for _ in range(len(matrix)):
            p, j = np.unravel_index(np.argmin(left), left.shape)
            plan[p, j] = 1
            left[p, :] = left[:, j] = np.inf
        losses.append((plan * matrix).sum() / len(matrix))
        plans.append(plan)
    return np.array(losses, cost.dtype), np.array(plans)


def pit__sum_for_mean(cost):
    count = cost.shape[1]
    best, plans = [], []
    for matrix in cost:
        orders = list(itertools.permutations(range(count)))
        sums = [sum(matrix[p, j] for p, j in enumerate(order)) for order in orders]
        order = orders[int(np.argmin(sums))]
        best.append(min(sums))
        plans.append(np.eye(count)[list(order)])
    return np.array(best, cost.dtype), np.array(plans, cost.dtype)


def softplus__base_two_logarithm(x):
    return np.logaddexp2(0, x / np.log(2).astype(x.dtype)).astype(x.dtype)


def softplus__relu(x):
    return _clipped(x)


def sigmoid__hard_sigmoid_fifth(x):
    return np.clip(x / x.dtype.type(5) + x.dtype.type(0.5), 0, 1)


def tanh__argument_halved(x):
    return np.tanh(x / 2)


def adam__eps_inside_the_root(theta, g, m, v, t, learning_rate, beta1, beta2, eps):
    one = theta.dtype.type
    m, v = one(beta1) * m + one(1 - beta1) * g, one(beta2) * v + one(1 - beta2) * g * g
    step = m / one(1 - beta1 ** (t + 1)) / np.sqrt(v / one(1 - beta2 ** (t + 1)) + one(eps))
    return theta - one(learning_rate) * step, m, v


def adam__bias_correction_missing(theta, g, m, v, t, learning_rate, beta1, beta2, eps):
    one = theta.dtype.type
    m, v = one(beta1) * m + one(1 - beta1) * g, one(beta2) * v + one(1 - beta2) * g * g
    return theta - one(learning_rate) * m / (np.sqrt(v) + one(eps)), m, v


def clip_gradients__norm_of_each_tensor(a, b, clip):
    def clipped(array):
        norm = np.linalg.norm(array)
        return array * array.dtype.type(min(1.0, clip / norm) if norm else 1.0)

    norm = np.sqrt(np.sum(a.astype(np.float64) ** 2) + np.sum(b.astype(np.float64) ** 2))
    return clipped(a), clipped(b), np.array([norm])


def utterance_similarity__not_squared(est, ref, floor):
    e, s = est.astype(np.float64), ref.astype(np.float64)
    inner = np.einsum("bpn,bjn->bpj", e, s)
    u, v = ((signal**2).sum(-1) * (1 + floor) + 1e-30 for signal in (e, s))
    return (inner / np.sqrt(u[:, :, None] * v[:, None])).astype(est.dtype)


def silent__floor_missing(est, mix, floor):
    e, x = (est.astype(np.float64) ** 2).sum(-1), (mix.astype(np.float64) ** 2).sum(-1)[:, None]
    return (10 * np.log10((e + 1e-30) / (x + 1e-30))).astype(est.dtype)
