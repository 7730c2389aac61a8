"""Two callables timed in turns, so that whatever else the machine does falls on both."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SHORTEST_S = 0.005
"""A measurement repeats its callable until it takes about this long."""
PAUSE_S = 0.01
"""Rest before each measurement: threads that wait for work by spinning give up."""
LEAST_ROUNDS, MOST_ROUNDS = 9, 300


class Timed(NamedTuple):
    """Seconds a call, one number a round."""

    ours: list[float]
    peer: list[float]


class Ratio(NamedTuple):
    """How many times the peer's time is ours: the median over rounds, and where 80 percent of the rounds lie."""

    median: float
    low: float
    high: float


def repetitions(work: Callable[[], Any]) -> int:
    """Calls that take about SHORTEST_S; the callable is warm afterwards."""
    for _ in range(2):
        work()
    began = time.perf_counter()
    work()
    return max(1, math.ceil(SHORTEST_S / max(time.perf_counter() - began, 1e-7)))


def measure(work: Callable[[], Any], calls: int) -> float:
    """Seconds a call, after a rest and a call that wakes whoever helps."""
    time.sleep(PAUSE_S)
    work()
    began = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - began) / calls


def in_turns(ours: Callable[[], Any], peer: Callable[[], Any] | None, seconds: float) -> Timed:
    """Measure both in turns for about so many seconds; who comes first changes every round."""
    works = [ours] if peer is None else [ours, peer]
    calls = [repetitions(work) for work in works]
    found: list[list[float]] = [[], []]
    collecting = gc.isenabled()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        rounds = 0
        while rounds < LEAST_ROUNDS or (time.perf_counter() < end and rounds < MOST_ROUNDS):
            places = range(len(works)) if rounds % 2 == 0 else reversed(range(len(works)))
            for place in places:
                found[place].append(measure(works[place], calls[place]))
            rounds += 1
    finally:
        if collecting:
            gc.enable()
    return Timed(*found)


def ratio(timed: Timed) -> Ratio:
    """The peer's time over ours, round by round."""
    ratios = np.array(timed.peer) / np.array(timed.ours)
    low, median, high = np.percentile(ratios, [10, 50, 90])
    return Ratio(float(median), float(low), float(high))


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """The b of seconds = a sizes^b, fitted to the logarithms by least squares; NaN where one of them is nothing."""
    if min(seconds) <= 0:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
