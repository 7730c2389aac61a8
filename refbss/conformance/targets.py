"""From what the user names, ``module:attribute`` or ``path/to/file.py:attribute``, to something that can be judged."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache, reduce
from pathlib import Path
from typing import Any

from refbss._checks import InputError, check_choice
from refbss.conformance.implementation import CallFailure, Implementation
from refbss.conformance.own import own
from refbss.conformance.signature import names, unwrapped, user_code
from refbss.conformance.state_map import StateMap
from refbss.engine import ENGINES, engine

FRAMEWORKS = ("numpy", "torch", "jax")
PROBES = {"torch": "nn", "jax": "vjp"}
"""What a library has, and a file of the user's that happens to be called so has not."""
WANTED = f"wanted module:attribute, file.py:attribute, or one of {', '.join(ENGINES)}"


def library(name: str) -> Any:
    """The module ``torch`` or ``jax``, which refbss works without. Raises InputError where it cannot be imported."""
    try:
        with user_code():
            module = importlib.import_module(name)
    except CallFailure as error:
        raise InputError(f"framework {name}: cannot be imported (it {error}), wanted it installed") from error
    if not hasattr(module, PROBES[name]):
        there = getattr(module, "__file__", None)
        raise InputError(f"framework {name}: cannot be imported, {there} is in its place, wanted that called otherwise")
    return module


def load_target(target: str) -> Any:
    """Import what ``module:attribute`` or ``path/to/file.py:attribute`` names; attributes may have dots.

    The current directory is importable, and so is the folder of a file. What the import prints goes to stderr.
    Raises InputError, naming the module or the attribute.
    """
    place, colon, attribute = target.rpartition(":")
    if not colon or not place or not all(part.isidentifier() for part in attribute.split(".")):
        raise InputError(f"target: {target!r} is no target, {WANTED}")
    engine(ENGINES[0])  # imports what the law stands on before a file of the user's can be taken for it
    _importable(os.getcwd())
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise InputError(f"target: there is no file {place}")
        _importable(str(Path(place).resolve().parent))
    try:
        with user_code():
            module = _from_file(Path(place).resolve()) if place.endswith(".py") else importlib.import_module(place)
    except CallFailure as error:
        raise InputError(f"target: {place} cannot be imported: it {error}") from error
    return reduce(lambda owner, name: _attribute(place, owner, name), attribute.split("."), module)


def _importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _from_file(path: Path) -> Any:
    """The module of a file; the one that is there already unless the file has changed, as target and vjp share it."""
    return _executed(path, path.stat().st_mtime_ns)


@cache
def _executed(path: Path, _: int) -> Any:
    name = f"refbss_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def _attribute(place: str, owner: Any, name: str) -> Any:
    nothing = object()
    try:
        with user_code():
            found = getattr(owner, name, nothing)
            others = [] if found is not nothing else [other for other in dir(owner) if not other.startswith("_")]
    except CallFailure as error:
        raise InputError(f"target: {place} does not give {name}: asked for it, it {error}") from error
    if found is nothing:
        near = get_close_matches(name, others, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise InputError(f"target: {place} has no {name}{hint}")
    return found


def is_torch(target: Any) -> bool:
    """Whether it is a torch.nn.Module, a class of them, or a partial of one; asking does not import PyTorch."""
    module = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
    target = unwrapped(target)
    if module is None:
        return False
    return isinstance(target, module) or (isinstance(target, type) and issubclass(target, module))


def _guess(target: Any, ops: Iterable[str]) -> str:
    """The framework of a target that nobody named: a builder of whole models is one for PyTorch."""
    if is_torch(target):
        return "torch"
    has = names(target)
    builder = "model" in ops and not {"params", "mix"} & set(has.keywords) and not has.everything
    return "torch" if builder else "numpy"


def _name(target: Any) -> str:
    try:
        with user_code():
            return str(getattr(target, "__qualname__", type(target).__name__))
    except CallFailure:
        return type(target).__name__


def implementation(
    target: str | Any,
    framework: str | None = None,
    *,
    ops: Iterable[str] = (),
    vjp: str | Any = None,
    state_map: StateMap | None = None,
) -> Implementation:
    """What is judged: an engine of refbss, or an adapter around a callable.

    ``target`` is a name, or the callable itself. ``framework`` is numpy, torch or jax; None guesses: torch for a
    torch.nn.Module, and for a builder of whole models where ``ops`` names ``model``. ``vjp``, a name or a callable,
    gives the gradients of a numpy callable. Raises InputError.
    """
    name = target if isinstance(target, str) else _name(target)
    if isinstance(target, str):
        engine = own(target)
        if engine is not None:
            return engine
        target = load_target(target)
    if not callable(target):
        raise InputError(f"target: {name} is a {type(target).__name__}, wanted a callable")
    chosen = _guess(target, ops) if framework is None else framework
    check_choice("check", FRAMEWORKS, framework=chosen)
    if vjp is not None and chosen != "numpy":
        raise InputError(f"check: vjp is for numpy, wanted none: {chosen} differentiates by itself")
    if state_map is not None and chosen != "torch":
        raise InputError(f"check: a state map is for torch, wanted none with {chosen}: rename in your callable")
    if chosen == "torch":
        from refbss.conformance.torch_adapter import torch_implementation

        return torch_implementation(name, target, library("torch"), state_map or StateMap())
    if chosen == "jax":
        from refbss.conformance.jax_adapter import JaxCallable

        return JaxCallable(name, target, library("jax"))
    from refbss.conformance.numpy_adapter import NumpyCallable

    pull = load_target(vjp) if isinstance(vjp, str) else vjp
    if not (pull is None or callable(pull)):
        raise InputError(f"vjp: {vjp} is a {type(pull).__name__}, wanted a callable")
    return NumpyCallable(name, target, pull)
