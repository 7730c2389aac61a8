"""What softmax_permutation must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from refbss._types import Array
from refbss.losses.softmax_permutation import softmax_permutation_backward, softmax_permutation_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec

TINY = 1e-30


def similarity_of(y: Array, s: Array, floor: float) -> tuple[Array, Array]:
    """Return the similarity and the reference's activity of every frame, from lists of frames (F, frame)."""
    floor_y = floor * np.mean([frame @ frame for frame in y]) + TINY
    floor_s = floor * np.mean([frame @ frame for frame in s]) + TINY
    pairs = list(zip(y, s, strict=True))
    c = [(a @ b) ** 2 / ((a @ a + floor_y) * (b @ b + floor_s)) for a, b in pairs]
    return np.array(c), np.array([(b @ b) / (b @ b + floor_s) for b in s])


def oracle(
    est: Array, ref: Array, *, frame: int, temp: float, weights: tuple[float, ...], floor: float = 1e-3
) -> tuple[Array, ...]:
    """The equations as sums over frames; every mean over a window is taken on its own."""
    count = est.shape[2] // frame
    loss = np.zeros(est.shape[0])
    for b in range(est.shape[0]):
        outputs = [signal[: count * frame].reshape(count, frame) for signal in est[b]]
        references = [signal[: count * frame].reshape(count, frame) for signal in ref[b]]
        for s in references:
            c = np.array([similarity_of(y, s, floor)[0] for y in outputs])
            activity = similarity_of(outputs[0], s, floor)[1]
            pi = softmax(c / temp, axis=0)
            for r, weight in enumerate(weights):
                reach = 2**r
                places = range(reach, count - reach + 1)
                for tau in places:
                    change = pi[:, tau : tau + reach].mean(axis=1) - pi[:, tau - reach : tau].mean(axis=1)
                    loss[b] += weight * activity[tau] * (change @ change) / (len(places) * len(references))
    return (loss,)


def draw(batch: int, outputs: int, references: int, samples: int, silent: bool = False) -> Any:
    """Return the function that draws references and estimates that mix them; the last reference zero if ``silent``."""

    def arrays(rng: np.random.Generator) -> Arrays:
        ref = normal(rng, batch, references, samples)
        mixed = np.einsum("pj,bjn->bpn", normal(rng, outputs, references), ref)
        ref[:, -1] *= 0.0 if silent else 1.0
        return {"est": mixed + normal(rng, batch, outputs, samples, scale=0.5), "ref": ref}

    return arrays


def finest_gradient_only(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The gradient forgets all but the finest resolution."""

    def faulty_forward(est: Array, ref: Array, *, weights: tuple[float, ...], **attributes: Any) -> tuple[Any, ...]:
        loss, _ = forward(est, ref, weights=weights, **attributes)
        return loss, forward(est, ref, weights=weights[:1], **attributes)[1]

    return faulty_forward, backward


def one_frame_late(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The first frame is left out of every difference; forward and backward agree."""

    def faulty_forward(est: Array, ref: Array, *, frame: int, **attributes: Any) -> tuple[Any, ...]:
        loss, cache = forward(est[..., frame:].copy(), ref[..., frame:].copy(), frame=frame, **attributes)
        return loss, (frame, cache)

    def faulty_backward(dloss: Array, cache: Any) -> Any:
        frame, inner = cache
        grads = backward(dloss, inner)
        return grads._replace(dest=np.pad(grads.dest, ((0, 0), (0, 0), (frame, 0))))

    return faulty_forward, faulty_backward


SPEC = OpSpec(
    name="softmax_permutation",
    forward=softmax_permutation_forward,
    backward=softmax_permutation_backward,
    oracle=oracle,
    outputs=("loss",),
    differentiable=("est",),
    cases=(
        Case("with a remainder", draw(2, 2, 2, 17), {"frame": 3, "temp": 0.5, "weights": (1.0, 0.7)}),
        Case("resolution too coarse", draw(1, 2, 2, 12), {"frame": 3, "temp": 0.3, "weights": (0.5, 1.5, 2.0)}),
        Case("more outputs", draw(1, 3, 2, 12), {"frame": 2, "temp": 0.4, "weights": (0.3, 1.0), "floor": 0.2}),
        Case("silent reference", draw(1, 2, 2, 10, silent=True), {"frame": 2, "temp": 0.5, "weights": (1.0, 1.0)}),
    ),
    faults=(
        Fault("gradient of the finest resolution only", "differences", finest_gradient_only),
        Fault("first frame left out, gradient alike", "oracle", one_frame_late),
    ),
    bad_calls=(
        BadCall("samples", r"ref has shape \(2, 2, 9\).*, wanted N = 17 as est has", {"ref": np.zeros((2, 2, 9))}),
        BadCall("too short", r"est has .*, wanted at least one frame", attributes={"frame": 18}),
        BadCall("frame 0", "frame is 0, wanted an integer of at least 1", attributes={"frame": 0}),
        BadCall("temp 0", r"temp is 0\.0, wanted a finite number above 0", attributes={"temp": 0.0}),
        BadCall("floor 0", r"floor is 0\.0, wanted a finite number above 0", attributes={"floor": 0.0}),
        BadCall(
            "weight", r"weights\[1\] is -1\.0, wanted a finite number at least 0", attributes={"weights": (1.0, -1.0)}
        ),
    ),
    step=1e-3,
)
