"""The process that compiles a kernel and those that load it compute the same bits, whatever was compiled before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = """
import sys
import numpy as np
from refbss.engine import engine
from refbss.models.lvbd_loss import loss_and_grads
from refbss.models.lvbd_params import init_params
from refbss.streaming import HopStream
from refbss.config import load_config
from refbss.training.config import PRESETS, RunConfig

config = load_config(RunConfig, PRESETS["lvbd-tiny"])
model, loss = config.model, config.loss
params = init_params(model, 0, loss_config=loss)
stream = HopStream({name: value for name, value in params.items() if not name.startswith("prior.")}, model)


def hops():
    rng = np.random.default_rng(1)
    return [stream.step(0.1 * rng.standard_normal(model.hop, dtype=np.float32)) for _ in range(40)]


def gradients():
    rng = np.random.default_rng(0)
    refs = 0.1 * rng.standard_normal((2, model.sources, 1600), dtype=np.float32)
    eps = rng.standard_normal((2, model.sources, 1600 // model.hop, model.latent), dtype=np.float32)
    return loss_and_grads(
        params, refs.sum(1), refs, eps, np.ones(2, bool), config=model, loss_config=loss, ops=engine("fast")
    ).grads


found = {}
for name in sys.argv[2:]:
    found |= {"hops": np.array(hops())} if name == "hops" else gradients()
np.savez(sys.argv[1], **found)
"""


def test_the_same_bits_from_every_process(tmp_path: Path) -> None:
    results = {}
    for name, cache, order in (
        ("compiles", "first", ("gradients", "hops")),
        ("loads", "first", ("gradients", "hops")),
        ("compiles the other way round", "second", ("hops", "gradients")),
    ):
        out = tmp_path / f"{len(results)}.npz"
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(out), *order],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / cache)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with np.load(out) as found:
            results[name] = {key: found[key] for key in found.files}
    first = results["compiles"]
    for name, other in results.items():
        differ = [key for key, array in first.items() if not np.array_equal(array, other[key])]
        assert not differ, f"the process that {name}: {differ}"


GRU = """
import sys
import numpy as np
from refbss.fast import gru as fast
from refbss.ops import gru as law

for dtype in sys.argv[1:]:
    rng = np.random.default_rng(0)
    shapes = ((2, 9, 5), (12, 5), (12, 4), (12,), (12,), (2, 4))
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    print(np.abs(fast.gru_forward(*arrays)[0] - law.gru_forward(*arrays)[0]).max())
"""


def test_kernels_that_two_processes_compiled_are_linked_by_their_own_names(tmp_path: Path) -> None:
    """Each compiles one dtype, a third loads both: what they call must not be taken for one another."""
    for dtypes in (["float32"], ["float64"], ["float32", "float64"]):
        done = subprocess.run(
            [sys.executable, "-c", GRU, *dtypes],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        errors = [float(line) for line in done.stdout.split()]
        assert len(errors) == len(dtypes) and max(errors) < 1e-6, errors
