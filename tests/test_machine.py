"""The machine: what control groups grant, where threads are put, and whether a folder takes kernels."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from refbss import machine

WITH_AFFINITY = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads have no affinity here")
TWO_PROCESSORS = pytest.mark.skipif(machine.cpus() < 2, reason="there is one processor")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, None),
        ({"sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        ({"sys/fs/cgroup/cpu.max": "what is this"}, None),
        ({"proc/self/cgroup": "what is\n\nthis: at all", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        # a service below a slice, the slice has the limit
        ({"proc/self/cgroup": "0::/a.slice/b", "sys/fs/cgroup/a.slice/cpu.max": "150000 100000"}, 1.5),
        # of nested limits the tightest
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/cpu.max": "300000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000",
            },
            3.0,
        ),
        # another group's limit is not ours
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/b/cpu.max": "100000 100000"}, None),
        # version 1
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 2.5),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000"}, None),
        # version 1 in a container: the path is the machine's and does not exist here
        (
            {
                "proc/self/cgroup": "5:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n0::/system.slice",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000",
            },
            2.0,
        ),
        # version 1, on the machine itself
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/1f",
                "sys/fs/cgroup/cpu/docker/1f/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu/docker/1f/cpu.cfs_period_us": "100000",
            },
            1.0,
        ),
        # both versions at once
        (
            {"proc/self/cgroup": "1:cpu:/\n0::/a", "sys/fs/cgroup/unified/a/cpu.max": "100000 25000"},
            4.0,
        ),
    ],
)
def test_what_control_groups_grant(files: dict[str, str], wanted: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="ascii")
    assert machine._quota(tmp_path) == wanted


def test_a_quota_bounds_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_quota", lambda: 0.5)
    assert machine.cpus() == 1
    monkeypatch.setattr(machine, "_quota", lambda: None)
    assert machine.cpus() >= 1


@contextmanager
def helper() -> Iterator[tuple[machine.Apart, Callable[[], set[int]]]]:
    """An Apart with one thread, and what that thread may use."""
    apart = machine.Apart()
    with ThreadPoolExecutor(1) as pool:
        apart.threads.append(pool.submit(threading.get_native_id).result())
        yield apart, lambda: pool.submit(os.sched_getaffinity, 0).result()


@contextmanager
def confined(to: set[int]) -> Iterator[None]:
    """The calling thread may use these processors only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    time.sleep(0.01)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@WITH_AFFINITY
@TWO_PROCESSORS
def test_threads_stay_within_what_the_caller_was_left() -> None:
    """taskset -acp on a running process is not undone, whichever processor it leaves, and widening it is seen."""
    home = os.sched_getaffinity(0)
    with helper() as (apart, allowed):
        apart.settle()
        assert len(allowed()) == len(home) - 1
        for processor in sorted(home)[:2]:
            with confined({processor}):
                apart.settle()
                assert allowed() == {processor}
        apart.settle()
        assert len(allowed()) == len(home) - 1


@WITH_AFFINITY
@TWO_PROCESSORS
@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL, errno.ESRCH])
def test_where_the_system_refuses_threads_are_left_alone(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(thread: int, processors: object) -> None:
        asked.append(thread)
        raise OSError(number, os.strerror(number))

    home = os.sched_getaffinity(0)
    with helper() as (apart, allowed):
        with monkeypatch.context() as patch:
            patch.setattr(os, "sched_setaffinity", refuse)
            apart.settle()
            assert len(asked) == 1
        apart.settle()
        assert allowed() == home and len(asked) == 1


@WITH_AFFINITY
@TWO_PROCESSORS
def test_a_caller_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> set[int]:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", refuse)
        apart = machine.Apart()
    apart.threads.append(threading.get_native_id())
    apart.settle()
    assert apart._here is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "fast_cache_dir", lambda: tmp_path / "a" / "b")
    return tmp_path / "a" / "b"


def test_a_folder_that_takes_kernels(folder: Path) -> None:
    assert machine.kernels() == (folder, 0, "")
    (folder / "deep").mkdir()
    (folder / "deep" / "x.1.nbc").touch()
    assert machine.kernels() == (folder, 1, "")
    assert sorted(path.name for path in folder.rglob("*")) == ["deep", "x.1.nbc"], "the probe is gone"


def test_a_folder_below_a_file(folder: Path) -> None:
    folder.parent.write_text("", encoding="ascii")
    assert machine.kernels() == (folder, 0, os.strerror(errno.ENOTDIR))


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_cannot_be_entered(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.parent.chmod(0)
    try:
        assert machine.kernels() == (folder, 0, os.strerror(errno.EACCES))
    finally:
        folder.parent.chmod(0o755)


def test_a_folder_that_may_not_be_asked_about(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, for root: whatever is asked of the folder is refused."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    for name in ("mkdir", "stat", "exists"):
        monkeypatch.setattr(Path, name, refuse)
    assert machine.kernels() == (folder, 0, os.strerror(errno.EACCES))


def test_a_folder_without_room(folder: Path) -> None:
    """A file can be created there, but a kernel does not fit."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        found = machine.kernels()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found == (folder, 0, os.strerror(errno.EFBIG))
