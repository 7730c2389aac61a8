"""What conv_transpose1d must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from refbss._types import Array
from refbss.ops.conv_transpose1d import conv_transpose1d_backward, conv_transpose1d_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(x: Array, w: Array, b: Array, *, stride: int = 1, trim_right: int = 0) -> tuple[Array, ...]:
    """Put stride - 1 zeros between the frames and convolve with every kernel; trim."""
    batch, channels, frames = x.shape
    stuffed = np.zeros((batch, channels, (frames - 1) * stride + 1))
    stuffed[:, :, ::stride] = x
    y = np.array(
        [
            [sum(np.convolve(item[c], w[c, o]) for c in range(channels)) + b[o] for o in range(w.shape[1])]
            for item in stuffed
        ]
    )
    return (y[:, :, : y.shape[2] - trim_right],)


def draw(batch: int, channels: int, frames: int, outputs: int, taps: int) -> Any:
    """Return the function that draws arrays of these sizes."""

    def arrays(rng: np.random.Generator) -> Arrays:
        w = normal(rng, channels, outputs, taps, scale=0.5)
        return {"x": normal(rng, batch, channels, frames), "w": w, "b": normal(rng, outputs)}

    return arrays


def bias_of_first_item(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The bias gradient leaves out the sum over the batch."""

    def faulty_backward(dy: Array, cache: Any) -> Any:
        grads = backward(dy, cache)
        return grads._replace(db=dy[0].sum(axis=1))

    return forward, faulty_backward


SPEC = OpSpec(
    name="conv_transpose1d",
    forward=conv_transpose1d_forward,
    backward=conv_transpose1d_backward,
    oracle=oracle,
    outputs=("y",),
    differentiable=("x", "w", "b"),
    cases=(
        Case("plain", draw(2, 3, 4, 2, 3)),
        Case("strided and trimmed", draw(2, 2, 4, 3, 4), {"stride": 2, "trim_right": 2}),
        Case("stride beyond the kernel", draw(1, 2, 3, 2, 2), {"stride": 3}),
        Case("one frame", draw(1, 2, 1, 1, 4), {"stride": 2, "trim_right": 3}),
    ),
    linear=("x", "w", "b"),
    faults=(Fault("bias gradient misses the sum over the batch", "adjoint", bias_of_first_item),),
    bad_calls=(
        BadCall("channels", r"w has shape \(4, 2, 3\).*, wanted C = 3 as x has", {"w": np.zeros((4, 2, 3))}),
        BadCall("bias length", r"b has shape \(3,\).*, wanted O = 2 as w has", {"b": np.zeros(3)}),
        BadCall("stride 0", "stride is 0, wanted an integer of at least 1", attributes={"stride": 0}),
        BadCall("trims all", "trim_right is 6, wanted less than 6", attributes={"trim_right": 6}),
        BadCall("negative trim", "trim_right is -1, wanted an integer of at least 0", attributes={"trim_right": -1}),
    ),
)
