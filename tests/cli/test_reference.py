"""docs/cli.md holds what every command prints for --help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refbss_cli.main import COMMANDS
from refbss_cli.reference import COMMAND, PAGE, helps, main, page

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    kept = (ROOT / PAGE).read_text(encoding="utf-8")
    stale = [
        number for number, (a, b) in enumerate(zip(kept.splitlines(), page().splitlines(), strict=False), 1) if a != b
    ]
    assert kept == page(), f"{PAGE} is stale from line {stale[0] if stale else 'the end'} on; renew it: {COMMAND}"


def test_every_command_has_a_section() -> None:
    paths = [path for path, _ in helps()]
    assert paths[0] == "refbss" and len(set(paths)) == len(paths)
    assert [path.split()[1] for path in paths if path.count(" ") == 1] == list(COMMANDS)
    assert {"refbss data mix", "refbss data scan", "refbss data verify"} <= set(paths)


@pytest.mark.parametrize("path", [path for path, _ in helps()])
@pytest.mark.parametrize("columns", ["80", "200"])
def test_it_is_what_the_terminal_shows(
    path: str, columns: str, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = run(*path.split()[1:], "--help").out.splitlines()
    assert [line.rstrip() for line in shown] == dict(helps())[path].splitlines()


def test_the_width_of_the_terminal_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = page()
    monkeypatch.setenv("COLUMNS", "60")
    assert page() == wide


def test_it_writes_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([str(tmp_path / "commands.md")]) == 0
    assert (tmp_path / "commands.md").read_text(encoding="utf-8") == page()
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2 and not (tmp_path / "docs").exists()
    (tmp_path / "docs").mkdir()
    assert main([]) == 0 and (tmp_path / PAGE).is_file()
    assert main(["a.md", "b.md"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "refbss: error: there is no folder docs to write cli.md in",
        f"refbss: error: {COMMAND} takes one file, got 2",
    ]
