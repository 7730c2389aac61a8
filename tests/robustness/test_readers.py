"""No reader is forgotten: whoever opens a file is fuzzed, or reads what refbss itself or the system has written."""

from __future__ import annotations

import ast
from pathlib import Path

from kinds import KINDS

ROOT = Path(__file__).parents[2]
OPENS = set(
    "open opened contents read_text read_bytes read_tensors fromfile memmap load_file safe_open SoundFile audio_files "
    "read_audio AudioReader json_of text_of rows_of header".split()
)
PARSES = {"json.loads", "json.load", "tomllib.loads", "tomllib.load", "np.load", "pickle.loads"}
OWN = {
    "refbss/_files.py": "the doors themselves",
    "refbss/_jit.py": "the sources of the package",
    "refbss/machine.py": "what the system says of itself",
    "refbss/audit/__main__.py": "the sources and pages of the repository",
    "refbss/audit/ledger.py": "the sources, and the ledger that is part of the package",
    "refbss/audit/pages.py": "the pages of the repository",
    "refbss/audit/source.py": "the sources of the repository",
    "refbss/bench/process.py": "lines of a process that it started",
    "refbss/bench/worker.py": "the job that its parent sends",
    "refbss/conformance/diverted.py": "the null device",
    "refbss/reports/page.py": "the style and script that are part of the package",
    "refbss/reports/media.py": "memory",
    "refbss/training/loop.py": "the log that it writes, the checkpoint that it has written",
    "refbss/training/curve.py": "the log of a run that has just passed cut_log",
    "refbss/verification/jit.py": "results of a process that it started",
    "cli/main.py": "the null device",
    "cli/vectors.py": "files of the library, by Library.read",
    "cli/convert.py": "by read_tensors",
    "cli/separate.py": "recordings, by AudioReader",
}
"""Modules that open or parse, and why damage from elsewhere does not come to them first."""
ALONE = {name for name, why in OWN.items() if why not in ("memory", "the null device")}
"""Who may parse JSON and TOML without the doors, which know deep nesting and integers of any size."""
EMBEDDED = "refbss/data/layouts.py"
"""It has the index of the embedded voices, a part of the package, beside the manifests of others."""


def _modules() -> list[Path]:
    return sorted([*(ROOT / "refbss").rglob("*.py"), *(ROOT / "cli").glob("*.py")])


def _calls(path: Path) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return {ast.unparse(call.func) for call in calls}


def _reads(path: Path) -> set[str]:
    found = _calls(path)
    return {name for name in found if name.split(".")[-1] in OPENS or name in PARSES}


def test_every_reader_is_fuzzed() -> None:
    covered = {module for kind in KINDS.values() for module in kind.covers}
    reading = {path.relative_to(ROOT).as_posix(): _reads(path) for path in _modules()}
    forgotten = {name: sorted(found) for name, found in reading.items() if found and name not in covered | set(OWN)}
    assert not forgotten, f"not in the kinds of tests/robustness/kinds.py: {forgotten}"
    assert covered <= set(reading), "a kind covers a module that does not exist"
    assert not {name for name in OWN if not reading.get(name)}, "an entry of OWN that reads nothing any more"


def test_json_and_toml_are_parsed_in_one_place() -> None:
    wrong = {}
    for path in _modules():
        name, found = path.relative_to(ROOT).as_posix(), _calls(path)
        parsed = {one for one in found if one in PARSES}
        if parsed and name not in ALONE and (name != EMBEDDED or parsed != {"json.loads"}):
            wrong[name] = parsed
    assert not wrong, f"wanted parse_json and parse_toml of refbss/_files.py: {wrong}"


def test_a_new_reader_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(p):\n    return p.read_text()\n")
    (tmp_path / "b.py").write_text("import json\nx = json.loads('1')\n")
    (tmp_path / "c.py").write_text("x = print(1)\n")
    assert [_reads(tmp_path / f"{name}.py") for name in "abc"] == [{"p.read_text"}, {"json.loads"}, set()]
