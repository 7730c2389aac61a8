"""The page around a report: its policy, its colours, its structure, and that a file is whole or not touched."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refbss import InputError
from refbss.reports import page as module
from refbss.reports.markup import join, tag
from refbss.reports.page import Cell, Column, Section, check_folder, page, table, write_page

CSS = (Path(module.__file__).parent / "page.css").read_text(encoding="utf-8")
SCRIPT = (Path(module.__file__).parent / "page.js").read_text(encoding="utf-8")


@pytest.fixture
def text() -> str:
    rows = [[Cell(tag("b", "x"), "k"), Cell("none", "")], ["<y>", 3]]
    body = table("A <table>", [Column("Name", number=False), Column("Value")], rows, sorts=True)
    return page(
        "<b>Title</b>", tag("p", "lead"), [Section("one", "One", body), Section("two", "Two & more", join("x"))]
    )


def test_the_policy_names_what_is_in_the_page(parse: Callable[[str], Any], text: str) -> None:
    root = parse(text)
    (policy,) = [meta["content"] for meta in root.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    for name in ("style", "script"):
        (element,) = root.all(name)
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.count("data:") == 2 and "media-src data:" in policy and "img-src data:" in policy
    head = [element.get("http-equiv") or element.name for element in root.all("head")[0].all()]
    assert head.index("Content-Security-Policy") < head.index("style"), "a policy holds for what follows it"


def test_nothing_is_asked_of_the_network() -> None:
    for source in (CSS, SCRIPT):
        assert source.isascii()
        assert not re.search(r"https?:|//\w|url\(|@import|@font-face|fetch|XMLHttp|import\s|localStorage|eval", source)


def test_the_structure(parse: Callable[[str], Any], text: str) -> None:
    root = parse(text)
    assert text.startswith("<!DOCTYPE html>\n<html lang=") and root.all("html")[0]["lang"] == "en"
    assert root.all("title")[0].text == root.all("h1")[0].text == "<b>Title</b>"
    assert [link["href"] for link in root.all("nav")[0].all("a")] == ["#one", "#two"]
    assert [section["id"] for section in root.all("section")] == ["one", "two"]
    ids = [element["id"] for element in root.all() if element.get("id")]
    assert len(set(ids)) == len(ids)
    for element in root.all():
        for reference in (element.get("aria-labelledby") or "").split():
            assert reference in ids
        assert not element.get("style") and not any(name.startswith("on") for name in element.attributes)


def test_tables(parse: Callable[[str], Any], text: str) -> None:
    (found,) = parse(text).all("table")
    assert found["class"] == "sorted"
    assert [(head.text, head.get("scope"), head.get("data-kind")) for head in found.all("thead")[0].all("th")] == [
        ("Name", "col", None),
        ("Value", "col", "number"),
    ]
    rows = found.all("tbody")[0].all("tr")
    assert [[cell.name for cell in row.all("th", "td")] for row in rows] == [["th", "td"]] * 2
    assert rows[0].all("th")[0]["data-value"] == "k" and rows[0].all("td")[0]["data-value"] == ""
    assert rows[1].all("th")[0].text == "<y>" and rows[1].all("td")[0].get("data-value") is None
    plain = parse(table("Facts", [Column("", number=False)] * 2, [("a", "b")]))
    assert not plain.all("thead") and plain.all("table")[0].get("class") is None


def test_a_long_table_says_what_is_printed() -> None:
    rows = [[str(i), i] for i in range(module.PRINTED_ROWS + 1)]
    columns = [Column("Name", number=False), Column("Value")]
    assert "Printed are the first 100 of 101 rows." in table("Long", columns, rows, sorts=True)
    assert "Printed" not in table("Long", columns, rows) and "Printed" not in table(
        "Long", columns, rows[1:], sorts=True
    )
    assert f"tr:nth-child(n+{module.PRINTED_ROWS + 1})" in CSS


def luminance(colour: str) -> float:
    """Relative luminance [std] (WCAG 2.2) of #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_told_apart() -> None:
    """Text has a contrast of 4.5 to what is behind it, lines and bars one of 3: light, dark and on paper."""
    looks = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S)]
    assert len(looks) == 3 and len({frozenset(look) for look in looks}) == 1
    for look in looks:
        for text in ("text", "soft", "link"):
            for back in ("back", "card"):
                assert contrast(look[text], look[back]) >= 4.5, (text, back, look)
        for series in (name for name in look if re.fullmatch(r"c\d", name)):
            assert contrast(look[series], look["back"]) >= 4.4, (series, look)
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(InputError, match=r"cannot be written, .*file is a file; wanted a folder"):
            check_folder(folder)
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "deep")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="is read-only"):
        check_folder(tmp_path / "new")
    tmp_path.chmod(0o700)


def test_a_page_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "index.html"
    write_page(path, "first")
    write_page(path, "caf\u00e9")
    assert path.read_bytes() == b"caf\xc3\xa9"

    def full(part: Path, text: str, **_: Any) -> None:
        part.write_bytes(b"half a pa")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_page(path, "third")
    assert path.read_bytes() == b"caf\xc3\xa9" and [file.name for file in path.parent.iterdir()] == ["index.html"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
def test_a_write_that_fails_half_way(tmp_path: Path) -> None:
    """A real one: the system refuses whatever passes 10 kB, as a full disk would."""
    path = tmp_path / "index.html"
    path.write_text("the page of before")
    code = (
        "import resource, sys, pathlib\n"
        "from refbss.reports.page import write_page\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "write_page(pathlib.Path(sys.argv[1]), 'x' * 100_000)\n"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert path.read_text() == "the page of before" and [file.name for file in tmp_path.iterdir()] == ["index.html"]
