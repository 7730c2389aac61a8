"""Compiled kernels give what the same kernels give as Python, on the same seeded cases."""

from __future__ import annotations

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
