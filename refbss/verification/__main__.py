"""Print the worst relative error of every gradient against differences: ``python -m refbss.verification [op ...]``."""

from __future__ import annotations

import argparse
import sys

from refbss.verification.gradcheck import LIMIT, worst_errors
from refbss.verification.registry import SPECS


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows of ``worst_errors`` as aligned text, one line an argument."""
    lines = [f"{'op':22} {'argument':10} {'worst error':>12}  case and index"]
    lines += [f"{r['op']:22} {r['argument']:10} {r['error']:12.2e}  {r['case']} {r['index']}" for r in rows]
    return "\n".join(lines)


def main() -> int:
    """Check the ops named, or all; return 1 if an error is above the limit."""
    parser = argparse.ArgumentParser(prog="python -m refbss.verification", description=__doc__)
    parser.add_argument("op", nargs="*", choices=[[], *SPECS], help="ops to check; all if none is named")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rows = worst_errors({name: SPECS[name] for name in chosen.op or SPECS}, chosen.seed)
    print(table(rows))
    largest = max(rows, key=lambda row: row["error"])
    print(
        f"worst of all: {largest['op']} d{largest['argument']} {largest['error']:.2e}, allowed {LIMIT:.0e}, "
        f"seed {chosen.seed}, float64"
    )
    return int(largest["error"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
