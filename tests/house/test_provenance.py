"""docs/provenance.md: every row says whom to blame, every key of the configuration has a row, and no row is stale."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from refbss.config import to_dict
from refbss.training.config import RunConfig

COLUMNS = ["statement", "tag", "source or reason", "key", "where"]
TAGS = ("[paper]", "[std]", "[ours]")
NO_KEY = "not an option"


class Row(NamedTuple):
    """One statement."""

    statement: str
    tag: str
    because: str
    key: str
    where: str

    @property
    def keys(self) -> list[str]:
        """What the row says of the configuration, each ``section.key = default``."""
        return re.findall(r"`([^`]*)`", self.key)


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "provenance.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows(text: str) -> list[Row]:
    found = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == len(COLUMNS), line
            if cells != COLUMNS and set(line) != set("|-"):
                found.append(Row(*cells))
    assert len(found) > 80
    return found


@pytest.fixture(scope="module")
def sources(text: str) -> dict[str, str]:
    """The citations at the end, by the name that rows use."""
    _, _, end = text.partition("\n## Sources\n")
    return {name: cited for name, cited in re.findall(r"^- \*\*(.+?)\*\*: (.*?)(?=^- |\Z)", end, re.M | re.S)}


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    """Every key of the configuration and its default."""
    sections = to_dict(RunConfig())
    return {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}


def test_every_row_has_one_tag(rows: list[Row]) -> None:
    assert not [row for row in rows if row.tag not in TAGS or not row.statement]
    untagged = " ".join(row.statement + row.because + row.key + row.where for row in rows)
    assert not [tag for tag in TAGS if tag in untagged]
    assert {row.tag for row in rows} == set(TAGS)


def test_statements_differ(rows: list[Row]) -> None:
    assert len({row.statement for row in rows}) == len(rows)


def test_our_choices_have_a_reason_and_a_key(rows: list[Row]) -> None:
    ours = [row for row in rows if row.tag == "[ours]"]
    assert not [row.statement for row in ours if len(row.because) < 10]
    assert not [row.statement for row in ours if bool(row.keys) == (row.key == NO_KEY)]


def test_standard_statements_have_a_source(rows: list[Row], sources: dict[str, str]) -> None:
    assert not [
        row.statement for row in rows if row.tag == "[std]" and not any(name in row.because for name in sources)
    ]


def test_what_the_paper_says_is_left_to_the_paper(rows: list[Row]) -> None:
    assert not [row.statement for row in rows if row.tag == "[paper]" and row.because]


def test_every_source_is_cited_in_full_and_used(text: str, rows: list[Row], sources: dict[str, str]) -> None:
    said = text.partition("\n## Sources\n")[0]
    for name, cited in sources.items():
        assert name in said, f"{name} is not used"
        year = re.search(r"\d{4}$", name)
        assert '"' in cited and (not year or year.group() in cited), f"{name}: wanted title and year, got {cited}"
    named = re.findall(r"(?:Le )?[A-Z]\w+(?: et al\.| and [A-Z]\w+)? \d{4}", " ".join(row.because for row in rows))
    assert named and set(named) <= set(sources)


def test_every_key_is_in_the_table(rows: list[Row], defaults: dict[str, Any]) -> None:
    named = {key.partition(" = ")[0] for row in rows for key in row.keys}
    assert not set(defaults) - named, "keys of the configuration without a row"


def test_every_key_exists_and_has_that_default(rows: list[Row], defaults: dict[str, Any]) -> None:
    for row in rows:
        for said in row.keys:
            key, equals, value = said.partition(" = ")
            assert equals and key in defaults, f"{row.statement}: no key {key}"
            default = defaults[key]
            wanted = list(default) if isinstance(default, tuple) else default
            got = tomllib.loads(f"value = {value}")["value"]
            assert got == wanted and type(got) is type(wanted), f"{key} is {default!r}, the table says {value}"


def test_every_key_in_the_prose_exists(text: str, defaults: dict[str, Any]) -> None:
    named = {f"{a}.{b}" for a, b in re.findall(r"\b(model|loss|train|mix)\.([a-z]\w*)", text)}
    assert named and named <= set(defaults)


def test_every_file_exists(root: Path, rows: list[Row]) -> None:
    for row in rows:
        files = re.findall(r"`([^`]*)`", row.where)
        assert files, f"{row.statement}: no file"
        assert not [file for file in files if not (root / file).is_file()], row.where


def test_every_table_has_the_columns(text: str) -> None:
    heads = re.findall(r"(?<=\n\n)\|.*\n\|[-|]*", text)
    assert {head for head in heads} == {"| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|"}
