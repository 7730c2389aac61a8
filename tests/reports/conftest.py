"""A headless Chromium to open reports in, driven over its debugging pipe, and pages to open.

Chromium is the Debian package of that name, or whatever goes by a name of BROWSERS; where there is none, what needs it
is skipped. It has no network: a page that asked for anything would fail.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.data.mixing import Item, mixture_of
from refbss.evaluation.evaluate import Report, evaluate

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 60.0
RATE_HZ = 8000


class Browser:
    """One Chromium with one tab. Messages of the console, exceptions and requests are collected."""

    def __init__(self, program: str, profile: Path) -> None:
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        command = [program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
        command += ["--disable-gpu", "--mute-audio", "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars"]
        command += [
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND",
        ]
        command += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []

        def pipes() -> None:
            """Chromium reads commands from 3 and writes answers to 4. First out of the way of each other."""
            spare = [os.dup(read), os.dup(write)]
            high = [os.dup2(spare[0], 100), os.dup2(spare[1], 101)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [*command, "about:blank"],
            preexec_fn=pipes,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        os.set_blocking(self._in, False)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        (tab,) = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=tab["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _message(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self._buffer:
            try:
                piece = os.read(self._in, 1 << 20)
                assert piece, "Chromium ended"
                self._buffer += piece
            except BlockingIOError:
                assert time.monotonic() < deadline, "Chromium does not answer"
                time.sleep(0.005)
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command of the debugging protocol and return its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._out, json.dumps(command).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message.get('error')}"
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def run(self, script: str) -> Any:
        """The value of an expression, or what its promise comes to."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done.get("exceptionDetails")
        return done["result"].get("value")

    def open(self, path: Path, *, width: int = 1200, height: int = 900, dark: bool = False, scale: float = 1) -> None:
        """Open a file in a window of that size and forget what happened before."""
        self.events.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        look = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="", features=look)
        self.call("Page.navigate", url=path.as_uri())
        loaded = "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"
        self.run(loaded)

    def troubles(self) -> list[str]:
        """What went to the console, exceptions, log entries (violations of the policy are such), failed requests."""
        self.run("new Promise(done => setTimeout(done, 100))")
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")
        return [json.dumps(event) for event in self.events if event.get("method") in kinds]

    def requests(self) -> list[str]:
        """The addresses asked for since the page was opened, but for data."""
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent if not one["request"]["url"].startswith("data:")]

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """Write what is seen, or the whole page, as PNG."""
        content = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(content))
        return path

    def pdf(self, path: Path) -> Path:
        """Print the page to A4."""
        content = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)["data"]
        path.write_bytes(base64.b64decode(content))
        return path

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(timeout=10)
        os.close(self._out)
        os.close(self._in)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A running Chromium."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian package chromium)")
    found = Browser(program, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def make_item(index: int, ident: str | None = None, samples: int = 1200) -> Item:
    """Two sources that are easy to draw: a tone and noise. Every second item is noisy."""
    rng = np.random.default_rng(index)
    times = np.arange(samples) / RATE_HZ
    sources = np.stack([0.1 * np.sin(2 * np.pi * (300 + 50 * index) * times), 0.03 * rng.standard_normal(samples)])
    sources = sources.astype(np.float32)
    noise = np.zeros(samples, np.float32)
    return Item(
        ident or f"item{index:03}", mixture_of(sources), sources, noise, index % 2 == 0, {"speakers": ["a", "b"]}
    )


@pytest.fixture(scope="session")
def scored() -> Callable[..., tuple[Report, list[Item], Callable[[Any], Any]]]:
    """Scores of items by a separator that returns noisy sources, outputs swapped; the items; the separator."""

    def make(count: int = 12, idents: dict[int, str] | None = None, samples: int = 1200) -> Any:
        items = [make_item(i, (idents or {}).get(i), samples) for i in range(count)]
        known = {item.mix.tobytes(): (item, i) for i, item in enumerate(items)}

        def separate(mix: Any) -> Any:
            item, i = known[mix.tobytes()]
            rng = np.random.default_rng(100 + i)
            return item.sources[::-1] + (0.002 + 0.002 * (7 * i % 12)) * rng.standard_normal(item.sources.shape)

        return evaluate(separate, items, RATE_HZ), items, separate

    return make


class Element:
    """An element of a page: its name, attributes, parent, children in order (elements and text)."""

    def __init__(self, name: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.name, self.attributes, self.parent = name, attributes, parent
        self.content: list[Element | str] = []

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(part if isinstance(part, str) else part.text for part in self.content)

    def all(self, *names: str) -> list[Element]:
        """The elements of these names in it, in order; all without names."""
        found = []
        for part in self.content:
            if isinstance(part, Element):
                found += [part] * (not names or part.name in names)
                found += part.all(*names)
        return found

    def __getitem__(self, attribute: str) -> str:
        return self.attributes[attribute]

    def get(self, attribute: str) -> str | None:
        """An attribute, or None."""
        return self.attributes.get(attribute)


class _Parser(HTMLParser):
    """Builds the tree and insists that every end tag fits, which browsers do not."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> repeats an attribute"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.content.append(element)
        if tag not in ("meta", "link", "input", "br", "img"):
            self.here = element

    def handle_endtag(self, tag: str) -> None:
        assert self.here.name == tag, f"</{tag}> ends <{self.here.name}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.content.append(data)


@pytest.fixture(scope="session")
def parse() -> Callable[[str], Element]:
    """The tree of a page. Fails where tags do not fit."""

    def parsed(text: str) -> Element:
        parser = _Parser()
        parser.feed(text)
        parser.close()
        assert parser.here is parser.root, f"<{parser.here.name}> is not ended"
        return parser.root

    return parsed
