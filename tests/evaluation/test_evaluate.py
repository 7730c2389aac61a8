"""Scoring of many mixtures: means, intervals, silence, and independence of who does the work."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from refbss import InputError, si_sdr
from refbss._types import Array
from refbss.data.mixing import Item, mixture_of
from refbss.evaluation.evaluate import Report, evaluate, interval, write_csv

RATE_HZ = 8000


def make_item(index: int, silent: Sequence[int] = ()) -> Item:
    rng = np.random.default_rng(index)
    sources = rng.standard_normal((2, 400)).astype(np.float32)
    sources[list(silent)] = 0.0
    return Item(f"item{index}", mixture_of(sources), sources, np.zeros(400, np.float32), index % 2 == 0, {})


def separator(items: Sequence[Item], noise: float = 0.3) -> Callable[[Array], Array]:
    """Returns noisy sources of the item with that mixture, outputs swapped."""

    def separate(mix: Array) -> Array:
        item = next(item for item in items if np.array_equal(item.mix, mix))
        rng = np.random.default_rng(len(item.id))
        return item.sources[::-1] + noise * rng.standard_normal(item.sources.shape)

    return separate


@pytest.fixture
def items() -> list[Item]:
    return [make_item(index) for index in range(20)]


def test_means_and_intervals(items: list[Item]) -> None:
    separate = separator(items)
    heard: list[tuple[int, float]] = []
    report = evaluate(separate, items, RATE_HZ, progress=lambda done, mean: heard.append((done, mean)))
    estimates = [separate(item.mix)[::-1] for item in items]
    wanted = np.array([si_sdr(ref=item.sources, est=est).mean() for item, est in zip(items, estimates, strict=True)])
    before = np.array([si_sdr(ref=item.sources, est=np.stack([item.mix] * 2)).mean() for item in items])
    assert report.si_sdr_db == pytest.approx(wanted.mean(), abs=1e-12)
    assert report.si_sdr_i_db == pytest.approx((wanted - before).mean(), abs=1e-12)
    low, high = stats.t.interval(0.95, 19, wanted.mean(), stats.sem(wanted))
    assert report.si_sdr_interval_db == pytest.approx((low, high), abs=1e-9)
    assert [score.id for score in report.utterances] == [item.id for item in items]
    assert [score.clean for score in report.utterances] == [True, False] * 10
    assert report.skipped == 0 and report.rtf > 0
    assert [done for done, _ in heard] == [16, 20] and heard[-1][1] == report.si_sdr_db


def test_who_works_does_not_matter(items: list[Item]) -> None:
    alone = evaluate(separator(items), items, RATE_HZ)
    with ThreadPoolExecutor(3) as pool:
        shared = evaluate(separator(items), iter(items), RATE_HZ, run=lambda work, many: list(pool.map(work, many)))
    for one, other in zip(alone.utterances, shared.utterances, strict=True):
        assert one.id == other.id and np.array_equal(one.si_sdr_db, other.si_sdr_db)
    assert alone.si_sdr_db == shared.si_sdr_db


def test_silent_references_are_left_out() -> None:
    items = [make_item(0), make_item(1, silent=[0]), make_item(2, silent=[0, 1])]
    report = evaluate(separator(items), items, RATE_HZ)
    assert report.skipped == 3
    assert np.isnan(report.utterances[1].si_sdr_db[0]) and np.isfinite(report.utterances[1].si_sdr_db[1])
    assert np.isnan(report.utterances[2].si_sdr_db).all()
    first, second = report.utterances[0].si_sdr_db.mean(), report.utterances[1].si_sdr_db[1]
    assert report.si_sdr_db == pytest.approx((first + second) / 2)


def test_a_silent_estimate_is_a_failure_not_an_omission(items: list[Item]) -> None:
    report = evaluate(lambda mix: np.stack([mix, np.zeros_like(mix)]), items[:2], RATE_HZ)
    assert report.skipped == 0 and report.si_sdr_db == -math.inf
    assert all(math.isnan(bound) for bound in report.si_sdr_interval_db)


def test_bad_input(items: list[Item]) -> None:
    with pytest.raises(InputError, match="there are no items"):
        evaluate(separator(items), [], RATE_HZ)
    with pytest.raises(InputError, match=r"item0 has sources \(2, 400\), the model gives \(3, 400\)"):
        evaluate(lambda mix: np.stack([mix] * 3), items, RATE_HZ)


def test_the_interval_covers() -> None:
    """950 of 1000 intervals should hold the true mean; four standard errors of that count are 28."""
    rng = np.random.default_rng(0)
    bounds = [interval(rng.normal(5.0, 2.0, (6, 1))) for _ in range(1000)]
    assert 922 <= sum(low <= 5.0 <= high for low, high in bounds) <= 978
    assert all(math.isnan(bound) for bound in interval(np.array([[1.0, 2.0]])))


def test_csv(items: list[Item], tmp_path: Path) -> None:
    items = [*items[:2], make_item(2, silent=[1])]
    report = evaluate(separator(items), items, RATE_HZ)
    write_csv(report, tmp_path / "scores.csv")
    write_csv(report, tmp_path / "scores.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    rows: list[dict[str, Any]] = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["id"] for row in rows] == ["item0", "item1", "item2"]
    assert [row["clean"] for row in rows] == ["true", "false", "true"]
    assert {row["seconds"] for row in rows} == {"0.05"}
    assert float(rows[0]["si_sdr_db"]) == pytest.approx(
        (float(rows[0]["si_sdr_db_1"]) + float(rows[0]["si_sdr_db_2"])) / 2, abs=2e-6
    )
    assert rows[2]["si_sdr_i_db_2"] == "nan" and rows[2]["si_sdr_db"] == rows[2]["si_sdr_db_1"]


def test_csv_nowhere(items: list[Item], tmp_path: Path) -> None:
    report: Report = evaluate(separator(items), items[:1], RATE_HZ)
    with pytest.raises(InputError, match=r"the folder .*none does not exist"):
        write_csv(report, tmp_path / "none" / "scores.csv")
