"""What refbss is timed against in PyTorch: its operators and LVBD, as its users write them for speed on a CPU.

Eager, or the same through torch.compile. Gradients are autograd's. PyTorch's kernels are used where it has them:
oneDNN's convolutions and LSTM, the GRU, the fused Adam. Arrays are float32, with refbss's names and layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refbss._checks import InputError
from refbss._types import Array
from refbss.conformance.peers_torch_model import Step, TorchLvbd, TorchStream, TorchTraining
from refbss.conformance.targets import library
from refbss.models.lvbd_config import LvbdConfig
from refbss.training.config import RunConfig

Tensor = Any
Returned = tuple[tuple[Tensor, ...], dict[str, Tensor]]
CHUNK, EVERY = 10, 10**9
"""Frames of the written GRU in one function, where that is compiled and where it is not."""


class TorchOperators:
    """The operators by refbss's names: tensors and attributes in, a tuple of the outputs out."""

    def __init__(self, torch: Any, compiled: bool, written: bool) -> None:
        self.torch, self.functional, self.compiled, self.written = torch, torch.nn.functional, compiled, written
        self.block, self.gru_steps = self.wrap(self._block), self._gru_steps()

    def wrap(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """The function compiled as one graph of fixed shapes, or as it is."""
        if not self.compiled:
            return function
        compiled: Callable[..., Any] = self.torch.compile(function, fullgraph=True, dynamic=False, options=options)
        return compiled

    def conv1d(self, x: Tensor, w: Tensor, b: Tensor, *, stride: int = 1, pad_left: int = 0) -> tuple[Tensor, ...]:
        """x (B, C, N), quickest where it lies in memory as (B, N, C), to y (B, O, T), which then lies as (B, T, O)."""
        plane = x.unsqueeze(2)
        if pad_left:
            plane = self.functional.pad(plane, (pad_left, 0))
        return (self.functional.conv2d(plane, w.unsqueeze(2), b, (1, stride)).squeeze(2),)

    def conv_transpose1d(
        self, x: Tensor, w: Tensor, b: Tensor, *, stride: int = 1, trim_right: int = 0
    ) -> tuple[Tensor, ...]:
        """x (B, C, T), quickest where it lies in memory as (B, T, C), to y (B, O, N)."""
        y = self.functional.conv_transpose2d(x.unsqueeze(2), w.unsqueeze(2), b, (1, stride)).squeeze(2)
        return (y[:, :, : y.shape[2] - trim_right],)

    def gru(self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, h0: Tensor) -> tuple[Tensor, ...]:
        """x (B, T, I) to y (B, T, H) and h_n (B, H)."""
        grads = self.torch.is_grad_enabled()
        if grads and self.written:
            steps = self.functional.linear(x.transpose(0, 1), w_ih, b_ih)
            y, h_n = self.gru_steps.apply(steps, w_hh, b_hh, h0)
            return y.transpose(0, 1), h_n
        weights = [w_ih, w_hh, b_ih, b_hh]
        y, last = self.torch._VF.gru(x, h0[None], weights, True, 1, 0.0, grads, False, True)
        return y, last[0]

    def _gru_steps(self) -> Any:
        """The GRU over steps (T, B, 3H), the inputs' share of the gates, as an autograd function.

        It keeps the weights' gradients out of the loop over time, which PyTorch's kernel does not.
        """
        torch, frames = self.torch, CHUNK if self.compiled else EVERY
        chunk, chunk_back = self.wrap(self._chunk), self.wrap(self._chunk_back)

        class Gru(torch.autograd.Function):  # type: ignore[name-defined, misc]
            @staticmethod
            def forward(ctx: Any, steps: Tensor, w: Tensor, b: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
                h, parts = h0, []
                for part in steps.split(frames):
                    parts.append(chunk(part, h, w.t(), b))
                    h = parts[-1][0][-1]
                y, rz, n, a = (torch.cat(values) for values in zip(*parts, strict=True))
                ctx.save_for_backward(w, h0, y, rz, n, a)
                return y, h.clone()

            @staticmethod
            def backward(ctx: Any, dy: Tensor, dh: Tensor) -> tuple[Tensor, ...]:
                w, h0, y, rz, n, a = ctx.saved_tensors
                before, (r, z) = torch.cat([h0[None], y[:-1]]), rz.chunk(2, 2)
                dn = (1 - z) * (1 - n * n)
                slopes = torch.stack([dn * a * r * (1 - r), (before - n) * z * (1 - z), dn * r], 2)
                parts, cut = [], [value.split(frames)[::-1] for value in (dy, slopes, z)]
                for at in zip(*cut, strict=True):
                    parts.append(chunk_back(dh, *at, w))
                    dh = parts[-1][0]
                d, dhs = (torch.cat([part[i] for part in parts[::-1]]) for i in (1, 2))
                rows = d.flatten(0, 1)
                dsteps = torch.cat([d[..., : 2 * dhs.shape[2]], dhs * dn], 2)
                return dsteps, rows.t() @ before.flatten(0, 1), rows.sum(0), dh

        return Gru

    def _chunk(self, steps: Tensor, h: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        """Some steps (T, B, 3H) from h (B, H), w (H, 3H): y, [r, z], n and a of every step."""
        kept, hidden = [], h.shape[1]
        for step in steps.unbind(0):
            products = self.torch.addmm(b, h, w)
            rz, a = (step[:, : 2 * hidden] + products[:, : 2 * hidden]).sigmoid(), products[:, 2 * hidden :]
            n = self.torch.addcmul(step[:, 2 * hidden :], rz[:, :hidden], a).tanh()
            h = self.torch.lerp(n, h, rz[:, hidden:])
            kept.append((h, rz, n, a))
        return tuple(self.torch.stack(values) for values in zip(*kept, strict=True))

    def _chunk_back(self, dh: Tensor, dy: Tensor, slopes: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        """Back through some steps, slopes (T, B, 3, H): dh before them; of each its products' gradient and its dh."""
        ds, dhs = [], []
        for dy_t, slopes_t, z_t in zip(dy.unbind(0)[::-1], slopes.unbind(0)[::-1], z.unbind(0)[::-1], strict=True):
            dh = dh + dy_t
            dhs.append(dh)
            ds.append((slopes_t * dh[:, None]).flatten(1))
            dh = self.torch.addmm(dh * z_t, ds[-1], w)
        return dh, self.torch.stack(ds[::-1]), self.torch.stack(dhs[::-1])

    def lstm(
        self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, h0: Tensor, c0: Tensor
    ) -> tuple[Tensor, ...]:
        """x (B, T, I) to y (B, T, H), h_n and c_n (B, H)."""
        state, weights, train = [h0[None], c0[None]], [w_ih, w_hh, b_ih, b_hh], self.torch.is_grad_enabled()
        y, h_n, c_n = self.torch._VF.lstm(x, state, weights, True, 1, 0.0, train, False, True)
        return y, h_n[0], c_n[0]

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
        """mu, l (B, P, T, D), m_blocks, q_blocks (B, P, NB + 1, K, D); v may hold the rows of mu alone: l is empty."""
        torch, latent = self.torch, m0.shape[3]
        logits = self.functional.linear(g, a.flatten(0, 1), c.flatten()).unflatten(2, c.shape)
        if not memory:
            read = torch.zeros_like(read)
        state, eta = torch.stack([m0, q0], 2), theta.sigmoid()[:, None]
        states, rows = [state], []
        for n, (x_n, logits_n) in enumerate(zip(x.split(block, 1), logits.split(block, 1), strict=True)):
            if truncate and n and n % truncate == 0:
                state = state.detach()
            y, after = self.block(x_n, logits_n, state, read, v, b, eta, e0, delta)
            state = after if memory else state
            rows.append(y)
            states.append(state)
        y, stored = torch.cat(rows, 1).transpose(1, 2).contiguous(), torch.stack(states, 3)
        return y[..., :latent], y[..., latent:], stored[:, :, 0], stored[:, :, 1]

    def _block(
        self, x: Tensor, logits: Tensor, state: Tensor, read: Tensor, v: Tensor, b: Tensor, eta: Tensor, e0: float,
        delta: float,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """One block: x (B, L, M), logits (B, L, P, M), state (B, P, 2, K, D), to y (B, L, P, 2D) and the state."""
        w = (logits + self.functional.linear(state.flatten(2), read)[:, None]).sigmoid()
        y = self.functional.linear(w * x[:, :, None], v, b)
        return y, self.write(y[..., : state.shape[4]], state, eta, e0, delta)

    def write(self, mu: Tensor, state: Tensor, eta: Tensor, e0: float, delta: float) -> Tensor:
        """The state (B, P, 2, K, D) after a block mu (B, L, P, D); eta (K, 1)."""
        torch, square = self.torch, mu * mu
        energy = square.mean(3)
        activity = energy / (energy + e0)
        total = activity.sum(1)
        moments = (activity[..., None] * torch.cat([mu, square], 3)).sum(1) / (total + delta)[..., None]
        pull = eta * (total / mu.shape[1])[..., None, None, None]
        return torch.lerp(state, moments.unflatten(2, (2, 1, -1)), pull)

    def fisher(
        self, mu: Tensor, log_var: Tensor, eps: Tensor, log_r: Tensor, shape: Tensor, *, family: str,
        form: str = "weighted", offset: float = 0.0,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """The divergence (...,) of mu, log_var, eps (..., D) from the student prior, which ignores the offset."""
        if (family, form) != ("student", "weighted"):
            raise InputError(f"torch peer: fisher is {family}, {form}, wanted student, weighted")
        sigma = (log_var / 2).exp()
        z = self.torch.addcmul(mu, sigma, eps)
        return (self.weighted_student(z, z * (-log_r).exp(), sigma, eps, shape),)

    def weighted_student(self, z: Tensor, scaled: Tensor, sigma: Tensor, eps: Tensor, shape: Any) -> Tensor:
        """The divergence at the sample z; scaled is z over the diagonal of R."""
        phi = (shape + z.shape[-1]) / (shape + (scaled * z).sum(-1, keepdim=True))
        return 0.5 * self.torch.addcmul(eps, sigma * scaled, phi, value=-1).square().sum(-1)

    def softmax_permutation(
        self, est: Tensor, ref: Tensor, *, frame: int, temp: float, weights: Sequence[float], floor: float = 1e-3
    ) -> tuple[Tensor, ...]:
        """The loss (B,) of est (B, P, N) and ref (B, J, N). A window's mean is that of its two halves' means."""
        count = est.shape[2] // frame
        y, s = (signal[:, :, : count * frame].unflatten(2, (count, frame)) for signal in (est, ref))
        est_energy, ref_energy = y.square().sum(3), s.square().sum(3)
        u = est_energy + floor * est_energy.mean(2, keepdim=True) + 1e-30
        v = ref_energy + floor * ref_energy.mean(2, keepdim=True) + 1e-30
        inner = (y[:, :, None] * s[:, None]).sum(4)
        means = ((inner / u[:, :, None]) * (inner / v[:, None]) / temp).softmax(1)
        activity, loss = ref_energy / v, est.new_zeros(est.shape[0])
        for r, weight in enumerate(weights):
            half = 2**r
            if count < 2 * half:
                break
            earlier, later = means[..., :-half], means[..., half:]
            active = activity[:, :, half : count - half + 1]
            loss = loss + weight * (active * (later - earlier).square().sum(1)).mean((1, 2))
            means = (earlier + later) / 2
        return (loss,)


class TorchPeer:
    """PyTorch on ``threads`` threads, a number that the whole process has: of two peers the later one's counts.

    ``compiled`` sends everything but loops over time and PyTorch's recurrent kernels through torch.compile. ``written``
    takes, for gradients, a GRU written out in Python in place of PyTorch's kernel; ``compiled`` does so too.
    Raises InputError where PyTorch is missing.
    """

    def __init__(self, threads: int, compiled: bool = False, *, written: bool = False) -> None:
        self.torch = library("torch")
        self.torch.set_num_threads(threads)
        self.name = "torch-compile" if compiled else "torch-written" if written else "torch"
        self.compiled, self.written = compiled, written or compiled

    def version(self) -> str:
        """The version of PyTorch."""
        return str(self.torch.__version__)

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
        operators = TorchOperators(self.torch, self.compiled, self.written)
        function = getattr(operators, name)
        if self.compiled and name not in ("gru", "lstm", "memory_separator"):
            function = operators.wrap(function)
        convolution = name in ("conv1d", "conv_transpose1d")
        given = {key: self._tensor(value, convolution and key == "x") for key, value in arrays.items()}
        pulled = [self._tensor(value, convolution) for value in cotangents]
        leaves = [given[key].requires_grad_() for key in wanted]

        def forward() -> Returned:
            with self.torch.inference_mode():
                return function(**given, **attributes), {}

        def both() -> Returned:
            outputs = function(**given, **attributes)
            grads = self.torch.autograd.grad(outputs, leaves, pulled, materialize_grads=True)
            return outputs, dict(zip(wanted, grads, strict=True))

        ready = both if wanted else forward
        ready()
        return ready

    def arrays_of(self, returned: Returned) -> tuple[list[Array], dict[str, Array]]:
        """The outputs in refbss's order and the gradients by array name."""
        outputs, grads = returned
        return [_array(output) for output in outputs], {name: _array(grad) for name, grad in grads.items()}

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
        training = TorchTraining(self._network(params, config.model, grads=True), config.loss, config.train)
        batch = [self._tensor(mix), self._tensor(refs), self._tensor(eps), self.torch.tensor(clean)]
        if self.compiled:  # a step of its own compiles, so that the first step is still to be made
            TorchTraining(self._network(params, config.model, grads=True), config.loss, config.train).step(*batch)
        return lambda: training.step(*batch)

    def losses_of(self, returned: Step) -> float:
        """The loss before the step."""
        return float(returned.loss)

    def gradients_of(self, returned: Step) -> dict[str, Array]:
        """The step's gradients by parameter name, after clipping."""
        return {name: _array(grad) for name, grad in returned.grads.items()}

    def parameters_of(self, returned: Step) -> dict[str, Array]:
        """The parameters after the step; to be read before the next one."""
        return {name: _array(value) for name, value in returned.params.items()}

    def separation(self, params: Mapping[str, Array], mix: Array, config: LvbdConfig) -> Callable[[], Array]:
        """Separation of mix (B, N) by the posterior's mean: est (B, P, N). Raises InputError on a configuration."""
        network, signal = self._network(params, config), self._tensor(mix)

        def ready() -> Array:
            with self.torch.inference_mode():
                est: Array = network.separate(signal).numpy()
                return est

        ready()
        return ready

    def streaming(self, params: Mapping[str, Array], config: LvbdConfig) -> Callable[[Array], Array]:
        """A stream: called with (hop,) samples it gives (P, hop) estimates. Raises InputError on a configuration."""
        return TorchStream(self._network(params, config))

    def _network(self, params: Mapping[str, Array], config: LvbdConfig, *, grads: bool = False) -> TorchLvbd:
        named = {name: self._tensor(value).requires_grad_(grads) for name, value in params.items()}
        return TorchLvbd(TorchOperators(self.torch, self.compiled, self.written), named, config)

    def _tensor(self, array: Array, signal: bool = False) -> Tensor:
        """A copy; a signal (B, C, N) lies in memory as (B, N, C)."""
        if signal:
            return self.torch.from_numpy(np.array(array.transpose(0, 2, 1), np.float32, order="C")).transpose(1, 2)
        return self.torch.tensor(array, dtype=self.torch.float32)


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().numpy().copy()
    return array
