"""LVBD as a JAX user writes it for speed on a CPU: training step, separation, streaming.

Shapes: mix (B, N), refs (B, P, N), eps and mu (B, P, T, D), clean (B,). A (B, C, N) signal is held as (B, N, C), frame
features as (B, T, C). Parameters have refbss's names. The transposed convolutions are not trimmed one by one: no sample
depends on a later one, so that cutting the estimate to N samples is enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refbss._checks import InputError
from refbss._types import Array
from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
from refbss.training.config import TrainConfig

Tensor = Any
Named = dict[str, Tensor]
DB, TINY = 10.0 / np.log(10.0), 1e-30
DEFAULTS: dict[str, dict[str, Any]] = {
    "model": {"norm": True, "residual": True, "concat_conv": True, "memory": True, "sample": True},
    "loss": {
        "assignment": "pit",
        "divergence": "fisher",
        "fisher_form": "weighted",
        "prior": "student",
        "learn_prior_shape": False,
        "prior_r": "identity",
    },
}


def check_defaults(section: str, config: LvbdConfig | LvbdLossConfig) -> None:
    """Refuse what this peer does not have. Raises InputError."""
    for name, wanted in DEFAULTS[section].items():
        if (came := getattr(config, name)) != wanted:
            raise InputError(f"jax peer: {section}.{name} is {came!r}, wanted {wanted!r}, the default")


def mean_over_permutations(sources: int) -> Array:
    """The matrix (P P, P!) that takes a flat cost matrix to its mean under every permutation."""
    orders = list(itertools.permutations(range(sources)))
    matrix = np.zeros((sources, sources, len(orders)), np.float32)
    for i, order in enumerate(orders):
        matrix[range(sources), order, i] = 1 / sources
    return matrix.reshape(sources**2, len(orders))


class Step(NamedTuple):
    """A training step: the loss before it, the clipped gradients, and the parameters, which the next step takes."""

    loss: Tensor
    grads: Named
    params: Named


class JaxLvbd:
    """The network as functions of its parameters; ``operators`` is a JaxOperators. Raises InputError."""

    def __init__(self, operators: Any, config: LvbdConfig) -> None:
        check_defaults("model", config)
        self.operators, self.config = operators, config
        self.jax, self.np = operators.jax, operators.np

    def prelu(self, h: Tensor, slope: Tensor) -> Tensor:
        """Of h (.., C), with a slope for each channel."""
        return self.np.where(h > 0, h, slope * h)

    def norm(self, p: Named, x: Tensor, name: str) -> Tensor:
        """Layer normalisation of every frame by the parameters of that name."""
        centred = x - x.mean(-1, keepdims=True)
        variance = self.np.square(centred).mean(-1, keepdims=True)
        inverse = self.jax.lax.rsqrt(variance + self.config.norm_eps)
        return centred * inverse * p[f"{name}.weight"] + p[f"{name}.bias"]

    def latents(self, p: Named, mix: Tensor, outputs: int) -> tuple[Tensor, Tensor]:
        """mu and, with outputs = 2 D, the unbounded log-variance, both (B, P, T, D); with outputs = D it is empty."""
        config = self.config
        h = self.np.pad(mix, ((0, 0), (0, -mix.shape[1] % config.hop)))[:, :, None]
        for i, (kernel, stride) in enumerate(zip(config.conv_kernels, config.conv_strides, strict=True)):
            weight, bias = p[f"encoder.conv.{i}.weight"], p[f"encoder.conv.{i}.bias"]
            (h,) = self.operators.conv1d(h, weight, bias, stride=stride, pad_left=kernel - stride)
            h = self.prelu(h, p[f"encoder.act.{i}.weight"])
        layers, g = [h], self.norm(p, h, "encoder.norm")
        for i in range(config.gru_sections):
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            weights = [p[f"encoder.gru.{i}.{name}"] for name in names]
            y, _ = self.operators.gru(g, *weights, self.np.zeros((g.shape[0], config.gru_hidden), g.dtype))
            g = self.norm(p, y, f"encoder.gru_norm.{i}") + g
            layers.append(g)
        shape = (mix.shape[0], *p["memory.m0"].shape)
        mu, l, _, _ = self.operators.memory_separator(
            self.np.concatenate(layers, 2),
            g,
            p["separator.adapt.weight"],
            p["separator.adapt.bias"],
            p["separator.memory.weight"],
            p["separator.fc.weight"][:outputs],
            p["separator.fc.bias"][:outputs],
            self.np.broadcast_to(p["memory.m0"], shape),
            self.np.broadcast_to(self.jax.nn.softplus(p["memory.q0"]), shape),
            p["memory.theta"],
            block=config.block,
            e0=config.e0,
            delta=config.delta,
            truncate=config.truncate,
        )
        return mu, l

    def decode(self, p: Named, z: Tensor, samples: int) -> Tensor:
        """Latents (B, P, T, D) to estimates (B, P, N)."""
        h = z.reshape(-1, *z.shape[2:])
        for i, stride in enumerate(self.config.conv_strides[::-1]):
            if i:
                h = self.prelu(h, p[f"decoder.act.{i - 1}.weight"])
            weight, bias = p[f"decoder.conv.{i}.weight"], p[f"decoder.conv.{i}.bias"]
            (h,) = self.operators.conv_transpose1d(h, weight, bias, stride=stride)
        return h[:, :samples, 0].reshape(*z.shape[:2], samples)

    def separate(self, p: Named, mix: Tensor) -> Tensor:
        """Estimates (B, P, N) from the posterior's mean."""
        mu, _ = self.latents(p, mix, self.config.latent)
        return self.decode(p, mu, mix.shape[1])


