"""Reads damaged files of every kind: ``python tests/robustness [--kind wav] [--count 100000] [--seed 0]``.

Exit code 1 where a process crashed, hung, took more than a gigabyte, raised anything but InputError and OSError, or
said a line that names no file. What was read then lies in build/robustness/KIND-SEED-NUMBER, and ``python
tests/robustness --replay KIND SEED NUMBER`` reads it again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cases import case_of, write
from child import outcome
from kinds import KINDS
from runner import Tally, read_cases
from trees import built

KEPT = Path(__file__).parents[2] / "build" / "robustness"
ALIKE = 40
"""Characters of what went wrong by which defects are counted as one."""


def keep(name: str, seed: int, number: int) -> tuple[Path, str]:
    """Write the tree of a case again; returns its folder and the name of the file that was damaged."""
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as scratch:
        case = case_of(kind, built(kind.build, Path(scratch) / "valid"), seed, number)
    folder = KEPT / f"{name.replace(' ', '-')}-{seed}-{number}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    write(case, folder)
    return folder, case.name


def replay(name: str, seed: int, number: int) -> int:
    """Read one case in this process and print what comes of it; its files stay."""
    folder, file = keep(name, seed, number)
    read = folder.with_name("read")
    shutil.rmtree(read, ignore_errors=True)
    shutil.copytree(folder, read, symlinks=True, ignore=lambda where, _: [])
    found = outcome(KINDS[name], read, file)
    print(f"{folder / file}: {': '.join(found)}")
    return int(found[0] == "defect")


def table(tallies: dict[str, Tally]) -> str:
    """A line a kind."""
    lines = [f"{'kind':14} {'files':>8} accepted  refused  defects  seconds  slowest     MB"]
    for name, one in tallies.items():
        counts = [one.outcomes[outcome] for outcome in ("accepted", "refused", "defect")]
        lines.append(
            f"{name:14} {one.cases:8} {counts[0]:8} {counts[1]:8} {counts[2]:8} {one.seconds:8.1f} "
            f"{one.slowest_s:8.2f} {one.peak_kb / 1024:6.0f}"
        )
    every = [sum(one.outcomes[outcome] for one in tallies.values()) for outcome in ("accepted", "refused", "defect")]
    lines.append(f"{'all':14} {sum(every):8} {every[0]:8} {every[1]:8} {every[2]:8}")
    return "\n".join(lines)


def main() -> int:
    """Read damaged files of the kinds asked for."""
    parser = argparse.ArgumentParser(prog="python tests/robustness", description=__doc__)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="may be repeated; all without it")
    parser.add_argument("--count", type=int, default=100_000, help="files in all (100000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--replay", nargs=3, metavar=("KIND", "SEED", "NUMBER"))
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay[0], int(options.replay[1]), int(options.replay[2]))
    names = options.kind or list(KINDS)
    shares = {name: KINDS[name].share for name in names}
    counts = {name: -int(-options.count * share // sum(shares.values())) for name, share in shares.items()}
    tallies: dict[str, Tally] = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        work = {name: pool.submit(read_cases, name, options.seed, 0, count) for name, count in counts.items()}
        for name, one in work.items():
            tallies[name] = one.result()
            print(f"{name}: {tallies[name].cases} files, {len(tallies[name].defects)} defects", file=sys.stderr)
    print(table(tallies))
    defects = [defect for tally in tallies.values() for defect in tally.defects]
    alike = Counter((defect.kind, defect.what[:ALIKE]) for defect in defects)
    for (kind, beginning), count in alike.items():
        first = next(one for one in defects if one.kind == kind and one.what.startswith(beginning))
        folder, _ = keep(kind, first.seed, first.number)
        print(f"{kind} {first.seed} {first.number}: {first.what} ({count} like it; kept in {folder})")
    return int(bool(defects))


if __name__ == "__main__":
    sys.exit(main())
