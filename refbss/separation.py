"""A trained model at work: signals of any length into one signal for each source, in constant memory.

The signal is worked through in chunks of whole memory blocks, about four seconds each, and the state of the network is
carried from chunk to chunk. The chunks lie at fixed places, so how the input was cut has no influence on the result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from refbss._checks import InputError, check_integer, check_number
from refbss._types import Array
from refbss.data.level import gain_to_middle, level_dbfs
from refbss.data.resampling import Resampler
from refbss.engine import engine as load_engine
from refbss.models import lvbd
from refbss.separation_stream import AUTO, SeparationStream, checked, times
from refbss.streaming import HopStream
from refbss.training.checkpoint import load_checkpoint

CHUNK_S = 4.0
"""Length of a chunk, to the nearest whole block."""


class _OneThread:
    """Holds BLAS to one thread while anybody is inside; safe when several threads come and go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limits: threadpool_limits | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._limits = threadpool_limits(limits=1, user_api="blas")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0 and self._limits is not None:
                    self._limits.restore_original_limits()


_one_thread = _OneThread()


class Separator:
    """A model from a checkpoint, ready to separate. Its methods may be called from several threads at once.

    ``model`` is ``bundled``, a run (its best checkpoint) or a checkpoint folder; ``engine`` is ``fast`` or
    ``reference``. Raises InputError where the model is no path or its checkpoint cannot be used.
    """

    def __init__(self, model: str | Path = "bundled", *, engine: str = "fast") -> None:
        self.engine, self.ops = engine, load_engine(engine)
        if not isinstance(model, str | os.PathLike):
            raise InputError(f"separate: model is {model!r}, wanted a path, of a run or of a checkpoint, or bundled")
        checkpoint = load_checkpoint(model)
        self.checkpoint = checkpoint
        """What was loaded: the whole configuration, the parameters, and what is known of the training."""
        self.config, self.params = checkpoint.config.model, checkpoint.params
        self.level_dbfs = checkpoint.config.mix.level_dbfs
        """Range of levels that the model was trained on."""
        block = self.config.block * self.config.hop
        self.chunk = max(1, round(CHUNK_S * self.rate_hz / block)) * block
        """Samples of a chunk."""

    @property
    def rate_hz(self) -> int:
        """The sample rate that the model works at."""
        return self.config.sample_rate_hz

    @property
    def sources(self) -> int:
        """Number of estimates P."""
        return self.config.sources

    def warm_up(self) -> None:
        """Load or compile the kernels, so that the next call runs at full speed."""
        self.separate(np.zeros(self.config.hop, np.float32), self.rate_hz)

    def separate(self, mix: Array, rate_hz: int, *, resample: bool = False) -> Array:
        """Separate mix (N,) and return the estimates (P, N) in float32, on the scale of the mix.

        A mix outside the levels that the model knows is worked on at a level that it does, see :meth:`input_gain`. With
        ``resample`` a mix of another rate is brought to the model's and the estimates back to ``rate_hz``. Raises
        InputError as :meth:`separate_blocks` does, and for an empty mix.
        """
        check_integer("separate", rate_hz=rate_hz)
        (checked,) = _checked([mix])
        gain = self.input_gain(level_dbfs(checked, rate_hz))
        parts = list(self.separate_blocks([checked], rate_hz, resample=resample, gain=gain))
        if not parts:
            raise InputError(f"separate: mix has shape {mix.shape}, wanted (N,) with N of at least 1")
        return np.concatenate(parts, axis=1)

    def input_gain(self, level: float) -> float:
        """The factor that brings a signal of this level (dBFS) to the middle of the levels that the model knows.

        1 for a level among them, and for silence.
        """
        return gain_to_middle(level, self.level_dbfs)

    def stream(
        self, rate_hz: int | None = None, *, resample: bool = False, gain: float | str = 1.0
    ) -> SeparationStream:
        """A stream: pieces (n,) of any length go in by ``push``, estimates (P, k) come out.

        ``rate_hz`` is the rate of what goes in and comes out, by default the model's; another one wants ``resample``.
        The model sees the signal times ``gain`` and the estimates are divided by it; ``auto`` follows the level heard
        so far. Latency is a hop, and more at another rate. Raises InputError on another gain, and on a rate as
        :meth:`separate_blocks` does.
        """
        rate_hz = self.rate_hz if rate_hz is None else rate_hz
        self._check_rate("stream", rate_hz, resample)
        if gain != AUTO:
            check_number("stream", above=0.0, gain=gain)
        hops = HopStream(self.params, self.config, engine=self.engine)
        return SeparationStream(hops, self.rate_hz, rate_hz, gain, self.level_dbfs)

    def _check_rate(self, op: str, rate_hz: int, resample: bool) -> None:
        check_integer(op, rate_hz=rate_hz)
        if rate_hz != self.rate_hz and not resample:
            raise InputError(f"{op}: rate_hz is {rate_hz} Hz, wanted {self.rate_hz} Hz as the model has")

    def separate_blocks(
        self, blocks: Iterable[Array], rate_hz: int, *, resample: bool = False, gain: float = 1.0
    ) -> Iterator[Array]:
        """Separate a signal that comes in blocks (n,) of any lengths; yields the estimates in pieces (P, k), float32.

        The pieces together have as many samples as the blocks. Memory does not grow with the length. The model sees the
        signal times ``gain`` and the estimates are divided by it, so that they keep the signal's scale. Raises
        InputError: a rate other than the model's (unless ``resample``), a block that is not a vector of finite floats,
        a gain that is not above 0, a signal or estimates that the gain takes beyond the range of float32.
        """
        self._check_rate("separate", rate_hz, resample)
        check_number("separate", above=0.0, gain=gain)
        checked = _checked(blocks)
        scaled = checked if gain == 1.0 else _times(checked, gain, "mix passes")
        pieces = self._estimates(scaled) if rate_hz == self.rate_hz else self._resampled(scaled, rate_hz)
        return pieces if gain == 1.0 else _times(pieces, 1.0 / float(gain), "the estimates pass")

    def _estimates(self, blocks: Iterable[Array]) -> Iterator[Array]:
        state = None
        for chunk in _chunks(blocks, self.chunk):
            with _one_thread(), np.errstate(over="ignore", invalid="ignore"):
                outputs, _ = lvbd.forward(self.params, chunk[None], None, config=self.config, ops=self.ops, state=state)
            state = outputs.state
            if not np.isfinite(outputs.est).all():
                peak = float(np.abs(chunk).max())
                raise InputError(f"separate: the estimates pass the range of float32, mix has a peak of {peak:.3g}")
            yield outputs.est[0]

    def _resampled(self, blocks: Iterable[Array], rate_hz: int) -> Iterator[Array]:
        """As _estimates, at another rate: down to the model's, or up, and back."""
        into, back = Resampler(rate_hz, self.rate_hz), Resampler(self.rate_hz, rate_hz)
        received = given = 0

        def at_model_rate() -> Iterator[Array]:
            nonlocal received
            for block in blocks:
                received += len(block)
                yield into.push(block)
            if received:
                yield into.finish()

        for est in self._estimates(at_model_rate()):
            piece = back.push(est)
            given += piece.shape[1]
            yield piece
        if received:
            yield back.finish()[:, : received - given]


def _times(blocks: Iterable[Array], factor: float, what: str) -> Iterator[Array]:
    """The blocks times a factor, see :func:`times`."""
    for block in blocks:
        yield times(block, factor, f"separate: {what}")


def _checked(blocks: Iterable[Array]) -> Iterator[Array]:
    """The blocks in float32. Raises InputError."""
    position = 0
    for block in blocks:
        single = checked(block, "separate: mix", position)
        position += len(block)
        yield single


def _chunks(blocks: Iterable[Array], size: int) -> Iterator[Array]:
    """Cut the stream anew into pieces of ``size`` samples; the last one may be shorter."""
    held: list[Array] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count >= size:
            joined = np.concatenate(held)
            whole = count // size * size
            yield from (joined[i : i + size] for i in range(0, whole, size))
            held, count = [joined[whole:].copy()], count - whole
    if count:
        yield np.concatenate(held)
