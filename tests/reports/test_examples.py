"""The best and the worst: which they are, and what is shown of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile

from refbss.evaluation.evaluate import Score
from refbss.reports import examples
from refbss.reports.examples import Ends, ends, shown

RATE_HZ = 8000


def score(*gains: float) -> Score:
    values = np.array(gains)
    return Score("x", True, 1.0, values, values, 0.0, 0.0)


@pytest.mark.parametrize(
    ("gains", "wanted"),
    [
        ([], Ends([], [])),
        ([3.0], Ends([0], [])),
        ([1.0, 2.0], Ends([1], [0])),
        ([1.0, 2.0, 3.0], Ends([2, 1], [0])),
        ([float(i) for i in range(12)], Ends([11, 10, 9, 8, 7], [0, 1, 2, 3, 4])),
        ([5.0] * 12, Ends([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])),
        ([1.0, np.nan, -np.inf, np.inf], Ends([3, 0], [2])),
        ([np.nan, np.nan], Ends([], [])),
    ],
)
def test_the_ends(gains: list[float], wanted: Ends) -> None:
    assert ends([score(gain) for gain in gains]) == wanted


def test_utterances_count_with_their_mean_over_sources_that_have_a_value() -> None:
    assert ends([score(1.0, 9.0), score(np.nan, 6.0), score(4.0, 4.5)]) == Ends([1, 0], [2])


def test_what_is_shown(scored: Callable[..., Any], parse: Callable[[str], Any]) -> None:
    report, items, separate = scored(12)
    asked: list[int] = []

    def item_at(number: int) -> Any:
        asked.append(number)
        return items[number]

    drawn, found = shown(report.utterances, item_at, separate, RATE_HZ)
    assert asked == found.best + found.worst, "only these, one after the other"
    root = parse(drawn)
    articles = root.all("article")
    assert [article["id"] for article in articles] == [f"example-{i + 1}" for i in asked]
    assert articles[0].all("h4")[0].text == f"Best 1: {items[found.best[0]].id}"
    assert articles[5].all("h4")[0].text == f"Worst 1: {items[found.worst[0]].id}"
    article, item = articles[0], items[found.best[0]]
    kinds = ["mixture", "reference 1", "estimate 1", "reference 2", "estimate 2"]
    assert [audio["aria-label"] for audio in article.all("audio")] == [f"Best 1, {kind}" for kind in kinds]
    assert [svg["aria-label"].split(":")[0] for svg in article.all("svg")] == [f"Spectrogram of the {k}" for k in kinds]
    heard = []
    for audio in article.all("audio"):
        head, _, content = audio["src"].partition(",")
        assert head == "data:audio/wav;base64" and audio.get("controls") == ""
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
        assert rate == RATE_HZ and len(samples) == len(item.mix)
        heard.append(samples)
    together = np.abs(heard).max()
    assert together == pytest.approx(0.891, abs=1e-3)
    gain = np.linalg.norm(heard[0]) / np.linalg.norm(item.mix)
    np.testing.assert_allclose(heard[1], gain * item.sources[0], atol=1e-4)
    np.testing.assert_allclose(heard[3], gain * item.sources[1], atol=1e-4)
    est = separate(item.mix)  # its outputs are swapped: the estimates stand beside their references
    np.testing.assert_allclose(heard[2], gain * est[1], atol=1e-4)
    utterance = report.utterances[found.best[0]]
    captions = [caption.text for caption in article.all("figcaption")]
    assert captions[2].replace("\u00a0", " ") == (
        f"Estimate 1: SI-SDR {utterance.si_sdr_db[0]:.2f} dB, improvement {utterance.si_sdr_i_db[0]:.2f} dB"
    )
    assert '"speakers"' in article.all("pre")[0].text
    assert "the first" not in root.text, "nothing was cut"


def test_long_utterances_are_cut_and_it_is_said(
    scored: Callable[..., Any], parse: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "SOUND_BYTES", 10 * 5 * 4300)
    report, items, separate = scored(12, samples=4000)
    drawn, _ = shown(report.utterances, items.__getitem__, separate, RATE_HZ)
    root = parse(drawn)
    assert "Pictures and players hold the first 0.2 s" in root.text
    content = root.all("audio")[0]["src"].partition(",")[2]
    assert len(soundfile.read(io.BytesIO(base64.b64decode(content)))[0]) == 1600
    assert "0 to 0.20 s" in root.all("svg")[0]["aria-label"]


def test_a_silent_reference_is_said(scored: Callable[..., Any], parse: Callable[[str], Any]) -> None:
    _, items, _ = scored(2)
    item = items[0]
    item.sources[1] = 0.0
    from refbss.evaluation.evaluate import score as score_one

    def noisy(mix: Any) -> Any:
        return np.stack([mix, 0.5 * mix])

    drawn, _ = shown([score_one(noisy, item, RATE_HZ)], lambda _: item, noisy, RATE_HZ)
    captions = [caption.text for caption in parse(drawn).all("figcaption")]
    assert captions[3] == "Reference 2: silent throughout, not scored"
    assert captions[4] == "Estimate 2: not scored, its reference is silent"


def test_no_utterance_with_a_score(parse: Callable[[str], Any]) -> None:
    drawn, found = shown([score(np.nan, np.nan)], lambda _: None, lambda _: None, RATE_HZ)  # type: ignore[arg-type, return-value]
    assert parse(drawn).text == "No utterance has a score." and found == Ends([], [])
