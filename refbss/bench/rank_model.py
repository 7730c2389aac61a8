"""What several ranks gain, and when they stop gaining: a model of a training step from measured numbers.

``python -m refbss.bench.rank_model STEP_S [SHARDS]`` prints the tables of docs/performance.md, STEP_S being the seconds
of a step on one rank with its shards, by default 4. Every rank has so many shards of its own (weak scaling), so that
the computing takes as long on 512 ranks as on one, and what is exchanged decides:

    exact      a ring of R ranks gathers G bytes for each of s R shards:  (R - 1) (latency + s G / bandwidth)
    otherwise  a ring sums G bytes over the ranks:   2 (R - 1) (latency + G / (R bandwidth))

Both are the textbook costs of ring algorithms [std]; MPI libraries take better ones for short messages.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

GRADIENT_BYTES = 663_876 * 4
"""A gradient of lvbd-small in float32."""


class Network(NamedTuple):
    """What connects the ranks."""

    name: str
    latency_s: float
    bytes_per_s: float


NETWORKS = (Network("10 Gbit/s Ethernet", 50e-6, 1.25e9), Network("100 Gbit/s InfiniBand", 2e-6, 12.5e9))
RANKS = (2, 8, 64, 512)


def exchange_s(ranks: int, shards: int, network: Network, *, exact: bool, size: int = GRADIENT_BYTES) -> float:
    """Seconds of a step's exchange on so many ranks with so many shards each."""
    if exact:
        return (ranks - 1) * (network.latency_s + shards * size / network.bytes_per_s)
    return 2 * (ranks - 1) * (network.latency_s + size / (ranks * network.bytes_per_s))


def received_bytes(ranks: int, shards: int, *, exact: bool, size: int = GRADIENT_BYTES) -> float:
    """Bytes that reach one rank in a step."""
    return (ranks - 1) * shards * size if exact else 2 * (ranks - 1) / ranks * size


def efficiency(step_s: float, ranks: int, shards: int, network: Network, *, exact: bool) -> float:
    """Share of the time that is spent computing."""
    return step_s / (step_s + exchange_s(ranks, shards, network, exact=exact))


def stops_paying(step_s: float, shards: int, network: Network, *, exact: bool) -> int | None:
    """The first power of two of ranks at which half of the time goes into the exchange; None up to a million."""
    for power in range(1, 21):
        if efficiency(step_s, 2**power, shards, network, exact=exact) < 0.5:
            return int(2**power)
    return None


def tables(step_s: float, shards: int) -> list[str]:
    """A Markdown table for each network."""
    lines = []
    for network in NETWORKS:
        lines += ["", f"{network.name}, latency {1e6 * network.latency_s:g} us:", ""]
        lines += ["| ranks | sum | MB a rank and step | exchange, s | efficiency | as fast as one rank |"]
        lines += ["|---|---|---|---|---|---|"]
        for ranks in RANKS:
            for exact in (True, False):
                share = efficiency(step_s, ranks, shards, network, exact=exact)
                received = received_bytes(ranks, shards, exact=exact) / 1e6
                spent = exchange_s(ranks, shards, network, exact=exact)
                how = "exact" if exact else "Allreduce"
                row = (ranks, how, f"{received:.1f}", f"{spent:.3f}", f"{100 * share:.0f} %", f"{ranks * share:.1f}")
                lines.append(f"| {' | '.join(map(str, row))} |")
        ends = [stops_paying(step_s, shards, network, exact=exact) for exact in (True, False)]
        said = [f"at {end} ranks" if end else "never" for end in ends]
        lines += ["", f"Half of the time goes into the exchange {said[0]} (exact) or {said[1]} (Allreduce)."]
    return lines


def main(arguments: Sequence[str]) -> int:
    """Print the tables; 2 where the arguments are not STEP_S and perhaps SHARDS."""
    try:
        step_s, *rest = map(float, arguments)
        shards = rest[0] if rest else 4.0
        good = 0 < step_s < math.inf and shards >= 1 and shards == int(shards) and len(rest) <= 1
    except (ValueError, OverflowError):
        good = False
    if not good:
        came = " ".join(arguments)
        wanted = "STEP_S [SHARDS]: the seconds of a step, above 0, and the shards of a rank, by default 4"
        print(f"rank_model: arguments are {came!r}, wanted {wanted}", file=sys.stderr)
        return 2
    print(f"A step of {step_s:g} s on a rank with {shards:g} shards; a gradient has {GRADIENT_BYTES / 1e6:.2f} MB.")
    print("\n".join(tables(step_s, int(shards))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
