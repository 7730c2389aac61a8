"""Golden cases of the strided convolution and of its transpose: sums of shifted signals, and the usual confusions."""

from __future__ import annotations

from typing import Any

import numpy as np
from book import BadCase, Book, Case, Mistake, draw
from pieces import gradient_of

Outputs = dict[str, Any]


def padded(x: Any, left: int, right: int) -> np.ndarray:
    """x (B, C, N) between zeros."""
    zeros = [np.zeros((*x.shape[:2], count), dtype=object) for count in (left, right)]
    return np.concatenate([zeros[0], x, zeros[1]], axis=2)


def correlate(x: Any, weight: Any, bias: Any, stride: int = 1) -> Any:
    """x (B, C, N), weight (O, C, K), bias (O,) -> (B, O, T): one shifted signal a tap, all added up."""
    taps = weight.shape[2]
    behind = x.shape[2] - taps + 1
    y = bias[:, None]
    for k in range(taps):
        y = y + weight[:, :, k] @ x[:, :, k : k + behind : stride]
    return y


def conv1d(x: Any, weight: Any, bias: Any, *, stride: int, pad_left: int, pad_right: int = 0) -> Outputs:
    """x (B, C, N), weight (O, C, K), bias (O,) -> y (B, O, T)."""
    return {"y": correlate(padded(x, pad_left, pad_right), weight, bias, stride)}


def conv_transpose1d(x: Any, weight: Any, bias: Any, *, stride: int, trim_right: int, trim_left: int = 0) -> Outputs:
    """x (B, C, T), weight (C, O, K), bias (O,) -> y (B, O, N): zeros between the frames, then the kernel reversed."""
    batch, channels, frames = x.shape
    taps = weight.shape[2]
    stuffed = np.zeros((batch, channels, (frames - 1) * stride + 1), dtype=object)
    stuffed[:, :, ::stride] = x
    kernel = np.swapaxes(weight, 0, 1)[:, :, ::-1]
    y = correlate(padded(stuffed, taps - 1, taps - 1), kernel, bias)
    return {"y": y[:, :, trim_left : y.shape[2] - trim_right]}


def swapped(weight: Any) -> Any:
    """The weight with its first two axes exchanged. Raises ValueError where the shape would tell."""
    if weight.shape[0] != weight.shape[1]:
        raise ValueError
    return np.swapaxes(weight, 0, 1)


def same_padding(x: Any, weight: Any, bias: Any, *, stride: int, pad_left: int) -> Outputs | None:
    """The zeros are shared between both ends, the odd one on the right."""
    if pad_left < 2:
        return None
    left = pad_left // 2
    return conv1d(x, weight, bias, stride=stride, pad_left=left, pad_right=pad_left - left)


def same_trimming(x: Any, weight: Any, bias: Any, *, stride: int, trim_right: int) -> Outputs | None:
    """Both ends lose half of the samples."""
    if trim_right < 2:
        return None
    left = trim_right // 2
    return conv_transpose1d(x, weight, bias, stride=stride, trim_left=left, trim_right=trim_right - left)


def overlaps(x: Any, weight: Any, stride: int, trim_right: int) -> np.ndarray:
    """How many frames reach every sample (N,), as plain integers."""
    frames, taps = x.shape[2], weight.shape[2]
    counts = np.zeros((frames - 1) * stride + taps, dtype=object)
    for t in range(frames):
        counts[t * stride : t * stride + taps] += 1
    return counts[: counts.size - trim_right]


def bias_per_frame(x: Any, weight: Any, bias: Any, *, stride: int, trim_right: int) -> Outputs:
    """Every frame brings the bias with it."""
    plain = conv_transpose1d(x, weight, bias * 0, stride=stride, trim_right=trim_right)["y"]
    return {"y": plain + bias[:, None] * overlaps(x, weight, stride, trim_right)}


def overlap_averaged(x: Any, weight: Any, bias: Any, *, stride: int, trim_right: int) -> Outputs:
    """Every sample is divided by the number of frames that reach it."""
    plain = conv_transpose1d(x, weight, bias * 0, stride=stride, trim_right=trim_right)["y"]
    return {"y": plain / np.maximum(overlaps(x, weight, stride, trim_right), 1) + bias[:, None]}


def overlap_overwritten(x: Any, weight: Any, bias: Any, *, stride: int, trim_right: int) -> Outputs:
    """Only the last frame that reaches a sample is heard there."""
    taps = weight.shape[2]
    y = np.zeros((x.shape[0], weight.shape[1], (x.shape[2] - 1) * stride + taps), dtype=object)
    for t in range(x.shape[2]):
        for k in range(taps):
            y[:, :, t * stride + k] = x[:, :, t] @ weight[:, :, k]
    return {"y": y[:, :, : y.shape[2] - trim_right] + bias[:, None]}


