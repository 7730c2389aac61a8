"""The reference page of the command line, made from the help of every command: ``python -m refbss_cli.reference``.

Without an argument it writes docs/cli.md in the current directory; an argument names another file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from refbss._files import replaced
from refbss_cli.main import refbss

PAGE = Path("docs", "cli.md")
COMMAND = "python -m refbss_cli.reference"
WIDTH = 78
"""Columns of the help texts: what ``--help`` prints on a terminal of 80 columns or more."""

HEAD = f"""# The command line

Results go to stdout, or as one line of JSON with `--json`; progress and logs go to stderr. Exit codes: 0 done, 1
something failed on the way, 2 wrong input or usage, 130 interrupted, 143 terminated. Wrong input costs one line on
stderr; `refbss --debug COMMAND` adds where it was noticed.

This page holds what `--help` prints. `{COMMAND}` writes it; a test compares the two.
"""


def helps() -> Iterator[tuple[str, str]]:
    """Every command and what its ``--help`` prints, in the order of the help: ("refbss data mix", "Usage: ...")."""
    yield from _walk(refbss, "refbss", None)


def _walk(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, **(command.context_settings or {})
    )
    path = name if parent is None else f"{parent.command_path} {name}"
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None, f"{path} lists {child} but does not have it"
            yield from _walk(found, child, context)


def page() -> str:
    """The text of the page, in Markdown: a list of the commands, then a section for each."""
    found = list(helps())
    links = [f"{'  ' * (path.count(' ') - 1)}- [{path}](#{path.replace(' ', '-')})" for path, _ in found[1:]]
    sections = [f"{'#' * (2 + (path.count(' ') > 1))} {path}\n\n```text\n{text}\n```\n" for path, text in found]
    return "\n".join([HEAD, *links, "", *sections])


def main(argv: Sequence[str]) -> int:
    """Write the page and return the exit code."""
    if len(argv) > 1:
        print(f"refbss: error: {COMMAND} takes one file, got {len(argv)}", file=sys.stderr)
        return 2
    path = Path(*argv) if argv else PAGE
    if not path.parent.is_dir():
        print(f"refbss: error: there is no folder {path.parent} to write {path.name} in", file=sys.stderr)
        return 2
    with replaced(path) as part:
        part.write_text(page(), encoding="utf-8")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
