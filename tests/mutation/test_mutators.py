"""The mutation testing itself: what counts as a mutant, that a wrong one dies and an equivalent one lives."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
EXAMPLE = '''
def clipped(x, *, most: float = 2.0):
    """Docstrings and messages stay."""
    check_number("clipped", above=0.0, most=most)
    if x.ndim > 1:
        raise InputError(f"clipped: x has {x.ndim} axes, wanted {0 + 1}")
    total = 0.0
    for value in x[1:]:
        total += -value
    return np.where(total > most, most, total)
'''
EXPECTED = [
    ("def clipped(x, *, most: float=2.0)", "def clipped(x, *, most: float=3.0)"),
    ("def clipped(x, *, most: float=2.0)", "def clipped(x, *, most: float=-2.0)"),
    ("check_number('clipped', above=0.0, most=most)", "pass"),
    ("check_number('clipped', above=0.0, most=most)", "check_number('clipped', most=most)"),
    ("check_number('clipped', above=0.0, most=most)", "check_number('clipped', above=1.0, most=most)"),
    ("check_number('clipped', above=0.0, most=most)", "check_number('clipped', above=0.0)"),
    ("if x.ndim > 1:", "if False:"),
    ("if x.ndim > 1:", "if x.ndim >= 1:"),
    ("if x.ndim > 1:", "if x.ndim > 2:"),
    ("if x.ndim > 1:", "if x.ndim > 0:"),
    ("total = 0.0", "total = 1.0"),
    ("for value in x[1:]:", "for value in x[:]:"),
    ("for value in x[1:]:", "for value in x[2:]:"),
    ("for value in x[1:]:", "for value in x[0:]:"),
    ("total += -value", "pass"),
    ("total += -value", "total -= -value"),
    ("total += -value", "total = -value"),
    ("total += -value", "total += value"),
    ("return np.where(total > most, most, total)", "return np.where(total > most, total, most)"),
    ("return np.where(total > most, most, total)", "return np.where(total >= most, most, total)"),
]


@pytest.fixture
def mutators(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which is no part of a package."""
    monkeypatch.syspath_prepend(HERE)
    import mutators

    return mutators


def test_the_mutants_of_a_short_function(mutators: Any) -> None:
    found = mutators.mutants(EXAMPLE, "example.py")
    assert sorted((one.statement, one.becomes) for one in found) == sorted(EXPECTED)
    assert {one.function for one in found} == {"clipped"}
    assert len({one.key for one in found}) == len(found)


def test_axes_of_a_door_are_untied(mutators: Any) -> None:
    text = "check_arrays('op', x=(x, 'B N'), y=(y, f'{2 * n} N'))"
    becomes = {one.becomes for one in mutators.mutants(text, "example.py")}
    assert "check_arrays('op', x=(x, 'B FREE'), y=(y, f'{2 * n} N'))" in becomes
    assert "check_arrays('op', x=(x, 'B N'), y=(y, f'{2 * n} FREE'))" in becomes
    assert "check_arrays('op', x=(x, 'B N'), y=(y, f'{2 / n} N'))" in becomes
    assert not any("FREE N" in text for text in becomes), "B stands alone: nothing ties it"


def test_a_repeated_statement_has_a_number(mutators: Any) -> None:
    found = mutators.mutants("def f(a, b):\n    g(a)\n    g(a)\n", "example.py")
    assert [one.statement for one in found] == ["g(a)", "g(a)  # number 2"]
    lower = mutators.mutants("\n\ndef f(a, b):\n    g(a)\n    g(a)\n", "example.py")
    assert [one.key for one in lower] == [one.key for one in found], "a mutant keeps its name when lines move"


JUDGE = """
from runner import ROOT, Child, baseline, run
from targets import learn, target, targets

learn(targets(ROOT))
linear = target(ROOT, "refbss/ops/linear.py")
text = (ROOT / linear.file).read_text("utf-8")
sound = baseline(linear)
sources = [text.replace("w64.T + b64", "w64.T - b64"), text.replace("x64 @ w64.T + b64", "b64 + x64 @ w64.T")]
assert text not in sources
for _, outcome in sorted(run(linear, [compile(one, linear.file, "exec") for one in sources], 2, sound)):
    print(outcome.status, outcome.test)
endless = text.replace("    y = x64", "    while True: pass\\n    y = x64")
print(Child(linear, compile(endless, linear.file, "exec"), 0.0, {}).outcome().status)
"""


def test_a_wrong_sum_dies_an_equal_one_lives_an_endless_loop_is_stopped() -> None:
    done = subprocess.run([sys.executable, "-c", JUDGE], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wrong, equal, endless = done.stdout.splitlines()
    assert wrong.startswith("killed tests/contract/test_ladder.py::test_rung[linear-")
    assert equal.startswith("survived")
    assert endless == "timeout"


def test_the_list_of_survivors_is_whole() -> None:
    listed = tomllib.loads((HERE / "survivors.toml").read_text("utf-8"))["survivor"]
    assert all(set(one) == {"file", "function", "statement", "becomes", "reason"} for one in listed)
    assert len({tuple(one.values())[:4] for one in listed}) == len(listed)
    assert all(len(one["reason"]) > 20 for one in listed)
