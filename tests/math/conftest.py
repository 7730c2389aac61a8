"""What the tests of the equations share: the traced examples, and a comparison to the last digits of float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from refbss.audit.examples import find
from refbss.audit.trace import Trace, trace

LARGEST_ERROR = 1e-15
"""Relative to the largest magnitude: four units in the last place, what a handful of operations may differ by."""


@pytest.fixture(scope="session")
def traced() -> Callable[[str], Trace]:
    """``traced("gru")``: the worked example of that name, run as plain Python, every tagged value by its tag."""
    return cache(lambda name: trace(find(name)))


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], None]:
    """``same(got, want)``: both are finite, of one shape, and agree to 1e-15 of the largest number wanted."""

    def check(got: Any, want: Any) -> None:
        assert np.shape(got) == np.shape(want)
        assert np.all(np.isfinite(got)) and np.size(got) > 0
        error, allowed = np.max(np.abs(np.subtract(got, want))), LARGEST_ERROR * np.max(np.abs(want))
        assert error <= allowed, f"got {got!r}, want {want!r}: error {error:.1e}, allowed {allowed:.1e}"

    return check
