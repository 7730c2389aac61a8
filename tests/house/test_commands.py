"""Every command loads, has help and a test, and says in its own help what the table says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from refbss_cli.main import COMMANDS, refbss


def _load(name: str) -> click.Command:
    command = refbss.get_command(click.Context(refbss), name)
    assert command is not None
    return command


def _tree(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _tree(f"{path} {name}", child)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_and_the_command_agree(name: str) -> None:
    command = _load(name)
    assert command.name == name
    own = command.short_help or (command.help or "").strip().splitlines()[0]
    assert own == COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_everything_has_help(name: str) -> None:
    for path, command in _tree(name, _load(name)):
        assert command.help and command.help.strip(), path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_test(name: str, root: Path) -> None:
    assert (root / "tests" / "cli" / f"test_{name}.py").is_file()


def test_every_module_of_the_command_line_is_placed(root: Path) -> None:
    modules = {path.stem for path in (root / "cli").glob("*.py")}
    commands = {entry.target.split(":")[0].removeprefix("refbss_cli.") for entry in COMMANDS.values()}
    assert modules - {"__init__", "main", "options", "reference"} == commands
