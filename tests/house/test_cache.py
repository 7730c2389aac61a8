"""Where compiled kernels go: beside the module, or under the user's cache when that folder is read-only, or nowhere.

Permissions do not bind root. A copy of the package is made read-only, and where the test runs as root, ``os.access``
is made to answer as it would for anybody else.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import refbss

PROBE = '"""A kernel to compile."""\n\nfrom refbss._jit import kernel\n\n\n@kernel\ndef twice(x):\n    return 2.0 * x\n'
CODE = """
import os, sys
sys.path.insert(0, {home!r})
package = os.path.join({home!r}, "refbss")
if {read_only} and os.access(package, os.W_OK):
    answer = os.access
    os.access = lambda path, mode, **rest: answer(path, mode, **rest) and not (
        mode & os.W_OK and os.fspath(path).startswith(package))
from refbss._probe import twice
assert twice(1.5) == 3.0
import refbss, numba
assert refbss.__file__.startswith(package)
print(numba.config.CACHE_DIR)
"""


@pytest.fixture
def home(tmp_path: Path, root: Path) -> Iterator[Path]:
    """A folder with a copy of the doors of refbss and one kernel."""
    package = tmp_path / "site" / "refbss"
    package.mkdir(parents=True)
    for name in ("__init__.py", "_jit.py", "_version.py"):
        shutil.copy(root / "refbss" / name, package)
    (package / "_probe.py").write_text(PROBE, encoding="utf-8")
    yield package.parent
    package.chmod(0o755)


def _environment(cache: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return {**kept, "XDG_CACHE_HOME": str(cache), "HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1", **more}


def _compiled(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nbc"))


def test_beside_the_module(home: Path, tmp_path: Path, run_python: Callable[..., str]) -> None:
    code = CODE.format(home=str(home), read_only=False)
    run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache"))
    assert len(_compiled(home / "refbss" / "__pycache__")) == 1
    assert not _compiled(tmp_path / "cache")


def test_in_the_users_cache_when_read_only(home: Path, tmp_path: Path, run_python: Callable[..., str]) -> None:
    (home / "refbss").chmod(0o555)
    code = CODE.format(home=str(home), read_only=True)
    first = run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache"))
    assert first == "\n", "the setting of other packages must stay as it was"
    assert not _compiled(home)
    (compiled,) = _compiled(tmp_path / "cache")
    assert compiled.is_relative_to(tmp_path / "cache") and refbss.__version__ in compiled.parts
    written = compiled.stat().st_mtime_ns
    run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache"))
    assert [path.stat().st_mtime_ns for path in _compiled(tmp_path / "cache")] == [written], "read back, not rewritten"


def test_numba_cache_dir_wins(home: Path, tmp_path: Path, run_python: Callable[..., str]) -> None:
    wanted = tmp_path / "mine"
    code = CODE.format(home=str(home), read_only=True)
    run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache", NUMBA_CACHE_DIR=str(wanted)))
    assert len(_compiled(wanted)) == 1
    assert not _compiled(tmp_path / "cache") and not _compiled(home)


NO_FOLDER = """
import numba.core.caching as caching
def refuse(self):
    raise PermissionError(13, "Permission denied")
caching._CacheLocator.ensure_cache_path = refuse
"""


@pytest.mark.parametrize("given", [{}, {"NUMBA_CACHE_DIR": "mine"}], ids=["home", "NUMBA_CACHE_DIR"])
def test_without_any_folder_kernels_run_uncached(
    home: Path, tmp_path: Path, run_python: Callable[..., str], given: dict[str, str]
) -> None:
    code = NO_FOLDER + CODE.format(home=str(home), read_only=True)
    run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache", **given))
    assert not _compiled(tmp_path)


@pytest.mark.parametrize("given", ["home", "NUMBA_CACHE_DIR"])
def test_where_the_folder_fails_numba_takes_no_other(
    home: Path, tmp_path: Path, run_python: Callable[..., str], given: str
) -> None:
    """Its own are beside the module and below ~/.cache/numba: their names tell nothing of the shared modules."""
    (tmp_path / "file").write_text("", encoding="ascii")
    around = {"XDG_CACHE_HOME": str(tmp_path / "file")} if given == "home" else {given: str(tmp_path / "file")}
    code = CODE.format(home=str(home), read_only=given == "home")
    run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache") | around)
    assert not _compiled(tmp_path)


def test_a_user_without_a_home(home: Path, tmp_path: Path, run_python: Callable[..., str]) -> None:
    code = "from pathlib import Path\ndef no_home():\n    raise RuntimeError('no home')\nPath.home = no_home\n"
    around = _environment(tmp_path / "cache")
    del around["XDG_CACHE_HOME"]
    run_python(code + CODE.format(home=str(home), read_only=True), cwd=tmp_path, env=around)
    assert not _compiled(tmp_path)


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
{code}
from refbss._jit import unkept
print(unkept)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
def test_a_kernel_that_cannot_be_written_is_used_all_the_same(
    home: Path, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    """No file may have more than 100 bytes: a full disk, for a test."""
    code = FULL.format(code=CODE.format(home=str(home), read_only=False))
    said = run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache", NUMBA_CACHE_DIR=str(tmp_path / "mine")))
    assert "{'refbss._probe.twice': 'File too large'}" in said
    assert not _compiled(tmp_path)


def test_a_cache_that_cannot_be_read_is_passed_over(home: Path, tmp_path: Path, run_python: Callable[..., str]) -> None:
    code = CODE.format(home=str(home), read_only=False)
    around = _environment(tmp_path / "cache", NUMBA_CACHE_DIR=str(tmp_path / "mine"))
    run_python(code, cwd=tmp_path, env=around)
    (index,) = (tmp_path / "mine").rglob("*.nbi")
    index.unlink()
    index.mkdir()
    run_python(code, cwd=tmp_path, env=around)


def test_without_jit_nothing_is_compiled(home: Path, tmp_path: Path, run_python: Callable[..., str]) -> None:
    code = CODE.format(home=str(home), read_only=False)
    run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache", NUMBA_DISABLE_JIT="1"))
    assert not _compiled(tmp_path)


SHARED = """from numba.extending import register_jitable


@register_jitable
def times(x):
    return {factor} * x
"""
CALLER = """from refbss._jit import fast_kernel
from refbss.fast._shared import times


@fast_kernel
def scaled(x):
    return times(x)
"""


@pytest.mark.parametrize("given", [{}, {"NUMBA_CACHE_DIR": "mine"}], ids=["package", "NUMBA_CACHE_DIR"])
def test_a_changed_shared_module_is_compiled_anew(
    home: Path, tmp_path: Path, run_python: Callable[..., str], given: dict[str, str]
) -> None:
    fast = home / "refbss" / "fast"
    fast.mkdir()
    (fast / "__init__.py").write_text('"""Kernels."""\n', encoding="utf-8")
    (fast / "caller.py").write_text(CALLER, encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(home)!r})\nfrom refbss.fast.caller import scaled\nprint(scaled(1.5))"
    for factor, wanted in ((2.0, "3.0\n"), (4.0, "6.0\n")):
        (fast / "_shared.py").write_text(SHARED.format(factor=factor), encoding="utf-8")
        assert run_python(code, cwd=tmp_path, env=_environment(tmp_path / "cache", **given)) == wanted
    assert len(_compiled(tmp_path / "mine" if given else fast / "__pycache__")) == 2
