"""Hands a model its operators: the law (``reference``) or its fast twins (``fast``).

An engine is a namespace that holds every ``*_forward`` and ``*_backward`` function of ``refbss.ops`` and
``refbss.losses`` by name. The fast engine holds the functions of ``refbss.fast`` where a twin exists and the law's
where none does. A model is written once and takes an engine as an argument.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType, SimpleNamespace

from refbss._checks import check_choice

ENGINES = ("reference", "fast")
_LAW = ("refbss.ops", "refbss.losses")


def _functions(package: ModuleType) -> dict[str, object]:
    """Every forward and backward function defined in the public modules of a package."""
    found: dict[str, object] = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(package.__path__) if info.name[0] != "_"):
        module = importlib.import_module(f"{package.__name__}.{name}")
        for function, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if own and not function.startswith("_") and function.endswith(("_forward", "_backward")):
                found[function] = value
    return found


@cache
def engine(name: str) -> SimpleNamespace:
    """Return the operators of the engine ``reference`` or ``fast``. Raises InputError on another name."""
    check_choice("engine", ENGINES, name=name)
    packages = _LAW if name == "reference" else (*_LAW, "refbss.fast")
    functions: dict[str, object] = {}
    for package in packages:
        functions.update(_functions(importlib.import_module(package)))
    return SimpleNamespace(**functions)
