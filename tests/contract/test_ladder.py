"""Every operator and loss climbs every rung: each case, both dtypes, and other seeds."""

from __future__ import annotations

import pytest

from refbss.verification.gradcheck import LIMIT, worst_errors
from refbss.verification.ladder import RUNGS, Rung, climb
from refbss.verification.registry import SPECS
from refbss.verification.spec import Case, OpSpec

CLIMBS = [
    pytest.param(spec, case, rung, dtype, id=f"{name}-{case.name}-{rung.name}-{dtype}".replace(" ", "_"))
    for name, spec in SPECS.items()
    for rung in RUNGS
    for case in (spec.cases[:1] if rung.name == "errors" else spec.cases)
    for dtype in rung.dtypes
]


@pytest.mark.parametrize(("spec", "case", "rung", "dtype"), CLIMBS)
def test_rung(spec: OpSpec, case: Case, rung: Rung, dtype: str) -> None:
    rung.check(spec, case, 0, dtype)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("seed", [1, 2])
def test_other_seeds(name: str, seed: int) -> None:
    failures = climb(SPECS[name], seed)
    failures.pop("errors", None)  # messages do not depend on the seed: test_rung judges them
    assert not failures, failures


def test_worst_gradient_errors(figures: dict[str, str]) -> None:
    rows = worst_errors(SPECS)
    assert {row["op"] for row in rows} == set(SPECS)
    for op in SPECS:
        worst = max((row for row in rows if row["op"] == op), key=lambda row: row["error"])
        text = f"{worst['error']:.1e} in d{worst['argument']}, case {worst['case']!r}, index {worst['index']}"
        figures[f"gradient against differences, {op}"] = text
        assert worst["error"] <= LIMIT, f"{op} seed {worst['seed']}: {text}"
