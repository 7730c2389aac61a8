"""Tags in code: which statement a comment belongs to, and the plain text in a docstring."""

from __future__ import annotations

import pytest

from refbss.audit.source import parse_source

TEXT = '''"""An operator.

Prose that names (op.1) is no equation.

    (op.1)  y = a x      (op.2)  z = y^2
    w = y + z,
        v = w / 2        (op.3)
    left = right         (op.4)
             + more
"""

def outer(x):
    a = x  # (op.1)
    for i in range(2):
        for j, k in pairs():
            a[i, j] += x  # (op.2)
    b, _, c = call(
        x,
        1,
    )  # (op.3); and what follows
    rows.append(a)  # (op.4) (op.5)
    first = second[i] = 3
    value: float = 2.0  # (op.6)
    if x:  # no tag (1.0)
        return Record(a, b * 2, c)  # (op.7)
    return a  # (op.8)
'''


def test_statements() -> None:
    found = {statement.tags: statement for statement in parse_source(TEXT, "op.py").ordered}
    targets = {tags[0]: statement.targets for tags, statement in found.items()}
    assert targets == {
        "op.1": ("a",),
        "op.2": ("a[i, j]",),
        "op.3": ("b", "c"),
        "op.4": ("rows[-1]",),
        "op.6": ("value",),
        "op.7": (),
        "op.8": (),
    }
    call = found["op.3",]
    assert (call.first, call.last, call.text) == (17, 20, "b, _, c = call( x, 1, )")
    assert (call.file, call.function) == ("op.py", "outer")
    assert found["op.4", "op.5"].first == 21
    assert [statement.returns for statement in found.values()] == [False] * 5 + [True] * 2
    assert found["op.7",].fields == (1,) and found["op.8",].fields is None


def test_loops() -> None:
    loops = parse_source(TEXT, "op.py").loops
    assert (loops[13], loops[16], loops[17]) == ((), ("i", "j", "k"), ())


def test_docstring() -> None:
    source = parse_source(TEXT, "op.py")
    assert {tag: text for tag, (_, text) in source.equations.items()} == {
        "op.1": "y = a x",
        "op.2": "z = y^2 w = y + z,",
        "op.3": "v = w / 2",
        "op.4": "left = right + more",
    }
    assert not source.problems


def test_a_line_before_its_tag() -> None:
    text = '"""An operator.\n\n    the left-hand side\n        = the right-hand side    (op.1)\n"""\n'
    assert parse_source(text, "op.py").equations == {"op.1": (4, "the left-hand side = the right-hand side")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def f(x):\n    # (op.1)\n    return x\n", "op.py:2: (op.1) stands on no statement"),
        ('"""O.\n\n    (op.1)  a\n    (op.1)  b\n"""\n', "op.py:4: (op.1) is in the docstring twice"),
    ],
)
def test_problems(text: str, problem: str) -> None:
    assert parse_source(text, "op.py").problems == (problem,)
