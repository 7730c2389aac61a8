"""No equation without its page, line, test, golden vector and number; and what is generated is up to date."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import refbss
from refbss import InputError
from refbss.audit import __main__ as generator
from refbss.audit.ledger import WANTED, Entry, Ledger, MarkedTest, Scan, from_json, lacks, shipped, to_json
from refbss.audit.pages import ORIGINS
from refbss.audit.worked import unnamed


@pytest.mark.parametrize("what", WANTED)
def test_every_equation_has(what: str, scan: Scan) -> None:
    missing = [tag for tag, entry in scan.ledger.entries.items() if not getattr(entry, WANTED[what])]
    assert not missing, f"no {what}: {', '.join(missing)}"


def test_every_equation_says_where_it_is_from(scan: Scan) -> None:
    assert len(scan.ledger.entries) > 150
    wrong = [tag for tag, entry in scan.ledger.entries.items() if entry.origin not in ORIGINS or not entry.says]
    assert not wrong


def test_every_equation_is_on_the_page_of_its_example(scan: Scan) -> None:
    from refbss.audit.examples import load

    examples = load()
    wrong = [
        tag
        for tag, entry in scan.ledger.entries.items()
        if entry.page not in {examples[name].page for name in entry.examples}
    ]
    assert not wrong


def test_numbers_of_a_family_have_no_gap(scan: Scan) -> None:
    families: dict[str, list[int]] = {}
    for tag in scan.ledger.entries:
        family, number = tag.split(".")
        families.setdefault(family, []).append(int(number))
    assert not {family for family, found in families.items() if found != list(range(1, len(found) + 1))}


def test_every_page_has_the_form(scan: Scan) -> None:
    assert not scan.problems


def test_every_number_of_a_worked_example_has_a_symbol(scan: Scan) -> None:
    assert not [f"{name}: {what}" for name, page in scan.pages.items() for what in unnamed(page)]


def test_what_is_generated_is_up_to_date(root: Path, scan: Scan) -> None:
    texts = generator.generated(root, scan, [])
    assert {"docs/equation_index.md", "refbss/audit/ledger.json", "docs/math/gru.md"} <= set(texts)
    stale = [file for file, text in texts.items() if (root / file).read_text(encoding="utf-8") != text]
    assert not stale, "run python -m refbss.audit"


def test_the_ledger_can_be_read_again(scan: Scan) -> None:
    assert from_json(to_json(scan.ledger)) == scan.ledger


def test_what_an_equation_lacks() -> None:
    entry = Entry("op.1", "", "y = x", "", "", "", (), (MarkedTest("tests/test_op.py", 3, "test_y"),), (), ("op",))
    assert lacks(entry) == [
        "(op.1) has no display in docs/math",
        "(op.1) has no statement in refbss",
        "(op.1) has no valid golden vector",
    ]


def test_find(scan: Scan) -> None:
    def tags(name: str) -> list[str]:
        return [entry.tag for entry in scan.ledger.find(name)]

    assert tags("gru.4") == tags("(gru.4)") == ["gru.4"]
    assert tags("gru") == [f"gru.{number}" for number in range(1, 14)]
    assert tags("pit") == ["assignment.1", "assignment.2", "assignment.3"]
    assert tags("prior_gaussian") == tags("gaussian") == ["gaussian.1", "gaussian.2"]
    assert tags("memory_read") == ["memory.1", "memory.14"]
    assert tags("fisher") == [f"fisher.{number}" for number in range(1, 19)]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("gru.44", "did you mean gru.4"), ("gur", "did you mean gru"), ("?", "wanted a tag such as gru.4")],
)
def test_find_nothing(name: str, hint: str, scan: Scan) -> None:
    with pytest.raises(InputError, match=hint):
        scan.ledger.find(name)


@pytest.fixture
def copy(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the page of the GRU alone, which the generator takes for its own."""
    ignore = shutil.ignore_patterns("__pycache__", "embedded", "bundled")
    shutil.copytree(root / "refbss", tmp_path / "refbss", ignore=ignore)
    shutil.copytree(root / "tests" / "math", tmp_path / "tests" / "math", ignore=ignore)
    shutil.copytree(root / "golden" / "gru", tmp_path / "golden" / "gru")
    (tmp_path / "docs" / "math").mkdir(parents=True)
    shutil.copy(root / "docs" / "math" / "gru.md", tmp_path / "docs" / "math")
    monkeypatch.setattr(generator, "checkout", lambda: tmp_path)
    return tmp_path


