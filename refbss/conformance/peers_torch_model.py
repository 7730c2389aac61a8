"""LVBD as a PyTorch user writes it for speed on a CPU: training step, separation, streaming.

Shapes: mix (B, N), refs (B, P, N), eps and mu (B, P, T, D), clean (B,). A (B, C, N) signal lies in memory as (B, N, C),
so that convolutions run in oneDNN's channels-last form and frame features (B, T, C) are views of them. Parameters have
refbss's names. The transposed convolutions are not trimmed one by one: no sample depends on a later one, so that
cutting the estimate to N samples is enough.
"""

from __future__ import annotations

import itertools
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
            raise InputError(f"torch peer: {section}.{name} is {came!r}, wanted {wanted!r}, the default")


def mean_over_permutations(sources: int) -> Array:
    """The matrix (P P, P!) that takes a flat cost matrix to its mean under every permutation."""
    orders = list(itertools.permutations(range(sources)))
    matrix = np.zeros((sources, sources, len(orders)), np.float32)
    for i, order in enumerate(orders):
        matrix[range(sources), order, i] = 1 / sources
    return matrix.reshape(sources**2, len(orders))


class Step(NamedTuple):
    """A training step: the loss before it, the clipped gradients, and the parameters, which the next step changes."""

    loss: Tensor
    grads: Named
    params: Named


