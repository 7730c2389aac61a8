"""Axes: where a value lies between two ends, and which round numbers stand beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

DECADES_WITH_MORE = 2.0
"""Below so many decades a logarithmic axis has ticks at 2 and 5 too."""


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``, linear or logarithmic, with the values at its ticks and what stands there."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies: 0 at ``low``, 1 at ``high``; what lies far beyond them is brought near."""
        low, high = self.low, self.high
        if self.log:
            if value <= 0:
                return -1.0
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return min(max((value - low) / (high - low), -1.0), 2.0)


def step_for(span: float, count: float) -> float:
    """The round number, 1, 2 or 5 times a power of ten, that cuts ``span`` into about ``count`` parts."""
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    return next((factor * power for factor in (1.0, 2.0, 5.0) if factor * power >= rough * 0.999), 10.0 * power)


def label(value: float, step: float) -> str:
    """A tick's number, with as many decimals as its step needs."""
    if abs(value) < 1e-6 * step:
        value = 0.0
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def linear(values: Iterable[float], *, count: int = 5, widen: bool = True) -> Scale:
    """An axis that holds the finite values; with ``widen`` its ends are ticks."""
    finite = [float(value) for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        reach = abs(low) * 0.1 or 1.0
        low, high = low - reach, high + reach
    step = step_for(high - low, count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if widen:
        low, high = first * step, last * step
    ticks = [number * step for number in range(first, last + 1)]
    inside = [tick for tick in ticks if low - 1e-9 * step <= tick <= high + 1e-9 * step]
    return Scale(low, high, tuple((tick, label(tick, step)) for tick in inside))


def logarithmic(values: Iterable[float]) -> Scale:
    """A logarithmic axis that holds the finite values above 0; its ends are powers of ten, or 1, 2 or 5 times one."""
    positive = [float(value) for value in values if math.isfinite(value) and value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 10.0)
    few = math.log10(high) - math.log10(low) < DECADES_WITH_MORE
    factors = (1.0, 2.0, 5.0) if few else (1.0,)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    places = [factor * 10.0**power for power in powers for factor in factors]
    low = max((place for place in places if place <= low * 1.000001), default=low)
    high = min((place for place in places if place >= high * 0.999999 and place > low), default=10.0 * low)
    inside = [place for place in places if low <= place <= high]
    thinned = inside[:: -(-len(inside) // 7)]
    return Scale(
        low, high, tuple((place, f"{place:,.10g}" if place < 1e6 else f"{place:.0e}") for place in thinned), True
    )
