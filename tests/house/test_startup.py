"""Start-up: importing refbss and asking for help are cheap, and nothing compiles before it is called."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from refbss_cli.main import COMMANDS

LIMIT_S = 0.3


def test_import_is_fast(best_time_s: Callable[..., float]) -> None:
    assert best_time_s([sys.executable, "-c", "import refbss"]) < LIMIT_S


def test_help_is_fast(best_time_s: Callable[..., float]) -> None:
    assert best_time_s([sys.executable, "-m", "refbss_cli.main", "--help"]) < LIMIT_S


def test_import_loads_neither_numba_nor_numpy(run_python: Callable[..., str]) -> None:
    code = "import sys, refbss; print([name for name in ('numba', 'numpy', 'scipy') if name in sys.modules])"
    assert run_python(code) == "[]\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_no_command(arguments: list[str], run_python: Callable[..., str]) -> None:
    code = (
        f"import sys, refbss_cli.main; refbss_cli.main.main({arguments})\n"
        "heavy = {'numba', 'numpy', 'scipy', 'soundfile'}\n"
        f"heavy |= {{'refbss_cli.' + name for name in {list(COMMANDS)}}}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run_python(code).splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_loads_nothing_heavy(command: str, run_python: Callable[..., str]) -> None:
    code = (
        f"import sys, refbss_cli.main; refbss_cli.main.main([{command!r}, '--help'])\n"
        "print(sorted({'numba', 'numpy', 'scipy', 'soundfile'} & set(sys.modules)))"
    )
    assert run_python(code).splitlines()[-1] == "[]"


def test_nothing_compiles_at_import(run_python: Callable[..., str]) -> None:
    code = """
import importlib, pkgutil, sys, refbss
for module in pkgutil.walk_packages(refbss.__path__, "refbss."):
    importlib.import_module(module.name)
ours = [vars(module) for name, module in list(sys.modules.items()) if name.startswith("refbss")]
print([name for module in ours for name, value in module.items() if getattr(value, "nopython_signatures", None)])
"""
    assert run_python(code) == "[]\n"
