"""Make the golden vectors of whole models and training: ``python golden/generate/torch_vectors.py [--out DIR]``.

Writes golden/model, golden/objective and golden/train and brings golden/MANIFEST.json up to date. Values and gradients
are those of torch_lvbd.py in PyTorch float64 with autograd. One machine reproduces every file bit for bit. PyTorch is
held to one thread and to kernels that do not use the processor's widest vectors, so that others come as near as can be.

Tolerances are MARGIN times the error that the same program makes in float32. The error of float64 cannot be measured
against itself: its tolerance is that of float32 times 2^-29, the ratio of the two roundings.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["ATEN_CPU_CAPABILITY"] = "default"
os.environ["MKL_CBWR"] = "COMPATIBLE"
sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
import torch
import torch_lvbd
from book import APART, MARGIN, draw, error, rounded_up
from library import FORMAT, GOLDEN, Files, pair, sentences, shapes, write_library
from number import BITS, Named
from torch import Tensor
from torch.nn import functional as F
from torch_cases import Question, questions

SOURCE = "PyTorch float64 autograd"
GENERATOR = "golden/generate/torch_vectors.py"
Tensors = dict[str, Tensor]
Work = Callable[[Question, Tensors, Tensors], tuple[Tensors, Tensors]]
"""(question, inputs, params) -> outputs and cotangents; without cotangents there are no gradients."""

AXES = {
    "mix": "B N",
    "refs": "B P N",
    "clean": "B",
    "eps": "B P T D",
    "h[0-9]": "B C N",
    "g[0-9]": "B T C",
    "w": "B P T M",
    "mu": "B P T D",
    "l": "B P T D",
    "log_var": "B P T D",
    "z": "B P T D",
    "[mq]_blocks": "B P NB K D",
    "est": "B P N",
    "encoder.conv.*.weight": "O I K",
    "decoder.conv.*.weight": "I O K",
    "*weight_ih_l0": "3H I",
    "*weight_hh_l0": "3H H",
    "*bias_?h_l0": "3H",
    "separator.adapt.weight": "P M H",
    "separator.adapt.bias": "P M",
    "separator.memory.weight": "M 2KD",
    "separator.fc.weight": "2D M",
    "separator.fc.bias": "2D",
    "memory.theta": "K",
    "memory.[mq]0": "P K D",
    "prior.log_r": "P D",
    "prior.shape": "1",
    "head.weight": "O I",
    "weight": "O I",
    "*weight": "C",
    "*bias": "C",
    "checksum_*": "Q 2",
    "reconstruction": "B",
    "divergence": "B",
    "permutation": "B",
    "mixture": "B",
}
"""Axes by name or pattern, the first that fits: C channels, Q parameters; the N of h1 is what its stride leaves.

In the model, x is the virtual array. The axes of x, target and loss depend on the case.
"""


def axes(question: Question, name: str) -> str:
    """The axes of one array of a case."""
    if name == "loss":
        return "S" if question.op == "train" else ""
    if name in ("x", "target"):
        return "B T M" if question.op == "model" else "B T I" if question.attrs["model"] == "gru" else "B I"
    return next(said for pattern, said in AXES.items() if fnmatchcase(name, pattern))


# ---------------------------------------------------------------- answers


def intermediates(question: Question) -> list[str]:
    """Names of everything that the model computes and the case stores, in that order."""
    config = question.attrs["config"]
    names = [f"h{i + 1}" for i in range(len(config["conv_channels"]))]
    names += [f"g{i}" for i in range(config["gru_sections"] + 1)]
    names += ["x", *["w"] * question.small, "mu", "l", "log_var", "z"]
    return names + ["m_blocks", "q_blocks"] * config["memory"] + ["est"]


def model(question: Question, inputs: Tensors, params: Tensors) -> tuple[Tensors, Tensors]:
    """Every intermediate of the network; cotangents of est, mu and log_var."""
    config = question.attrs["config"]
    out = torch_lvbd.forward(params, inputs["mix"], inputs.get("eps"), config)
    cotangents = {}
    for name in ("est", "mu", "log_var"):
        cotangent = draw(f"{question.id}/cotangent/{name}", *out[name].shape)
        cotangents[name] = torch.from_numpy(cotangent).to(out[name].dtype)
    return {name: out[name] for name in intermediates(question)}, cotangents


def total_loss(attrs: dict[str, Any], inputs: Tensors, params: Tensors) -> tuple[Tensor, Tensors]:
    """Mean loss of the LVBD and its terms, one number an item."""
    clean = inputs["clean"] != 0
    signals = (inputs["mix"], inputs["refs"], inputs.get("eps"), clean)
    return torch_lvbd.loss(params, *signals, attrs["config"], attrs["loss_config"])


def objective(question: Question, inputs: Tensors, params: Tensors) -> tuple[Tensors, Tensors]:
    """The terms of every item, before their weights, and the mean loss, whose cotangent is 1."""
    loss, terms = total_loss(question.attrs, inputs, params)
    return {**terms, "loss": loss}, {"loss": torch.ones_like(loss)}


def linear_loss(attrs: dict[str, Any], inputs: Tensors, params: Tensors) -> Tensor:
    """Mean squared error of x W' + b."""
    return F.mse_loss(F.linear(inputs["x"], params["weight"], params["bias"]), inputs["target"])