def case(op: str, name: str, x: tuple[int, ...], weight: tuple[int, ...], scale: float = 1.0, **more: Any) -> Case:
    """A case of arrays of these shapes; x times ``scale``."""
    label, outputs = f"{op}/{name}", weight[1 if op == "conv_transpose1d" else 0]
    arrays = {
        "x": draw(f"{label}/x", *x, scale=2.0) * scale,
        "weight": draw(f"{label}/weight", *weight),
        "bias": draw(f"{label}/bias", outputs),
    }
    return Case(name, arrays | more.pop("arrays", {}), **more)


def conv(name: str, x: tuple[int, ...], weight: tuple[int, ...], stride: int, pad_left: int, **more: Any) -> Case:
    """A case of conv1d: shapes of x (B, C, N) and weight (O, C, K), attributes."""
    return case("conv1d", name, x, weight, attrs={"stride": stride, "pad_left": pad_left}, **more)


def transpose(
    name: str, x: tuple[int, ...], weight: tuple[int, ...], stride: int, trim_right: int, **more: Any
) -> Case:
    """A case of conv_transpose1d: shapes of x (B, C, T) and weight (C, O, K), attributes."""
    return case("conv_transpose1d", name, x, weight, attrs={"stride": stride, "trim_right": trim_right}, **more)


EDGE = ("edge",)

CONV1D = Book(
    op="conv1d",
    inputs=("x",),
    params=("weight", "bias"),
    outputs=("y",),
    differentiable=("x", "weight", "bias"),
    equations=tuple(f"conv1d.{i}" for i in range(1, 5)),
    formula=conv1d,
    cases=(
        conv("plain", (3, 2, 10), (4, 2, 5), stride=1, pad_left=0),
        conv("strided-causal", (1, 3, 20), (2, 3, 6), stride=4, pad_left=2),
        conv("square", (1, 3, 11), (3, 3, 4), stride=2, pad_left=4),
        conv("one-sample", (2, 3, 1), (4, 3, 5), stride=2, pad_left=4, flags=EDGE),
        conv("kernel-one", (1, 3, 7), (4, 3, 1), stride=2, pad_left=0, flags=EDGE),
        conv("stride-beyond-kernel", (1, 2, 14), (3, 2, 2), stride=5, pad_left=0, flags=EDGE),
        conv("padding-beyond-kernel", (1, 2, 6), (4, 2, 3), stride=1, pad_left=5, flags=EDGE),
        conv("silence", (1, 2, 8), (3, 2, 4), stride=2, pad_left=2, scale=0.0, flags=EDGE),
        conv("constant-input", (1, 2, 9), (3, 2, 4), 2, 3, arrays={"x": np.ones((1, 2, 9))}, flags=EDGE),
        conv("amplitude-1e-4", (1, 2, 9), (3, 2, 5), stride=2, pad_left=3, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "kernel-flipped",
            "you reverse the kernel, a convolution in the sense of mathematics; the case wants "
            "sum_k w[k] x[t*stride + k - pad_left], the cross-correlation of every framework's Conv1d",
            lambda x, weight, bias, **a: conv1d(x, weight[:, :, ::-1], bias, **a),
        ),
        Mistake(
            "padding-on-the-right",
            "you put the pad_left zeros behind the signal; the case puts them in front of it",
            lambda x, weight, bias, stride, pad_left: conv1d(
                x, weight, bias, stride=stride, pad_left=0, pad_right=pad_left
            ),
        ),
        Mistake(
            "padding-on-both-sides",
            "you share the pad_left zeros between both ends (padding='same', an odd one on the right); the case puts "
            "all of them in front",
            same_padding,
        ),
        Mistake(
            "weight-in-out-swapped",
            "you read the weight as (in, out, K); the case wants (out, in, K), as torch.nn.Conv1d has it",
            lambda x, weight, bias, **a: conv1d(x, swapped(weight), bias, **a),
        ),
        Mistake(
            "bias-missing",
            "you leave out the bias; the case adds bias[o] to every frame of channel o",
            lambda x, weight, bias, **a: conv1d(x, weight, bias * 0, **a),
        ),
        Mistake(
            "input-gradient-kernel-flipped",
            "your gradient of x runs through the kernel in reverse; sample t*stride + k - pad_left has to get "
            "weight[o, c, k] dy[o, t], with the same k",
            gradient=gradient_of(lambda x, weight, bias, **a: conv1d(x, weight[:, :, ::-1], bias, **a), "x"),
        ),
    ),
    bad_cases=(
        BadCase("wrong-channels", "x has 3 channels, the weight wants 2", {"x": draw("conv1d/bad/x", 3, 3, 10)}),
        BadCase("wrong-bias", "bias has 3 channels, the weight makes 4", {"bias": draw("conv1d/bad/bias", 3)}),
    ),
    generator="golden/generate/formulas_convolution.py",
    axes={"x": "B C N", "weight": "O C K", "bias": "O", "y": "B O T"},
)

