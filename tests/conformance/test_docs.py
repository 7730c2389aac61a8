"""The table of the calling convention in docs/conformance.md is what the vectors and the law say."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from refbss.conformance.signature import WHOLE, law_defaults, required
from refbss.conformance.vectors import Library

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


class Row(NamedTuple):
    """One line of the table, in words."""

    arrays: list[str]
    attributes: list[str]
    returns: list[str]


@pytest.fixture(scope="module")
def table() -> dict[str, Row]:
    lines = PAGE.read_text(encoding="utf-8").split("| op | arrays | attributes | returns |\n")[1].split("\n\n")[0]
    cells = [[cell.strip(" `").split() for cell in line.split("|")[1:-1]] for line in lines.splitlines()[1:]]
    return {op[0]: Row(*rest) for op, *rest in cells}


def test_every_operator_is_in_the_table(table: dict[str, Row], library: Library) -> None:
    assert set(table) == set(library.ops) - set(WHOLE)


def test_the_table(table: dict[str, Row], library: Library) -> None:
    for vector in library.load_all(list(table)):
        row = table[vector.op]
        assert row.arrays == [*vector.inputs, *vector.params], vector.id
        written = [attribute.split("=")[0] for attribute in row.attributes]
        assert set(vector.attrs) <= set(written) and set(written) <= {*vector.attrs, *law_defaults(vector.op)}, (
            vector.id
        )
        if vector.valid:
            assert [name.strip("[]") for name in row.returns] == list(vector.outputs), vector.id
            assert [name for name in row.returns if not name.startswith("[")] == required(vector, False), vector.id


def test_the_defaults(table: dict[str, Row]) -> None:
    for op, row in table.items():
        if not op.startswith("prior_"):
            written = {a.split("=")[0]: a.split("=")[1] for a in row.attributes if "=" in a}
            assert written == {name: repr(value) for name, value in law_defaults(op).items()}, op
