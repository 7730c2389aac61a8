"""Both engines of refbss give what every golden case says, in both dtypes, within the case's own tolerance."""

from __future__ import annotations

import pytest

from refbss.conformance.implementation import CallFailure
from refbss.conformance.own import Engine
from refbss.conformance.vectors import DTYPES, Arrays, Library, Vector
from refbss.engine import ENGINES
from refbss.verification.compare import worst

LIBRARY = Library()
CASES = [LIBRARY.load(name) for name in LIBRARY.ids]
VALID = [pytest.param(vector, id=vector.id) for vector in CASES if vector.valid]
REFUSED = [pytest.param(vector, id=vector.id) for vector in CASES if not vector.valid]


def judge(kind: str, got: Arrays, vector: Vector, dtype: str, largest: dict[str, tuple[float, str]]) -> list[str]:
    """Every array of ``kind`` that is missing or too far away; ``largest`` takes the largest errors."""
    tol, failed = vector.tol[dtype][kind], []
    for name, wanted in getattr(vector, kind).items():
        if name not in got:
            failed.append(f"{name} is missing")
            continue
        found = worst(got[name], wanted)
        if not found.error <= tol:
            failed.append(f"{name}: {found}, allowed {tol:.1e}")
        place = f"{vector.id} {kind} {name}"
        for figure, value in (("error", found.error), ("share of the tolerance", found.error / tol)):
            largest[figure] = max(largest.get(figure, (0.0, place)), (value, place))
    return failed


@pytest.fixture(scope="module")
def largest() -> dict[str, dict[str, tuple[float, str]]]:
    """The largest errors so far, by engine and dtype."""
    return {f"{engine} {dtype}": {} for engine in ENGINES for dtype in DTYPES}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("vector", VALID)
def test_the_engine_agrees(
    vector: Vector,
    engine: str,
    dtype: str,
    largest: dict[str, dict[str, tuple[float, str]]],
    figures: dict[str, str],
) -> None:
    answer = Engine(engine).answer(vector, dtype, grads=True)
    here = largest[f"{engine} {dtype}"]
    failed = judge("outputs", answer.outputs, vector, dtype, here) + judge("grads", answer.grads, vector, dtype, here)
    said = (f"largest {figure} {value:.2g} ({place})" for figure, (value, place) in here.items())
    figures[f"golden vectors, {engine} {dtype}"] = "; ".join(said)
    assert not failed, f"{vector.id} {engine} {dtype}: {'; '.join(failed)}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("vector", REFUSED)
def test_the_engine_refuses(vector: Vector, engine: str, dtype: str) -> None:
    with pytest.raises(CallFailure):
        Engine(engine).answer(vector, dtype, grads=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_gradients_unless_asked_for(engine: str) -> None:
    asked = {vector.op: Engine(engine).answer(vector, "float64", grads=False) for vector in CASES if vector.valid}
    assert all(answer.outputs for answer in asked.values())
    assert not {op for op, answer in asked.items() if answer.grads}