class TorchLvbd:
    """The network on given parameters; ``operators`` is a TorchOperators. Raises InputError on a configuration."""

    def __init__(self, operators: Any, params: Named, config: LvbdConfig) -> None:
        check_defaults("model", config)
        self.operators, self.torch, self.functional = operators, operators.torch, operators.torch.nn.functional
        self.params, self.config = params, config
        self.start = operators.wrap(self._start)
        self.normed = operators.wrap(self._normed)
        self.decode = operators.wrap(self._decode)

    def _start(self, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the convolutions, and their norm, both (B, T, C)."""
        p, config, functional = self.params, self.config, self.functional
        h = functional.pad(mix, (0, -mix.shape[1] % config.hop))[:, :, None].transpose(1, 2)
        for i, (kernel, stride) in enumerate(zip(config.conv_kernels, config.conv_strides, strict=True)):
            weight, bias = p[f"encoder.conv.{i}.weight"], p[f"encoder.conv.{i}.bias"]
            (h,) = self.operators.conv1d(h, weight, bias, stride=stride, pad_left=kernel - stride)
            h = functional.prelu(h, p[f"encoder.act.{i}.weight"])
        features = h.transpose(1, 2)
        return features, self.norm(features, "encoder.norm")

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Layer normalisation of every frame by the parameters of that name."""
        weight, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
        return self.functional.layer_norm(x, weight.shape, weight, bias, self.config.norm_eps)

    def _normed(self, y: Tensor, g: Tensor, i: int) -> Tensor:
        """What follows a GRU section: norm and residual."""
        return self.norm(y, f"encoder.gru_norm.{i}") + g

    def latents(self, mix: Tensor, outputs: int) -> tuple[Tensor, Tensor]:
        """mu and, with outputs = 2 D, the unbounded log-variance, both (B, P, T, D); with outputs = D it is empty."""
        p, config = self.params, self.config
        features, g = self.start(mix)
        layers = [features]
        for i in range(config.gru_sections):
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            weights = [p[f"encoder.gru.{i}.{name}"] for name in names]
            y, _ = self.operators.gru(g, *weights, g.new_zeros(g.shape[0], config.gru_hidden))
            g = self.normed(y, g, i)
            layers.append(g)
        batch = (mix.shape[0], -1, -1, -1)
        mu, l, _, _ = self.operators.memory_separator(
            self.torch.cat(layers, 2),
            g,
            p["separator.adapt.weight"],
            p["separator.adapt.bias"],
            p["separator.memory.weight"],
            p["separator.fc.weight"][:outputs],
            p["separator.fc.bias"][:outputs],
            p["memory.m0"].expand(batch),
            self.functional.softplus(p["memory.q0"]).expand(batch),
            p["memory.theta"],
            block=config.block,
            e0=config.e0,
            delta=config.delta,
            truncate=config.truncate,
        )
        return mu, l

    def _decode(self, z: Tensor, samples: int) -> Tensor:
        """Latents (B, P, T, D) to estimates (B, P, N)."""
        p, config = self.params, self.config
        h = z.flatten(0, 1).transpose(1, 2)
        for i, stride in enumerate(config.conv_strides[::-1]):
            if i:
                h = self.functional.prelu(h, p[f"decoder.act.{i - 1}.weight"])
            weight, bias = p[f"decoder.conv.{i}.weight"], p[f"decoder.conv.{i}.bias"]
            (h,) = self.operators.conv_transpose1d(h, weight, bias, stride=stride)
        return h[:, 0, :samples].unflatten(0, z.shape[:2])

    def separate(self, mix: Tensor) -> Tensor:
        """Estimates (B, P, N) from the posterior's mean."""
        mu, _ = self.latents(mix, self.config.latent)
        return self.decode(mu, mix.shape[1])


class TorchTraining:
    """Training steps on one batch, each from where the last one left. Raises InputError on a configuration.

    Adam runs at ``learning_rate``: refbss's schedule is a number that a run hands in.
    """

    def __init__(self, network: TorchLvbd, loss_config: LvbdLossConfig, train: TrainConfig) -> None:
        check_defaults("loss", loss_config)
        self.network, self.loss_config, self.train = network, loss_config, train
        self.torch, self.operators = network.torch, network.operators
        self.objective = self.operators.wrap(self._objective)
        self.leaves = list(network.params.values())
        self.permutations = self.torch.tensor(mean_over_permutations(network.config.sources))
        betas = (train.beta1, train.beta2)
        self.adam = self.torch.optim.Adam(
            self.leaves, lr=train.learning_rate, betas=betas, eps=train.adam_eps, fused=True
        )

    def _reconstruction(self, est: Tensor, mix: Tensor, refs: Tensor) -> Tensor:
        """Least cost over the permutations, per item (B,)."""
        torch, config = self.torch, self.loss_config
        mix_energy, energy = mix.square().sum(1)[:, None], est.square().sum(2)
        ref_energy = refs.square().sum(2)
        g = (est @ refs.mT).square()
        q = energy[:, :, None] * ref_energy[:, None]
        floor = config.si_sdr_eps * q + TINY
        cost = DB * (torch.log((q - g).clamp(min=0) + floor) - torch.log(g + floor))
        quiet = DB * (torch.log(energy + config.silent_floor * mix_energy + TINY) - torch.log(mix_energy + TINY))
        silent = ref_energy <= config.silent_ratio * mix_energy
        cost = torch.where(silent[:, None], quiet[:, :, None], cost)
        return (cost.flatten(1) @ self.permutations).min(1).values

    def _objective(self, mu: Tensor, l: Tensor, mix: Tensor, refs: Tensor, eps: Tensor, clean: Tensor) -> Tensor:
        """The mean loss over the items."""
        torch, config, network = self.torch, self.loss_config, self.network
        low, high = network.config.log_var_min / 2, network.config.log_var_max / 2
        sigma = torch.exp(low + (high - low) * l.sigmoid())
        z = torch.addcmul(mu, sigma, eps)
        est = network._decode(z, mix.shape[1])
        (permutation,) = self.operators.softmax_permutation(
            est,
            refs,
            frame=config.permutation_frame,
            temp=config.permutation_temp,
            weights=config.permutation_weights,
            floor=config.permutation_floor,
        )
        divergence = self.operators.weighted_student(z, z, sigma, eps, config.prior_shape)
        unexplained = (mix - est.sum(1)).square().sum(1) / (mix.square().sum(1) + TINY)
        mixture = torch.where(clean & mix.any(1), unexplained, 0.0)
        items = self._reconstruction(est, mix, refs) + config.permutation_weight * permutation
        items = items + config.mixture_weight * mixture
        return items.mean() + config.fisher_weight * divergence.mean()

    def step(self, mix: Tensor, refs: Tensor, eps: Tensor, clean: Tensor) -> Step:
        """Forward, backward, clipping of the gradient's norm, Adam."""
        torch, names = self.torch, self.network.params
        mu, l = self.network.latents(mix, 2 * self.network.config.latent)
        loss = self.objective(mu, l, mix, refs, eps, clean)
        self.adam.zero_grad()
        loss.backward()
        grads = [leaf.grad for leaf in self.leaves]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        torch._foreach_mul_(grads, (self.train.clip_norm / norm).clamp(max=1.0))
        self.adam.step()
        return Step(loss.detach(), dict(zip(names, grads, strict=True)), names)


class TorchStream:
    """Separation hop by hop: call it with (hop,) samples and get (P, hop).

    Windows are rows, (frames, K C), so that a convolution of a few frames is one small matrix product. What the memory
    adds to the adaptive matrix is worked out once a block.
    """

    def __init__(self, network: TorchLvbd) -> None:
        self.network, self.torch, self.functional = network, network.torch, network.functional
        params, config = network.params, network.config
        self.write = network.operators.wrap(self._write)
        self.frame = network.operators.wrap(self._frame, cpp_wrapper=True)  # calls from C++ count where work is small
        self.encoder: list[tuple[int, int, Tensor]] = []
        self.decoder: list[tuple[int, Tensor, Tensor]] = []
        past, context = [], []
        for i, (kernel, stride) in enumerate(zip(config.conv_kernels, config.conv_strides, strict=True)):
            weight = params[f"encoder.conv.{i}.weight"]
            self.encoder.append((kernel, stride, weight.transpose(1, 2).flatten(1).contiguous()))
            past.append(weight.new_zeros(kernel - stride, weight.shape[1]))
        for i, (kernel, stride) in enumerate(zip(config.conv_kernels[::-1], config.conv_strides[::-1], strict=True)):
            weight, frames = params[f"decoder.conv.{i}.weight"], -(-kernel // stride)
            taps = self.functional.pad(weight, (0, frames * stride - kernel)).unflatten(2, (frames, stride))
            rows = taps.flip(2).permute(3, 1, 2, 0).reshape(-1, frames * weight.shape[0]).contiguous()
            self.decoder.append((frames, rows, params[f"decoder.conv.{i}.bias"].repeat(stride)))
            context.append(weight.new_zeros(config.sources, frames - 1, weight.shape[0]))
        hidden = [past[0].new_zeros(1, config.gru_hidden) for _ in range(config.gru_sections)]
        self.state = (past, hidden, context)
        self.memory = self.torch.stack([params["memory.m0"], self.functional.softplus(params["memory.q0"])], 1)[None]
        self.means: list[Tensor] = []
        self.gate = self._gate(self.memory)

    def __call__(self, samples: Array) -> Array:
        """Take one hop and give one."""
        with self.torch.inference_mode():
            est, mean, self.state = self.frame(self.torch.tensor(samples), self.gate, *self.state)
            self.means.append(mean)
            if len(self.means) == self.network.config.block:
                self.memory, self.gate = self.write(self.means, self.memory)
                self.means = []
            found: Array = est.numpy()
            return found

    def _gate(self, memory: Tensor) -> Tensor:
        """What the memory (1, P, 2, K, D) and the bias add to the adaptive matrix, (P M,)."""
        params = self.network.params
        reading = self.functional.linear(memory[0].flatten(1), params["separator.memory.weight"])
        return (params["separator.adapt.bias"] + reading).flatten()

    def _write(self, means: list[Tensor], memory: Tensor) -> tuple[Tensor, Tensor]:
        config, eta = self.network.config, self.network.params["memory.theta"].sigmoid()[:, None]
        memory = self.network.operators.write(self.torch.stack(means)[None], memory, eta, config.e0, config.delta)
        return memory, self._gate(memory)

    def _frame(self, samples: Tensor, gate: Tensor, past: Any, hidden: Any, context: Any) -> tuple[Tensor, Tensor, Any]:
        """One hop: the estimates (P, hop), the mean (P, D), and the state after it."""
        torch, functional, p, config = self.torch, self.functional, self.network.params, self.network.config
        h, past_after, hidden_after, context_after = samples[:, None], [], [], []
        for i, (kernel, stride, rows) in enumerate(self.encoder):
            seen = torch.cat([past[i], h])
            past_after.append(seen[h.shape[0] :])
            windows = seen.as_strided((h.shape[0] // stride, kernel * h.shape[1]), (stride * h.shape[1], 1))
            h = functional.linear(windows, rows, p[f"encoder.conv.{i}.bias"])
            h = functional.prelu(h, p[f"encoder.act.{i}.weight"])
        layers, g = [h], self.network.norm(h, "encoder.norm")
        for i in range(config.gru_sections):
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            hidden_after.append(torch.gru_cell(g, hidden[i], *(p[f"encoder.gru.{i}.{name}"] for name in names)))
            g = self.network.norm(hidden_after[i], f"encoder.gru_norm.{i}") + g
            layers.append(g)
        matrix = functional.linear(g, p["separator.adapt.weight"].flatten(0, 1), gate).sigmoid()
        weight, bias = p["separator.fc.weight"][: config.latent], p["separator.fc.bias"][: config.latent]
        mean = functional.linear(matrix.view(config.sources, -1) * torch.cat(layers, 1), weight, bias)
        h = mean[:, None]
        for i, (frames, rows, bias) in enumerate(self.decoder):
            if i:
                h = functional.prelu(h.flatten(0, 1), p[f"decoder.act.{i - 1}.weight"]).view(h.shape)
            sources, count, channels = h.shape
            seen = torch.cat([context[i], h], 1)
            context_after.append(seen[:, count:])
            size, strides = (sources, count, frames * channels), (seen.shape[1] * channels, channels, 1)
            h = functional.linear(seen.as_strided(size, strides).reshape(-1, size[2]), rows, bias)
            h = h.view(sources, -1, p[f"decoder.conv.{i}.bias"].shape[0])
        return h[..., 0], mean, (past_after, hidden_after, context_after)
