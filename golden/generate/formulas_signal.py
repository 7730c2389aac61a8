"""Golden cases of the losses of one estimate: SI-SDR, and the level where the reference is silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from book import BadCase, Book, Case, Formula, Mistake, draw
from pieces import gradient_of, stopped

EDGE = ("edge",)
GENERATOR = "golden/generate/formulas_signal.py"
TINY = 1e-30
SMALL = 2.0**-13
"""An amplitude of about 1e-4."""


def energy(x: Any) -> Any:
    """Sum of squares over the last axis."""
    return np.sum(x * x, axis=-1)


def decibels(ratio: Any) -> Any:
    """Ten times the decimal logarithm."""
    return np.log(ratio) * (10 / mpmath.log(10))


# ---------------------------------------------------------------- SI-SDR


def sides(e: Any, s: Any, eps: float) -> tuple[Any, Any]:
    """Energies of the part of e along s and of the rest, both times |s|^2, with floors; e, s (N,)."""
    along, whole = (e @ s) ** 2, energy(e) * energy(s)
    return along + eps * whole + TINY, whole - along + eps * whole + TINY


def negative_si_sdr(e: Any, s: Any, eps: float) -> Any:
    """The loss of one pair."""
    signal, rest = sides(e, s, eps)
    return -decibels(signal / rest)


def negative_snr(e: Any, s: Any, eps: float) -> Any:
    """The reference is not scaled to the estimate."""
    floor = eps * energy(s) + TINY
    return -decibels((energy(s) + floor) / (energy(s - e) + floor))


def without_floor(e: Any, s: Any, eps: float) -> Any:
    """eps is left out."""
    return negative_si_sdr(e, s, 0.0)


def absolute_floor(e: Any, s: Any, eps: float) -> Any:
    """eps is added as it is."""
    along, whole = (e @ s) ** 2, energy(e) * energy(s)
    return -decibels((along + eps) / (whole - along + eps))


def share_of_energy(e: Any, s: Any, eps: float) -> Any:
    """The part along s is held against the whole estimate."""
    along, whole = (e @ s) ** 2, energy(e) * energy(s)
    return -decibels((along + eps * whole + TINY) / (whole + eps * whole + TINY))


def constant_scale(e: Any, s: Any, eps: float) -> Any:
    """The scaled reference is a constant: the same value, another gradient."""
    if not energy(s) > 0:
        return negative_si_sdr(e, s, eps)
    target = stopped(s * ((e @ s) / energy(s)))
    floor = eps * energy(e) * energy(s) + TINY
    return -decibels((energy(target) * energy(s) + floor) / (energy(e - target) * energy(s) + floor))


def of_pairs(measure: Callable[[Any, Any, float], Any]) -> Formula:
    """est (B, P, N), ref (B, J, N) -> loss (B, P, J), the measure of every pair."""

    def formula(est: Any, ref: Any, *, eps: float) -> dict[str, Any]:
        rows = [[[measure(e, s, eps) for s in refs] for e in ests] for ests, refs in zip(est, ref, strict=True)]
        return {"loss": np.array(rows, dtype=object)}

    return formula


def signals(
    op: str, name: str, batch: int, outputs: int, references: int, samples: int, scale: float = 1.0
) -> dict[str, np.ndarray]:
    """est (B, P, N) and ref (B, J, N); an estimate is partly its reference."""
    ref = draw(f"{op}/{name}/ref", batch, references, samples, scale=0.5)
    est = draw(f"{op}/{name}/est", batch, outputs, samples, scale=0.5)
    shared = min(outputs, references)
    est[:, :shared] += ref[:, :shared]
    return {"est": est * scale, "ref": ref * scale}


def zeroed(arrays: dict[str, np.ndarray], **places: int) -> dict[str, np.ndarray]:
    """The arrays with one signal of each named array silenced in every item."""
    made = {name: array.copy() for name, array in arrays.items()}
    for name, place in places.items():
        made[name][:, place] = 0.0
    return made


def si_sdr_case(name: str, *sizes: int, eps: float = 1e-8, scale: float = 1.0, **more: Any) -> Case:
    """A case with signals of these sizes (B, P, J, N)."""
    drawn = signals("si_sdr", name, *sizes, scale=scale)
    return Case(name, drawn | more.pop("arrays", {}), {"eps": eps}, **more)


SCALED = draw("si_sdr/perfect/ref", 2, 2, 7)
SI_SDR = Book(
    op="si_sdr",
    inputs=("est", "ref"),
    outputs=("loss",),
    differentiable=("est",),
    equations=tuple(f"si_sdr.{i}" for i in range(1, 7)),
    formula=of_pairs(negative_si_sdr),
    cases=(
        si_sdr_case("plain", 2, 2, 2, 8),
        si_sdr_case("more-outputs", 1, 3, 2, 7),
        si_sdr_case("more-references", 2, 1, 3, 5),
        si_sdr_case(
            "silence", 2, 2, 2, 5, arrays=zeroed(signals("si_sdr", "silence", 2, 2, 2, 5), est=0, ref=1), flags=EDGE
        ),
        si_sdr_case("amplitude-1e-4", 1, 2, 2, 6, scale=SMALL, flags=EDGE),
        si_sdr_case("one-source", 2, 1, 1, 6, flags=EDGE),
        si_sdr_case("one-sample-near-tiny", 1, 2, 2, 1, scale=2.0**-24, flags=EDGE),
        si_sdr_case(
            "offset",
            1,
            2,
            2,
            6,
            arrays={name: array + 1.5 for name, array in signals("si_sdr", "offset", 1, 2, 2, 6).items()},
            flags=EDGE,
        ),
        si_sdr_case(
            "perfect",
            2,
            2,
            2,
            7,
            eps=2.0**-10,
            arrays={"est": SCALED * np.array([1.1875, -0.3125])[:, None], "ref": SCALED},
            flags=EDGE,
        ),
        si_sdr_case(
            "orthogonal",
            1,
            2,
            2,
            2,
            eps=2.0**-10,
            arrays={"est": np.array([[[1.0, 0.0], [0.75, 0.5]]]), "ref": np.array([[[0.0, 0.5], [-1.0, 0.25]]])},
            flags=EDGE,
        ),
    ),
    mistakes=(
        Mistake(
            "natural-log",
            "you take the natural logarithm; the case wants dB, 10 log10",
            of_pairs(lambda e, s, eps: -np.log(sides(e, s, eps)[0] / sides(e, s, eps)[1])),
        ),
        Mistake(
            "twenty-log",
            "you take 20 log10 of a ratio of energies; the case wants 10 log10",
            of_pairs(lambda e, s, eps: 2 * negative_si_sdr(e, s, eps)),
        ),
        Mistake(
            "sign",
            "you return the SI-SDR itself, higher is better; the case wants the loss, its negative",
            of_pairs(lambda e, s, eps: -negative_si_sdr(e, s, eps)),
        ),
        Mistake(
            "mean-removed",
            "you subtract the mean of estimate and reference first; the case takes the signals as they are",
            of_pairs(lambda e, s, eps: negative_si_sdr(e - np.sum(e) / e.size, s - np.sum(s) / s.size, eps)),
        ),
        Mistake(
            "plain-snr",
            "you compute |s|^2/|s - e|^2, which depends on the scale of e; the case scales the reference to e first",
            of_pairs(negative_snr),
        ),
        Mistake(
            "eps-missing",
            "you leave out eps; the case adds eps |e|^2 |s|^2 to both sides of the ratio",
            of_pairs(without_floor),
        ),
        Mistake(
            "eps-absolute",
            "you add eps as it is; the case adds eps |e|^2 |s|^2, so that the loss does not depend on the scale",
            of_pairs(absolute_floor),
        ),
        Mistake(
            "share-of-energy",
            "you divide by the energy of the whole estimate; the case wants that of the part not along the reference",
            of_pairs(share_of_energy),
        ),
        Mistake(
            "scale-held-constant",
            "your gradient holds the scaled reference <e,s>/<s,s> s constant; the case differentiates it",
            gradient=gradient_of(of_pairs(constant_scale), "est"),
        ),
    ),
    bad_cases=(
        BadCase("wrong-length", "ref has 7 samples, est has 8", {"ref": draw("si_sdr/bad/ref", 2, 2, 7)}),
        BadCase("wrong-batch", "ref has 3 items, est has 2", {"ref": draw("si_sdr/bad/batch", 3, 2, 8)}),
    ),
    generator=GENERATOR,
    axes={"est": "B P N", "ref": "B J N", "loss": "B P J"},
)


# ---------------------------------------------------------------- silence


def level(y: Any, x: Any, floor: float) -> Any:
    """Energy of one estimate y (N,) over that of the mixture x (N,), with a floor."""
    return (energy(y) + floor * energy(x) + TINY) / (energy(x) + TINY)


def of_outputs(measure: Callable[[Any, Any, float], Any]) -> Formula:
    """est (B, P, N), mix (B, N) -> loss (B, P), the measure of every estimate."""

    def formula(est: Any, mix: Any, *, floor: float) -> dict[str, Any]:
        rows = [[measure(y, x, floor) for y in outputs] for outputs, x in zip(est, mix, strict=True)]
        return {"loss": np.array(rows, dtype=object)}

    return formula


def mixed(op: str, name: str, batch: int, outputs: int, samples: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    """est (B, P, N) and mix (B, N), roughly the sum of the estimates."""
    est = draw(f"{op}/{name}/est", batch, outputs, samples)
    mix = draw(f"{op}/{name}/mix", batch, samples, scale=0.5) + est.sum(axis=1)
    return {"est": est * scale, "mix": mix * scale}


def silent_case(name: str, *sizes: int, floor: float = 1e-3, scale: float = 1.0, **more: Any) -> Case:
    """A case with signals of these sizes (B, P, N)."""
    drawn = mixed("silent", name, *sizes, scale=scale)
    return Case(name, drawn | more.pop("arrays", {}), {"floor": floor}, **more)


SILENT = Book(
    op="silent",
    inputs=("est", "mix"),
    outputs=("loss",),
    differentiable=("est",),
    equations=("silent.1", "silent.2"),
    formula=of_outputs(lambda y, x, floor: decibels(level(y, x, floor))),
    cases=(
        silent_case("plain", 2, 2, 6),
        silent_case("high-floor", 2, 2, 7, floor=0.25),
        silent_case("long", 1, 2, 20),
        silent_case("quiet-estimate", 1, 2, 6, arrays={"est": draw("silent/quiet", 1, 2, 6) * 2.0**-6}, floor=2.0**-10),
        silent_case("silent-estimate", 2, 2, 5, arrays={"est": np.zeros((2, 2, 5))}, flags=EDGE),
        silent_case("silent-mixture", 1, 2, 5, arrays={"mix": np.zeros((1, 5))}, flags=EDGE),
        silent_case("silence", 1, 2, 4, arrays={"est": np.zeros((1, 2, 4)), "mix": np.zeros((1, 4))}, flags=EDGE),
        silent_case("amplitude-1e-4", 1, 2, 6, scale=SMALL, flags=EDGE),
        silent_case("one-output-one-sample", 2, 1, 1, flags=EDGE),
        silent_case("constant-input", 1, 2, 6, arrays={"est": np.full((1, 2, 6), 0.75)}, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "natural-log",
            "you take the natural logarithm; the case wants dB, 10 log10",
            of_outputs(lambda y, x, floor: np.log(level(y, x, floor))),
        ),
        Mistake(
            "twenty-log",
            "you take 20 log10 of a ratio of energies; the case wants 10 log10",
            of_outputs(lambda y, x, floor: 2 * decibels(level(y, x, floor))),
        ),
        Mistake(
            "sign",
            "your loss falls as the estimate grows louder; the case wants it to rise",
            of_outputs(lambda y, x, floor: -decibels(level(y, x, floor))),
        ),
        Mistake(
            "not-relative",
            "you take the level of the estimate alone; the case wants it relative to the mixture's energy",
            of_outputs(lambda y, x, floor: decibels(energy(y) + floor * energy(x) + TINY)),
        ),
        Mistake(
            "mean-square",
            "you take the mean square over samples, not relative to the mixture; the case divides energy by energy",
            of_outputs(lambda y, x, floor: decibels((energy(y) + floor * energy(x)) / y.size + TINY)),
        ),
        Mistake(
            "floor-missing",
            "you leave out the floor; the case adds floor |x|^2 to the estimate's energy",
            of_outputs(lambda y, x, floor: decibels(level(y, x, 0.0))),
        ),
        Mistake(
            "floor-absolute",
            "you add the floor as it is; the case adds floor |x|^2, relative to the mixture",
            of_outputs(lambda y, x, floor: decibels((energy(y) + floor + TINY) / (energy(x) + TINY))),
        ),
        Mistake(
            "floor-of-the-ratio-twice",
            "you add floor |x|^2 to both sides of the ratio; the case adds it to the estimate's energy only",
            of_outputs(lambda y, x, floor: decibels(level(y, x, floor) / (1 + floor))),
        ),
        Mistake(
            "gradient-without-floor",
            "your gradient divides by |e|^2; the case divides by |e|^2 + floor |x|^2",
            gradient=gradient_of(of_outputs(lambda y, x, floor: decibels(level(y, x, 0.0))), "est"),
        ),
    ),
    bad_cases=(BadCase("wrong-length", "mix has 5 samples, est has 6", {"mix": draw("silent/bad/mix", 2, 5)}),),
    generator=GENERATOR,
    axes={"est": "B P N", "mix": "B N", "loss": "B P"},
)


BOOKS = (SI_SDR, SILENT)
