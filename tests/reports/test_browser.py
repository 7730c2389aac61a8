"""Reports in a real browser, headless Chromium without a network: they load, play, sort, print, and are accessible.

Skipped where no Chromium is installed (Debian package chromium). The rules of axe-core are run where its file is:
REFBSS_AXE names it, or ``npm install axe-core`` in a folder named by it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss_cli.main import main

pytestmark = pytest.mark.usefixtures("browser")
WIDTHS = {"phone": 390, "desktop": 1200}
GAIN, CONDITION, NO = 2, 8, 10
"""Columns of the table of utterances."""


@pytest.fixture(scope="module")
def evaluation(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of an evaluation of a tiny model, by the command line."""
    folder = tmp_path_factory.mktemp("evaluation")
    arguments = ["--data", "embedded", "--n", "12", "--seconds", "0.5", "--noise", "none", "--noise", "white"]
    assert main(["evaluate", "--model", str(tiny_run), *arguments, "--report", str(folder / "report")]) == 0
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def training(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two runs."""
    path = tmp_path_factory.mktemp("training") / "runs.html"
    assert main(["report", str(tiny_run), str(tiny_run), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module", params=["evaluation", "training"])
def report(request: pytest.FixtureRequest) -> Path:
    """Each of both."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    small = [
        "mix.seconds=0.25",
        "train.batch=2",
        "train.shards=2",
        "train.validate_every=4",
        "train.validation_items=2",
    ]
    changes = [part for text in small for part in ("--set", text)]
    assert main(["train", "lvbd-tiny", "--data", "embedded", "--out", str(folder), "--steps", "12", *changes]) == 0
    return folder


def rows(browser: Any, column: int) -> list[str]:
    """What a column of the table of utterances shows, from top to bottom."""
    shown = f"[...document.querySelector('table.sorted').tBodies[0].rows].map(row => row.cells[{column}].textContent)"
    return list(browser.run(shown))


