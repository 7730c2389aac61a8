"""What a check prints and writes: lines for people, a dictionary for programs, JUnit for continuous integration."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refbss.conformance.judge import Verdict
from refbss.conformance.near_miss import Hint, subject

MOST_HINTS = 3
"""A failure is explained in so many lines at most."""
ALONE = "it is not the reason, or not the only one"
"""What is said of a mistake that another case refutes."""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write, such as the escape of a coloured message."""


@dataclass(frozen=True)
class Explained:
    """One reason that fits several failing cases of an operator."""

    op: str
    name: str
    says: str
    cases: tuple[str, ...]
    """The cases that it explains, as "id dtype"."""
    failing: int
    """How many cases of the operator fail."""

    def __str__(self) -> str:
        share = f"all {self.failing}" if len(self.cases) == self.failing else f"{len(self.cases)} of {self.failing}"
        return f"{self.op}: {share} failing cases are explained by '{self.name}': {self.says}"


Key = tuple[str, str]
"""Name and words of a hint: what has both in common is one reason."""


def explained(verdicts: Iterable[Verdict]) -> list[Explained]:
    """What explains several failing cases of an operator.

    A mistake must fit every one in which it would show; the fewest that cover what can be covered are taken, the widest
    first. Forms must explain every wrong array of every failing case, and only count where no mistake is left standing.
    """
    failing = _failing(verdicts)
    against = _refuted(failing)
    found = []
    for op, group in failing.items():
        standing: dict[Key, list[Verdict]] = {}
        for verdict in group:
            for hint in verdict.hints:
                if hint.stored and (op, hint.name) not in against:
                    standing.setdefault((hint.name, hint.says), []).append(verdict)
        for name, says in _fewest(standing) if standing else _shared_forms(group):
            fit = [v for v in group if any((hint.name, hint.says) == (name, says) for hint in v.hints)]
            where = "" if standing else _whose(fit, (name, says))
            found.append(Explained(op, name, where + says, tuple(map(_place, fit)), len(group)))
    return found


def _place(verdict: Verdict) -> str:
    return f"{verdict.case} {verdict.dtype}"


def _failing(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """The verdicts that failed, by operator."""
    failing: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if not verdict.passed:
            failing.setdefault(verdict.op, []).append(verdict)
    return failing


def _refuted(failing: Mapping[str, Sequence[Verdict]]) -> dict[Key, str]:
    """Mistakes, by operator and name, that a failing case would show and does not; and that case."""
    against: dict[Key, str] = {}
    for op, group in failing.items():
        for verdict in group:
            for name in set(verdict.stored) - {hint.name for hint in verdict.hints}:
                against.setdefault((op, name), _place(verdict))
    return against


def _fewest(standing: Mapping[Key, Sequence[Verdict]]) -> Iterator[Key]:
    """Of the mistakes that nothing refutes, the fewest that explain what can be explained, two cases each at least."""
    places = {key: set(map(_place, group)) for key, group in standing.items()}
    left = set().union(*places.values())
    while fitting := [key for key in places if len(left & places[key]) > 1]:
        key = max(fitting, key=lambda key: len(left & places[key]))
        yield key
        left -= places[key]


def _shared_forms(group: Sequence[Verdict]) -> list[Key]:
    """Forms that fit wherever the arrays that they explain are wrong, and together explain all that is wrong."""
    compared = [verdict for verdict in group if verdict.wrong]
    explains: dict[Key, list[set[str]]] = {}
    sure: Counter[Key] = Counter()
    for number, verdict in enumerate(compared):
        for hint in verdict.hints:
            key = (hint.name, hint.says)
            explains.setdefault(key, [set() for _ in compared])[number].update(() if hint.stored else hint.arrays)
            sure[key] += hint.sure and not hint.stored
    left = [set(verdict.wrong) for verdict in compared]
    chosen = []
    for key in sorted(explains, key=lambda key: -sure[key]):
        everywhere = set().union(*explains[key])
        fits = all(everywhere & set(v.wrong) == mine for v, mine in zip(compared, explains[key], strict=True))
        if fits and sure[key] > 1 and any(mine & wanted for mine, wanted in zip(explains[key], left, strict=True)):
            chosen.append(key)
            left = [wanted - mine for mine, wanted in zip(explains[key], left, strict=True)]
    return [] if any(left) else chosen


def _whose(group: Sequence[Verdict], key: Key) -> str:
    """The arrays that a form explains, where they are all outputs or all gradients."""
    hints = [hint for verdict in group for hint in verdict.hints if (hint.name, hint.says) == key]
    kinds = {hint.kind for hint in hints}
    arrays = list(dict.fromkeys(name for hint in hints for name in hint.arrays))
    return f"your {subject(kinds.pop(), arrays)}: " if len(kinds) == 1 else ""


class Reading:
    """The hints of each verdict in the light of the others."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        self.reasons = explained(verdicts)
        self.against = _refuted(_failing(verdicts))

    def common(self, verdict: Verdict, hint: Hint) -> bool:
        """Whether it is said on top, of several cases."""
        return any(
            reason.name == hint.name
            and f": {reason.says}".endswith(f": {hint.says}")
            and _place(verdict) in reason.cases
            for reason in self.reasons
        )

    def refuted_by(self, verdict: Verdict, hint: Hint) -> str:
        """A case that would show the mistake and does not, empty if there is none."""
        return self.against.get((verdict.op, hint.name), "") if hint.stored else ""

    def hints(self, verdict: Verdict) -> list[Hint]:
        """What is worth saying: common reasons, mistakes, forms of what these leave, and last what is refuted."""
        mistakes = [hint for hint in verdict.hints if hint.stored]
        refuted = [hint for hint in mistakes if self.refuted_by(verdict, hint)]
        chosen = [hint for hint in verdict.hints if self.common(verdict, hint)]
        for hints in ([hint for hint in mistakes if hint not in refuted], [h for h in verdict.hints if not h.stored]):
            done = {name for hint in chosen for name in hint.arrays}
            chosen += [hint for hint in hints if hint.sure and not done >= set(hint.arrays)]
        said = {name for hint in chosen if hint.stored or self.common(verdict, hint) for name in hint.arrays}
        chosen += [hint for hint in refuted if not said >= set(hint.arrays)]
        return list({hint.text: hint for hint in reversed(chosen)}.values())[::-1]

    def lines(self, verdict: Verdict, *, short: bool = False) -> list[str]:
        """The likeliest hints, a line each; with ``short``, of a mistake that is said on top the name alone."""
        lines = []
        for hint in self.hints(verdict)[:MOST_HINTS]:
            place = self.refuted_by(verdict, hint)
            if place:
                lines.append(f"{hint.text}; but not in {place}, where it would show: {ALONE}")
            elif short and hint.stored and self.common(verdict, hint):
                lines.append(f"'{hint.name}' (max error {hint.error:.0e})")
            else:
                lines.append(hint.text)
        return lines


def summary_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for every operator and dtype: how many agree, how closely, and how many were refused."""
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.op, verdict.dtype), []).append(verdict)
    return [f"{op} {dtype}: {_summary(group)}" for (op, dtype), group in groups.items()]