class JaxTraining:
    """Training steps on one batch, each from where the last one left. Raises InputError on a configuration.

    Adam runs at ``learning_rate``: refbss's schedule is a number that a run hands in.
    """

    def __init__(self, network: JaxLvbd, loss_config: LvbdLossConfig, train: TrainConfig) -> None:
        check_defaults("loss", loss_config)
        self.network, self.loss_config, self.train = network, loss_config, train
        self.jax, self.np, self.operators = network.jax, network.np, network.operators
        self.permutations = mean_over_permutations(network.config.sources)

    def steps(self, params: Named, batch: Any) -> Callable[[], Step]:
        """The training on (mix, refs, eps, clean) as a function without arguments, compiled."""
        zeros = {name: self.np.zeros_like(value) for name, value in params.items()}
        state = [(params, zeros, {name: value + 0 for name, value in zeros.items()}, self.np.zeros(()))]
        compiled = self.jax.jit(self._step, donate_argnums=0).lower(state[0], batch).compile()

        def step() -> Step:
            state[0], loss, grads = self.jax.block_until_ready(compiled(state[0], batch))
            return Step(loss, grads, state[0][0])

        return step

    def _step(self, state: Any, batch: Any) -> tuple[Any, Tensor, Named]:
        """Forward, backward, clipping of the gradient's norm, Adam."""
        (params, m, v, t), train, np_ = state, self.train, self.np
        loss, grads = self.jax.value_and_grad(self._objective)(params, *batch)
        norm = np_.sqrt(sum(np_.square(grad).sum() for grad in grads.values()))
        scale = np_.minimum(1.0, train.clip_norm / norm)
        grads = {name: grad * scale for name, grad in grads.items()}
        t = t + 1
        m = {name: train.beta1 * m[name] + (1 - train.beta1) * grad for name, grad in grads.items()}
        v = {name: train.beta2 * v[name] + (1 - train.beta2) * grad * grad for name, grad in grads.items()}
        first, second = 1 - train.beta1**t, 1 - train.beta2**t
        after = {
            name: value - train.learning_rate * (m[name] / first) / (np_.sqrt(v[name] / second) + train.adam_eps)
            for name, value in params.items()
        }
        return (after, m, v, t), loss, grads

    def _reconstruction(self, est: Tensor, mix: Tensor, refs: Tensor) -> Tensor:
        """Least cost over the permutations, per item (B,)."""
        np_, config = self.np, self.loss_config
        mix_energy, energy = np_.square(mix).sum(1)[:, None], np_.square(est).sum(2)
        ref_energy = np_.square(refs).sum(2)
        g = np_.square(est @ refs.swapaxes(1, 2))
        q = energy[:, :, None] * ref_energy[:, None]
        floor = config.si_sdr_eps * q + TINY
        cost = DB * (np_.log(np_.maximum(q - g, 0) + floor) - np_.log(g + floor))
        quiet = DB * (np_.log(energy + config.silent_floor * mix_energy + TINY) - np_.log(mix_energy + TINY))
        silent = ref_energy <= config.silent_ratio * mix_energy
        cost = np_.where(silent[:, None], quiet[:, :, None], cost)
        return (cost.reshape(len(cost), -1) @ self.permutations).min(1)

    def _objective(self, p: Named, mix: Tensor, refs: Tensor, eps: Tensor, clean: Tensor) -> Tensor:
        """The mean loss over the items."""
        np_, config, network = self.np, self.loss_config, self.network
        mu, l = network.latents(p, mix, 2 * network.config.latent)
        low, high = network.config.log_var_min / 2, network.config.log_var_max / 2
        sigma = np_.exp(low + (high - low) * self.jax.nn.sigmoid(l))
        z = mu + sigma * eps
        est = network.decode(p, z, mix.shape[1])
        (permutation,) = self.operators.softmax_permutation(
            est,
            refs,
            frame=config.permutation_frame,
            temp=config.permutation_temp,
            weights=config.permutation_weights,
            floor=config.permutation_floor,
        )
        divergence = self.operators.weighted_student(z, z, sigma, eps, config.prior_shape)
        unexplained = np_.square(mix - est.sum(1)).sum(1) / (np_.square(mix).sum(1) + TINY)
        mixture = np_.where(clean & mix.any(1), unexplained, 0.0)
        items = self._reconstruction(est, mix, refs) + config.permutation_weight * permutation
        items = items + config.mixture_weight * mixture
        return items.mean() + config.fisher_weight * divergence.mean()


