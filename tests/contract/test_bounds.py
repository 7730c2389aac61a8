"""NUMBA_BOUNDSCHECK=1, which ``make law`` sets, reaches the kernels of both engines: an index too far is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

PROBE = """
import numpy as np
from refbss._jit import {decorator}

@{decorator}
def beyond(x):
    return x[x.shape[0] + 3]

try:
    beyond(np.ones(5))
    print("read")
except IndexError:
    print("refused")
"""


@pytest.mark.parametrize("decorator", ["kernel", "fast_kernel"])
@pytest.mark.parametrize(("checks", "wanted"), [("0", "read"), ("1", "refused")])
def test_an_index_too_far(decorator: str, checks: str, wanted: str, tmp_path: Path) -> None:
    script = tmp_path / "probe.py"
    script.write_text(PROBE.format(decorator=decorator), encoding="utf-8")
    compiled = {"NUMBA_DISABLE_JIT": "0", "NUMBA_BOUNDSCHECK": checks, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, script], env={**os.environ, **compiled}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [wanted]


def test_checked_kernels_have_a_cache_of_their_own() -> None:
    """Numba's cache does not know whether bounds were checked: without a folder of its own nothing would be."""
    if os.environ.get("NUMBA_BOUNDSCHECK") == "1":
        assert numba.config.CACHE_DIR, "set NUMBA_CACHE_DIR beside NUMBA_BOUNDSCHECK"
    else:
        assert not numba.config.BOUNDSCHECK
