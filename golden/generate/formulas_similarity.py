"""Golden cases of the similarity of signals and of the softmax permutation loss, window by window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from book import BadCase, Book, Case, Formula, Mistake, draw
from formulas_permutation import shares
from formulas_signal import EDGE, SMALL, TINY, energy, signals
from pieces import gradient_of, stopped

GENERATOR = "golden/generate/formulas_similarity.py"
Similarity = Callable[[Any, Any, Any, Any], Any]
Floor = Callable[[list[Any], float], list[Any]]


def squared_cosine(y: Any, s: Any, floor_y: Any, floor_s: Any) -> Any:
    """Similarity of two signals (N,), each with a floor under its energy."""
    return (y @ s) ** 2 / ((energy(y) + floor_y) * (energy(s) + floor_s))


def cosine(y: Any, s: Any, floor_y: Any, floor_s: Any) -> Any:
    """The sign is kept."""
    return (y @ s) / np.sqrt((energy(y) + floor_y) * (energy(s) + floor_s))


def whole_floor(frames: list[Any], floor: float) -> list[Any]:
    """The same floor for all frames of a signal: relative to their mean energy."""
    mean = sum(energy(frame) for frame in frames) / len(frames)
    return [floor * mean + TINY] * len(frames)


# ---------------------------------------------------------------- similarity of utterances


def of_utterances(similarity: Similarity = squared_cosine, floor_of: Floor = whole_floor) -> Formula:
    """est (B, P, N), ref (B, J, N) -> c (B, P, J), the similarity of every pair."""

    def formula(est: Any, ref: Any, *, floor: float) -> dict[str, Any]:
        def one(y: Any, s: Any) -> Any:
            return similarity(y, s, floor_of([y], floor)[0], floor_of([s], floor)[0])

        rows = [[[one(y, s) for s in refs] for y in ests] for ests, refs in zip(est, ref, strict=True)]
        return {"c": np.array(rows, dtype=object)}

    return formula


def gain(y: Any, s: Any, floor_y: Any, floor_s: Any) -> Any:
    """The squared factor that fits the reference to the estimate: only the reference's energy divides."""
    return ((y @ s) / (energy(s) + floor_s)) ** 2


def constant_energy(y: Any, s: Any, floor_y: Any, floor_s: Any) -> Any:
    """The same value, but the gradient sees the inner product alone."""
    floored = stopped(np.array([energy(y) + floor_y]))[0]
    return (y @ s) ** 2 / (floored * (energy(s) + floor_s))


def utterance_case(
    name: str, sizes: tuple[int, int, int, int], floor: float = 1e-3, scale: float = 1.0, **more: Any
) -> Case:
    """A case with signals of these sizes (B, P, J, N)."""
    drawn = signals("utterance_similarity", name, *sizes, scale=scale)
    return Case(name, drawn | more.pop("arrays", {}), {"floor": floor}, **more)