class JaxStream:
    """Separation hop by hop: call it with (hop,) samples and get (P, hop).

    Windows are rows, (frames, K C), so that a convolution of a few frames is one small matrix product. What the memory
    adds to the adaptive matrix is worked out once a block. The parameters are constants of the compiled functions.
    """

    def __init__(self, network: JaxLvbd, params: Named) -> None:
        self.network, self.params = network, params
        self.jax, self.np = network.jax, network.np
        config, zeros = network.config, self.np.zeros
        inputs, kernels, strides = (1, *config.conv_channels[:-1]), config.conv_kernels, config.conv_strides
        past = [zeros((k - s, c)) for k, s, c in zip(kernels, strides, inputs, strict=True)]
        context = []
        for i, (kernel, stride) in enumerate(zip(kernels[::-1], strides[::-1], strict=True)):
            channels = params[f"decoder.conv.{i}.weight"].shape[0]
            context.append(zeros((config.sources, -(-kernel // stride) - 1, channels)))
        hidden = [zeros((1, config.gru_hidden)) for _ in range(config.gru_sections)]
        self.state = (past, hidden, context)
        self.memory = self.np.stack([params["memory.m0"], self.jax.nn.softplus(params["memory.q0"])], 1)[None]
        self.gate = self._gate(self.memory)
        self.means: list[Tensor] = []
        self.frame = self.jax.jit(self._frame, donate_argnums=2)
        self.write = self.jax.jit(self._write)

    def __call__(self, samples: Array) -> Array:
        """Take one hop and give one."""
        est, mean, self.state = self.frame(samples, self.gate, self.state)
        self.means.append(mean)
        if len(self.means) == self.network.config.block:
            self.memory, self.gate = self.write(self.means, self.memory)
            self.means = []
        return np.asarray(est)

    def _gate(self, memory: Tensor) -> Tensor:
        """What the memory (1, P, 2, K, D) and the bias add to the adaptive matrix, (P, M)."""
        params, sources = self.params, memory.shape[1]
        return params["separator.adapt.bias"] + memory.reshape(sources, -1) @ params["separator.memory.weight"].T

    def _write(self, means: list[Tensor], memory: Tensor) -> tuple[Tensor, Tensor]:
        config, eta = self.network.config, self.jax.nn.sigmoid(self.params["memory.theta"])[:, None]
        memory = self.network.operators.write(self.np.stack(means)[None], memory, eta, config.e0, config.delta)
        return memory, self._gate(memory)

    def _frame(self, samples: Tensor, gate: Tensor, state: Any) -> tuple[Tensor, Tensor, Any]:
        """One hop: the estimates (P, hop), the mean (P, D), and the state after it."""
        np_, p, network, config = self.np, self.params, self.network, self.network.config
        (past, hidden, context), kernels, strides = state, config.conv_kernels, config.conv_strides
        h, past_after, hidden_after, context_after = samples[:, None], [], [], []
        for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
            seen = np_.concatenate([past[i], h])
            past_after.append(seen[h.shape[0] :])
            windows = [seen[t : t + kernel].reshape(-1) for t in range(0, h.shape[0], stride)]
            rows = p[f"encoder.conv.{i}.weight"].transpose(2, 1, 0).reshape(kernel * h.shape[1], -1)
            h = network.prelu(np_.stack(windows) @ rows + p[f"encoder.conv.{i}.bias"], p[f"encoder.act.{i}.weight"])
        layers, g = [h], network.norm(p, h, "encoder.norm")
        for i in range(config.gru_sections):
            w_ih, w_hh = (p[f"encoder.gru.{i}.weight_{name}_l0"].T for name in ("ih", "hh"))
            gates, products = g @ w_ih + p[f"encoder.gru.{i}.bias_ih_l0"], hidden[i] @ w_hh
            (after,), _ = network.operators.gru_step(gates, products + p[f"encoder.gru.{i}.bias_hh_l0"], (hidden[i],))
            hidden_after.append(after)
            g = network.norm(p, after, f"encoder.gru_norm.{i}") + g
            layers.append(g)
        matrix = self.jax.nn.sigmoid((p["separator.adapt.weight"] @ g[0]) + gate)
        weight, bias = p["separator.fc.weight"][: config.latent], p["separator.fc.bias"][: config.latent]
        mean = (matrix * np_.concatenate(layers, 1)) @ weight.T + bias
        h = mean[:, None]
        for i, (kernel, stride) in enumerate(zip(kernels[::-1], strides[::-1], strict=True)):
            if i:
                h = network.prelu(h, p[f"decoder.act.{i - 1}.weight"])
            (sources, count, channels), frames = h.shape, -(-kernel // stride)
            seen = np_.concatenate([context[i], h], 1)
            context_after.append(seen[:, count:])
            windows = np_.stack([seen[:, t : t + frames].reshape(sources, -1) for t in range(count)], 1)
            taps = np_.pad(p[f"decoder.conv.{i}.weight"], ((0, 0), (0, 0), (0, frames * stride - kernel)))
            taps = taps.reshape(channels, -1, frames, stride)[:, :, ::-1].transpose(2, 0, 3, 1)
            h = windows @ taps.reshape(frames * channels, -1)
            h = h.reshape(sources, count * stride, -1) + p[f"decoder.conv.{i}.bias"]
        return h[..., 0], mean, (past_after, hidden_after, context_after)
