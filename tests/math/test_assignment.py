"""Every equation of docs/math/assignment.md, worked out again from the traced values of its right-hand side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from math import exp, log

import numpy as np
import pytest

from refbss.audit.examples import find
from refbss.audit.trace import Trace, trace

Same = Callable[[object, object], None]
OUTPUTS = range(2)
THREE = [
    [[3.0, -2.5, 4.0], [1.5, 2.0, -3.0], [-4.0, 0.5, 1.0]],
    [[2.0, 1.5, -1.0], [0.25, 3.0, 2.5], [1.0, 0.5, 0.75]],
]
"""Two items of three sources. Best are the two cycles, whose matrices are not symmetric: rows are unlike columns."""


@pytest.fixture(scope="module")
def three() -> Trace:
    """The example of pit with two items of three sources."""
    return trace(replace(find("pit"), arrays={"cost": THREE}, cotangents={"loss": [1.5, -0.5]}))


@pytest.fixture
def pits(traced: Callable[[str], Trace], three: Trace) -> list[Trace]:
    return [traced("pit"), three]


@pytest.fixture
def softmax(traced: Callable[[str], Trace]) -> Trace:
    return traced("softmax_assignment")


@pytest.fixture
def sinkhorn(traced: Callable[[str], Trace]) -> Trace:
    return traced("sinkhorn_assignment")


def sinkhorn_plan(run: Trace) -> list[list[float]]:
    """The plan after the last step."""
    last = run.value("assignment.11")[0]
    return [[exp(last[p, j]) for j in OUTPUTS] for p in OUTPUTS]


@pytest.mark.equation("assignment.1")
def test_best_permutation(pits: list[Trace]) -> None:
    for run in pits:
        for item, matrix in enumerate(run.inputs["cost"]):
            sources = range(len(matrix))
            best = min(permutations(sources), key=lambda order: sum(matrix[p, j] for p, j in enumerate(order)))
            assert run.value("assignment.1", "outputs", item=item).tolist() == list(sources)
            assert run.value("assignment.1", "references", item=item).tolist() == list(best)
            want = [[float(best[p] == j) for j in sources] for p in sources]
            assert run.outputs["assignment"][item].tolist() == want


@pytest.mark.equation("assignment.2")
def test_loss_of_the_permutation(pits: list[Trace], same: Same) -> None:
    for run in pits:
        want = []
        for item, matrix in enumerate(run.inputs["cost"]):
            references = run.value("assignment.1", "references", item=item)
            want.append(sum(matrix[p, int(j)] for p, j in enumerate(references)) / len(matrix))
        same(run.value("assignment.2"), want)
        same(run.outputs["loss"], want)


@pytest.mark.equation("assignment.3")
def test_gradient_holds_the_permutation_fixed(pits: list[Trace], same: Same) -> None:
    for run in pits:
        want = np.zeros_like(run.inputs["cost"])
        for item, dloss in enumerate(run.cotangents["loss"]):
            for p, j in enumerate(run.value("assignment.1", "references", item=item)):
                want[item, p, int(j)] = dloss / want.shape[1]
        same(run.value("assignment.3"), want)
        same(run.grads["cost"], want)


@pytest.mark.equation("assignment.4")
def test_softmax_over_outputs(softmax: Trace, same: Same) -> None:
    score, temp = softmax.inputs["score"][0], softmax.example.attributes["temp"]
    powers = [[exp(s / temp) for s in row] for row in score]
    want = [[[powers[p][j] / sum(row[j] for row in powers) for j in range(3)] for p in OUTPUTS]]
    same(softmax.value("assignment.4"), want)
    same(softmax.outputs["assignment"], want)


@pytest.mark.equation("assignment.5")
def test_loss_of_the_softmax(softmax: Trace, same: Same) -> None:
    cost, pi = softmax.inputs["cost"][0], softmax.value("assignment.4")[0]
    want = [sum(pi[p, j] * cost[p, j] for p in OUTPUTS for j in range(3)) / 3]
    same(softmax.value("assignment.5"), want)
    same(softmax.outputs["loss"], want)


@pytest.mark.equation("assignment.6")
def test_gradient_of_the_costs_under_the_softmax(softmax: Trace, same: Same) -> None:
    pi, (dloss,) = softmax.value("assignment.4")[0], softmax.cotangents["loss"]
    same(softmax.value("assignment.6"), [[[dloss * weight / 3 for weight in row] for row in pi]])
    same(softmax.grads["cost"], softmax.value("assignment.6"))


@pytest.mark.equation("assignment.7")
def test_gradient_of_the_softmax(softmax: Trace, same: Same) -> None:
    cost, (dloss,) = softmax.inputs["cost"][0], softmax.cotangents["loss"]
    same(softmax.value("assignment.7"), [[[dloss * c / 3 for c in row] for row in cost]])


@pytest.mark.equation("assignment.8")
def test_gradient_of_the_scores(softmax: Trace, same: Same) -> None:
    pi, dpi = softmax.value("assignment.4")[0], softmax.value("assignment.7")[0]
    temp = softmax.example.attributes["temp"]
    want = np.zeros_like(pi)
    for j in range(3):
        for i in OUTPUTS:
            slopes = [pi[p, j] * ((p == i) - pi[i, j]) / temp for p in OUTPUTS]
            want[i, j] = sum(dpi[p, j] * slopes[p] for p in OUTPUTS)
    same(softmax.value("assignment.8"), [want])
    same(softmax.grads["score"], [want])


@pytest.mark.equation("assignment.9")
def test_start_of_the_plan(sinkhorn: Trace, same: Same) -> None:
    temp = sinkhorn.example.attributes["temp"]
    same(sinkhorn.value("assignment.9"), [[[-c / temp for c in row] for row in sinkhorn.inputs["cost"][0]]])


@pytest.mark.equation("assignment.10")
def test_rows_are_divided_by_their_sums(sinkhorn: Trace, same: Same) -> None:
    before = [sinkhorn.value("assignment.9")[0], sinkhorn.value("assignment.11", step=0)[0]]
    for step, plan in enumerate(before):
        sums = [sum(exp(a) for a in plan[p]) for p in OUTPUTS]
        want = [[[plan[p, j] - log(sums[p]) for j in OUTPUTS] for p in OUTPUTS]]
        same(sinkhorn.value("assignment.10", step=step), want)


@pytest.mark.equation("assignment.11")
def test_columns_are_divided_by_their_sums(sinkhorn: Trace, same: Same) -> None:
    for step in range(2):
        plan = sinkhorn.value("assignment.10", step=step)[0]
        sums = [sum(exp(plan[p, j]) for p in OUTPUTS) for j in OUTPUTS]
        want = [[[plan[p, j] - log(sums[j]) for j in OUTPUTS] for p in OUTPUTS]]
        same(sinkhorn.value("assignment.11", step=step), want)
    assert len(sinkhorn.find("assignment.11")) == sinkhorn.example.attributes["steps"]
    same(sinkhorn.outputs["assignment"], [sinkhorn_plan(sinkhorn)])


@pytest.mark.equation("assignment.12")
def test_loss_of_the_plan(sinkhorn: Trace, same: Same) -> None:
    cost, pi = sinkhorn.inputs["cost"][0], sinkhorn_plan(sinkhorn)
    want = [sum(pi[p][j] * cost[p, j] for p in OUTPUTS for j in OUTPUTS) / 2]
    same(sinkhorn.value("assignment.12"), want)
    same(sinkhorn.outputs["loss"], want)


@pytest.mark.equation("assignment.13")
def test_gradient_of_the_costs_at_a_fixed_plan(sinkhorn: Trace, same: Same) -> None:
    (dloss,) = sinkhorn.cotangents["loss"]
    want = [[[dloss * weight / 2 for weight in row] for row in sinkhorn_plan(sinkhorn)]]
    same(sinkhorn.value("assignment.13"), want)


@pytest.mark.equation("assignment.14")
def test_gradient_before_the_column_halves(sinkhorn: Trace, same: Same) -> None:
    (dloss,), cost, pi = sinkhorn.cotangents["loss"], sinkhorn.inputs["cost"][0], sinkhorn_plan(sinkhorn)
    last = np.array([[dloss * cost[p, j] * pi[p][j] / 2 for j in OUTPUTS] for p in OUTPUTS])
    after = [last, sinkhorn.find("assignment.15")[0].value[0]]
    for done, step in enumerate((1, 0)):
        plan = sinkhorn.value("assignment.11", step=step)[0]
        totals = [sum(after[done][p, j] for p in OUTPUTS) for j in OUTPUTS]
        want = [[[after[done][p, j] - exp(plan[p, j]) * totals[j] for j in OUTPUTS] for p in OUTPUTS]]
        same(sinkhorn.find("assignment.14")[done].value, want)
    assert len(sinkhorn.find("assignment.14")) == 2


@pytest.mark.equation("assignment.15")
def test_gradient_before_the_row_halves(sinkhorn: Trace, same: Same) -> None:
    for done, step in enumerate((1, 0)):
        after = sinkhorn.find("assignment.14")[done].value[0]
        plan = sinkhorn.value("assignment.10", step=step)[0]
        totals = [sum(after[p, j] for j in OUTPUTS) for p in OUTPUTS]
        want = [[[after[p, j] - exp(plan[p, j]) * totals[p] for j in OUTPUTS] for p in OUTPUTS]]
        same(sinkhorn.find("assignment.15")[done].value, want)
    assert len(sinkhorn.find("assignment.15")) == 2


@pytest.mark.equation("assignment.16")
def test_both_uses_of_the_costs(sinkhorn: Trace, same: Same) -> None:
    temp, direct = sinkhorn.example.attributes["temp"], sinkhorn.value("assignment.13")[0]
    start = sinkhorn.value("assignment.15")[0]
    want = [[[direct[p, j] - start[p, j] / temp for j in OUTPUTS] for p in OUTPUTS]]
    same(sinkhorn.value("assignment.16"), want)
    same(sinkhorn.grads["cost"], want)
