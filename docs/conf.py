"""The documentation site: Sphinx reads the Markdown pages of this folder, ``make docs`` builds it into build/docs.

The pages are written for GitHub first; nothing here is needed to read them there. A page that a toctree of index.md
does not reach is a warning, a link that leads nowhere is one too, and ``make docs`` takes warnings for errors. Building
needs no network; the reader's browser loads MathJax from where Sphinx says by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from refbss import __version__

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"\]\((?:\.\./)+((?:refbss|cli|golden|tests)/[\w/]+\.py)(?:#L(\d+))?\)")
"""A link to a Python file, and to a line of it, as GitHub understands it."""
TAG = re.compile(r"\\tag\{[^}]*\}")

project = "refbss"
author = "The refbss authors"
copyright = author  # without a year: the same sources give the same pages whenever they are built
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.mathjax"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_*", ".*", "**/_*", "**/.*"]
nitpicky = False

myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
myst_url_schemes = {"http": None, "https": None, "code": "{{path}}#{{fragment}}"}

html_theme = "furo"
html_title = f"refbss {version}"
html_copy_source = False
html_show_sphinx = False


def link_code(app: Any, docname: str, source: list[str]) -> None:
    """Lead links to Python files to the pages that ``code_pages`` makes."""
    up = "../" * docname.count("/")
    source[0] = CODE.sub(lambda link: f"](code:{up}code/{link[1]}.html#L-{link[2] or 1})", source[0])


def code_pages(app: Any) -> Iterator[tuple[str, dict[str, str], str]]:
    """A page for every Python file that a page links to, with an anchor on each line."""
    texts = [Path(app.env.doc2path(name)).read_text(encoding="utf-8") for name in app.env.found_docs]
    formatter = HtmlFormatter(linenos="inline", linespans="L")
    for file in sorted({link[1] for text in texts for link in CODE.finditer(text)}):
        body = highlight((ROOT / file).read_text(encoding="utf-8"), PythonLexer(), formatter)
        yield f"code/{file}", {"title": file, "body": f"<h1>{file}</h1>{body}"}, "page.html"


def keep_displays(app: Any, doctree: nodes.document) -> None:
    """Hand displayed equations to MathJax as they stand in the page, but for underscores in tags.

    GitHub's MathJax reads ``\\_`` in a tag, the one that Sphinx loads by default knows it in formulas only.

    Sphinx would wrap a display that has a line break into ``split``, where a tag is an error. MyST prints the text of
    what is marked ``amsmath`` as it is.
    """
    for node in doctree.findall(nodes.math_block):
        node["classes"].append("amsmath")
        node[:] = [nodes.Text(TAG.sub(lambda tag: tag[0].replace(r"\_", r"$\_$"), node.astext()))]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", link_code)
    app.connect("html-collect-pages", code_pages)
    app.connect("doctree-read", keep_displays)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
