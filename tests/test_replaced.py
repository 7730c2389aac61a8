"""Files that appear whole or not at all: links, devices and pipes stay what they are."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from refbss._files import check_writable, replaced


def _write(path: Path, text: str) -> None:
    with replaced(path) as part:
        part.write_text(text)


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    _write(path, "one")
    with replaced(path) as part:
        part.write_text("two")
        assert part != path and path.read_text() == "one"
    assert path.read_text() == "two" and [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_after_an_error_nothing_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(ZeroDivisionError), replaced(path) as part:
        part.write_text("two")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path, there: bool) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.txt", tmp_path / "link.txt"
    if there:
        real.write_text("one")
    link.symlink_to("far/real.txt")
    check_writable(link)
    _write(link, "two")
    assert link.is_symlink() and not real.is_symlink() and real.read_text() == "two"
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["far", "link.txt", "real.txt"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    check_writable(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    _write(path, "text")
    reader.join(10.0)
    assert read == ["text"] and stat.S_ISFIFO(path.stat().st_mode)


def test_a_device_is_written_to(tmp_path: Path) -> None:
    master, slave = os.openpty()
    link = tmp_path / "terminal"
    link.symlink_to(os.ttyname(slave))
    for path in (Path(os.ttyname(slave)), link):
        check_writable(path)
        _write(path, "text")
        assert os.read(master, 10) == b"text" and stat.S_ISCHR(path.stat().st_mode)
    assert link.is_symlink()
    os.close(slave)
    os.close(master)


def test_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("\u00e4" * 125 + "a.txt")
    check_writable(path)
    _write(path, "text")
    assert path.read_text() == "text" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["none/a.txt", "a" * 256, ".", "file/a.txt"])
def test_what_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        check_writable(tmp_path / name)
    with pytest.raises(OSError):
        _write(tmp_path / name, "text")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
