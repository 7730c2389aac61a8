"""Mutation testing of the law and the metrics: ``python tests/mutation [--module linear] [--jobs 2]``.

Every mutant (``mutators``) is judged by the tests of its module (``targets``). One that survives must be in
survivors.toml with the reason why no test can kill it; another survivor makes the run fail. An entry that is killed
now, or that matches nothing any more, is reported as stale.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

from mutators import Mutant, mutants
from runner import ROOT, Outcome, RunnerError, baseline, fingerprint, run
from targets import Target, learn, targets

KNOWN = Path(__file__).with_name("survivors.toml")
WANTED = 0.95
Key = tuple[str, str, str, str]


def known_survivors() -> dict[Key, str]:
    """The reasons of survivors.toml by what mutants are known by."""
    listed = tomllib.loads(KNOWN.read_text(encoding="utf-8")).get("survivor", [])
    return {(one["file"], one["function"], one["statement"], one["becomes"]): one["reason"] for one in listed}


def judge(target: Target, chosen: list[Mutant], jobs: int) -> list[tuple[Mutant, Outcome]]:
    """Judge the mutants of one module, and say on stderr how far it is. Raises RunnerError."""
    before, sound = fingerprint(), baseline(target)
    found: list[tuple[Mutant, Outcome]] = []
    for number, outcome in run(target, [mutant.code for mutant in chosen], jobs, sound):
        found.append((chosen[number], outcome))
        if sys.stderr.isatty():
            print(f"\r{target.file}: {len(found)} of {len(chosen)}", end="", file=sys.stderr, flush=True)
    if fingerprint() != before:
        raise RunnerError(f"{target.file}: files were changed while its mutants were judged, start again")
    lived = sum(outcome.status == "survived" for _, outcome in found)
    print(f"\r{target.file}: {len(chosen)} mutants, {lived} survived", file=sys.stderr)
    return sorted(found, key=lambda pair: (pair[0].line, pair[0].becomes))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python tests/mutation", description=__doc__)
    parser.add_argument("--module", action="append", default=[], help="part of a file's path; may be repeated")
    parser.add_argument("--sample", type=int, help="judge so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of --sample")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every mutant and its end to FILE")
    parser.add_argument("--list", action="store_true", help="print the mutants and judge none")
    return parser.parse_args()


def chosen_mutants(options: argparse.Namespace, found: list[Target]) -> dict[Target, list[Mutant]]:
    """The mutants that the options ask for, by module. Modules that hold none are left out."""
    wanted = [one for one in found if not options.module or any(part in one.file for part in options.module)]
    every = [(one, mutant) for one in wanted for mutant in mutants((ROOT / one.file).read_text("utf-8"), one.file)]
    if options.sample is not None:
        every = random.Random(options.seed).sample(every, min(options.sample, len(every)))
    return {one: chosen for one in wanted if (chosen := [mutant for owner, mutant in every if owner == one])}


def table(results: dict[Target, list[tuple[Mutant, Outcome]]]) -> str:
    """Mutants, kills and kill rate of every module and of all."""
    lines = [f"{'module':40} {'mutants':>8} {'killed':>7} {'late':>5} {'survived':>9} {'rate':>7}"]
    total: Counter[str] = Counter()
    for target, found in results.items():
        counts = Counter(outcome.status for _, outcome in found)
        total += counts
        lines.append(row(target.file, counts))
    return "\n".join([*lines, row("all", total)])


def row(name: str, counts: Counter[str]) -> str:
    """One line of the table; a mutant that the clock stopped is killed too."""
    number = counts.total()
    killed = number - counts["survived"]
    rate = 100.0 * killed / number
    return f"{name:40} {number:8} {killed:7} {counts['timeout']:5} {counts['survived']:9} {rate:6.2f}%"


def report(results: dict[Target, list[tuple[Mutant, Outcome]]], known: dict[Key, str], whole: bool) -> bool:
    """Print the table, unexplained survivors and stale entries. Returns whether every survivor is explained."""
    ended = {mutant.key: outcome.status for found in results.values() for mutant, outcome in found}
    unexplained = [
        mutant
        for found in results.values()
        for mutant, outcome in found
        if outcome.status == "survived" and mutant.key not in known
    ]
    files = {target.file for target in results}
    print(table(results))
    for mutant in unexplained:
        print(f"unexplained survivor: {mutant}")
    for key in known:
        if key[0] in files and (whole or key in ended) and ended.get(key) != "survived":
            what = "no such mutant" if key not in ended else f"is {ended[key]} now"
            print(f"stale entry of {KNOWN.name}: {what}: {key[0]} {key[1]}\n    - {key[2]}\n    + {key[3]}")
    print(f"{len(unexplained)} unexplained survivors")
    return not unexplained


def main() -> int:
    """Judge the mutants asked for. Returns 1 on an unexplained survivor or too few kills, 2 if the tests cannot run."""
    options = arguments()
    found = targets(ROOT)
    learn(found)
    started = time.monotonic()
    chosen = chosen_mutants(options, found)
    if options.list:
        print("\n".join(str(mutant) for listed in chosen.values() for mutant in listed))
        return 0
    try:
        results = {target: judge(target, listed, options.jobs) for target, listed in chosen.items()}
    except RunnerError as error:
        print(f"mutation: {error}", file=sys.stderr)
        return 2
    explained = report(results, known_survivors(), options.sample is None)
    print(f"{(time.monotonic() - started) / 60.0:.1f} min with {options.jobs} processes at a time")
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=1) + "\n", encoding="utf-8")
    ended = Counter(outcome.status for pairs in results.values() for _, outcome in pairs)
    return 0 if explained and ended["survived"] <= (1.0 - WANTED) * ended.total() else 1


def as_json(results: dict[Target, list[tuple[Mutant, Outcome]]]) -> list[dict[str, object]]:
    """Every mutant and its end, without its code."""
    rows = [{**mutant._asdict(), **outcome._asdict()} for found in results.values() for mutant, outcome in found]
    return [{name: value for name, value in line.items() if name not in ("code", "durations")} for line in rows]


if __name__ == "__main__":
    sys.exit(main())
