"""A model that hears its signal hop by hop: what goes in now comes out now, separated.

The fast engine does a hop in one kernel, the reference engine with the law's operators. ``separation_stream`` adds what
a signal from outside needs: pieces of any length, other sample rates, levels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refbss._checks import InputError, NotFiniteError, check_choice
from refbss._types import Array
from refbss.engine import ENGINES
from refbss.engine import engine as load_engine
from refbss.fast.lvbd_hop import FusedHop
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.lvbd_params import init_params
from refbss.models.lvbd_stream import StreamState, hop_forward, initial_stream
from refbss.models.params import Params, check_params

State = dict[str, NDArray[Any]]
"""What a stream remembers, as named arrays."""


class HopStream:
    """One signal's way through a network, ``hop`` samples at a time. Not for several threads at once.

    ``engine`` is ``fast`` or ``reference``; ``params`` are copied. A copy of a stream, made by the module copy or in
    another process, goes on from the same place with a state of its own. Raises InputError on another engine, and on
    parameters that are not those of the configuration.
    """

    def __init__(self, params: Params, config: LvbdConfig, *, engine: str = "fast") -> None:
        check_choice("stream", ENGINES, engine=engine)
        self._dtype = np.dtype(getattr(dict(params or {}).get("encoder.conv.0.weight"), "dtype", np.float32))
        wanted = init_params(config, 0, dtype=self._dtype.name)
        used = {name: array for name, array in dict(params or {}).items() if not name.startswith("prior.")}
        params = {name: array.copy() for name, array in check_params(used, wanted, "stream: params").items()}
        self._params, self._config, self._engine, self._ops = params, config, engine, load_engine(engine)
        self._digest: NDArray[Any] | None = None
        self._begun = initial_stream(params, 1, config, self._ops)
        self._state = self._marked = self._begun
        self._fused: FusedHop | None = None
        if engine == "fast":
            memory = self._begun.network.m[0], self._begun.network.q[0]
            self._fused = FusedHop(params, config, lvbd.decoder_shape(config), memory)

    @property
    def hop(self) -> int:
        """Samples of a step; also the latency."""
        return self._config.hop

    @property
    def block(self) -> int:
        """Frames of a block of the memory."""
        return self._config.block

    @property
    def sources(self) -> int:
        """Number of estimates P."""
        return self._config.sources

    def reset(self) -> None:
        """Forget everything that was heard."""
        self._state = self._begun
        if self._fused is not None:
            self._fused.reset()

    def mark(self) -> None:
        """Remember this place, for :meth:`rewind`."""
        self._marked = self._state
        if self._fused is not None:
            self._fused.mark()

    def rewind(self) -> None:
        """Back to the place that was marked last, or to the beginning."""
        self._state = self._marked
        if self._fused is not None:
            self._fused.rewind()

    def step(self, samples: Array, out: Array | None = None) -> Array:
        """The estimates (P, hop) of the next ``samples`` (hop,), in the dtype of the parameters.

        They are written to ``out``, an array of that shape and dtype without gaps, where it is given; the fast engine
        then allocates none. Raises InputError when the samples or ``out`` are anything else than such arrays, and
        NotFiniteError when a sample is NaN or infinite. The stream is then where it was before.
        """
        self._check("samples", samples, (self.hop,))
        if out is None:
            out = np.empty((self.sources, self.hop), self._dtype)
        else:
            self._check("out", out, (self.sources, self.hop))
            if not out.flags.c_contiguous or not out.flags.writeable:
                raise InputError("stream: out has gaps or is read-only, wanted a contiguous array that can be written")
        if self._fused is not None:
            self._fused.step(samples, out)
            return out
        if not np.isfinite(samples).all():
            raise NotFiniteError("stream: samples holds NaN or infinity, wanted finite samples")
        est, self._state = hop_forward(self._params, samples[None], self._state, config=self._config, ops=self._ops)
        out[:] = est[0]
        return out

    def _check(self, name: str, array: Any, shape: tuple[int, ...]) -> None:
        if isinstance(array, np.ma.MaskedArray):
            raise InputError(f"stream: {name} is masked, wanted an unmasked {self._dtype} of shape {shape}")
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != self._dtype:
            came = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else repr(array)
            raise InputError(f"stream: {name} is {came}, wanted {self._dtype} of shape {shape}")

    @property
    def digest(self) -> NDArray[Any]:
        """SHA-256 of parameters, configuration and engine, 32 numbers uint8: whose state a state is."""
        if self._digest is None:
            found = hashlib.sha256(json.dumps([self._engine, asdict(self._config)], sort_keys=True).encode())
            for name, array in self._params.items():
                found.update(f"{name} {array.dtype} {array.shape}".encode())
                found.update(np.ascontiguousarray(array).tobytes())
            self._digest = np.frombuffer(found.digest(), np.uint8)
        return self._digest

    def state(self) -> State:
        """What the stream remembers: ``digest``, ``count`` (frames of the block that is not complete yet), and arrays.

        They are copies, for :meth:`restore`. Which arrays there are depends on the engine.
        """
        if self._fused is not None:
            count, parts = self._fused.count, {name: part.copy() for name, part in self._fused.parts.items()}
        else:
            count, parts = self._state.block.shape[2], _parts(self._state, self._config.block)
        return {"digest": self.digest.copy(), "count": np.array(count), **parts}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where ``state`` was taken. Raises InputError, the stream as it was, where it is of another model.

        Names, shapes, dtypes and the digest must be right, and every number finite.
        """
        given = checked_state(state, self.state(), self.digest)
        count = int(given["count"])
        if not 0 <= count < self._config.block:
            raise InputError(f"stream: state: count is {count}, wanted 0 to {self._config.block - 1}")
        if self._fused is not None:
            self._fused.count = count
            for name, part in self._fused.parts.items():
                part[...] = given[name]
        else:
            self._state = _joined(given, count, self._begun)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._params, self._config, self._engine, self.state())


