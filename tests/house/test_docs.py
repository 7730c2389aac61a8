"""The documentation: every link leads somewhere, every page has a title and is reached, and the site builds clean."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

import pytest

FENCED = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
UNREAD = re.compile(r"`+[^`]*`+|\$\$.*?\$\$|(?<![\\$])\$[^$\n]+\$|<!--.*?-->", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^()\s<>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SITE = ("sphinx", "myst_parser", "furo")


def _prose(path: Path) -> str:
    """The text of a page without code, equations and comments."""
    return UNREAD.sub("", FENCED.sub("", path.read_text(encoding="utf-8")))


def _anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    found: Counter[str] = Counter()
    for heading in re.findall(r"^#+ +(.*?) *#*$", FENCED.sub("", path.read_text(encoding="utf-8")), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        found[re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")] += 1
    return {f"{slug}-{i}" if i else slug for slug, count in found.items() for i in range(count)}


def _lines(path: Path) -> set[str]:
    """The anchors that GitHub gives to the lines of a file."""
    return {f"L{number}" for number, _ in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)}


def _entries(path: Path) -> Iterator[str]:
    """What the toctrees of a page list: names or patterns, as paths from the folder of the pages."""
    for block in TOCTREE.findall(path.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.strip() and not line.startswith(":"):
                yield re.sub(r".*<(.*)>$", r"\1", line.strip())


@pytest.fixture(scope="session")
def docs(root: Path) -> Path:
    return root / "docs"


@pytest.fixture(scope="session")
def pages(docs: Path, project_files: list[Path]) -> list[Path]:
    """Every page of the site."""
    return [path for path in project_files if path.suffix == ".md" and path.is_relative_to(docs)]


def test_every_link_leads_somewhere(root: Path, pages: list[Path]) -> None:
    wrong, links = [], 0
    for page in [root / "README.md", *pages]:
        for target in LINK.findall(_prose(page)):
            if re.match(r"[a-z]+:", target):
                continue
            links += 1
            name, _, anchor = target.partition("#")
            other = (page.parent / name).resolve() if name else page
            if not other.is_relative_to(root) or not other.exists():
                wrong.append(f"{page.relative_to(root)}: {target} does not exist")
            elif anchor and anchor not in (_anchors(other) if other.suffix == ".md" else _lines(other)):
                wrong.append(f"{page.relative_to(root)}: {target}: no such heading or line")
    assert not wrong
    assert links > 20, "the pattern finds no links any more"


def test_every_page_has_one_title(root: Path, pages: list[Path]) -> None:
    wrong = []
    for page in pages:
        text = re.sub(r"<!--.*?-->", "", FENCED.sub("", page.read_text(encoding="utf-8")), flags=re.DOTALL).strip()
        if not text.startswith("# ") or len(re.findall(r"^# ", text, re.MULTILINE)) != 1:
            wrong.append(str(page.relative_to(root)))
    assert not wrong, "wanted a page that begins with its one heading of the first level"


def test_every_page_is_reached_from_a_toctree(docs: Path, pages: list[Path]) -> None:
    names = {page.relative_to(docs).with_suffix("").as_posix() for page in pages}
    reached, fresh = set[str](), {"index"}
    while fresh:
        reached |= fresh
        listed = [entry for name in fresh for entry in _entries(docs / f"{name}.md")]
        for entry in listed:
            assert any(fnmatchcase(name, entry) for name in names), f"a toctree lists {entry}, which is no page"
        fresh = {name for name in names for entry in listed if fnmatchcase(name, entry)} - reached
    assert reached == names


@pytest.mark.skipif(not all(find_spec(name) for name in SITE), reason="Sphinx is not installed: make docs installs it")
def test_the_site_builds_without_a_warning(docs: Path, pages: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", "doctrees"]
    done = subprocess.run([*command, str(docs), "site"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    for page in pages:
        path = site / page.relative_to(docs).with_suffix(".html")
        html = path.read_text(encoding="utf-8")
        assert "<h1>" in html
        assert r"\begin{split}" not in html, f"{page}: MathJax takes no tag in a split"
        assert not re.search(r"\\tag\{[^}$]*_", html), f"{page}: MathJax takes no underscore in a tag"
        for target in set(re.findall(r'<a class="reference[^>]*? href="(?!https?:)([^"#]*\.html)?(#[^"]+)?"', html)):
            name, anchor = target
            other = (path.parent / name).read_text(encoding="utf-8") if name else html
            assert not anchor or f'id="{anchor[1:]}"' in other, f"{page}: {name}{anchor} leads nowhere"


def test_the_architecture_places_every_room(root: Path, docs: Path) -> None:
    table = re.findall(r"^\| (`.*?) \|", (docs / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    placed = re.findall(r"`(\w+)`", " ".join(table))
    rooms = {
        path.stem for path in (root / "refbss").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert sorted(placed) == sorted((rooms - {"__init__", "_version"}) | {"cli", "refbss_cli"})