def click(browser: Any, column: int) -> str:
    """Click a head of that table; returns how it is sorted then."""
    script = (
        f"const h = document.querySelector('table.sorted').tHead.rows[0].cells[{column}]; h.querySelector('button')"
    )
    return str(browser.run(f"(() => {{ {script}.click(); return h.getAttribute('aria-sort'); }})()"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_loads_quietly(browser: Any, report: Path, width: str, dark: bool) -> None:
    """No message on the console, no violation of its own policy, no request but for itself, nothing sticks out."""
    browser.open(report, width=WIDTHS[width], dark=dark)
    assert browser.troubles() == []
    assert browser.requests() == [report.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= WIDTHS[width]
    back = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") is not dark
    assert browser.run("document.querySelectorAll('h1').length") == 1


def test_the_policy_is_in_force(browser: Any, evaluation: Path) -> None:
    """What must not happen does not, and the browser says each time that the policy forbade it."""
    browser.open(evaluation)
    title = "document.querySelector('h1')"
    attempts = [
        f"{title}.setAttribute('style', 'color: red'), 0",
        f"{title}.setAttribute('onclick', 'window.ran = 1'), {title}.click(), 0",
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'})), 0",
        "new Promise(done => Object.assign(new Image(), {onerror: done, src: 'https://example.org/x.png'}))",
        "fetch('https://example.org/').catch(() => 0)",
    ]
    for script in attempts:
        browser.run(script)
    assert browser.run("window.ran === undefined")
    assert browser.run(f"getComputedStyle({title}).color") != "rgb(255, 0, 0)"
    assert sum("Content Security Policy" in trouble for trouble in browser.troubles()) >= len(attempts)
    assert not [
        event
        for event in browser.events
        if event.get("method") == "Network.responseReceived" and "example" in str(event)
    ]


def test_every_player_plays(browser: Any, evaluation: Path) -> None:
    browser.open(evaluation)
    loaded = """Promise.all([...document.querySelectorAll('audio')].map(player => new Promise(done => {
        const tell = () => done([player.error?.code ?? 0, player.duration, player.readyState]);
        if (player.readyState || player.error) tell();
        else { player.addEventListener('loadedmetadata', tell); player.addEventListener('error', tell); }
    })))"""
    found = browser.run(loaded)
    assert len(found) == 10 * 5
    for error, duration, ready in found:
        assert error == 0 and ready >= 1 and duration == pytest.approx(0.5, abs=1e-3)
    played = """(async () => {
        const [one, other] = document.querySelectorAll('audio');
        await one.play();
        await new Promise(done => one.addEventListener('timeupdate', done, {once: true}));
        await other.play();
        await new Promise(done => setTimeout(done, 50));
        return [one.played.length, one.paused, other.paused];
    })()"""
    assert browser.run(played) == [1, True, False], "one player at a time"
    assert browser.troubles() == []


def test_the_table_sorts(browser: Any, evaluation: Path) -> None:
    browser.open(evaluation)
    numbers = rows(browser, NO)
    assert numbers == [str(i + 1) for i in range(12)]
    before = rows(browser, GAIN)
    assert click(browser, GAIN) == "ascending"
    assert rows(browser, GAIN) == sorted(before, key=float) != before
    assert browser.run("document.getElementById('status').textContent") == "Sorted by SI-SDRi, ascending."
    assert click(browser, GAIN) == "descending"
    assert rows(browser, GAIN) == sorted(before, key=float, reverse=True)
    assert click(browser, 0) == "ascending" and rows(browser, NO) == numbers
    assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1
    assert click(browser, CONDITION) == "ascending"
    noisy = [condition == "noisy" for condition in rows(browser, CONDITION)]
    assert noisy == sorted(noisy) and any(noisy)
    assert browser.troubles() == []


def test_missing_and_infinite_values_sort(browser: Any, evaluation: Path) -> None:
    """NaN last either way, infinity where it belongs."""
    browser.open(evaluation)
    values = {0: ("none", ""), 1: ("-inf", "-Infinity"), 2: ("inf", "Infinity"), 3: ("none", "")}
    for row, (shown, value) in values.items():
        cell = f"document.querySelector('table.sorted').tBodies[0].rows[{row}].cells[{GAIN}]"
        browser.run(f"{cell}.textContent = {json.dumps(shown)}, {cell}.dataset.value = {json.dumps(value)}")
    click(browser, GAIN)
    up = rows(browser, GAIN)
    assert (up[0], up[-3:]) == ("-inf", ["inf", "none", "none"])
    click(browser, GAIN)
    down = rows(browser, GAIN)
    assert (down[0], down[-3:]) == ("inf", ["-inf", "none", "none"])


def test_the_keyboard_reaches_what_scrolls_and_sorts(browser: Any, evaluation: Path) -> None:
    browser.open(evaluation, width=390)
    browser.run("document.querySelector('table.sorted button').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13
        )
    assert browser.run("document.querySelector('table.sorted th').getAttribute('aria-sort')") == "ascending"
    browser.run("new Promise(done => setTimeout(done, 100))")
    frames = browser.run(
        "[...document.querySelectorAll('.scroll')].filter(f => !f.closest('details:not([open])'))"
        ".map(f => [f.scrollWidth > f.clientWidth || f.scrollHeight > f.clientHeight, f.tabIndex])"
    )
    assert frames and all((index == 0) == scrolls for scrolls, index in frames) and any(s for s, _ in frames)


def test_paper(browser: Any, report: Path, tmp_path: Path) -> None:
    """In print: light whatever the screen is, no players, what is folded away but matters is there."""
    browser.open(report, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    look = "getComputedStyle(document.querySelector('{}')).{}"
    assert browser.run(look.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert browser.run(look.format("nav", "display")) == "none"
    assert browser.run("[...document.querySelectorAll('audio')].every(a => getComputedStyle(a).display === 'none')")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("[...document.querySelectorAll('details.printed')].every(part => part.open)")
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("[...document.querySelectorAll('details.printed')].every(part => !part.open)")
    assert browser.pdf(tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert browser.troubles() == []


def test_everything_has_a_name_and_a_place(browser: Any, report: Path) -> None:
    """What Chromium tells a screen reader."""
    browser.open(report)
    browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
    nodes = [node for node in browser.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    wanted = {"button", "link", "image", "img", "table", "Audio", "navigation", "heading", "DisclosureTriangle"}
    seen = set()
    for node in nodes:
        role = node["role"]["value"]
        if role in wanted:
            seen.add(role)
            assert node.get("name", {}).get("value"), node
    assert {"link", "table", "navigation", "heading"} <= seen and seen & {"image", "img"}
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and max(np.diff(levels)) == 1, "no level is left out"


def _axe() -> Path | None:
    named = Path(os.environ.get("REFBSS_AXE", "node_modules"))
    places = [named, named / "node_modules" / "axe-core" / "axe.min.js", named / "axe-core" / "axe.min.js"]
    return next((path for path in places if path.is_file()), None)


@pytest.mark.skipif(_axe() is None, reason="axe-core is not there: npm install axe-core, REFBSS_AXE=its folder")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(browser: Any, report: Path, width: str, dark: bool, figures: dict[str, str]) -> None:
    """Every rule of axe-core, everything unfolded."""
    path = _axe()
    assert path is not None
    browser.open(report, width=WIDTHS[width], dark=dark)
    browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
    browser.run(path.read_text(encoding="utf-8") + "; 0")
    found = json.loads(
        browser.run(
            "axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify({version: r.testEngine.version, "
            "passes: r.passes.length, violations: r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html)])}))"
        )
    )
    assert found["violations"] == []
    name = "an evaluation" if report.name == "index.html" else "runs"
    figures[f"axe {found['version']}, page of {name}"] = f"{found['passes']} rules passed, none violated"