SAME = draw("utterance_similarity/perfect/ref", 1, 2, 5)
SILENCED = signals("utterance_similarity", "silence", 1, 2, 2, 5)
OFFSET = signals("utterance_similarity", "offset", 1, 2, 2, 6)
UTTERANCE_SIMILARITY = Book(
    op="utterance_similarity",
    inputs=("est", "ref"),
    outputs=("c",),
    differentiable=("est",),
    equations=tuple(f"softmax_permutation.{i}" for i in range(1, 5)),
    formula=of_utterances(),
    cases=(
        utterance_case("plain", (2, 2, 2, 7)),
        utterance_case("more-outputs", (1, 3, 2, 6)),
        utterance_case("more-references", (2, 1, 3, 5)),
        utterance_case(
            "silence",
            (1, 2, 2, 5),
            arrays={"est": SILENCED["est"] * [[0], [1]], "ref": SILENCED["ref"] * [[1], [0]]},
            flags=EDGE,
        ),
        utterance_case("amplitude-1e-4", (1, 2, 2, 6), scale=SMALL, flags=EDGE),
        utterance_case("one-source", (2, 1, 1, 5), floor=0.125, flags=EDGE),
        utterance_case(
            "one-sample-near-tiny",
            (1, 2, 2, 1),
            arrays={"est": draw("utterance_similarity/tiny/est", 1, 2, 1) * 2.0**-50},
            flags=EDGE,
        ),
        utterance_case("offset", (1, 2, 2, 6), arrays={name: x + 1.5 for name, x in OFFSET.items()}, flags=EDGE),
        utterance_case(
            "perfect", (1, 2, 2, 5), arrays={"est": SAME * np.array([1.5, -0.25])[:, None], "ref": SAME}, flags=EDGE
        ),
    ),
    mistakes=(
        Mistake(
            "not-squared",
            "you return the cosine with its sign; the case wants its square, in [0, 1]",
            of_utterances(cosine),
        ),
        Mistake(
            "absolute-cosine",
            "you return the absolute cosine; the case wants its square",
            of_utterances(lambda *a: abs(cosine(*a))),
        ),
        Mistake(
            "floor-missing",
            "you leave out the floor; the case adds floor |e|^2 to |e|^2 and floor |s|^2 to |s|^2",
            of_utterances(floor_of=lambda frames, floor: [TINY]),
        ),
        Mistake(
            "floor-absolute",
            "you add the floor as it is; the case adds floor |e|^2 and floor |s|^2, relative to each signal",
            of_utterances(floor_of=lambda frames, floor: [floor]),
        ),
        Mistake(
            "floor-of-reference-only",
            "you add a floor to the reference's energy only; the case adds one to both energies",
            of_utterances(lambda y, s, floor_y, floor_s: squared_cosine(y, s, TINY, floor_s)),
        ),
        Mistake(
            "not-normalised",
            "you return the squared inner product; the case divides it by both energies",
            of_utterances(lambda y, s, floor_y, floor_s: (y @ s) ** 2),
        ),
        Mistake(
            "gain-of-the-reference",
            "you divide by the reference's energy twice; the case divides by the energies of both signals",
            of_utterances(gain),
        ),
        Mistake(
            "mean-removed",
            "you subtract the mean of both signals first; the case takes them as they are",
            of_utterances(lambda y, s, *f: squared_cosine(y - sum(y) / y.size, s - sum(s) / s.size, *f)),
        ),
        Mistake(
            "energy-held-constant",
            "your gradient holds the energy of the estimate constant; the case differentiates it",
            gradient=gradient_of(of_utterances(constant_energy), "est"),
        ),
    ),
    bad_cases=(
        BadCase("wrong-length", "ref has 6 samples, est has 7", {"ref": draw("utterance_similarity/bad/r", 2, 2, 6)}),
    ),
    generator=GENERATOR,
    axes={"est": "B P N", "ref": "B J N", "c": "B P J"},
)


# ---------------------------------------------------------------- softmax permutation


def whole_frames(x: Any, frame: int) -> list[Any]:
    """Frames of a signal (N,); a remainder is left out."""
    return [x[start : start + frame] for start in range(0, x.size - frame + 1, frame)]


def padded_frames(x: Any, frame: int) -> list[Any]:
    """Frames of a signal; a remainder is filled up with zeros."""
    return whole_frames(np.concatenate([x, np.zeros(-x.size % frame)]), frame)


def frame_floor(frames: list[Any], floor: float) -> list[Any]:
    """A floor for each frame by itself."""
    return [floor * energy(frame) + TINY for frame in frames]


def constant_floor(frames: list[Any], floor: float) -> list[Any]:
    """The same floor, without its gradient."""
    return list(stopped(np.array(whole_floor(frames, floor), dtype=object)))


def active(s: Any, floor_s: Any) -> Any:
    """Activity of a frame of a reference, near 1 where it is loud."""
    return energy(s) / (energy(s) + floor_s)


def mean(values: Any) -> Any:
    """Mean of Pi (P, frames) over the frames of a window."""
    return np.sum(values, axis=-1) / values.shape[-1]


