"""Compiled kernels give what the same kernels give as Python, on the same seeded cases."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from refbss.verification.compare import ulps
from refbss.verification.jit import interpreted, results
from refbss.verification.registry import SPECS

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    if numba.config.DISABLE_JIT:
        pytest.skip("NUMBA_DISABLE_JIT is set: nothing compiled to compare with")
    return interpreted(tmp_path_factory.mktemp("interpreted"), seed=0)


@pytest.mark.parametrize("name", SPECS)
def test_compiled_equals_interpreted(name: str, plain: Arrays, figures: dict[str, str]) -> None:
    spec = SPECS[name]
    compiled = results(spec, seed=0)
    assert compiled.keys() == {key for key in plain if key.startswith(f"{name}/")}
    largest = 0.0
    for key, array in compiled.items():
        assert array.dtype == plain[key].dtype
        found = ulps(array, plain[key])
        largest = max(largest, found.error)
        assert found.error <= spec.tolerances.jit_ulps, (
            f"{key} seed 0: {found} in ulps, allowed {spec.tolerances.jit_ulps} ({spec.tolerances.reason or 'bitwise'})"
        )
    if largest > 0.0:
        figures[f"compiled against interpreted, {name}"] = f"{largest:.2f} ulp of the array's largest value"


SATURATED = """
import numpy as np
from refbss.engine import engine
for name in ("reference", "fast"):
    for dtype in ("float32", "float64"):
        for level in (1e4, 1e30):
            x = (level * np.array([[[1.0], [-1.0], [1.0]]])).astype(dtype)
            w = np.array([[-1.0], [1.0], [1.0]], dtype)
            y, h, _ = engine(name).gru_forward(x, w, w, *np.zeros((2, 3), dtype), np.zeros((1, 1), dtype))
            print(name, dtype, level, y.ravel().tolist())
            w = np.array([[-1.0], [1.0], [1.0], [1.0]], dtype)
            y, _, c, _ = engine(name).lstm_forward(x, w, w, *np.zeros((2, 4), dtype), *np.zeros((2, 1, 1), dtype))
            print(name, dtype, level, y.round(5).ravel().tolist(), c.ravel().tolist())
"""


def test_saturated_gates_are_the_same_as_plain_python() -> None:
    """Where exp overflows, Python raises and machine code does not: neither may happen."""
    printed = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SATURATED],
            env={**os.environ, "NUMBA_DISABLE_JIT": off},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for off in ("0", "1")
    ]
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) == 16 and "nan" not in printed[0] and "inf" not in printed[0]
