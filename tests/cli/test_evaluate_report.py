"""refbss evaluate --report: the page holds what the command says, whoever does the work, and is whole or not there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.data.audio_io import write_audio
from refbss.data.mixing import mixture_of

Run = Callable[..., Any]
HOSTILE = "<img src=x onerror=alert(1)>\"'&"
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def arguments(model: Path, *more: object) -> tuple[object, ...]:
    return ("evaluate", "--model", model, "--data", "embedded", "--n", 3, "--seconds", 0.5, *more)


def but_for_the_machine(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    found = re.sub(r'<section id="machine".*?</section>', "", text, flags=re.DOTALL)
    assert len(found) < len(text)
    return found


def test_the_page_holds_what_the_command_prints(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    ran = run(*arguments(tiny_model, "--report", tmp_path / "new" / "report", "--json"))
    assert ran.code == 0 and ran.out.count("\n") == 1
    path = tmp_path / "new" / "report" / "index.html"
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    assert ran.err.splitlines()[-1] == f"Report: {path}"
    result, text = json.loads(ran.out), path.read_text(encoding="utf-8")
    numbers = [result[name] for name in ("si_sdr_db", "si_sdr_i_db", "permutation_error_rate", "rtf")]
    for number in (*numbers, *result["si_sdr_interval_db"], *result["si_sdr_i_interval_db"]):
        assert f'<data value="{json.dumps(number)}">' in text
    lines = run(*arguments(tiny_model)).out
    shown = re.search(r"SI-SDR +(-?[\d.]+) dB  \[(-?[\d.]+), (-?[\d.]+)\]", lines)
    assert shown
    for number in shown.groups():
        assert f">{number}</data>" in text
    assert text.count("<audio ") == 3 * 5 and text.count('class="example"') == 3
    assert "conv_channels = [12, 16, 16]" in text and "sample_rate_hz = 8000" in text
    assert re.search(r'<section id="machine".*numba \d.*</section>', text, re.DOTALL)


def test_threads_and_time_do_not_matter(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    pages = []
    for threads in (1, 3):
        assert run(*arguments(tiny_model, "--threads", threads, "--report", tmp_path / str(threads))).code == 0
        pages.append(but_for_the_machine(tmp_path / str(threads) / "index.html"))
    assert pages[0] == pages[1]


@pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is not installed")
def test_ranks_do_not_matter(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("mpi4py")
    command = [MPIEXEC, "-n", "2", sys.executable, "-m", "refbss_cli.main"]
    given = arguments(tiny_model, "--threads", 1, "--report", tmp_path / "two")
    done = subprocess.run([str(part) for part in (*command, *given)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Report: ") == 1
    assert run(*arguments(tiny_model, "--report", tmp_path / "one")).code == 0
    assert but_for_the_machine(tmp_path / "one" / "index.html") == but_for_the_machine(tmp_path / "two" / "index.html")


@pytest.fixture
def plain_set(tmp_path: Path) -> Callable[..., Path]:
    """Write mixtures of noise, or of silence, with these names as mix/, s1/ and s2/."""

    def write(folder: str, *names: str, level: float = 0.1) -> Path:
        rng = np.random.default_rng(0)
        for name in names:
            sources = (level * rng.standard_normal((2, 800))).astype(np.float32)
            for part, x in (("mix", mixture_of(sources)), ("s1", sources[0]), ("s2", sources[1])):
                (tmp_path / folder / part).mkdir(parents=True, exist_ok=True)
                write_audio(tmp_path / folder / part / f"{name}.wav", x, 8000)
        return tmp_path / folder

    return write


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
def test_names_of_files_cannot_break_the_page(
    run: Run, tiny_model: Path, plain_set: Callable[..., Path], tmp_path: Path
) -> None:
    """The folder and its files have names that would be markup, would colour a terminal, or are of another encoding."""
    latin = os.fsdecode(b"caf\xe9")
    folder = plain_set(f"set{HOSTILE}", HOSTILE, "\x1b[31mred", latin)
    ran = run("evaluate", "--model", tiny_model, "--data", folder, "--report", tmp_path / "out")
    assert ran.code == 0, ran.err
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in text and text.count("&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;") > 5
    assert "<bdi>\\x1b[31mred</bdi>" in text and "<bdi>caf\\udce9</bdi>" in text and "\x1b" not in text
    assert text.count("<audio ") == 3 * 5 and "Mixtures ready made" in text


def test_a_report_that_cannot_be_written(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "deep"):
        ran = run(*arguments(tiny_model, "--report", folder))
        assert (ran.code, ran.out) == (2, "") and "is a file; wanted a folder" in ran.err
        assert "evaluating" not in ran.err and ran.err.count("\n") == 1


def test_a_full_disk(run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is printed all the same, and the page of before is as it was."""
    path = tmp_path / "index.html"
    path.write_text("the page of before")

    def full(part: Path, *_: object, **__: object) -> None:
        part.write_bytes(b"half a pa")
        raise OSError(28, "No space left on device", str(part))

    monkeypatch.setattr(Path, "write_text", full)
    ran = run(*arguments(tiny_model, "--report", tmp_path, "--json"))
    assert ran.code == 1 and json.loads(ran.out)["n"] == 3
    assert "No space left on device" in ran.err.splitlines()[-1] and "Traceback" not in ran.err
    assert path.read_bytes() == b"the page of before" and list(tmp_path.iterdir()) == [path]


def test_silence(run: Run, tiny_model: Path, plain_set: Callable[..., Path], tmp_path: Path) -> None:
    """Nothing to score, nothing to rank: there is a page all the same."""
    ran = run(
        "evaluate", "--model", tiny_model, "--data", plain_set("set", "a", level=0.0), "--report", tmp_path / "out"
    )
    assert ran.code == 0, ran.err
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "No utterance has a score." in text and "<audio" not in text