def item_loss(
    ests: Any,
    refs: Any,
    frame: int,
    temp: float,
    weights: tuple[float, ...],
    floor: float,
    *,
    frames_of: Callable[[Any, int], list[Any]] = whole_frames,
    floor_of: Floor = whole_floor,
    similarity: Similarity = squared_cosine,
    axis: int = 0,
    reach: Callable[[int], int] = lambda r: 2**r,
    window: Callable[[Any], Any] = mean,
    change: Callable[[Any], Any] = lambda difference: np.sum(difference * difference),
    activity: Callable[[list[Any], int], Any] = lambda loudness, t: loudness[t],
    skipped: int = 0,
    count: Callable[[int, int, int], int] = lambda outputs, references, windows: references * windows,
) -> Any:
    """The loss of one item, ests (P, N), refs (J, N). Everything after the star is there to be mistaken."""
    y, s = ([frames_of(x, frame) for x in signals] for signals in (ests, refs))
    floors_y, floors_s = ([floor_of(frames, floor) for frames in signals] for signals in (y, s))
    score = np.empty((len(y), len(s), len(y[0])), dtype=object)
    for p, j, t in np.ndindex(score.shape):
        score[p, j, t] = similarity(y[p][t], s[j][t], floors_y[p][t], floors_s[j][t])
    pi = shares(score / temp, axis)
    loudness = [[active(*pair) for pair in zip(s[j], floors_s[j], strict=True)] for j in range(len(s))]
    loss = 0
    for r, weight in enumerate(weights):
        h = reach(r)
        centres = range(h + skipped, len(y[0]) - h + 1)
        for j in range(len(s)):
            for t in centres:
                difference = window(pi[:, j, t : t + h]) - window(pi[:, j, t - h : t])
                share = weight * activity(loudness[j], t) / count(len(y), len(s), len(centres))
                loss = loss + share * change(difference)
    return loss


def by_items(**how: Any) -> Formula:
    """est (B, P, N), ref (B, J, N) -> loss (B,)."""

    def formula(est: Any, ref: Any, **attrs: Any) -> dict[str, Any]:
        losses = [item_loss(ests, refs, **attrs, **how) for ests, refs in zip(est, ref, strict=True)]
        return {"loss": np.array(losses, dtype=object)}

    return formula


right = by_items()


def case(
    name: str,
    sizes: tuple[int, int, int, int],
    frame: int,
    weights: tuple[float, ...],
    temp: float = 0.125,
    floor: float = 1e-3,
    scale: float = 1.0,
    **more: Any,
) -> Case:
    """A case with signals of these sizes (B, P, J, N)."""
    drawn = signals("softmax_permutation", name, *sizes, scale=scale)
    attrs = {"frame": frame, "temp": temp, "weights": list(weights), "floor": floor}
    return Case(name, drawn | more.pop("arrays", {}), attrs, **more)


