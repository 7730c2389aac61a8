"""What a check asks of an implementation, whoever wrote it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from refbss.conformance.vectors import Arrays, Vector


class CallFailure(Exception):
    """An implementation did not answer a case. The message says what came and what was wanted, in one line."""


class Answer(NamedTuple):
    """What an implementation gave for one case: outputs by name, and gradients where they were asked for."""

    outputs: Arrays
    grads: Arrays


class Implementation(Protocol):
    """Something that can be put a case. Adapters make one of a user's callable."""

    name: str
    """How reports call it."""

    def answer(self, vector: Vector, dtype: str, grads: bool) -> Answer:
        """Work the case out in ``dtype``. Raises CallFailure when it cannot, which is right for a case to refuse."""
        ...
