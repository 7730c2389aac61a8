"""The process that reads damaged files: ``python child.py KIND SEED FIRST COUNT``; what it says goes to stdout.

``begin NUMBER`` before each case, ``end NUMBER OUTCOME`` after it, and at the end ``peak KILOBYTES``, by which its
memory has grown. It may take a gigabyte more than it has at the start, no more; who started it watches the clock.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

from cases import case_of, write
from kinds import KINDS, Kind
from trees import built

from refbss._checks import InputError
from refbss_cli.options import reason

MEMORY = 2**30
LONGEST = 4000
"""Characters of a message at most."""
ARGUMENTS = ("convert: ", "npz: ", "SpeechPool: ")
"""Beginnings of lines on what was taken from several files together: they name what does not fit."""
FAST = Path("/dev/shm")


def _kilobytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def outcome(kind: Kind, root: Path, name: str) -> tuple[str, str]:
    """How reading ended: accepted, refused, or defect with what is wrong."""
    try:
        kind.read(root / name if kind.one_file else root)
    except (InputError, OSError) as error:
        said = reason(error)
        if not any(part in said for part in (str(root), Path(name).name, *ARGUMENTS)):
            return "defect", f"names no file: {type(error).__name__}: {said[:300]}"
        if len(said) > LONGEST or not said.isprintable():
            return "defect", f"message of {len(said)} characters, printable {said.isprintable()}: {said[:300]!r}"
        return "refused", f"{type(error).__name__}: {said}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)
        own = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in place if "refbss" in frame.filename]
        return "defect", f"{type(error).__name__} at {' '.join(own[-3:])}: {str(error)[:300]}"
    return "accepted", ""


def main(name: str, seed: int, first: int, count: int) -> None:
    """Read the cases first .. first + count - 1."""
    warnings.simplefilter("error", RuntimeWarning)
    kind = KINDS[name]
    scratch = Path(tempfile.mkdtemp(dir=FAST if FAST.is_dir() else None))
    try:
        valid = built(kind.build, scratch / "valid")
        (scratch / "given").mkdir()
        for part in (one for one in sorted(valid) if kind.one_file):
            (scratch / "given" / part).write_bytes(valid[part])
        for part in sorted(valid) if kind.one_file else [next(iter(valid))]:
            write(case_of(kind, valid, seed, 0)._replace(tree=dict(valid), shape=None), scratch / "given")
            found = outcome(kind, scratch / "given", part)
            assert found[0] == "accepted" or kind.name == "archive", f"{part} is not valid: {found}"
        before = _kilobytes("VmHWM")
        resource.setrlimit(resource.RLIMIT_AS, (_kilobytes("VmSize") * 1024 + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in range(first, first + count):
            case = case_of(kind, valid, seed, number)
            print("begin", number, flush=True)
            write(case, scratch / "given")
            print("end", number, *map(json.dumps, outcome(kind, scratch / "given", case.name)), sep="\t", flush=True)
        print("peak", _kilobytes("VmHWM") - before, flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
