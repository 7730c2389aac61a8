"""The public names of refbss, and what continuous integration must not skip."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

import refbss


def test_every_public_name_resolves() -> None:
    assert sorted(set(refbss.__all__) - {"__version__"}) == sorted(refbss._HOME)
    for name in refbss.__all__:
        value = getattr(refbss, name)
        assert name == "__version__" or value.__doc__, name
        assert name in dir(refbss)
    with pytest.raises(AttributeError, match="module 'refbss' has no attribute 'separate_everything'"):
        refbss.separate_everything  # noqa: B018


def test_the_package_is_typed() -> None:
    assert (Path(refbss.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", ["torch", "jax", "onnx"])
def test_what_was_asked_for_is_there(name: str) -> None:
    asked, there = bool(os.environ.get("REFBSS_TORCH")), importlib.util.find_spec(name) is not None
    assert there or not asked, f"REFBSS_TORCH is set, but the tests that compare with {name} would be skipped"
