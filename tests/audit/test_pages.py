"""The form of a page of docs/math: what is read from it and what is refused."""

from __future__ import annotations

import pytest

from refbss.audit.pages import parse_page, plain, symbol_of

PAGE = r"""# Title

## Symbols

| symbol | code | shape | unit | meaning |
|---|---|---|---|---|
| $\hat{x}_t$ | `x`, `x[t]` | (T) | Hz | input |
| $\lvert y \rvert$ | `f.y` | - | - | output, $a \| b$ |

## Forward

```math
y = 2
x
\tag{op.1}
```

[ours] Because it is
even.

A display that has no tag is free:

```math
a \\ b
```

## Conventions

```
$$ in a code block is nobody's business \tag{op.9}
```

## Source

## Worked example

<!-- example: op -->
old
<!-- end of example -->
"""


def test_a_page() -> None:
    page = parse_page(PAGE, "op", "op.md")
    assert page.problems == ()
    (equation,) = page.equations
    assert (equation.tag, equation.latex, equation.origin) == ("op.1", "y = 2 x", "ours")
    assert (equation.says, equation.line) == ("Because it is even.", 12)
    assert page.symbols == {"x": r"\hat{x}_t", "x[t]": r"\hat{x}_t", "f.y": r"\lvert y \rvert"}
    assert page.examples == {"op": "old"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("# Title", "Title", "op.md:1: the first line is not the title"),
        ("## Source\n", "", "op.md:1: no section '## Source'"),
        ("## Source", "## Backward", "op.md:1: no section '## Source'"),
        ("## Conventions", "## Backward\n\n## Conventions\n\n## Forward", "op.md:1: sections in the order"),
        ("y = 2\n", "y = 2 \\\\\n", "op.md:12: (op.1) has a line break"),
        ("\\tag{op.1}", "\\tag{op.1} \\tag{op.2}", "op.md:12: 2 tags in one display"),
        ("\\tag{op.1}", "\\tag{o_p.1}", "op.md:12: an underscore of a tag has to be written"),
        ("\\tag{op.1}", "\\tag{op.one}", "op.md:12: 'op.one' is no tag"),
        ("[ours] Because", "[mine] Because", "op.md:12: (op.1) is not followed by"),
        ("[ours] Because", "Because", "op.md:12: (op.1) is not followed by"),
        ("A display", "A $$a$$", "op.md:21: $$ is no display here"),
        ("A display", "A \\tag{op.1}", "op.md:21: \\tag outside of a display"),
        ("a \\\\ b", "y \\tag{op.1}", "op.md:23: (op.1) is on this page twice"),
        ("| $\\hat{x}_t$ | `x`, `x[t]` | (T) | Hz | input |", "|", "op.md:7: a row of symbols wants"),
        ("(T) | Hz", "(T) |", "op.md:7: a row of symbols wants"),
        ("$\\hat{x}_t$", "xhat", "op.md:7: a row of symbols wants"),
        ("`f.y`", "`x`", "op.md:8: `x` is in the symbols twice"),
        ("<!-- end of example -->", "", "this example has no end"),
    ],
)
def test_problems(old: str, new: str, problem: str) -> None:
    assert PAGE.count(old) >= 1
    found = parse_page(PAGE.replace(old, new, 1), "op", "op.md").problems
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        ("x", "x"),
        (r"\mathrm{d}\mu_{t, d}", "dmu_t,d"),
        (r"\hat{x}", "xhat"),
        (r"\bar z_k", "zbar_k"),
        (r"\bar\eta", "etabar"),
        (r"\phi'(u)", "phi'(u)"),
        (r"\phi^\prime", "phi'"),
        (r"W_{hn}\,h_{t-1}", "W_hnh_t-1"),
        (r"\operatorname{loss}^{2}", "loss^2"),
    ],
)
def test_plain(latex: str, text: str) -> None:
    assert plain(latex) == text


@pytest.mark.parametrize(
    ("function", "name", "symbol"),
    [
        ("g", "x", "X"),
        ("g", "x[i, t]", "X"),
        ("g", "gate[j]", "R"),
        ("g", "gate[k]", "G"),
        ("f_forward", "y", "F"),
        ("f_backward", "grads.y", "F"),
        ("f", "y", "F"),
        ("g", "y", None),
        ("g", "dx[i]", r"\mathrm{d}X"),
        ("g", "grads.dx", r"\mathrm{d}X"),
        ("f", "dy", r"\mathrm{d}F"),
        ("g", "d", None),
    ],
)
def test_symbol_of(function: str, name: str, symbol: str | None) -> None:
    symbols = {"x": "X", "gate": "G", "gate[j]": "R", "f.y": "F"}
    assert symbol_of(symbols, function, name) == symbol
