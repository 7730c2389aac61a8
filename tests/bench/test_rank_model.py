"""The model of several ranks: its limits are those that one can work out by hand."""

from __future__ import annotations

import pytest

from refbss.bench import rank_model
from refbss.bench.rank_model import GRADIENT_BYTES, NETWORKS, Network
from refbss.models.info import model_info
from refbss.models.lvbd_params import init_params
from refbss.training.config import RunConfig

FREE = Network("no latency", 0.0, 1e9)


def test_the_gradient_is_that_of_lvbd_small() -> None:
    config = RunConfig().model
    assert GRADIENT_BYTES == 4 * model_info(config, init_params(config, 0)).total_parameters


def test_one_rank_exchanges_nothing() -> None:
    for exact in (True, False):
        assert rank_model.exchange_s(1, 4, NETWORKS[0], exact=exact) == 0
        assert rank_model.received_bytes(1, 4, exact=exact) == 0
        assert rank_model.efficiency(0.1, 1, 4, NETWORKS[0], exact=exact) == 1


def test_exchanges_by_hand() -> None:
    assert rank_model.exchange_s(3, 4, FREE, exact=True, size=10**9) == pytest.approx(8.0)
    assert rank_model.exchange_s(4, 4, FREE, exact=False, size=10**9) == pytest.approx(1.5)
    slow = Network("latency alone", 1.0, 1e30)
    assert rank_model.exchange_s(5, 1, slow, exact=True) == pytest.approx(4.0)
    assert rank_model.exchange_s(5, 1, slow, exact=False) == pytest.approx(8.0)


def test_exact_sums_stop_paying_first() -> None:
    ends = [rank_model.stops_paying(0.15, 4, NETWORKS[0], exact=exact) for exact in (True, False)]
    assert ends[0] is not None and (ends[1] is None or ends[0] < ends[1])
    assert rank_model.efficiency(0.15, ends[0], 4, NETWORKS[0], exact=True) < 0.5
    assert rank_model.efficiency(0.15, ends[0] // 2, 4, NETWORKS[0], exact=True) >= 0.5


@pytest.mark.parametrize(
    "arguments", [[], ["fast"], ["0"], ["nan"], ["1", "0"], ["1", "1.5"], ["1", "inf"], ["1", "2", "3"]]
)
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert rank_model.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"rank_model: arguments are {' '.join(arguments)!r}, wanted STEP_S [SHARDS]: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "shards"), [(["0.15"], 4), (["0.15", "2"], 2)])
def test_the_command_prints_the_tables(arguments: list[str], shards: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert rank_model.main(arguments) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"A step of 0.15 s on a rank with {shards} shards; a gradient has 2.66 MB."
    assert rest == rank_model.tables(0.15, shards)


def test_the_tables_have_every_row() -> None:
    lines = rank_model.tables(0.15, 4)
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| ranks")]
    assert len(rows) == len(NETWORKS) * len(rank_model.RANKS) * 2
    assert "| 512 | exact |" in "\n".join(rows)
