"""State maps: names, transposed axes, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refbss._checks import InputError
from refbss.conformance.state_map import Place, StateMap, read_state_map


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(
        '[parameters]\n"a.b" = "encoder.w"\nc = { name = "w", transpose = true }\n'
        'd = { name = "v", transpose = [2, 0, 1] }\n'
        '[layers]\n"a" = "h1"\n'
    )
    found = read_state_map(path)
    assert found.parameters == {"a.b": Place("encoder.w"), "c": Place("w", True), "d": Place("v", (2, 0, 1))}
    assert found.layers == {"a": Place("h1")}
    path.write_text("")
    assert read_state_map(path) == StateMap()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[parameters\n", "not TOML ("),
        ("[layer]\n", "has a table 'layer', wanted [parameters] and [layers]"),
        ("layers = 3\n", "layers is 3, wanted a table"),
        ("[layers]\na.b = 'h1'\n", "[layers] 'a' is {'b': 'h1'}, wanted a name or { name = \"..\", transpose = true }"),
        ("[layers]\na = 3\n", "[layers] 'a' is 3, wanted a name"),
        ("[layers]\na = { name = 'h1', transposed = true }\n", "[layers] 'a' has a key 'transposed', wanted a name"),
        (
            "[layers]\na = { name = 'h1', transpose = 1 }\n",
            "[layers] 'a': transpose is 1, wanted true, false or a list",
        ),
        (
            "[layers]\na = { name = 'h1', transpose = [1.0] }\n",
            "[layers] 'a': transpose is [1.0], wanted true, false or",
        ),
        ("[parameters]\na = 'w'\nb = 'w'\n", "[parameters] 'a' and 'b' are both 'w'"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_state_map(path)
    assert message in str(error.value) and str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: No such file or directory, wanted a state map"):
        read_state_map(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"bytes\.toml: not TOML"):
        read_state_map(tmp_path / "bytes.toml")


def test_there_and_back() -> None:
    ours = np.arange(24).reshape(2, 3, 4)
    for place, shape in (
        (Place("w"), (2, 3, 4)),
        (Place("w", True), (2, 4, 3)),
        (Place("w", (2, 0, 1)), (4, 2, 3)),
    ):
        theirs = ours.transpose(place.theirs(ours.shape))
        assert theirs.shape == shape
        assert np.array_equal(theirs.transpose(place.ours(theirs.shape)), ours)
    assert Place("b", True).theirs((3,)) == (0,)  # a vector has nothing to swap
    with pytest.raises(InputError, match=r"state map: transpose of w is \[1, 0\], wanted an order of 3 axes"):
        Place("w", (1, 0)).theirs((2, 3, 4))
