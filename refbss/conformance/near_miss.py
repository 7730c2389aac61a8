"""Diagnosis: which known mistake, or which simple change, turns the golden answer into the one that came.

Mistakes that the case stores come first; they say what to change. What none of them explains is compared with forms
that are worked out in forms.py: a factor, an offset, axes in another order, one step too late.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refbss.conformance.forms import Form, forms_of, same
from refbss.conformance.vectors import Arrays, Vector

SLACK = 4.0
"""A wrong answer is recognised within this many tolerances: the tolerance was derived for the right one."""
ROUNDING = 2.0**-24
"""Mistakes are stored in float32."""


@dataclass(frozen=True)
class Hint:
    """One explanation of a wrong answer."""

    name: str
    """Of the mistake in kebab-case, or of the form."""
    text: str
    """The explanation with the arrays that it explains and the error that is left."""
    says: str
    """The explanation alone."""
    error: float
    stored: bool
    """The case holds this mistake; False: the form was worked out from the golden answer."""


def diagnose(vector: Vector, kind: str, got: Arrays, bad: Sequence[str], dtype: str) -> tuple[Hint, ...]:
    """Explain why the arrays named in ``bad``, of ``kind`` outputs or grads, are wrong; the likeliest first.

    Of the layers of a whole model, forms are looked for in the first alone: the others follow from it.
    """
    near = SLACK * vector.tol[dtype][kind]
    hints = []
    unexplained = list(bad[:1] if vector.op == "model" and kind == "outputs" else bad)
    for error, name, says, arrays in sorted(_stored(vector, kind, got, bad, near + ROUNDING)):
        equal = "equals" if len(arrays) == 1 else "equal"
        text = f"your {_of(kind, arrays)} {equal} mistake '{name}' (max error {error:.0e}): {says}"
        hints.append(Hint(name, text, says, error, True))
        unexplained = [array for array in unexplained if array not in arrays]
    found: dict[str, list[tuple[str, Form]]] = {}
    for array in unexplained:
        for form in forms_of(vector, kind, array, got[array], near, dtype):
            found.setdefault(form.name, []).append((array, form))
    for name, places in found.items():
        first, error = places[0][1], max(form.error for _, form in places)
        what = f"your {_of(kind, [array for array, _ in places])}: {first.detail or first.says}"
        hints.append(Hint(name, f"{what} (max error {error:.0e})", first.says, error, False))
    return tuple(hints)


def _of(kind: str, arrays: Sequence[str]) -> str:
    few = ", ".join(arrays[:4]) + (f" and {len(arrays) - 4} more" if len(arrays) > 4 else "")
    return few if kind == "outputs" else f"gradient{'s' * (len(arrays) > 1)} of {few}"


def _stored(
    vector: Vector, kind: str, got: Arrays, bad: Sequence[str], near: float
) -> Iterator[tuple[float, str, str, list[str]]]:
    """Stored mistakes that equal what came: (error, name, says, the wrong arrays that it explains)."""
    for mistake in vector.mistakes:
        wrong = {name: array for name, array in getattr(mistake, kind).items() if name in got}
        arrays = [name for name in bad if name in wrong]
        if arrays:
            error = max(same(got[name], array) for name, array in wrong.items())
            if error <= near:
                yield error, mistake.name, mistake.says, arrays
