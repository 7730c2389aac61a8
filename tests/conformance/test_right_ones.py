"""Right implementations pass every case of their operator: JAX with gradients, and the reference evaluator of ONNX.

The layers of PyTorch are in test_torch_adapter.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from refbss.conformance.judge import judge
from refbss.conformance.targets import implementation
from refbss.conformance.vectors import Library

LAYERS = ("lstm", "conv1d", "conv_transpose1d", "layer_norm", "linear", "prelu", "sigmoid", "tanh", "softplus")
JAX = ["jax_grus:gru", *(f"jax_layers:{op}" for op in LAYERS)]
ONNX = [f"onnx_layers:{op}" for op in ("gru", *LAYERS)]
CASES = [(name, "float32") for name in JAX]  # JAX compiles for every shape
CASES += [(name, "float64") for name in ("jax_grus:gru", "jax_layers:lstm")]
CASES += [(name, dtype) for name in ONNX for dtype in ("float32", "float64")]

ACCEPTS = {"onnx_layers:conv_transpose1d": ["conv_transpose1d/wrong-bias"]}
"""Cases to refuse that are answered: the evaluator adds a bias of any length that NumPy can broadcast."""
FEWEST = {"lstm": 6}
"""Valid cases that an operator has at least where it is not nine: those of an LSTM are large."""
SINGLE_ONLY = {"onnx_layers:layer_norm"}
"""The attribute epsilon of ONNX is a float32 number: in float64 it is another one."""


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_a_right_one_passes(name: str, dtype: str, library: Library, sample: Callable[[str], Any]) -> None:
    package = name.split("_")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if dtype == "float64" and name in SINGLE_ONLY:
        pytest.skip("ONNX has no float64 form")
    op = name.split(":")[1]
    found = implementation(sample(name), "jax" if package == "jax" else "numpy", ops=[op])
    verdicts = [judge(library.load(case), found, dtype, package == "jax") for case in library.find(f"{op}/")]
    failed = [verdict for verdict in verdicts if not verdict.passed]
    assert [verdict.case for verdict in failed] == ACCEPTS.get(name, []), [str(verdict) for verdict in failed]
    assert sum(verdict.valid for verdict in verdicts) >= FEWEST.get(op, 9)
