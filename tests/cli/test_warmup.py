"""refbss warmup: afterwards nothing that the commands use has to be compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refbss import warmup
from refbss._jit import unkept
from refbss.warmup import LOSSES, stages

AFTER = """
import sys
from numba.core import event
from refbss_cli.main import main

compiled = []

class Listener(event.Listener):
    def on_start(self, event):
        compiled.append(event.data["dispatcher"].py_func.__qualname__)
    def on_end(self, event):
        pass

with event.install_listener("numba:compile", Listener()):
    code = main(sys.argv[1:])
print("compiled", compiled)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A cache of kernels that warmup filled, and what it said."""
    folder = tmp_path_factory.mktemp("kernels")
    command = [sys.executable, "-m", "refbss_cli.main", "warmup", "--json"]
    done = subprocess.run(
        command, env={**os.environ, "NUMBA_CACHE_DIR": str(folder)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warmup" in done.stderr, "it shows how far it is"
    return folder, json.loads(done.stdout)


def in_place(cache: Path) -> set[Path]:
    """The compiled kernels of both engines."""
    return set(cache.rglob("*.nbc"))


def after(cache: Path, *arguments: object) -> str:
    """Run ``refbss`` in a process that says at the end what it compiled."""
    command = [sys.executable, "-c", AFTER, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_it_counts_the_kernels(cache: tuple[Path, dict[str, object]]) -> None:
    folder, said = cache
    assert said["kernels"] == sum(1 for path in folder.rglob("*.nbc") if "shared-" in str(path))
    assert int(str(said["kernels"])) > 20


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_training_compiles_nothing_more(cache: tuple[Path, dict[str, object]], engine: str, tmp_path: Path) -> None:
    options = ("--steps", 1, "--set", f'train.engine="{engine}"', "--set", "mix.seconds=0.1", "--set", "train.batch=2")
    small = ("--set", "train.validate_every=0", "--set", "loss.permutation_frame=80")
    assert (
        after(cache[0], "train", "lvbd-tiny", "--data", "embedded", "--out", tmp_path, *options, *small)
        == "compiled []"
    )


def test_separation_compiles_nothing_more(cache: tuple[Path, dict[str, object]]) -> None:
    assert after(cache[0], "evaluate", "--data", "embedded", "--n", 1, "--seconds", 0.5) == "compiled []"


LEARNED = ('loss.prior="power"', 'loss.prior_r="learned"', "loss.learn_prior_shape=true")


def test_learned_priors_compile_nothing_more(cache: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    before = in_place(cache[0])
    options = [word for change in (*LEARNED, "mix.seconds=0.1", "train.validate_every=0") for word in ("--set", change)]
    after(cache[0], "train", "lvbd-tiny", "--data", "embedded", "--out", tmp_path, "--steps", 1, *options)
    assert in_place(cache[0]) == before


def test_the_demo_compiles_nothing_more(cache: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    before = in_place(cache[0])
    assert after(cache[0], "demo", "--seconds", 0.1, "--out", tmp_path) == "compiled []"
    assert in_place(cache[0]) == before


def test_a_benchmark_compiles_nothing_more(cache: tuple[Path, dict[str, object]]) -> None:
    before = in_place(cache[0])
    after(cache[0], "bench", "--op", "lstm", "--threads", 1, "--seconds", 0)
    after(cache[0], "bench", "--model", "lvbd-tiny", "--threads", 1, "--seconds", 0)
    assert in_place(cache[0]) == before


EVERY_LOSS = """
import itertools
from refbss._checks import InputError
from refbss.models.lvbd_config import LvbdLossConfig
from refbss.warmup import _train

families = itertools.product(
    ("pit", "sinkhorn", "softmax"), ("fisher", "kl"), ("weighted", "explicit", "implicit"),
    ("gaussian", "student", "power", "laplace"), ("identity", "learned", "memory"), (False, True),
)
trained = 0
for assignment, divergence, form, prior, scatter, learned in families:
    if assignment != "pit" and form != "weighted":
        continue
    try:
        config = LvbdLossConfig(
            permutation_frame=40, assignment=assignment, divergence=divergence, fisher_form=form, prior=prior,
            prior_r=scatter, learn_prior_shape=learned,
        )
    except InputError:  # these do not go together
        continue
    for engine in ("reference", "fast"):
        _train(engine, config)
        trained += 1
print(trained)
"""


def test_no_loss_compiles_anything_more(cache: tuple[Path, dict[str, object]]) -> None:
    before = in_place(cache[0])
    around = {**os.environ, "NUMBA_CACHE_DIR": str(cache[0])}
    done = subprocess.run([sys.executable, "-c", EVERY_LOSS], env=around, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200
    assert in_place(cache[0]) == before


def refused(folder: Path, *, limit: int | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """What a warmup says that should not begin; ``limit`` is the largest size of a file, in bytes."""
    code = "import sys; from refbss_cli.main import main; sys.exit(main(['warmup']))"
    if limit is not None:
        hard = "resource.getrlimit(resource.RLIMIT_FSIZE)[1]"
        code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {hard})); {code}"
    around = {**os.environ, "NUMBA_CACHE_DIR": str(folder), **more}
    done = subprocess.run([sys.executable, "-c", code], env=around, capture_output=True, text=True, check=False)
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    return done


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
def test_where_nothing_can_be_kept_it_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    done = refused(tmp_path / "file")
    assert done.returncode == 1
    assert f"refbss: error: warmup: {tmp_path / 'file'}" in done.stderr
    assert "cannot be written (Not a directory): no kernel can be kept; set NUMBA_CACHE_DIR" in done.stderr
    done = refused(tmp_path / "full", limit=1000)
    assert done.returncode == 1 and "cannot be written (File too large)" in done.stderr


def test_without_compiling_it_does_not_begin(tmp_path: Path) -> None:
    done = refused(tmp_path, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 2
    assert "NUMBA_DISABLE_JIT is set, wanted it unset: no kernel is compiled with it" in done.stderr
    assert not in_place(tmp_path)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Have warmup do this and nothing else."""
    yield lambda work: monkeypatch.setattr(warmup, "stages", lambda: iter([("one", work)]))
    unkept.clear()


def test_what_could_not_be_kept_is_an_error(
    run: Callable[..., Any], stage: Callable[[Callable[[], object]], None]
) -> None:
    stage(lambda: unkept.update({"refbss.fast.gru._forward": "No space left on device"}))
    ran = run("warmup")
    assert ran.code == 1 and ran.out == ""
    assert "refbss: error: warmup: 1 kernel could not be kept below " in ran.err
    assert ran.err.endswith(": No space left on device\n")


def test_nothing_in_place_is_an_error(
    run: Callable[..., Any],
    stage: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    stage(lambda: None)
    monkeypatch.setattr(warmup, "kernels", lambda: (tmp_path, 0, ""))
    ran = run("warmup")
    assert ran.code == 1 and f"refbss: error: warmup: no kernel was kept in {tmp_path}\n" in ran.err


def test_the_stages_cover_the_configuration() -> None:
    kinds = {(loss.assignment, loss.prior, loss.divergence) for loss in LOSSES.values()}
    assert {kind[0] for kind in kinds} == {"pit", "sinkhorn", "softmax"}
    assert {kind[1] for kind in kinds} == {"student", "power", "laplace", "gaussian"}
    assert {kind[2] for kind in kinds} == {"fisher", "kl"}
    names = [name for name, _ in stages()]
    assert len(set(names)) == len(names) and "streaming" in names
