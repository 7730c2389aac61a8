"""The page of a run, and of two: what the issue of a report is, for runs of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.reports.run_log import Run
from refbss.reports.training import run_page, summary


def a_run(name: str = "runs/first", steps: int = 120, *, constants: int = 2, **config: Any) -> Run:
    rng = np.random.default_rng(steps)
    at = np.arange(1, steps + 1)
    values = {
        "loss": 20 * np.exp(-at / 10.0) + 0.1 * rng.standard_normal(steps),
        "grad_norm": 100 / np.sqrt(at),
        "learning_rate": np.linspace(3e-3, 1e-4, steps),
        "seconds": np.full(steps, 0.5),
        "validation_db": np.where(at % 10 == 0, np.sin(at / 20.0), math.nan),
        "terms.reconstruction": 1.0 / at,
        "terms.divergence": np.full(steps, 40.0),
        "terms.loss": 1.0 / at,
        "memory.activity.0": np.where(at % 10 == 0, 0.5, math.nan),
    }
    for key in ("m", "q", "reading", "eta"):
        for k in range(constants):
            values[f"memory.{key}.{k}"] = np.where(at % 10 == 0, (k + 1) / 10, math.nan)
    flat = {"train.clip_norm": 20.0, "train.steps": 200, "loss.fisher_weight": 1e-3, **config}
    state = {"version": "0.1.0", "data": [{"layout": "<b>"}], "steps": None}
    return Run(name, at, values, flat, "[train]\nclip_norm = 20.0\n", state, ())


def section(root: Any, name: str) -> Any:
    return next(one for one in root.all("section") if one["id"] == name)


def titles(part: Any) -> list[str]:
    return [caption.content[0] for caption in part.all("figcaption")]


def test_the_summary() -> None:
    found = summary(a_run())
    assert (found["steps"], found["steps_wanted"], found["minutes"]) == (120, 200, 1.0)
    assert found["best_validation_db"] == pytest.approx(np.sin(1.5)) and found["best_step"] == 30
    assert found["last_validation_db"] == pytest.approx(np.sin(6.0))
    assert found["clipped_share"] == pytest.approx(24 / 120)
    assert found["loss_at_the_end"] == pytest.approx(a_run().get("loss")[-100:].mean())


def test_a_run_with_nothing_but_steps(parse: Callable[[str], Any]) -> None:
    bare = Run("run", np.array([1]), {}, {}, "", {}, ("The last line of the log, 2, is torn.",))
    found = summary(bare)
    assert found.pop("run") == "run" and found.pop("steps") == 1 and set(found.values()) == {None}
    root = parse(run_page([bare]))
    assert "is torn" in section(root, "summary").text
    assert "The log has nothing on this." in section(root, "loss").text
    assert "The log has nothing on the memory bank" in section(root, "memory").text


def test_one_run(parse: Callable[[str], Any]) -> None:
    root = parse(run_page([a_run()]))
    assert root.all("h1")[0].text == "Training of runs/first"
    assert titles(section(root, "loss")) == ["Loss", "Validation"]
    assert titles(section(root, "terms")) == ["Reconstruction", "Divergence"]
    assert "Counts with weight 0.001." in section(root, "terms").text
    assert titles(section(root, "optimiser")) == ["Gradient norm", "Learning rate", "Time"]
    assert "clipped above" in section(root, "optimiser").text
    assert titles(section(root, "memory")) == [
        "Activity",
        "First moments",
        "Mean squares",
        "Effect on the separator",
        "Rate",
    ]
    assert section(root, "configuration").all("pre")[0].text == "[train]\nclip_norm = 20.0\n"
    assert "Datalayout <b>" in section(root, "configuration").text
    for figure in root.all("figure"):
        assert figure.all("table") and any(svg.get("aria-label") for svg in figure.all("svg"))
    ids = [element["id"] for element in root.all() if element.get("id")]
    assert len(set(ids)) == len(ids)


def test_two_runs(parse: Callable[[str], Any]) -> None:
    runs = [a_run(), a_run("<script>", 80, constants=3, **{"train.clip_norm": 5.0})]
    root = parse(run_page(runs))
    assert len(root.all("script")) == 1 and "B is <script>" in root.all("header")[0].text
    rows = {
        row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in section(root, "summary").all("tr")[1:]
    }
    assert rows["Steps"] == ["120 of 200", "80 of 200"] and rows["Time"] == ["1.0 minutes", "0.7 minutes"]
    for name in ("loss", "terms", "optimiser"):
        for figure in section(root, name).all("figure"):
            assert [item.text for item in figure.all("li")] == ["A", "B"]
    pairs = titles(section(root, "memory"))
    assert pairs[:3] == ["Activity", "First moments, A", "First moments, B"] and len(pairs) == 9
    assert [item.text for item in section(root, "memory").all("figure")[2].all("li")] == ["k = 1", "k = 2", "k = 3"]
    (table,) = [t for t in section(root, "configuration").all("table") if t.all("thead")]
    assert [[cell.text for cell in row.all("th", "td")] for row in table.all("tr")] == [
        ["Key", "A", "B"],
        ["train.clip_norm", "20.0", "5.0"],
    ]


def test_runs_that_are_the_same_or_cannot_be_compared() -> None:
    assert "The configurations are the same." in run_page([a_run(), a_run("other")])
    assert "The configurations cannot be compared." in run_page([a_run(), a_run("other")._replace(config={})])


def test_the_same_runs_give_the_same_page() -> None:
    assert run_page([a_run(), a_run("b", 50)]) == run_page([a_run(), a_run("b", 50)])


def test_a_long_run_gives_a_small_page() -> None:
    assert len(run_page([a_run(steps=20000), a_run(steps=15000)])) < 1_000_000


@pytest.mark.parametrize("count", [0, 3])
def test_how_many(count: int) -> None:
    with pytest.raises(InputError, match=f"report: {count} runs came, wanted one or two"):
        run_page([a_run()] * count)
