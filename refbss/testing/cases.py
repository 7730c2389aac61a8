"""What a test asks of an implementation: the cases, and what is wrong with its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from refbss._checks import InputError, check_choice
from refbss.conformance.implementation import Implementation
from refbss.conformance.judge import Verdict, judge
from refbss.conformance.report import Reading
from refbss.conformance.state_map import read_state_map
from refbss.conformance.targets import implementation, load_target
from refbss.conformance.vectors import DTYPES, Library


class Questions:
    """The cases that match, put to one target. Raises InputError where none matches."""

    def __init__(
        self,
        patterns: Sequence[str],
        target: str | Callable[..., Any],
        framework: str | None = None,
        *,
        dtype: str = "float32",
        grads: bool = False,
        vjp: str | Callable[..., Any] | None = None,
        state_map: str | Path | None = None,
        vectors: str | Path | None = None,
    ) -> None:
        check_choice("refbss.testing", (*DTYPES, "both"), dtype=dtype)
        self.library = Library(None if vectors is None else Path(vectors))
        self.target = target
        self.framework = framework
        self.grads = grads
        self.vjp = vjp
        self.state_map = state_map
        cases = list(dict.fromkeys(case for pattern in patterns for case in self.library.find(pattern)))
        self.asked = [(case, each) for case in cases for each in (DTYPES if dtype == "both" else (dtype,))]
        """Ids of the cases and what they are computed in."""
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    @cached_property
    def implementation(self) -> Implementation:
        """The target, imported at the first call. Raises InputError."""
        return implementation(
            self.target,
            self.framework,
            ops={case.split("/")[0] for case, _ in self.asked},
            vjp=self.vjp,
            state_map=None if self.state_map is None else read_state_map(Path(self.state_map)),
        )

    def verdict(self, case: str, dtype: str) -> Verdict:
        """The judgement of one case; each is judged once. Raises InputError."""
        if (case, dtype) not in self._verdicts:
            self._verdicts[case, dtype] = judge(self.library.load(case), self.implementation, dtype, self.grads)
        return self._verdicts[case, dtype]

    def problem(self, case: str, dtype: str) -> str:
        """What is wrong with the answer to a case and what explains it, a line each; empty where it agrees.

        What would explain it is held against the other cases of the operator, which are judged for that.
        """
        try:
            verdict = self.verdict(case, dtype)
        except InputError as error:
            return str(error)
        if verdict.passed:
            return ""
        group = list(self._of(verdict.op)) if verdict.hints else [verdict]
        return "\n".join([str(verdict), *Reading(group).lines(verdict)])

    def _of(self, op: str) -> Iterator[Verdict]:
        """The judgement of every case of an operator that can be read."""
        for case, dtype in self.asked:
            if case.split("/")[0] == op:
                with suppress(InputError):
                    yield self.verdict(case, dtype)


def adapters(module: str, framework: str | None, *, dtype: str, grads: bool) -> list[Questions]:
    """The questions to a module of adapters, named as it is imported, or a file ``path/to/file.py``.

    It has a dict ``IMPLEMENTATIONS`` from operators, cases or patterns to callables or targets, or else callables that
    are named after operators. Raises InputError where it has neither, and where it cannot be imported.
    """
    namespace = load_target(f"{module}:__dict__")
    named = namespace.get("IMPLEMENTATIONS")
    if named is None:
        ops = Library().ops
        named = {op: namespace[op] for op in ops if callable(namespace.get(op))}
        if not named:
            raise InputError(f"{module}: has neither IMPLEMENTATIONS nor a callable named as one of {', '.join(ops)}")
    elif not isinstance(named, dict) or not named:
        raise InputError(f"{module}: IMPLEMENTATIONS is {named!r}, wanted a dict from operators to callables")
    for name, target in named.items():
        if not isinstance(name, str):
            raise InputError(f"{module}: IMPLEMENTATIONS has the key {name!r}, wanted an operator, a case or a pattern")
        if not isinstance(target, str) and not callable(target):
            raise InputError(
                f"{module}: IMPLEMENTATIONS[{name!r}] is {target!r}, wanted a callable or module:attribute"
            )
    return [Questions([name], target, framework, dtype=dtype, grads=grads) for name, target in named.items()]