def _summary(group: Sequence[Verdict]) -> str:
    valid = [verdict for verdict in group if verdict.valid]
    bad = [verdict for verdict in group if not verdict.valid]
    agree = [verdict for verdict in valid if verdict.passed]
    parts = []
    if valid:
        parts.append(f"{len(agree)} of {len(valid)} cases agree")
        if agree:
            judged = [verdict for verdict in agree if "grads" in verdict.errors]
            too = ", gradients too" if judged else ""
            kinds = [(v.errors[kind], v.tol[kind]) for v in agree for kind in v.errors]
            error, tol = max(kinds, key=lambda pair: pair[0] / pair[1])
            parts[0] += f"{too} (worst error {error:.1e} of {tol:.1e} allowed)"
    if bad:
        refused = sum(verdict.passed for verdict in bad)
        share = str(refused) if refused == len(bad) else f"{refused} of {len(bad)}"
        parts.append(f"{share} refused as they must be")
    return ", ".join(parts)


def text_lines(verdicts: Sequence[Verdict], *, verbose: bool = False) -> list[str]:
    """The report: what explains several failures, a line for every failing case and its diagnosis, and the summary."""
    reading = Reading(verdicts)
    lines = [str(reason) for reason in reading.reasons]
    for verdict in verdicts:
        if verdict.passed and verbose:
            lines.append(f"ok   {verdict.case} {verdict.dtype}: {_figures(verdict)}")
        elif not verdict.passed:
            lines.append(f"FAIL {verdict.case} {verdict.dtype}: {verdict.problem}")
            lines += [f"     {line}" for line in reading.lines(verdict, short=True)]
    return [*lines, *summary_lines(verdicts)]


def _figures(verdict: Verdict) -> str:
    if not verdict.valid:
        return "refused as it must be"
    words = {"outputs": "outputs", "grads": "gradients"}
    judged = [f"{words[kind]} {error:.1e} of {verdict.tol[kind]:.1e}" for kind, error in verdict.errors.items()]
    return ", ".join(judged) + (f"; not given: {', '.join(verdict.not_given)}" if verdict.not_given else "")


def as_dict(target: str, verdicts: Sequence[Verdict], *, grads: bool) -> dict[str, Any]:
    """Everything, for ``--json``."""
    reading = Reading(verdicts)
    return {
        "target": target,
        "passed": all(verdict.passed for verdict in verdicts),
        "grads": grads,
        "explained": [vars(reason) for reason in reading.reasons],
        "summary": summary_lines(verdicts),
        "cases": [{**vars(verdict), "hints": _hints(reading, verdict)} for verdict in verdicts],
    }


def _hints(reading: Reading, verdict: Verdict) -> list[dict[str, Any]]:
    return [{**vars(hint), "refuted_by": reading.refuted_by(verdict, hint)} for hint in reading.hints(verdict)]


def junit(verdicts: Sequence[Verdict]) -> bytes:
    """A JUnit document: a suite for every operator, a test case for every case and dtype."""
    root = ElementTree.Element("testsuites", {"name": "refbss check", **_counts(verdicts)})
    reading = Reading(verdicts)
    for op in dict.fromkeys(verdict.op for verdict in verdicts):
        group = [verdict for verdict in verdicts if verdict.op == op]
        suite = ElementTree.SubElement(root, "testsuite", {"name": op, **_counts(group)})
        for verdict in group:
            name = f"{verdict.case.removeprefix(f'{op}/')}[{verdict.dtype}]"
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"refbss.{op}", name=name, time=f"{verdict.seconds:.4f}"
            )
            if not verdict.passed:
                failure = ElementTree.SubElement(case, "failure", message=_printable(verdict.problem))
                failure.text = _printable("\n".join(reading.lines(verdict)))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(verdicts: Sequence[Verdict]) -> dict[str, str]:
    failures = sum(not verdict.passed for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts)
    return {"tests": str(len(verdicts)), "failures": str(failures), "errors": "0", "time": f"{seconds:.4f}"}


def _printable(text: str) -> str:
    return NOT_XML.sub("?", text)