Edit = tuple[str, str, str]


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (("docs/math/gru.md", "0.6857826835", "0.6857826836"), "docs/math/gru.md: not up to date"),
        (("docs/math/gru.md", "\\tag{gru.4}", ""), "(gru.4) has no display in docs/math"),
        (
            ("docs/math/gru.md", "\n[std] The candidate state", "\nThe candidate state"),
            "(gru.4) is not followed by a line",
        ),
        (("docs/math/gru.md", "\\tag{gru.4}", "\\tag{gru.5}"), "(gru.5) is on this page twice"),
        (("docs/math/gru.md", "| $z_t$ | `z` |", "| $z_t$ | `zz` |"), "no symbol for `z` of _forward (gru.2)"),
        (("docs/math/gru.md", "<!-- example: gru -->", "<!-- example: grue -->"), "no example is called grue"),
        (("refbss/ops/gru.py", "  # (gru.4)", ""), "(gru.4) has no statement in refbss"),
        (("refbss/ops/gru.py", "    (gru.4)  n =", "    n ="), "(gru.4) has no line of a docstring"),
        (("tests/math/test_gru.py", '"gru.4"', '"gru.5"'), "(gru.4) has no test with its marker"),
    ],
)
def test_the_check_sees(edit: Edit, problem: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, old, new = edit
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    assert generator.main(["--check", "gru"]) == 1
    assert problem in capsys.readouterr().out


def test_the_check_passes(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--check", "gru"]) == 0
    assert capsys.readouterr().out == "up to date and complete\n"


def test_the_generator_writes_what_the_check_wants(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = copy / "docs" / "math" / "gru.md"
    wanted = page.read_text(encoding="utf-8")
    page.write_text(wanted.replace("0.6857826835", "1"), encoding="utf-8")
    assert generator.main(["gru"]) == 0
    assert page.read_text(encoding="utf-8") == wanted and capsys.readouterr().out == "wrote docs/math/gru.md\n"
    assert generator.main([]) == 0 and (copy / "docs" / "equation_index.md").is_file()
    capsys.readouterr()
    assert generator.main(["--check"]) == 1
    out = capsys.readouterr().out
    assert "not up to date" not in out and "(conv1d.1) has no display in docs/math" in out


def test_an_unknown_page(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        generator.main(["grue"])
    assert "there is no docs/math/grue.md" in capsys.readouterr().err


def test_without_a_checkout(root: Path, tmp_path: Path) -> None:
    """As installed: no docs, tests or golden vectors beside the package; both commands print the same."""
    ignore = shutil.ignore_patterns("__pycache__", "embedded", "bundled")
    shutil.copytree(root / "refbss", tmp_path / "refbss", ignore=ignore)
    shutil.copytree(root / "cli", tmp_path / "refbss_cli", ignore=ignore)

    def printed(folder: Path | None, *arguments: str) -> str:
        code = f"import sys; sys.path[:0] = {[str(folder)] if folder else []}\n"
        code += "import refbss, refbss_cli.main; print(refbss.__file__)\n"
        code += f"raise SystemExit(refbss_cli.main.main({list(arguments)}))"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / "refbss_cli", env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        where, _, text = done.stdout.partition("\n")
        assert where == str((folder or Path(refbss.__file__).parents[1]) / "refbss" / "__init__.py")
        return text

    for arguments in (["explain", "gru.4"], ["trace", "gru"], ["trace", "gru", "--json"]):
        text = printed(tmp_path, *arguments)
        assert text == printed(None, *arguments) and "gru.4" in text
    done = subprocess.run([sys.executable, "-m", "refbss.audit"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "there is no docs/math beside the package" in done.stderr


def test_the_shipped_ledger_knows_every_tag(scan: Scan) -> None:
    ledger: Ledger = shipped()
    assert set(ledger.entries) == set(scan.ledger.entries)
    assert ledger.find("gru.4")[0].latex == scan.ledger.find("gru.4")[0].latex