def gru_loss(attrs: dict[str, Any], inputs: Tensors, params: Tensors) -> Tensor:
    """Mean squared error of a linear head on a GRU that starts from zeros."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    y = torch_lvbd.gru(inputs["x"], *(params[f"gru.{name}"] for name in names))
    return F.mse_loss(F.linear(y, params["head.weight"], params["head.bias"]), inputs["target"])


def lvbd_loss(attrs: dict[str, Any], inputs: Tensors, params: Tensors) -> Tensor:
    """The mean loss of the LVBD."""
    return total_loss(attrs, inputs, params)[0]


LOSSES = {"linear": linear_loss, "gru": gru_loss, "lvbd": lvbd_loss}


def train(question: Question, inputs: Tensors, params: Tensors) -> tuple[Tensors, Tensors]:
    """The loss before every step, and sum and sum of squares, in float64, of every parameter after some steps."""
    attrs, values, losses, sums = question.attrs, list(params.values()), [], {}
    betas = (attrs["beta1"], attrs["beta2"])
    adam = torch.optim.Adam(values, attrs["learning_rate"], betas, attrs["adam_eps"], foreach=False)
    for step in range(1, attrs["steps"][-1] + 1):
        loss = LOSSES[attrs["model"]](attrs, inputs, params)
        losses.append(loss.detach())
        grads = torch.autograd.grad(loss, values)
        norm = float(torch.sqrt(sum((g**2).sum() for g in grads)))
        for value, grad in zip(values, grads, strict=True):
            value.grad = grad * min(1.0, attrs["clip_norm"] / norm)
        adam.step()
        if step in attrs["steps"]:
            doubles = [value.detach().double() for value in values]
            sums[f"checksum_{step}"] = torch.stack([torch.stack([v.sum(), (v**2).sum()]) for v in doubles])
    return {"loss": torch.stack(losses), **sums}, {}


WORK: dict[str, Work] = {"model": model, "objective": objective, "train": train}


def solve(question: Question, dtype: torch.dtype) -> tuple[Named, Named, Named]:
    """Outputs, cotangents and gradients of every parameter in this arithmetic; zeros where nothing depends on one."""
    inputs = {name: torch.tensor(array, dtype=dtype) for name, array in question.inputs.items()}
    params = {name: torch.tensor(a, dtype=dtype, requires_grad=True) for name, a in question.params.items()}
    outputs, cotangents = WORK[question.op](question, inputs, params)
    grads: Tensors = {}
    if cotangents:
        pulled = sum((outputs[name] * cotangent).sum() for name, cotangent in cotangents.items())
        found = torch.autograd.grad(pulled, list(params.values()), allow_unused=True)
        pairs = zip(params.items(), found, strict=True)
        grads = {name: torch.zeros_like(value) if g is None else g for (name, value), g in pairs}
    groups = (outputs, cotangents, grads)
    return tuple({name: t.detach().double().numpy() for name, t in group.items()} for group in groups)


# ---------------------------------------------------------------- mistakes


def reset_before_product(x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    """The GRU whose reset gate multiplies the state before the matrix product."""
    h, states = x.new_zeros(x.shape[0], w_hh.shape[1]), []
    (u_rz, u_n), (c_rz, c_n) = (a.split(2 * h.shape[1]) for a in (w_hh, b_hh))
    for t in range(x.shape[1]):
        i_r, i_z, i_n = (x[:, t] @ w_ih.T + b_ih).chunk(3, dim=1)
        h_r, h_z = (h @ u_rz.T + c_rz).chunk(2, dim=1)
        r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
        h = (1 - z) * torch.tanh(i_n + (r * h) @ u_n.T + c_n) + z * h
        states.append(h)
    return torch.stack(states, dim=1)


def sample_variance_norm(x: Tensor, shape: Any, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Layer norm with the variance of a sample, divided by C - 1."""
    var, mean = torch.var_mean(x, -1, keepdim=True)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta


def right_pad(x: Tensor, widths: tuple[int, int], pad: Any = F.pad) -> Tensor:
    """All of the padding after the signal."""
    return pad(x, (0, sum(widths)))


