"""What conv1d must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import correlate

from refbss._types import Array
from refbss.ops.conv1d import conv1d_backward, conv1d_forward
from refbss.verification.draw import normal
from refbss.verification.spec import Arrays, Backward, BadCall, Case, Fault, Forward, OpSpec


def oracle(x: Array, w: Array, b: Array, *, stride: int = 1, pad_left: int = 0) -> tuple[Array, ...]:
    """SciPy's two-dimensional correlation of all channels with all taps, then every stride-th value."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad_left, 0)))
    every = np.array([[correlate(item, kernel, "valid", "direct")[0] for kernel in w] for item in padded])
    return ((every + b[:, None])[:, :, ::stride],)


def draw(batch: int, channels: int, samples: int, outputs: int, taps: int) -> Any:
    """Return the function that draws arrays of these sizes."""

    def arrays(rng: np.random.Generator) -> Arrays:
        w = normal(rng, outputs, channels, taps, scale=0.5)
        return {"x": normal(rng, batch, channels, samples), "w": w, "b": normal(rng, outputs)}

    return arrays


def flipped_kernel(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """A convolution, as signal processing has it, instead of a cross-correlation."""

    def faulty_forward(x: Array, w: Array, b: Array, **attributes: Any) -> tuple[Any, ...]:
        return forward(x, w[..., ::-1], b, **attributes)

    def faulty_backward(dy: Array, cache: Any) -> Any:
        grads = backward(dy, cache)
        return grads._replace(dw=grads.dw[..., ::-1].copy())

    return faulty_forward, faulty_backward


def growing_bias_gradient(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """The bias gradient adds to a buffer that the backward pass forgets to clear."""
    calls = [0.0]

    def faulty_forward(*arrays: Array, **attributes: Any) -> tuple[Any, ...]:
        calls[0] = 0.0
        return forward(*arrays, **attributes)

    def faulty_backward(dy: Array, cache: Any) -> Any:
        calls[0] += 1.0
        grads = backward(dy, cache)
        return grads._replace(db=(grads.db * calls[0]).astype(dy.dtype))

    return faulty_forward, faulty_backward


SPEC = OpSpec(
    name="conv1d",
    forward=conv1d_forward,
    backward=conv1d_backward,
    oracle=oracle,
    outputs=("y",),
    differentiable=("x", "w", "b"),
    cases=(
        Case("plain", draw(2, 3, 7, 2, 3)),
        Case("strided and padded", draw(2, 2, 9, 3, 4), {"stride": 2, "pad_left": 2}),
        Case("stride beyond the kernel", draw(1, 2, 9, 2, 2), {"stride": 3}),
        Case("one tap", draw(1, 1, 4, 2, 1), {"pad_left": 1}),
        Case("one frame", draw(1, 2, 3, 2, 3)),
        Case("kernel longer than the input", draw(1, 2, 3, 2, 5), {"pad_left": 4}),
    ),
    linear=("x", "w", "b"),
    faults=(
        Fault("kernel flipped, forward and backward alike", "oracle", flipped_kernel),
        Fault("bias gradient accumulates over calls", "purity", growing_bias_gradient),
    ),
    bad_calls=(
        BadCall("channels", r"w has shape \(2, 4, 3\).*, wanted C = 3 as x has", {"w": np.zeros((2, 4, 3))}),
        BadCall("bias length", r"b has shape \(3,\).*, wanted O = 2 as w has", {"b": np.zeros(3)}),
        BadCall("too short", r"x has N = 2.*, wanted at least", {"x": np.zeros((2, 3, 2))}),
        BadCall("stride 0", "stride is 0, wanted an integer of at least 1", attributes={"stride": 0}),
        BadCall("stride 1.0", r"stride is 1\.0, wanted an integer", attributes={"stride": 1.0}),
        BadCall("negative padding", "pad_left is -1, wanted an integer of at least 0", attributes={"pad_left": -1}),
    ),
)
