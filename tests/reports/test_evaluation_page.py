"""The page of an evaluation: its numbers are those of the result, names cannot break it, and it stays small."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.config import load_config
from refbss.evaluation.evaluate import INTERVAL, Report, Score, summarise
from refbss.evaluation.si_sdr import CONVENTION
from refbss.models.lvbd_params import init_params
from refbss.reports import distributions, evaluation
from refbss.reports.evaluation import evaluation_page
from refbss.training.checkpoint import Checkpoint
from refbss.training.config import PRESETS, RunConfig
from refbss_cli.options import plain

HOSTILE = '"><img src=x onerror=alert(1)></td><script>alert(2)</script>\u202e.wav'


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    config = load_config(RunConfig, PRESETS["lvbd-tiny"])
    return Checkpoint(
        config, init_params(config.model, 0), None, {"step": 3, "steps": 10, "best": -1.5, "version": "x"}
    )


def result_of(report: Report, **more: Any) -> dict[str, Any]:
    """What the command prints as JSON."""
    clean = sum(score.clean for score in report.utterances)
    found = {
        "n": len(report.utterances),
        "si_sdr_db": report.si_sdr_db,
        "si_sdr_i_db": report.si_sdr_i_db,
        "rtf": report.rtf,
        "permutation_error_rate": report.permutation_error_rate,
        "convention": CONVENTION,
        "si_sdr_interval_db": report.si_sdr_interval_db,
        "si_sdr_i_interval_db": report.si_sdr_i_interval_db,
        "interval": INTERVAL,
        "clean": clean,
        "skipped": report.skipped,
        "model": "runs/first",
        "engine": "fast",
        "data": ("recordings",),
        "set": False,
        "snr_db": (5.0, 15.0),
        "noise": ("none",),
        "seed": 1,
        **more,
    }
    return dict(plain(found))


@pytest.fixture
def made(scored: Callable[..., Any], checkpoint: Checkpoint, parse: Callable[[str], Any]) -> Callable[..., Any]:
    """The page of items and its tree."""

    def make(count: int = 12, *, idents: Any = None, machine: Any = None, **more: Any) -> tuple[str, Any, Report]:
        report, items, separate = scored(count, idents)
        result = result_of(report, **more)
        text = evaluation_page(report, result, checkpoint, items.__getitem__, separate, machine or {"Processor": "x"})
        return text, parse(text), report

    return make


def section(root: Any, name: str) -> Any:
    return next(one for one in root.all("section") if one["id"] == name)


def test_the_summary_is_the_result(made: Callable[..., Any]) -> None:
    _, root, report = made()
    result = json.loads(json.dumps(result_of(report)))
    summary = section(root, "summary")
    exact = {data["value"]: data.text for data in summary.all("data")}
    for key in ("si_sdr_db", "si_sdr_i_db"):
        assert exact[json.dumps(result[key])] == f"{result[key]:.2f}"
        for bound in result[f"{key[:-3]}_interval_db"]:
            assert exact[json.dumps(bound)] == f"{bound:.2f}"
    assert exact[json.dumps(result["permutation_error_rate"])] == f"{100 * result['permutation_error_rate']:.1f}"
    assert exact[json.dumps(result["n"])] == "12"
    assert CONVENTION in summary.text and INTERVAL in summary.text
    rows = [row.all("th", "td") for row in summary.all("tr")]
    names = ["SI-SDR", "SI-SDR, clean", "SI-SDR, noisy"]
    names += ["SI-SDR improvement", "SI-SDR improvement, clean", "SI-SDR improvement, noisy"]
    assert [row[0].text for row in rows] == ["Metric", *names]
    clean = np.mean([score.si_sdr_db.mean() for score in report.utterances if score.clean])
    assert rows[2][1].text == "6" and rows[2][2].text == f"{clean:.2f}"
    shown = json.loads(next(pre.text for pre in section(root, "configuration").all("pre") if pre.text.startswith("{")))
    assert shown == {key: value for key, value in result.items() if key != "rtf"}


def test_every_utterance_is_in_the_table(made: Callable[..., Any]) -> None:
    _, root, report = made()
    table = section(root, "utterances").all("table")[0]
    heads = [head.text for head in table.all("thead")[0].all("th")]
    assert heads[:4] == ["Utterance", "SI-SDR", "SI-SDRi", "Errors, %"]
    assert heads[4:] == ["SI-SDR 1", "SI-SDRi 1", "SI-SDR 2", "SI-SDRi 2", "Condition", "Seconds", "No."]
    rows = table.all("tbody")[0].all("tr")
    for row, score in zip(rows, report.utterances, strict=True):
        cells = row.all("th", "td")
        assert cells[0].text == score.id and cells[1].text == f"{score.si_sdr_db.mean():.2f}"
        assert cells[2].text == f"{score.si_sdr_i_db.mean():.2f}" and cells[2].get("data-value") is None
        assert cells[6].text == f"{score.si_sdr_db[1]:.2f}"
    linked = {link["href"][1:] for link in table.all("a")}
    assert linked == {article["id"] for article in root.all("article")} and len(linked) == 10


def _chart(figure: Any) -> Any:
    (found,) = [svg for svg in figure.all("svg") if svg.get("role") == "img"]
    return found


def test_distributions_count_every_utterance(made: Callable[..., Any]) -> None:
    _, root, report = made()
    figures = [figure for figure in section(root, "distributions").all("figure")]
    assert len(figures) == 4 and all(_chart(figure)["aria-label"] for figure in figures)
    for figure, field in zip(figures, ("si_sdr_db", "si_sdr_i_db"), strict=False):
        rows = [[cell.text for cell in row.all("th", "td")] for row in figure.all("tbody")[0].all("tr")]
        means = np.array([getattr(score, field).mean() for score in report.utterances])
        clean = np.array([score.clean for score in report.utterances])
        for text, *counts in rows:
            low, high = (float(end) for end in text.split(" to "))
            inside = (means >= low) & (means < high)
            assert [int(count) for count in counts] == [(inside & clean).sum(), (inside & ~clean).sum()]
        assert sum(int(count) for row in rows for count in row[1:]) == len(means)
    for figure in figures[2:]:
        dots = [path["d"].count("M") for path in _chart(figure).all("path") if "points" in path["class"]]
        assert sum(dots) == 12


def test_names_from_outside_cannot_break_the_page(made: Callable[..., Any]) -> None:
    idents = {0: HOSTILE, 3: "caf\udce9\x1b[31m", 5: "</script></style></title>"}
    text, root, _ = made(
        12, idents=idents, model=HOSTILE, data=(HOSTILE,), noise=(HOSTILE,), machine={HOSTILE: HOSTILE}
    )
    assert len(root.all("script")) == len(root.all("style")) == 1
    assert "alert" not in root.all("script")[0].text
    assert {image["src"][:22] for image in root.all("img")} == {"data:image/png;base64,"}
    assert not [name for element in root.all() for name in element.attributes if name.startswith("on")]
    named = [cell.text for cell in section(root, "utterances").all("tbody")[0].all("th")]
    assert named[0] == HOSTILE and named[3] == "caf\\udce9\\x1b[31m" and named[5] == idents[5]
    assert all(cell.all("bdi") for cell in section(root, "utterances").all("tbody")[0].all("th"))
    assert text.encode("utf-8")


def test_the_same_evaluation_gives_the_same_page(made: Callable[..., Any]) -> None:
    """But for the section that says so."""

    def rest(text: str) -> str:
        found = re.sub(r'<section id="machine".*?</section>', "", text, flags=re.DOTALL)
        assert found != text
        return found

    one, other = made(rtf=0.01)[0], made(rtf=0.02, machine={"Processor": "y"})[0]
    assert one != other and rest(one) == rest(other)
    assert "may differ" in one


def test_silent_and_failed_utterances(scored: Callable[..., Any], checkpoint: Checkpoint, parse: Any) -> None:
    report, items, separate = scored(4)
    nothing, low = np.full(2, np.nan), np.array([-np.inf, 3.0])
    scores = list(report.utterances)
    scores[1] = scores[1]._replace(si_sdr_db=nothing, si_sdr_i_db=nothing, permutation_error_rate=np.nan)
    scores[2] = scores[2]._replace(si_sdr_db=low, si_sdr_i_db=low)
    report = summarise(scores)
    result = result_of(report)
    assert result["si_sdr_db"] == "-inf" and result["si_sdr_interval_db"] == [None, None]
    root = parse(evaluation_page(report, result, checkpoint, items.__getitem__, separate, {}))
    text = section(root, "summary").text
    assert "-inf dB" in text and "2 references are silent throughout" in text
    assert "1 utterances have an estimate that is silent" in text
    assert "1 are infinitely low, 1 have no value" in section(root, "distributions").text
    cells = section(root, "utterances").all("tbody")[0].all("tr")[1].all("td")
    assert cells[0].text == "none" and cells[0]["data-value"] == ""
    assert section(root, "utterances").all("tbody")[0].all("tr")[2].all("td")[0]["data-value"] == "-Infinity"


def test_one_utterance(made: Callable[..., Any]) -> None:
    _, root, _ = made(1)
    assert "1 mixture, 1 clean and 0 noisy" in root.all("header")[0].text
    assert "95 % interval" not in root.all("dl")[0].text
    assert len(root.all("article")) == 1


def many(count: int) -> Report:
    rng = np.random.default_rng(0)
    values = rng.normal(8, 3, (count, 2))
    return summarise(
        [Score(f"utterance-{i:06}", i % 2 == 0, 4.0, row, row - 0.5, 0.1, 0.01) for i, row in enumerate(values)]
    )


def test_a_large_evaluation_gives_a_page_that_opens(
    checkpoint: Checkpoint, scored: Callable[..., Any], parse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "MOST_ROWS", 40)
    monkeypatch.setattr(distributions, "MOST_POINTS", 50)
    _, items, separate = scored(1)
    report = many(120)
    text = evaluation_page(report, result_of(report), checkpoint, lambda _: items[0], separate, {})
    root = parse(text)
    numbers = [int(row.all("td")[-1].text) for row in section(root, "utterances").all("tbody")[0].all("tr")]
    assert len(numbers) == 40 and numbers == sorted(numbers)
    order = np.argsort([score.si_sdr_i_db.mean() for score in report.utterances])
    assert set(numbers) == {*(order[:20] + 1).tolist(), *(order[-20:] + 1).tolist()}
    assert "Of 120 utterances the 20 with the lowest and the 20 with the highest" in root.text
    assert "Drawn is every 3th utterance" not in root.text and "Drawn is one utterance in 3." in root.text


def test_the_page_keeps_below_twelve_megabytes(checkpoint: Checkpoint, scored: Callable[..., Any]) -> None:
    """Noise for half a minute, the hardest to pack, five thousand rows."""
    _, items, separate = scored(1, samples=30 * 8000)
    report = many(5000)
    text = evaluation_page(report, result_of(report), checkpoint, lambda _: items[0], separate, {})
    assert 8_000_000 < len(text) < 12_000_000


def test_the_style_is_in_the_package() -> None:
    folder = Path(evaluation.__file__).parent
    assert (folder / "page.css").is_file() and (folder / "page.js").is_file()