TURNED = draw("softmax_permutation/turned/ref", 1, 2, 12)
SWAPPED = np.concatenate([TURNED[:, :, :6], TURNED[:, ::-1, 6:]], axis=2)
QUIET = signals("softmax_permutation", "silence", 1, 2, 2, 10)
RAISED = signals("softmax_permutation", "offset", 1, 2, 2, 10)
SOFTMAX_PERMUTATION = Book(
    op="softmax_permutation",
    inputs=("est", "ref"),
    outputs=("loss",),
    differentiable=("est",),
    equations=tuple(f"softmax_permutation.{i}" for i in range(1, 13)),
    formula=right,
    cases=(
        case("plain", (2, 2, 2, 12), frame=2, weights=(1.0, 0.5), temp=0.1),
        case("more-outputs", (1, 3, 2, 16), frame=2, weights=(0.5, 1.0, 0.25)),
        case("more-references", (2, 2, 3, 10), frame=2, weights=(1.0, 0.25), floor=0.125, temp=0.25),
        case("high-floor", (1, 2, 2, 14), frame=2, weights=(0.75, 0.5, 1.0), floor=0.5, temp=0.25),
        case(
            "speakers-swapped",
            (1, 2, 2, 12),
            frame=2,
            weights=(1.0, 1.0),
            arrays={"est": SWAPPED + draw("softmax_permutation/turned/est", 1, 2, 12, scale=0.125), "ref": TURNED},
        ),
        case("remainder", (1, 2, 2, 15), frame=4, weights=(1.0,), flags=EDGE),
        case("too-coarse", (1, 2, 2, 12), frame=4, weights=(0.5, 1.0, 2.0), flags=EDGE),
        case("one-frame", (2, 2, 2, 5), frame=5, weights=(1.0, 1.0), flags=EDGE),
        case(
            "silence",
            (1, 2, 2, 10),
            frame=2,
            weights=(1.0, 0.5),
            arrays={"est": QUIET["est"] * [[0], [1]], "ref": QUIET["ref"] * [[1], [0]]},
            flags=EDGE,
        ),
        case("one-source", (1, 1, 1, 8), frame=2, weights=(1.0, 0.5), flags=EDGE),
        case("amplitude-1e-4", (1, 2, 2, 8), frame=2, weights=(1.0, 0.5), scale=SMALL, flags=EDGE),
        case("sharp", (1, 2, 2, 10), frame=2, weights=(1.0, 0.5), temp=2.0**-6, flags=EDGE),
        case(
            "offset",
            (1, 2, 2, 10),
            frame=2,
            weights=(1.0, 0.5),
            arrays={name: x + 1.5 for name, x in RAISED.items()},
            flags=EDGE,
        ),
    ),
    mistakes=(
        Mistake(
            "softmax-over-references",
            "your softmax runs over references; the case wants it over outputs",
            by_items(axis=1),
        ),
        Mistake(
            "temperature-multiplied",
            "you multiply the similarity by the temperature; the case divides it by it",
            lambda est, ref, *, temp, **attrs: right(est, ref, temp=1 / temp, **attrs),
        ),
        Mistake(
            "similarity-not-squared",
            "your similarity is the cosine with its sign; the case wants its square",
            by_items(similarity=cosine),
        ),
        Mistake(
            "activity-missing",
            "you weigh all frames alike; the case weighs them with the activity of the reference",
            by_items(activity=lambda loudness, t: 1),
        ),
        Mistake(
            "activity-one-frame-early",
            "you take the activity of the frame before; the case takes that of t, the first frame of the later window",
            by_items(activity=lambda loudness, t: loudness[t - 1]),
        ),
        Mistake(
            "windows-one-frame-late",
            "your first pair of windows starts one frame late; the case starts at frame 0, with t = h",
            by_items(skipped=1),
        ),
        Mistake(
            "finest-only",
            "you use the finest resolution only; the case sums over all, each with its weight",
            lambda est, ref, *, weights, **attrs: right(est, ref, weights=weights[:1], **attrs),
        ),
        Mistake(
            "linear-windows",
            "your windows have 1, 2, 3 .. frames; the case wants 1, 2, 4 .., 2^r for weights[r]",
            by_items(reach=lambda r: r + 1),
        ),
        Mistake(
            "sums-in-windows",
            "you sum Pi over each window; the case wants its mean",
            by_items(window=lambda values: np.sum(values, axis=-1)),
        ),
        Mistake(
            "absolute-difference",
            "you take the absolute difference of windows; the case wants its square",
            by_items(change=lambda difference: np.sum(abs(difference))),
        ),
        Mistake(
            "sum-over-frames",
            "you sum over the places of the windows; the case wants the mean over them",
            by_items(count=lambda outputs, references, windows: references),
        ),
        Mistake(
            "sum-over-references",
            "you sum over references; the case wants the mean over them",
            by_items(count=lambda outputs, references, windows: windows),
        ),
        Mistake(
            "mean-over-outputs",
            "you take the mean over outputs too; the case sums over outputs, and averages over references and frames",
            by_items(count=lambda outputs, references, windows: outputs * references * windows),
        ),
        Mistake(
            "remainder-padded",
            "you fill the last frame up with zeros; the case leaves a remainder out",
            by_items(frames_of=padded_frames),
        ),
        Mistake(
            "floor-of-each-frame",
            "your floor is relative to the frame; the case's to the mean energy of all frames of the signal",
            by_items(floor_of=frame_floor),
        ),
        Mistake(
            "floor-held-constant",
            "your gradient holds the floor of the estimate's energy constant; the case differentiates it",
            gradient=gradient_of(by_items(floor_of=constant_floor), "est"),
        ),
    ),
    bad_cases=(
        BadCase("wrong-length", "ref has 11 samples, est has 12", {"ref": draw("softmax_permutation/bad", 2, 2, 11)}),
    ),
    generator=GENERATOR,
    axes={"est": "B P N", "ref": "B J N", "loss": "B"},
)

BOOKS = (UTTERANCE_SIMILARITY, SOFTMAX_PERMUTATION)
