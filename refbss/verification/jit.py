"""Compiled kernels against the same kernels run as Python.

``python -m refbss.verification.jit FILE SEED`` writes every output and gradient of every spec to an .npz file; with
NUMBA_DISABLE_JIT=1 in the environment the kernels run as the text one reads. ``interpreted`` does that once, for all
ops, in a second process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np

from refbss.verification.ladder import DTYPES, full_run
from refbss.verification.registry import SPECS
from refbss.verification.spec import Arrays, OpSpec


def results(spec: OpSpec, seed: int) -> Arrays:
    """Return every output and gradient of a spec's cases, under keys op/case/dtype/name."""
    found: Arrays = {}
    for case in spec.cases:
        for dtype in DTYPES:
            outputs, _, grads, _ = full_run(spec, case, seed, dtype)
            named = {**outputs, **{f"d{name}": grad for name, grad in grads.items()}}
            found.update({f"{spec.name}/{case.name}/{dtype}/{name}": array for name, array in named.items()})
    return found


def interpreted(folder: Path, seed: int) -> Arrays:
    """Return the results of all specs with the kernels run as Python, by a second process."""
    path = folder / "interpreted.npz"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "refbss.verification.jit", str(path), str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} with NUMBA_DISABLE_JIT=1 failed:\n{done.stderr}")
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def main(path: str, seed: str) -> None:
    """Write the results of all specs to ``path``."""
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise SystemExit("refbss.verification.jit: kernels are compiled, wanted NUMBA_DISABLE_JIT=1")
    arrays: Arrays = {}
    for spec in SPECS.values():
        arrays.update(results(spec, int(seed)))
    np.savez(path, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
