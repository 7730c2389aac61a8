"""Write what is generated of the audit trail, or check that it is up to date and complete.

python -m refbss.audit                  ledger.json, docs/equation_index.md and the worked examples in docs/math
python -m refbss.audit gru              the worked examples of docs/math/gru.md alone
python -m refbss.audit --check [gru]    write nothing; list what is stale, ill-formed or untraced, exit code 1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from refbss._files import replaced
from refbss.audit.index import index
from refbss.audit.ledger import Scan, build, by_tag, checkout, lacks, to_json
from refbss.audit.worked import refreshed, unnamed


def generated(root: Path, scan: Scan, pages: Sequence[str]) -> dict[str, str]:
    """Every generated file and its text; with ``pages`` those pages alone."""
    found = {}
    for name in pages or scan.pages:
        path = root / "docs" / "math" / f"{name}.md"
        found[f"docs/math/{name}.md"] = refreshed(path.read_text(encoding="utf-8"), name, by_tag(scan.pages))
    if not pages:
        found["docs/equation_index.md"] = index(scan.ledger)
        found["refbss/audit/ledger.json"] = to_json(scan.ledger)
    return found


def problems(root: Path, scan: Scan, pages: Sequence[str]) -> list[str]:
    """What is stale, ill-formed, without a symbol or untraced; with ``pages`` of those pages alone."""
    found = [problem for problem in scan.problems if _concerns(problem, pages)]
    for name in pages or scan.pages:
        found += [f"docs/math/{name}.md: {what}" for what in unnamed(scan.pages[name])]
    found += [
        what for entry in scan.ledger.entries.values() if not pages or entry.home in pages for what in lacks(entry)
    ]
    for file, text in generated(root, scan, pages).items():
        path = root / file
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            found.append(f"{file}: not up to date, run python -m refbss.audit {' '.join(pages)}".rstrip())
    return found


def _concerns(problem: str, pages: Sequence[str]) -> bool:
    return not pages or any(problem.startswith(f"docs/math/{name}.md:") for name in pages)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the generator and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m refbss.audit", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, list what is wrong")
    parser.add_argument("page", nargs="*", help="pages of docs/math, without .md")
    options = parser.parse_args(arguments)
    root = checkout()
    if root is None:
        parser.error("this wants a checkout: there is no docs/math beside the package")
    scan = build(root)
    unknown = [name for name in options.page if name not in scan.pages]
    if unknown:
        parser.error(f"there is no docs/math/{unknown[0]}.md")
    if options.check:
        found = problems(root, scan, options.page)
        print("\n".join(found) if found else "up to date and complete")
        return 1 if found else 0
    for file, text in generated(root, scan, options.page).items():
        path = root / file
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            with replaced(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            print(f"wrote {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