def checked_state(given: Any, wanted: State, digest: NDArray[Any]) -> State:
    """``given`` where it has the names, shapes and dtypes of ``wanted``, and this digest. Raises InputError."""
    if not isinstance(given, Mapping) or not all(isinstance(array, np.ndarray) for array in given.values()):
        raise InputError("stream: state is no mapping of names to arrays, wanted what state() returned")
    if "digest" in given and not np.array_equal(given["digest"], digest):
        raise InputError("stream: state is of another model or engine, wanted one of the model that goes on")
    return check_params(given, wanted, "stream: state")


def _parts(state: StreamState, block: int) -> State:
    """The state of the reference engine by name, the block filled up with zeros."""
    network, (batch, sources, count, latent) = state.network, state.block.shape
    found = {f"encoder.conv.{i}": array.copy() for i, array in enumerate(network.conv)}
    found |= {f"encoder.gru.{i}": array.copy() for i, array in enumerate(network.gru)}
    found |= {"memory.m": network.m.copy(), "memory.q": network.q.copy()}
    rest = np.zeros((batch, sources, block - count, latent), state.block.dtype)
    found["separator.block"] = np.concatenate([state.block, rest], axis=2)
    return found | {f"decoder.conv.{i}": array.copy() for i, array in enumerate(network.decoder)}


def _joined(parts: State, count: int, like: StreamState) -> StreamState:
    """The inverse of _parts."""
    conv, gru, decoder = (
        tuple(parts[f"{name}.{i}"].copy() for i in range(len(arrays)))
        for name, arrays in (
            ("encoder.conv", like.network.conv),
            ("encoder.gru", like.network.gru),
            ("decoder.conv", like.network.decoder),
        )
    )
    network = lvbd.LvbdState(conv, gru, parts["memory.m"].copy(), parts["memory.q"].copy(), decoder)
    return StreamState(network, parts["separator.block"][:, :, :count].copy())


def _again(params: Params, config: LvbdConfig, engine: str, state: State) -> HopStream:
    """A stream that goes on where another one is: what copying and sending to another process call."""
    stream = HopStream(params, config, engine=engine)
    stream.restore(state)
    return stream
