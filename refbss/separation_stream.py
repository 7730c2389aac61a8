"""A trained model on a signal that is still going on: samples in any pieces, at any rate, at any level.

What comes out does not depend on how the signal was cut. With the fast engine it is, bit for bit, what
``Separator.separate_blocks`` makes of the whole signal with the same gain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from refbss._checks import FLOATS, InputError, NotFiniteError
from refbss._files import contents, naming, replaced
from refbss._types import Array
from refbss.data.causal_gain import CausalGain
from refbss.data.resampling import Resampler
from refbss.models.params import parse_tensors
from refbss.streaming import HopStream, State, checked_state

AUTO = "auto"
"""The gain that follows the level heard so far, see ``refbss.data.causal_gain``."""
LONGEST = 2**62
"""Samples that a signal can have."""


class SeparationStream:
    """A signal's way through a separator, made by ``Separator.stream``. Not for several threads at once.

    A copy, made by the module copy or in another process, goes on from the same place by itself.
    """

    def __init__(
        self, hops: HopStream, model_hz: int, rate_hz: int, gain: float | str, known_dbfs: tuple[float, float]
    ) -> None:
        self._made_of = model_hz, rate_hz, gain, known_dbfs
        self._hops, self.rate_hz, self.gain = hops, int(rate_hz), gain
        self._causal = CausalGain(model_hz, hops.hop, known_dbfs) if gain == AUTO else None
        self._fixed = 1.0 if isinstance(gain, str) else float(gain)
        self._into: Resampler | None = None
        self._back: Resampler | None = None
        if rate_hz != model_hz:
            self._into, self._back = Resampler(rate_hz, model_hz), Resampler(model_hz, rate_hz)
        self._waiting = np.zeros(hops.hop, np.float32)
        self._est = np.zeros((hops.sources, hops.hop), np.float32)
        self._received = self._given = self._filled = 0
        self._finished = False

    @property
    def sources(self) -> int:
        """Number of estimates P."""
        return self._hops.sources

    @property
    def received(self) -> int:
        """Samples pushed so far."""
        return self._received

    @property
    def latency_samples(self) -> int:
        """How many samples, its own the first of them, must come at most before a sample's estimates are returned.

        At the model's rate a hop. At another, half a filter more each way: 10 samples of the slower rate.
        """
        hop, into, back = self._hops.hop, self._into, self._back
        if into is None or back is None:
            return hop
        begun = back.needed(1) // hop + 1
        return max(into.needed((h + 1) * hop) - back.completed(h * hop) for h in range(begun, begun + into.up))

    def push(self, samples: Array) -> Array:
        """Take the next samples (n,), n from 0 on, and return the estimates (P, k) that they complete, float32.

        Over all calls up to :meth:`finish` as many samples come out as went in, on the scale of the input. Raises
        InputError, the stream as it was: samples that are no vector of floats, one that is not finite (NotFiniteError,
        which names its place in the signal), estimates or a gain beyond the range of float32, a stream that has
        finished.
        """
        self._check_going("samples")
        x = checked(samples, "stream: samples", self._received)
        if self._fixed != 1.0:
            x = times(x, self._fixed, "stream: samples pass")
        return self._whole(lambda: self._push(x))

    def finish(self) -> Array:
        """Return the estimates (P, k) that are left: zeros follow the last sample. Afterwards only reset or restore.

        Raises InputError as :meth:`push` does.
        """
        self._check_going("finish")
        return self._whole(self._rest)

    def reset(self) -> None:
        """Forget everything that was heard."""
        self._hops.reset()
        for part in (self._into, self._back, self._causal):
            if part is not None:
                part.reset()
        self._received = self._given = self._filled = 0
        self._finished = False

    def state(self) -> State:
        """What the stream remembers, as named arrays (copies), for :meth:`restore` and :func:`save_state`.

        Beside what ``HopStream.state`` names: ``received`` (samples pushed), ``rate_hz``, ``gain`` (the factor, 0 for
        auto), ``waiting`` (samples of the hop that is not complete yet, then zeros), and where they are in use
        ``level`` and the samples that the resamplers keep. Raises InputError for a stream that has finished.
        """
        self._check_going("state")
        return self._state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where ``state`` was taken, bit for bit as if nothing had been between.

        Raises InputError, the stream as it was, unless it is the state of a stream of this model, engine, rate and
        gain, whole, and every number in it finite.
        """
        wanted = self._state()
        place = state.get("received") if isinstance(state, Mapping) else None
        received = int(place) if isinstance(place, np.ndarray) and place.shape == () and place.dtype.kind in "iu" else 0
        if not 0 <= received < LONGEST:
            raise InputError(f"stream: state: received is {received}, wanted 0 to {LONGEST - 1}")
        heard = received if self._into is None else self._into.completed(received)
        whole = heard // self._hops.hop * self._hops.hop
        if self._into is not None and self._back is not None:
            wanted["resampler.into"] = np.zeros(self._into.keeps(received), np.float32)
            wanted["resampler.back"] = np.zeros((self.sources, self._back.keeps(whole))[not whole :], np.float32)
        given = checked_state(state, wanted, self._hops.digest)
        for name in ("rate_hz", "gain"):
            if given[name] != wanted[name]:
                raise InputError(f"stream: state: {name} is {given[name]}, wanted {wanted[name]} as this stream has")
        count = whole // self._hops.hop % self._hops.block
        if given["count"] != count:
            raise InputError(f"stream: state: count is {given['count']}, wanted {count} after {received} samples")
        if self._causal is not None:
            self._causal.restore(given["level"])
        self._hops.restore({name: given[name] for name in self._hops.state()})
        self._waiting[:], self._filled = given["waiting"], heard - whole
        self._received, self._given, self._finished = received, whole, False
        if self._into is not None and self._back is not None:
            self._into.restore(given["resampler.into"], received)
            self._back.restore(given["resampler.back"], whole)
            self._given = self._back.completed(whole)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._hops, self._made_of, None if self._finished else self._state())

    def _check_going(self, what: str) -> None:
        if self._finished:
            raise InputError(f"stream: {what} came after finish(), wanted reset() or restore() first")

    def _state(self) -> State:
        found = self._hops.state()
        found["received"], found["rate_hz"] = np.array(self._received), np.array(self.rate_hz)
        found["gain"] = np.array(0.0 if self._causal is not None else self._fixed)
        found["waiting"] = np.where(np.arange(self._hops.hop) < self._filled, self._waiting, np.float32(0))
        if self._causal is not None:
            found["level"] = self._causal.state()
        if self._into is not None and self._back is not None:
            found["resampler.into"], found["resampler.back"] = self._into.state(), self._back.state()
        return found

    def _whole(self, work: Callable[[], Array]) -> Array:
        """Do all of a piece of work or nothing: after an error everything is where it was."""
        self._hops.mark()
        before = self.__dict__ | {
            name: copy(self.__dict__[name]) for name in ("_into", "_back", "_causal", "_waiting")
        }  # resamplers replace what they keep and never change it, so that a shallow copy holds them
        try:
            return work()
        except BaseException:
            self._hops.rewind()
            self.__dict__.update(before)
            raise

    def _push(self, x: Array) -> Array:
        """As push, with samples that are checked and multiplied by the fixed gain."""
        self._received += len(x)
        est = self._hear(x if self._into is None else self._into.push(x))
        if self._back is not None and est.shape[1]:
            est = self._back.push(est)
        return self._out(est)

    def _rest(self) -> Array:
        self._finished = True
        if not self._received:
            return np.zeros((self.sources, 0), np.float32)
        est = self._hear(np.zeros(0, np.float32) if self._into is None else self._into.finish())
        if self._filled:
            filled = self._filled
            est = np.concatenate([est, self._hear(np.zeros(self._hops.hop - filled, np.float32))[:, :filled]], axis=1)
        if self._back is not None:
            est = np.concatenate([self._back.push(est), self._back.finish()], axis=1)
        return self._out(est[:, : self._received - self._given])

    def _out(self, est: Array) -> Array:
        self._given += est.shape[1]
        return est if self._fixed == 1.0 else times(est, 1.0 / self._fixed, "stream: the estimates pass")

    def _hear(self, x: Array) -> Array:
        """The estimates of the hops that x (n,), at the model's rate, completes. Raises InputError beyond float32."""
        hop, place, done = self._hops.hop, 0, 0
        est = np.empty((self.sources, (self._filled + len(x)) // hop * hop), np.float32)
        while self._filled + len(x) - place >= hop:
            taken = hop - self._filled
            self._waiting[self._filled :] = x[place : place + taken]
            est[:, done : done + hop] = self._step()
            place, done, self._filled = place + taken, done + hop, 0
        left = len(x) - place
        self._waiting[self._filled : self._filled + left] = x[place:]
        self._filled += left
        if not np.isfinite(est).all():
            raise InputError("stream: the estimates pass the range of float32, wanted samples of a lower level")
        return est

    def _step(self) -> Array:
        """The estimates of the hop that waits."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self._causal is None:
                return self._hops.step(self._waiting, self._est)
            gain = self._causal.follow(self._waiting)
            hop = times(self._waiting, gain, "stream: samples pass")
            return times(self._hops.step(hop, self._est), 1.0 / gain, "stream: the estimates pass")


def checked(samples: Any, what: str, position: int) -> Array:
    """``samples``, which begin at this position of the signal, in float32. Raises InputError on others than (n,)."""
    if isinstance(samples, np.ma.MaskedArray):
        raise InputError(f"{what} is masked, wanted an unmasked vector (N,) of float32 or float64")
    if not isinstance(samples, np.ndarray) or samples.dtype not in FLOATS or samples.ndim != 1:
        shown = isinstance(samples, np.ndarray)
        came = f"{samples.dtype} of shape {samples.shape}" if shown else type(samples).__name__
        raise InputError(f"{what} is {came}, wanted a vector (N,) of float32 or float64")
    with np.errstate(over="ignore"):
        single: Array = samples.astype(np.float32, copy=False)
    if not np.isfinite(single).all():
        place = int(np.argmin(np.isfinite(single)))
        raise NotFiniteError(f"{what} is {samples[place]} at sample {position + place}, wanted finite samples")
    return single


def times(block: Array, factor: float, what: str) -> Array:
    """The block times a factor of any size, in float32. Raises InputError where a product passes the range of that."""
    with np.errstate(over="ignore", invalid="ignore"):
        product: Array = np.multiply(block, factor, dtype=np.float64).astype(np.float32)
    if not np.isfinite(product).all():
        raise InputError(f"{what} the range of float32 when multiplied by {factor:.3g}, for the gain")
    return product


def _again(hops: HopStream, made_of: tuple[Any, ...], state: State | None) -> SeparationStream:
    """A stream that goes on where another one is, or has finished as it has: what copying calls."""
    stream = SeparationStream(copy(hops), *made_of)
    if state is None:
        stream.finish()
    else:
        stream.restore(state)
    return stream


def save_state(path: str | Path, state: State) -> None:
    """Write a state as safetensors, under a temporary name that is renamed. Raises OSError, which names the file."""
    with naming(Path(path)), replaced(Path(path)) as part:
        part.write_bytes(save(state))


def load_state(path: str | Path) -> State:
    """Read a state that ``save_state`` has written. Raises InputError: no such file, or none of safetensors."""
    try:
        return parse_tensors(contents(Path(path)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), wanted the state of a stream") from None
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error}), wanted the state of a stream") from None
