"""What refbss is timed against in JAX: its operators and LVBD, as its users write them for speed on a CPU.

Everything runs under jax.jit. A signal (B, C, N) is held as (B, N, C). The transposed convolution is a matrix product
and shifted sums, since the gradient of XLA's own is twenty times slower; the recurrent layers take their inputs'
products out of the scan over time and, by a backward pass of their own, the weights' gradients too. Arrays are float32.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refbss._checks import InputError
from refbss._types import Array
from refbss.conformance.peers_jax_model import JaxLvbd, JaxStream, JaxTraining, Step
from refbss.conformance.targets import library
from refbss.models.lvbd_config import LvbdConfig
from refbss.training.config import RunConfig

Tensor = Any
SIGNALS = ("conv1d", "conv_transpose1d")
"""Operators on signals, whose x, y and gradient of x are held as (B, N, C)."""


class Returned(NamedTuple):
    """Outputs, gradients by name, and whether they are of an operator on signals."""

    outputs: tuple[Tensor, ...]
    grads: dict[str, Tensor]
    signals: bool


class JaxOperators:
    """The operators by refbss's names: arrays and attributes in, a tuple of the outputs out."""

    def __init__(self, jax: Any) -> None:
        self.jax, self.np, self.lax = jax, jax.numpy, jax.lax
        self.named = importlib.import_module("jax.ad_checkpoint").checkpoint_name
        self.gru_steps = self._recurrence(self.gru_step, self._gru_back, self._gru_inputs)
        self.lstm_steps = self._recurrence(self._lstm_step, self._lstm_back, lambda d, _: d)

    def conv1d(self, x: Tensor, w: Tensor, b: Tensor, *, stride: int = 1, pad_left: int = 0) -> tuple[Tensor, ...]:
        """x (B, N, C) to y (B, T, O); w (O, C, K)."""
        axes = ("NHC", "HIO", "NHC")
        taps = w.transpose(2, 1, 0)
        return (self.lax.conv_general_dilated(x, taps, (stride,), [(pad_left, 0)], dimension_numbers=axes) + b,)

    def conv_transpose1d(
        self, x: Tensor, w: Tensor, b: Tensor, *, stride: int = 1, trim_right: int = 0
    ) -> tuple[Tensor, ...]:
        """x (B, T, C) to y (B, N, O); w (C, O, K). One matrix product, of what is shifted before or after it.

        ``stride`` taps are a group, ``stride`` samples a row; group j of frame t goes to row t + j.
        """
        (batch, frames, channels), (_, outputs, kernel) = x.shape, w.shape
        samples, groups = (frames - 1) * stride + kernel - trim_right, -(-kernel // stride)
        rows, zero = -(-samples // stride), np.float32(0)
        taps = self.np.pad(w, ((0, 0), (0, 0), (0, groups * stride - kernel)))
        taps = taps.reshape(channels, outputs, groups, stride)

        def shifted(frame: Tensor, j: int) -> Tensor:
            return self.lax.pad(frame, zero, ((0, 0, 0), (j, rows - j - frames, 0), (0, 0, 0)))

        if stride * outputs >= 2 * channels:
            windows = self.np.concatenate([shifted(x, j) for j in range(groups)], 2).reshape(-1, groups * channels)
            y = windows @ taps.transpose(2, 0, 3, 1).reshape(groups * channels, -1)
        else:
            products = x.reshape(-1, channels) @ taps.transpose(0, 2, 3, 1).reshape(channels, -1)
            products = products.reshape(batch, frames, groups, -1)
            y = sum(shifted(products[:, :, j], j) for j in range(groups))
        return (y.reshape(batch, rows * stride, outputs)[:, :samples] + b,)

    def _recurrence(self, step: Callable[..., Any], back: Callable[..., Any], inputs: Callable[..., Any]) -> Any:
        """A scan over steps (T, B, G) from a state whose first part is h; w (H, G), b (G,). Returns y (T, B, H), state.

        ``step`` gives the next state and what ``back`` needs, first of it h; ``back`` gives the gradient of the hidden
        products, what ``inputs`` needs beside it for that of the steps, and that of the state but through w.
        """

        def forward(steps: Tensor, w: Tensor, b: Tensor, state: Any) -> Any:
            def frame(state: Any, gates: Tensor) -> Any:
                after, kept = step(gates, state[0] @ w + b, state)
                return after, (after[0], kept)

            last, (y, kept) = self.lax.scan(frame, state, steps)
            return (y, last), (kept, w)

        def backward(cache: Any, cotangents: Any) -> Any:
            (kept, w), (dy, dlast) = cache, cotangents

            def frame(dstate: Any, at: Any) -> Any:
                dy_t, kept_t = at
                d, beside, dbefore = back((dstate[0] + dy_t, *dstate[1:]), kept_t)
                return (dbefore[0] + d @ w.T, *dbefore[1:]), (d, beside)

            dstate, (d, beside) = self.lax.scan(frame, dlast, (dy, kept), reverse=True)
            rows = d.reshape(-1, d.shape[2])
            return inputs(d, beside), kept[0].reshape(len(rows), -1).T @ rows, rows.sum(0), dstate

        run = self.jax.custom_vjp(lambda *arrays: forward(*arrays)[0])
        run.defvjp(forward, backward)
        return run

    def gru_step(self, gates: Tensor, products: Tensor, state: Any) -> Any:
        """The next state (h,), h (B, H), from the inputs' and the state's share of the gates (B, 3H), and a cache."""
        (h,), hidden = state, state[0].shape[1]
        rz = self.jax.nn.sigmoid(gates[:, : 2 * hidden] + products[:, : 2 * hidden])
        r, z, a = rz[:, :hidden], rz[:, hidden:], products[:, 2 * hidden :]
        n = self.np.tanh(gates[:, 2 * hidden :] + r * a)
        return (n + z * (h - n),), (h, rz, n, a)

    def _gru_back(self, dstate: Any, kept: Any) -> Any:
        (dh,), (h, rz, n, a) = dstate, kept
        r, z = rz[:, : h.shape[1]], rz[:, h.shape[1] :]
        dn = dh * (1 - z) * (1 - n * n)
        da, dz = dn * r, dh * (h - n) * z * (1 - z)
        return self.np.concatenate([da * a * (1 - r), dz, da], 1), dn, (dh * z,)

    def _gru_inputs(self, d: Tensor, dn: Tensor) -> Tensor:
        return self.np.concatenate([d[:, :, : 2 * dn.shape[2]], dn], 2)

    def _lstm_step(self, gates: Tensor, products: Tensor, state: Any) -> Any:
        h, c = state
        rows, hidden = gates + products, h.shape[1]
        i_f = self.jax.nn.sigmoid(rows[:, : 2 * hidden])
        g, o = self.np.tanh(rows[:, 2 * hidden : 3 * hidden]), self.jax.nn.sigmoid(rows[:, 3 * hidden :])
        after = i_f[:, hidden:] * c + i_f[:, :hidden] * g
        tanh = self.np.tanh(after)
        return (o * tanh, after), (h, c, i_f, g, o, tanh)

    def _lstm_back(self, dstate: Any, kept: Any) -> Any:
        (dh, dc), (h, c, i_f, g, o, tanh) = dstate, kept
        i, f = i_f[:, : h.shape[1]], i_f[:, h.shape[1] :]
        dc = dc + dh * o * (1 - tanh * tanh)
        di, df, dg = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g)
        return self.np.concatenate([di, df, dg, dh * tanh * o * (1 - o)], 1), None, (self.np.zeros_like(dh), dc * f)

    def gru(self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, h0: Tensor) -> tuple[Tensor, ...]:
        """x (B, T, I) to y (B, T, H) and h_n (B, H)."""
        y, (h_n,) = self.gru_steps((x @ w_ih.T + b_ih).transpose(1, 0, 2), w_hh.T, b_hh, (h0,))
        return y.transpose(1, 0, 2), h_n

    def lstm(
        self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, h0: Tensor, c0: Tensor
    ) -> tuple[Tensor, ...]:
        """x (B, T, I) to y (B, T, H), h_n and c_n (B, H)."""
        y, (h_n, c_n) = self.lstm_steps((x @ w_ih.T + b_ih).transpose(1, 0, 2), w_hh.T, b_hh, (h0, c0))
        return y.transpose(1, 0, 2), h_n, c_n

    def memory_separator(
        self,
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
        *,
        block: int,
        e0: float,
        delta: float,
        memory: bool = True,
        truncate: int = 0,
    ) -> tuple[Tensor, ...]:
        """mu, l (B, P, T, D), m_blocks, q_blocks (B, P, NB + 1, K, D); v may hold the rows of mu alone: l is empty.

        On the way back a block works its adaptive matrix out again, which is quicker than to keep it.
        """
        jax, np_, latent = self.jax, self.np, m0.shape[3]
        (batch, frames, _), sources = x.shape, a.shape[0]
        a, read, v, eta = a.reshape(-1, a.shape[2]).T, read.T, v.T, jax.nn.sigmoid(theta)[:, None]

        def one(state: Tensor, at: Any) -> Any:
            x_n, g_n, cut = at
            before = np_.where(cut, self.lax.stop_gradient(state), state) if truncate else state
            logits = (g_n.reshape(-1, g_n.shape[2]) @ a).reshape(batch, -1, *c.shape) + c
            if memory:
                logits = logits + (before.reshape(batch * sources, -1) @ read).reshape(batch, 1, *c.shape)
            u = jax.nn.sigmoid(logits) * x_n[:, :, None]
            y = (u.reshape(-1, u.shape[3]) @ v).reshape(*u.shape[:3], -1) + b
            y = self.named(y, "y")
            after = self.write(y[..., :latent], before, eta, e0, delta) if memory else state
            return after, (state, y)

        keep_y = jax.checkpoint_policies.save_only_these_names("y")
        whole = frames // block
        cuts = (np.arange(whole + 1) % max(truncate, 1) == 0) & (np.arange(whole + 1) > 0)
        blocks = [s[:, : whole * block].reshape(batch, whole, block, -1).swapaxes(0, 1) for s in (x, g)]
        state = np_.stack([m0, q0], 2)
        state, (states, y) = self.lax.scan(jax.checkpoint(one, policy=keep_y), state, (*blocks, cuts[:whole]))
        y = y.swapaxes(0, 1).reshape(batch, whole * block, sources, -1)
        if frames % block:
            state, (before, rest) = one(state, (x[:, whole * block :], g[:, whole * block :], cuts[whole]))
            y, states = np_.concatenate([y, rest], 1), np_.concatenate([states, before[None]])
        y, states = y.swapaxes(1, 2), np_.moveaxis(np_.concatenate([states, state[None]]), 0, 3)
        return y[..., :latent], y[..., latent:], states[:, :, 0], states[:, :, 1]

    def write(self, mu: Tensor, state: Tensor, eta: Tensor, e0: float, delta: float) -> Tensor:
        """The state (B, P, 2, K, D) after a block mu (B, L, P, D); eta (K, 1)."""
        energy = (mu * mu).mean(3)
        activity = energy / (energy + e0)
        total = activity.sum(1)
        sums = [(activity[..., None] * value).sum(1) for value in (mu, mu * mu)]
        moments = self.np.stack(sums, 2) / (total + delta)[..., None, None]
        return state + eta * (total / mu.shape[1])[..., None, None, None] * (moments[:, :, :, None] - state)

    def fisher(
        self, mu: Tensor, log_var: Tensor, eps: Tensor, log_r: Tensor, shape: Tensor, *, family: str,
        form: str = "weighted", offset: float = 0.0,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """The divergence (...,) of mu, log_var, eps (..., D) from the student prior, which ignores the offset."""
        if (family, form) != ("student", "weighted"):
            raise InputError(f"jax peer: fisher is {family}, {form}, wanted student, weighted")
        sigma = self.np.exp(log_var / 2)
        z = mu + sigma * eps
        return (self.weighted_student(z, z * self.np.exp(-log_r), sigma, eps, shape),)

    def weighted_student(self, z: Tensor, scaled: Tensor, sigma: Tensor, eps: Tensor, shape: Any) -> Tensor:
        """The divergence at the sample z; scaled is z over the diagonal of R."""
        phi = (shape + z.shape[-1]) / (shape + (scaled * z).sum(-1, keepdims=True))
        return 0.5 * self.np.square(eps - sigma * scaled * phi).sum(-1)

    def softmax_permutation(
        self, est: Tensor, ref: Tensor, *, frame: int, temp: float, weights: Sequence[float], floor: float = 1e-3
    ) -> tuple[Tensor, ...]:
        """The loss (B,) of est (B, P, N) and ref (B, J, N). A window's mean is that of its two halves' means."""
        np_, count = self.np, est.shape[2] // frame
        y, s = (signal[:, :, : count * frame].reshape(*signal.shape[:2], count, frame) for signal in (est, ref))
        est_energy, ref_energy = np_.square(y).sum(3), np_.square(s).sum(3)
        u = est_energy + floor * est_energy.mean(2, keepdims=True) + 1e-30
        v = ref_energy + floor * ref_energy.mean(2, keepdims=True) + 1e-30
        inner = (y[:, :, None] * s[:, None]).sum(4)
        means = self.jax.nn.softmax((inner / u[:, :, None]) * (inner / v[:, None]) / temp, axis=1)
        activity, loss = ref_energy / v, np_.zeros(est.shape[0], est.dtype)
        for r, weight in enumerate(weights):
            half = 2**r
            if count < 2 * half:
                break
            earlier, later = means[..., :-half], means[..., half:]
            active = activity[:, :, half : count - half + 1]
            loss = loss + weight * (active * np_.square(later - earlier).sum(1)).mean((1, 2))
            means = (earlier + later) / 2
        return (loss,)


class JaxPeer:
    """JAX. Its CPU client takes as many threads as the process may use processors when JAX is first used, so
    ``threads`` must be what the caller has set by os.sched_setaffinity before. Raises InputError where JAX is missing.
    """

    name = "jax"

    def __init__(self, threads: int) -> None:
        self.jax = library("jax")
        self.threads = threads
        self.operators = JaxOperators(self.jax)

    def version(self) -> str:
        """The version of JAX."""
        return str(self.jax.__version__)

    def op(
        self,
        name: str,
        arrays: Mapping[str, Array],
        wanted: Sequence[str],
        cotangents: Sequence[Array],
        attributes: Mapping[str, Any],
    ) -> Callable[[], Returned]:
        """An operator of refbss, ready to run; with ``wanted``, its gradients by those arrays too.

        The first call has been made: nothing is compiled later. Raises InputError on what this peer does not have.
        """
        signals, function = name in SIGNALS, partial(getattr(self.operators, name), **attributes)
        given = {key: self._array(value, signals and key == "x") for key, value in arrays.items()}
        pulled = tuple(self._array(value, signals) for value in cotangents)
        leaves = {key: given.pop(key) for key in wanted}

        def both(leaves: Any, given: Any, pulled: Any) -> Any:
            if not leaves:
                return function(**given), {}
            outputs, pull = self.jax.vjp(lambda named: function(**named, **given), leaves)
            return outputs, pull(pulled)[0]

        compiled = self.jax.jit(both)

        def ready() -> Returned:
            outputs, grads = self.jax.block_until_ready(compiled(leaves, given, pulled))
            return Returned(outputs, grads, signals)

        ready()
        return ready

    def arrays_of(self, returned: Returned) -> tuple[list[Array], dict[str, Array]]:
        """The outputs in refbss's order and the gradients by array name."""
        outputs, grads = [np.array(value) for value in returned.outputs], _arrays(returned.grads)
        if returned.signals:
            outputs = [value.transpose(0, 2, 1) for value in outputs]
            grads = {key: value.transpose(0, 2, 1) if key == "x" else value for key, value in grads.items()}
        return outputs, grads

    def training_step(
        self,
        params: Mapping[str, Array],
        mix: Array,
        refs: Array,
        eps: Array,
        clean: NDArray[np.bool_],
        config: RunConfig,
    ) -> Callable[[], Step]:
        """One step on mix (B, N), refs (B, P, N), eps (B, P, T, D), clean (B,), each call from where the last one left.

        The learning rate is the constant config.train.learning_rate. Raises InputError on what this peer does not have.
        """
        training = JaxTraining(JaxLvbd(self.operators, config.model), config.loss, config.train)
        batch = (self._array(mix), self._array(refs), self._array(eps), self.jax.numpy.array(clean))
        return training.steps({name: self._array(value) for name, value in params.items()}, batch)

    def losses_of(self, returned: Step) -> float:
        """The loss before the step."""
        return float(returned.loss)

    def gradients_of(self, returned: Step) -> dict[str, Array]:
        """The step's gradients by parameter name, after clipping."""
        return _arrays(returned.grads)

    def parameters_of(self, returned: Step) -> dict[str, Array]:
        """The parameters after the step; to be read before the next one, which takes their memory."""
        return _arrays(returned.params)

    def separation(self, params: Mapping[str, Array], mix: Array, config: LvbdConfig) -> Callable[[], Tensor]:
        """Separation of mix (B, N) by the posterior's mean: est (B, P, N). Raises InputError on a configuration."""
        separate = self.jax.jit(JaxLvbd(self.operators, config).separate)
        named, signal = {name: self._array(value) for name, value in params.items()}, self._array(mix)

        def ready() -> Tensor:
            return self.jax.block_until_ready(separate(named, signal))

        ready()
        return ready

    def streaming(self, params: Mapping[str, Array], config: LvbdConfig) -> Callable[[Array], Array]:
        """A stream: called with (hop,) samples it gives (P, hop) estimates. Raises InputError on a configuration."""
        named = {name: self._array(value) for name, value in params.items()}
        return JaxStream(JaxLvbd(self.operators, config), named)

    def _array(self, array: Array, signal: bool = False) -> Tensor:
        """A copy; a signal (B, C, N) as (B, N, C)."""
        return self.jax.numpy.array(array.transpose(0, 2, 1) if signal else array, np.float32)


def _arrays(named: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: np.array(value) for name, value in named.items()}