CONV_TRANSPOSE1D = Book(
    op="conv_transpose1d",
    inputs=("x",),
    params=("weight", "bias"),
    outputs=("y",),
    differentiable=("x", "weight", "bias"),
    equations=tuple(f"conv_transpose1d.{i}" for i in range(1, 5)),
    formula=conv_transpose1d,
    cases=(
        transpose("plain", (2, 4, 6), (4, 3, 5), stride=1, trim_right=0),
        transpose("strided-causal", (1, 2, 5), (2, 3, 6), stride=4, trim_right=2),
        transpose("square", (1, 3, 5), (3, 3, 4), stride=2, trim_right=2),
        transpose("one-frame", (3, 2, 1), (2, 4, 5), stride=3, trim_right=2, flags=EDGE),
        transpose("kernel-one", (1, 4, 4), (4, 2, 1), stride=3, trim_right=0, flags=EDGE),
        transpose("stride-beyond-kernel", (1, 3, 4), (3, 2, 2), stride=5, trim_right=0, flags=EDGE),
        transpose("trim-beyond-kernel", (1, 4, 6), (4, 2, 3), stride=2, trim_right=5, flags=EDGE),
        transpose("silence", (1, 2, 4), (2, 3, 4), stride=2, trim_right=2, scale=0.0, flags=EDGE),
        transpose("constant-input", (1, 2, 5), (2, 3, 4), 2, 0, arrays={"x": np.ones((1, 2, 5))}, flags=EDGE),
        transpose("amplitude-1e-4", (1, 2, 4), (2, 3, 5), stride=2, trim_right=3, scale=2.0**-13, flags=EDGE),
    ),
    mistakes=(
        Mistake(
            "kernel-flipped",
            "you reverse the kernel; the case adds weight[c, o, k] x[c, t] to sample t*stride + k",
            lambda x, weight, bias, **a: conv_transpose1d(x, weight[:, :, ::-1], bias, **a),
        ),
        Mistake(
            "trim-on-the-left",
            "you drop the trim_right samples at the beginning; the case drops them at the end",
            lambda x, weight, bias, stride, trim_right: conv_transpose1d(
                x, weight, bias, stride=stride, trim_left=trim_right, trim_right=0
            ),
        ),
        Mistake(
            "trim-on-both-sides",
            "you share trim_right between both ends (padding=trim_right/2 of torch.nn.ConvTranspose1d does); the case "
            "drops all of it at the end",
            same_trimming,
        ),
        Mistake(
            "weight-out-in",
            "you read the weight as (out, in, K); the case wants (in, out, K), as torch.nn.ConvTranspose1d has it",
            lambda x, weight, bias, **a: conv_transpose1d(x, swapped(weight), bias, **a),
        ),
        Mistake(
            "bias-missing",
            "you leave out the bias; the case adds bias[o] to every sample of channel o",
            lambda x, weight, bias, **a: conv_transpose1d(x, weight, bias * 0, **a),
        ),
        Mistake(
            "bias-per-frame",
            "you add the bias once for every frame that reaches a sample; the case adds it once to every sample",
            bias_per_frame,
        ),
        Mistake(
            "overlap-averaged",
            "you divide every sample by the number of frames that reach it; the case only adds them",
            overlap_averaged,
        ),
        Mistake(
            "overlap-overwritten",
            "a frame of yours overwrites what those before it left behind; the case adds overlapping frames",
            overlap_overwritten,
        ),
        Mistake(
            "input-gradient-kernel-flipped",
            "your gradient of x runs through the kernel in reverse; x[c, t] has to get the sum of "
            "weight[c, o, k] dy[o, t*stride + k]",
            gradient=gradient_of(lambda x, weight, bias, **a: conv_transpose1d(x, weight[:, :, ::-1], bias, **a), "x"),
        ),
    ),
    bad_cases=(
        BadCase(
            "wrong-channels", "x has 3 channels, the weight wants 4", {"x": draw("conv_transpose1d/bad/x", 2, 3, 6)}
        ),
        BadCase("wrong-bias", "bias has 4 channels, the weight makes 3", {"bias": draw("conv_transpose1d/bad/b", 4)}),
    ),
    generator="golden/generate/formulas_convolution.py",
    axes={"x": "B C T", "weight": "C O K", "bias": "O", "y": "B O N"},
)

BOOKS = (CONV1D, CONV_TRANSPOSE1D)
