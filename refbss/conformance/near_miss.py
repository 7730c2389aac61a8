"""Diagnosis: which known mistake, or which simple change, turns the golden answer into the one that came.

Mistakes that the case stores come first; they say what to change. What none of them explains is compared with forms
that are worked out in forms.py: a factor, an offset, axes in another order, one step too late.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refbss.conformance.forms import Form, forms_of, is_numbers, same
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
    arrays: tuple[str, ...] = ()
    """The wrong arrays that it explains."""
    kind: str = "outputs"
    """What they are: outputs or grads."""
    sure: bool = True
    """False: it is worth saying only if it fits the other cases too."""


def looked_at(vector: Vector, kind: str, got: Arrays, bad: Sequence[str]) -> tuple[str, ...]:
    """The wrong arrays that a diagnosis should explain: those of numbers; of a whole model's layers the first alone."""
    first = bad[:1] if vector.op == "model" and kind == "outputs" else bad
    return tuple(name for name in first if is_numbers(got[name]))


def could_show(vector: Vector, kind: str, got: Arrays, bad: Sequence[str]) -> tuple[str, ...]:
    """Stored mistakes that the wrong arrays would show."""
    fit = _comparable(vector, kind, got) & set(bad)
    return tuple(mistake.name for mistake in vector.mistakes if fit & set(getattr(mistake, kind)))


def _comparable(vector: Vector, kind: str, got: Arrays) -> set[str]:
    """Arrays of numbers in the right shape: others say nothing for a mistake and nothing against it."""
    golden: Arrays = getattr(vector, kind)
    return {name for name, a in golden.items() if name in got and is_numbers(got[name]) and got[name].shape == a.shape}


def diagnose(vector: Vector, kind: str, got: Arrays, bad: Sequence[str], dtype: str) -> tuple[Hint, ...]:
    """Explain why the arrays named in ``bad``, of ``kind`` outputs or grads, are wrong; the likeliest first.

    Forms are tried on what a stored mistake explains too: another case may refute the mistake.
    """
    near = SLACK * vector.tol[dtype][kind]
    hints = []
    for error, name, says, arrays in sorted(_stored(vector, kind, got, bad, near + ROUNDING)):
        equal = "equals" if len(arrays) == 1 else "equal"
        text = f"your {subject(kind, arrays)} {equal} mistake '{name}' (max error {error:.0e}): {says}"
        hints.append(Hint(name, text, says, error, True, tuple(arrays), kind))
    found: dict[tuple[str, str], list[tuple[str, Form]]] = {}
    for array in looked_at(vector, kind, got, bad):
        for form in forms_of(vector, kind, array, got[array], near, dtype):
            found.setdefault((form.name, form.says), []).append((array, form))
    made = [_of_form(kind, places) for places in found.values()]
    return (*hints, *sorted(made, key=lambda hint: not hint.sure))


def _of_form(kind: str, places: Sequence[tuple[str, Form]]) -> Hint:
    """One form of one array or of several."""
    arrays = tuple(array for array, _ in places)
    forms = [form for _, form in places]
    details = {form.detail for form in forms}
    what = (details.pop() if len(details) == 1 else "") or forms[0].says
    error = max(form.error for form in forms)
    text = f"your {subject(kind, arrays)}: {what} (max error {error:.0e})"
    return Hint(forms[0].name, text, forms[0].says, error, False, arrays, kind, any(form.sure for form in forms))


def subject(kind: str, arrays: Sequence[str]) -> str:
    """Arrays in words."""
    few = ", ".join(arrays[:4]) + (f" and {len(arrays) - 4} more" if len(arrays) > 4 else "")
    return few if kind == "outputs" else f"gradient{'s' * (len(arrays) > 1)} of {few}"


def _stored(
    vector: Vector, kind: str, got: Arrays, bad: Sequence[str], near: float
) -> Iterator[tuple[float, str, str, list[str]]]:
    """Stored mistakes that equal what came: (error, name, says, the wrong arrays that it explains)."""
    fit = _comparable(vector, kind, got)
    for mistake in vector.mistakes:
        wrong = {name: array for name, array in getattr(mistake, kind).items() if name in fit}
        arrays = [name for name in bad if name in wrong]
        if arrays:
            error = max(same(got[name], array) for name, array in wrong.items())
            if error <= near:
                yield error, mistake.name, mistake.says, arrays
