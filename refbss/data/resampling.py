"""Resampling of signals that come in pieces: the polyphase filter of ``audio_io.resample`` with a memory. [std]

With up / down the ratio of the rates in lowest terms, L = 10 max(up, down) and h a Kaiser-windowed low-pass of 2 L + 1
taps,

    y[m] = sum_k h[L + m down - k up] x[k],   m = 0 .. ceil(N up / down) - 1,

which is scipy.signal.resample_poly. Output m needs the input up to sample (L + m down) / up, so outputs lag by half a
filter, and an input sample is kept until no output needs it any more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refbss._checks import InputError, check_integer
from refbss._types import Array

HIGHEST_HZ = 1_000_000
"""Sample rates above this are refused: no speech is recorded at one, a header that has one is damaged."""
MOST_TERM, MOST_RATIO = 100_000, 1000
"""Bounds of a ratio of rates: its terms set the length of the filter, its size how much longer a signal gets."""


def check_rate(op: str, **rates_hz: Any) -> None:
    """Check that sample rates are integers from 1 to HIGHEST_HZ. Raises InputError."""
    check_integer(op, **rates_hz)
    for name, rate_hz in rates_hz.items():
        if rate_hz > HIGHEST_HZ:
            raise InputError(f"{op}: {name} is {rate_hz}, wanted an integer from 1 to {HIGHEST_HZ}")


def ratio(op: str, rate_hz: int, wanted_hz: int) -> tuple[int, int]:
    """The ratio wanted_hz / rate_hz as (up, down) in lowest terms. Raises InputError where it is out of bounds."""
    check_rate(op, rate_hz=rate_hz, wanted_hz=wanted_hz)
    divisor = math.gcd(rate_hz, wanted_hz)
    up, down = int(wanted_hz) // divisor, int(rate_hz) // divisor
    if max(up, down) > MOST_TERM or max(up, down) > MOST_RATIO * min(up, down):
        raise InputError(
            f"{op}: cannot resample from {rate_hz} Hz to {wanted_hz} Hz, wanted rates at most {MOST_RATIO} times apart "
            f"whose ratio in lowest terms has no term above {MOST_TERM}"
        )
    return up, down


class Resampler:
    """Resamples along the last axis, piece by piece; the pieces together are what one call on the whole would give.

    Sums run in float64, the output has the input's dtype. How the input was cut does not matter. Raises InputError
    as ``ratio`` does.
    """

    def __init__(self, rate_hz: int, wanted_hz: int) -> None:
        from scipy.signal import firwin

        self.up, self.down = ratio("Resampler", rate_hz, wanted_hz)
        widest = max(self.up, self.down)
        self._half = 10 * widest
        taps = firwin(2 * self._half + 1, 1.0 / widest, window=("kaiser", 5.0)) * self.up if widest > 1 else np.ones(1)
        self._half = self._half if widest > 1 else 0
        front = -self._half % self.down
        self._taps = np.concatenate([np.zeros(front), taps])
        self._delay = (self._half + front) // self.down
        self.reset()

    def reset(self) -> None:
        """Back to before the first sample."""
        self._buffer: Array | None = None
        self._start = self._received = self._given = 0

    def needed(self, outputs: int) -> int:
        """Inputs that so many outputs need, before the end of the signal."""
        return max(0, (self._half + (outputs - 1) * self.down) // self.up + 1) if outputs > 0 else 0

    def push(self, x: Array) -> Array:
        """Take x (..., n) and return the outputs that it completes, (..., k) with k possibly 0."""
        self._buffer = x.copy() if self._buffer is None else np.concatenate([self._buffer, x], axis=-1)
        self._received += x.shape[-1]
        return self._until(self.completed(self._received))

    def finish(self) -> Array:
        """Return the outputs that are left; zeros follow the last input. Call it once, after at least one push."""
        return self._until(-(-self._received * self.up // self.down))

    def state(self) -> Array:
        """The samples that it keeps (..., n), a copy; with the number of samples pushed all that it remembers."""
        return np.zeros(0, np.float32) if self._buffer is None or not self._received else self._buffer.copy()

    def restore(self, kept: Array, received: int) -> None:
        """Go on from where ``received`` samples had been pushed and these were kept, as many as :meth:`keeps` says."""
        given = self.completed(received)
        self._buffer = kept.copy() if received else None
        self._start, self._received, self._given = self._oldest(given, received), received, given

    def keeps(self, inputs: int) -> int:
        """Samples that it keeps after so many inputs."""
        return inputs - self._oldest(self.completed(inputs), inputs)

    def completed(self, inputs: int) -> int:
        """Outputs that so many inputs complete, before the end of the signal."""
        return max(0, (inputs * self.up - self._half - 1) // self.down + 1)

    def _oldest(self, given: int, received: int) -> int:
        """The first input that is kept, a multiple of ``down``, after so many outputs."""
        needed = max(0, -((self._half - given * self.down) // self.up))
        return min(needed, received) // self.down * self.down

    def _until(self, end: int) -> Array:
        """Outputs up to ``end``, from the buffer, which starts at a multiple of ``down`` input samples."""
        from scipy.signal import upfirdn

        assert self._buffer is not None, "push comes before finish"
        base = self._start // self.down * self.up
        if end == self._given:
            y: Array = self._buffer[..., :0]
        else:
            y = upfirdn(self._taps, self._buffer.astype(np.float64), self.up, self.down)
            y = y[..., self._given - base + self._delay : end - base + self._delay]
        self._given = end
        start = self._oldest(end, self._received)
        kept = self._buffer[..., start - self._start :]
        y, self._buffer, self._start = y.astype(kept.dtype), kept, start
        return y
