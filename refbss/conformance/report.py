"""What a check prints and writes: lines for people, a dictionary for programs, JUnit for continuous integration."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from refbss.conformance.judge import Verdict

MOST_HINTS = 3
"""A failure is explained in so many lines at most."""
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


def explained(verdicts: Iterable[Verdict]) -> list[Explained]:
    """Reasons that fit every failing case of an operator in which they can be seen, and at least two of them.

    The fewest that cover what can be covered, the widest first.
    """
    failing: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if not verdict.passed:
            failing.setdefault(verdict.op, []).append(verdict)
    found = []
    for op, group in failing.items():
        covers: dict[str, tuple[str, list[str]]] = {}
        for verdict in group:
            for hint in verdict.hints:
                covers.setdefault(hint.name, (hint.says, []))[1].append(f"{verdict.case} {verdict.dtype}")
        unseen = {name for v in group for name in v.stored if name not in {hint.name for hint in v.hints}}
        left = {f"{verdict.case} {verdict.dtype}" for verdict in group}
        while fitting := [name for name in covers if name not in unseen and len(left & set(covers[name][1])) > 1]:
            name = max(fitting, key=lambda name: len(left & set(covers[name][1])))
            says, cases = covers[name]
            found.append(Explained(op, name, says, tuple(cases), len(group)))
            left -= set(cases)
    return found


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
    reasons = explained(verdicts)
    lines = [str(reason) for reason in reasons]
    for verdict in verdicts:
        if verdict.passed and verbose:
            lines.append(f"ok   {verdict.case} {verdict.dtype}: {_figures(verdict)}")
        elif not verdict.passed:
            lines.append(f"FAIL {verdict.case} {verdict.dtype}: {verdict.problem}")
            lines += [f"     {line}" for line in _diagnosis(verdict, reasons)]
    return [*lines, *summary_lines(verdicts)]


def _figures(verdict: Verdict) -> str:
    if not verdict.valid:
        return "refused as it must be"
    words = {"outputs": "outputs", "grads": "gradients"}
    judged = [f"{words[kind]} {error:.1e} of {verdict.tol[kind]:.1e}" for kind, error in verdict.errors.items()]
    return ", ".join(judged) + (f"; not given: {', '.join(verdict.not_given)}" if verdict.not_given else "")


def _diagnosis(verdict: Verdict, reasons: Sequence[Explained]) -> list[str]:
    """By name what was said of several cases on top; otherwise the likeliest hints in full."""
    place = f"{verdict.case} {verdict.dtype}"
    common = {reason.name for reason in reasons if place in reason.cases}
    lines = [f"'{hint.name}' (max error {hint.error:.0e})" for hint in verdict.hints if hint.name in common]
    return lines or list(dict.fromkeys(hint.text for hint in verdict.hints))[:MOST_HINTS]


def as_dict(target: str, verdicts: Sequence[Verdict], *, grads: bool) -> dict[str, Any]:
    """Everything, for ``--json``."""
    return {
        "target": target,
        "passed": all(verdict.passed for verdict in verdicts),
        "grads": grads,
        "explained": [vars(reason) for reason in explained(verdicts)],
        "summary": summary_lines(verdicts),
        "cases": [{**vars(verdict), "hints": [vars(hint) for hint in verdict.hints]} for verdict in verdicts],
    }


def junit(verdicts: Sequence[Verdict]) -> bytes:
    """A JUnit document: a suite for every operator, a test case for every case and dtype."""
    root = ElementTree.Element("testsuites", {"name": "refbss check", **_counts(verdicts)})
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
                failure.text = _printable("\n".join(hint.text for hint in verdict.hints))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(verdicts: Sequence[Verdict]) -> dict[str, str]:
    failures = sum(not verdict.passed for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts)
    return {"tests": str(len(verdicts)), "failures": str(failures), "errors": "0", "time": f"{seconds:.4f}"}


def _printable(text: str) -> str:
    return NOT_XML.sub("?", text)
