"""Markup: text from outside stays text, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refbss.reports.markup import Markup, escape, join, name, tag

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></script><svg onload=alert(1)>",
    "&lt;b&gt; &amp;",
    "javascript:alert(1)",
    "<!-- -->]]>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(parse: Callable[[str], Any], text: str) -> None:
    (element,) = parse(tag("p", text, title=text, class_="x")).all()
    assert element.name == "p" and element.text == text
    assert element.attributes == {"title": text, "class": "x"}


@given(st.text(st.characters(blacklist_categories=("Cc", "Cs", "Cn"), blacklist_characters="\u2028\u2029")))
def test_any_text_stays_text(parse: Callable[[str], Any], text: str) -> None:
    (element,) = parse(tag("td", text, data_value=text)).all()
    assert element.text == text and element["data-value"] == text


def test_what_cannot_be_written_is_shown() -> None:
    assert escape("a\x00b\x1b[31m\x85\ud800") == "a\\x00b\\x1b[31m\\x85\\ud800"
    undecodable = b"caf\xe9.wav".decode("utf-8", errors="surrogateescape")
    assert escape(undecodable) == "caf\\udce9.wav"
    assert escape("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert tag("p", undecodable).encode("utf-8")


def test_elements() -> None:
    assert tag("br") == "<br>"
    assert tag("img", src="data:,", alt="") == '<img src="data:," alt="">'
    assert tag("p", None, 3, ["a", tag("b", "c"), ("&",)], (str(i) for i in range(2))) == "<p>3a<b>c</b>&amp;01</p>"
    assert (
        tag("audio", controls=True, muted=False, loop=None, aria_label="x") == '<audio controls aria-label="x"></audio>'
    )
    assert tag("data", 1.5, value=0) == '<data value="0">1.5</data>'
    assert join("<", Markup("<hr>")) == "&lt;<hr>"
    assert isinstance(join("a"), Markup) and isinstance(tag("p"), Markup)
    assert name("a<b") == "<bdi>a&lt;b</bdi>"