def left_trimmed(x: Tensor, w: Tensor, b: Tensor, stride: int, conv: Any = F.conv_transpose1d) -> Tensor:
    """The transposed convolution turned so that its first samples, not its last, are cut off afterwards."""
    return torch.roll(conv(x, w, b, stride=stride), stride - w.shape[-1], -1)


MISTAKES: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "gru-reset-before-matmul": (
        torch_lvbd,
        "gru",
        reset_before_product,
        "your GRU computes W_hn(r*h); the case wants r*(W_hn h + b_hn) (Keras: reset_after=True)",
    ),
    "norm-sample-variance": (
        F,
        "layer_norm",
        sample_variance_norm,
        "your layer norm divides the squares by C - 1; the case divides by C",
    ),
    "conv-padded-right": (
        F,
        "pad",
        right_pad,
        "you pad the encoder's convolutions on the right; the case pads on the left (causal)",
    ),
    "decoder-trimmed-left": (
        F,
        "conv_transpose1d",
        left_trimmed,
        "you cut the first samples of every transposed convolution; the case cuts the last",
    ),
    "memory-never-written": (
        torch_lvbd,
        "write_memory",
        lambda m, q, *rest: (m, q),
        "your memory stays as it was at the start; the case writes it after every block",
    ),
}
"""Where the mistake is planted, its place in torch_lvbd.py, and what is to be changed."""


def mistakes(question: Question, right: Named, tol: float) -> Iterator[tuple[str, np.ndarray]]:
    """What est is under every mistake that shows in this case of a model: name, est."""
    if question.op != "model" or not question.small:
        return
    for name, (module, attribute, wrong, _) in MISTAKES.items():
        with mock.patch.object(module, attribute, wrong):
            est = solve(question, torch.float64)[0]["est"]
        if error({"est": est}, {"est": right["est"]}) > APART * tol:
            yield name, est


# ---------------------------------------------------------------- files


def tolerances(question: Question, outputs: Named, grads: Named) -> dict[str, Any]:
    """What the JSON file says of errors: measured in float32, and the tolerance of either dtype."""
    got, _, pulled = solve(question, torch.float32)
    found = {"outputs": error(got, outputs), "grads": error(pulled, grads)}
    tol = {kind: rounded_up(MARGIN * max(value, 2.0 ** -BITS["float32"])) for kind, value in found.items()}
    double = {kind: rounded_up(value * 2.0 ** (BITS["float32"] - BITS["float64"])) for kind, value in tol.items()}
    measured = {kind: float(f"{value:.2g}") for kind, value in found.items()}
    return {"tol": {"float32": tol, "float64": double}, "measured": {"float32": measured}}


def case_files(question: Question) -> Files:
    """Both files of a case."""
    groups = {"inputs": question.inputs, "params": question.params}
    judged: dict[str, Any] = {"why": question.why}
    tensors: Named = {}
    if not question.why:
        outputs, cotangents, grads = solve(question, torch.float64)
        groups |= {"outputs": outputs, "cotangents": cotangents, "grads": grads}
        judged = tolerances(question, outputs, grads)
        judged["mistakes"] = []
        for name, est in mistakes(question, outputs, judged["tol"]["float32"]["outputs"]):
            judged["mistakes"].append({"name": name, "outputs": ["est"]})
            tensors[f"mistakes.{name}.outputs.est"] = est
    for group, arrays in groups.items():
        tensors |= {f"{group}.{name}": array for name, array in arrays.items()}
        if group in ("inputs", "params", "cotangents"):
            assert all(np.array_equal(a, a.astype(np.float32)) for a in arrays.values()), question.id
    assert all(np.isfinite(array).all() for array in tensors.values()), question.id
    made = {
        "format": FORMAT,
        "id": question.id,
        "op": question.op,
        "result": "error" if question.why else "valid",
        "flags": list(question.flags),
        "equations": list(question.equations),
        "attrs": question.attrs,
        "axes": {name: axes(question, name) for arrays in groups.values() for name in arrays},
        **{group: shapes(arrays) for group, arrays in groups.items()},
        **judged,
        "provenance": {"source": SOURCE, "generator": GENERATOR},
    }
    return pair(made, tensors)


def main() -> None:
    """Read the command line and make every file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=GOLDEN, help="folder to write to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.enabled = False
    files: Files = {}
    for question in questions():
        made = case_files(question)
        files |= made
        size = sum(len(content) for content, _ in made.values())
        print(f"{question.id:40} {size:9,} bytes")
    said = {"source": SOURCE, "generator": GENERATOR}
    files |= sentences("model", {name: mistake[-1] for name, mistake in MISTAKES.items()}, said)
    write_library(options.out, files, WORK)


if __name__ == "__main__":
    main()
