"""refbss check: exit codes, the report in three forms, and usage that is refused."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import refbss_cli.check
from refbss.conformance.vectors import Library
from refbss_cli.main import main

SAMPLES = Path(__file__).resolve().parents[1] / "conformance" / "samples"
GRUS = f"{SAMPLES / 'grus.py'}"
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check makes folders importable; what comes after must not notice. Progress depends on the machine: none."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(refbss_cli.check, "SILENT_S", 1e9)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Right answers to linear, as files."""
    library = Library()
    folder = tmp_path / "answers"
    (folder / "linear").mkdir(parents=True)
    for case in library.find("linear"):
        vector = library.load(case)
        document: dict[str, Any] = {"id": case, "dtype": "float64"}
        for group in ("outputs", "grads"):
            arrays = getattr(vector, group)
            document[group] = {n: {"shape": list(a.shape), "data": a.ravel().tolist()} for n, a in arrays.items()}
        if not vector.valid:
            document = {"id": case, "error": vector.why}
        (folder / f"{case}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_a_right_one(run: Run) -> None:
    ran = run("check", f"{GRUS}:right", "--op", "gru", "--vjp", f"{GRUS}:pull", "--grads", "--dtype", "both")
    assert ran.code == 0 and ran.err == ""
    first, second = ran.out.splitlines()
    assert first.startswith("gru float32: 9 of 9 cases agree, gradients too (worst error ")
    assert second.startswith("gru float64: 9 of 9 cases agree, gradients too (worst error ")
    assert second.endswith(" allowed), 2 refused as they must be")


def test_a_wrong_one(run: Run) -> None:
    ran = run("check", f"{GRUS}:keras", "--op", "gru")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[0].startswith("gru: all 9 failing cases are explained by 'gates-zrn': you read the rows as [z; r; n]")
    assert sum(line.startswith("FAIL gru/") for line in lines) == 9 and lines[-1].startswith(
        "gru float32: 0 of 9 cases"
    )


def test_one_case_or_several(run: Run) -> None:
    ran = run("check", f"{GRUS}:right", "--op", "gru/one*", "--op", "gru/plain", "--verbose")
    assert [line.split(":")[0] for line in ran.out.splitlines()] == [
        "ok   gru/one-frame float32",
        "ok   gru/one-unit float32",
        "ok   gru/plain float32",
        "gru float32",
    ]


def test_our_own_engines(run: Run) -> None:
    assert run("check", "reference", "--op", "gru", "--op", "train/linear", "--grads", "--dtype", "both").code == 0
    ran = run("check", "fast", "--op", "tanh", "--op", "sigmoid")
    assert ran.code == 0 and [line.split()[0] for line in ran.out.splitlines()] == ["tanh", "sigmoid"]


def test_without_op_our_engines_answer_every_case(run: Run, tmp_path: Path) -> None:
    library = Library()
    kept = {name: said for name, said in library.manifest.items() if name.split("/")[0] in ("gru", "linear")}
    for name in kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(library.root / name, tmp_path / name)
    manifest = {"format": "refbss-vectors/1", "version": 1, "files": kept}
    (tmp_path / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    ran = run("check", "reference", "--grads", "--vectors", tmp_path)
    assert ran.code == 0 and [line.split()[0] for line in ran.out.splitlines()] == ["gru", "linear"]


def test_json(run: Run) -> None:
    ran = run("check", f"{GRUS}:keras", "--op", "gru", "--json")
    result = json.loads(ran.out)
    assert ran.code == 1 and ran.out.count("\n") == 1
    assert result["passed"] is False and result["explained"][0]["name"] == "gates-zrn" and len(result["cases"]) == 11
    assert json.loads(run("check", f"{GRUS}:right", "--op", "gru", "--json").out)["passed"] is True


def test_junit(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    assert run("check", f"{GRUS}:keras", "--op", "gru", "--junit", path, "--dtype", "both").code == 1
    root = ElementTree.parse(path).getroot()
    assert root.attrib["tests"] == "22" and root.attrib["failures"] == "18"
    assert [file.name for file in tmp_path.iterdir()] == ["out.xml"]


def test_junit_through_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link.xml").symlink_to("real.xml")
    assert run("check", f"{GRUS}:right", "--op", "gru", "--junit", tmp_path / "link.xml").code == 0
    assert (tmp_path / "link.xml").is_symlink()
    assert ElementTree.parse(tmp_path / "real.xml").getroot().attrib["tests"] == "11"


def test_junit_into_a_pipe(run: Run, tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    assert run("check", f"{GRUS}:right", "--op", "gru", "--junit", pipe).code == 0
    reader.join(10.0)
    assert read[0].startswith(b"<?xml") and pipe.is_fifo()


def test_junit_on_a_disk_that_fills_up(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> Any:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(refbss_cli.check, "replaced", full)
    ran = run("check", f"{GRUS}:right", "--op", "gru", "--junit", tmp_path / "a.xml")
    assert ran.code == 2 and ran.out.startswith("gru float32: 9 of 9 cases agree")
    assert ran.err.endswith("a.xml: cannot be written (No space left on device), wanted the name of a file\n")
    assert list(tmp_path.iterdir()) == []


def test_stdout_is_the_report_alone(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import atexit, ctypes, os, sys, numpy\n"
        "atexit.register(print, 'exit')\n"
        "os.system('echo import')\n"
        "def tanh(x):\n"
        "    print('python')\n"
        "    sys.__stdout__.write('stream\\n')\n"
        "    os.write(1, b'raw\\n')\n"
        "    ctypes.CDLL(None).printf(b'native\\n')\n"
        "    os.system('echo child')\n"
        "    return numpy.tanh(x)\n"
    )
    command = [sys.executable, "-m", "refbss_cli.main", "check", "loud.py:tanh", "--op", "tanh/plain", "--json"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and json.loads(ran.stdout)["passed"] is True
    assert sorted(ran.stderr.split()) == ["child", "exit", "import", "native", "python", "raw", "stream"]


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
def test_closed_streams(tmp_path: Path, closed: tuple[int, ...]) -> None:
    (tmp_path / "loud.py").write_text(
        "import os, numpy\ndef f(x):\n    os.system('echo A')\n    return numpy.tanh(x)\n"
    )
    closing = " ".join(f"{number}>&-" for number in closed)
    command = f"{shlex.quote(sys.executable)} -m refbss_cli.main check loud.py:f --op tanh/plain --json {closing}"
    ran = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and ran.stderr == ("" if 2 in closed else "A\n")
    assert ran.stdout == "" if 1 in closed else json.loads(ran.stdout)["passed"]


def test_stdout_is_back_afterwards(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("import os, numpy\ndef f(x):\n    os.write(1, b'A')\n    return numpy.tanh(x)\n")
    assert main(["check", f"{tmp_path}/loud.py:f", "--op", "tanh/plain", "--json"]) == 0
    os.write(1, b"after\n")
    out, err = capfd.readouterr()
    assert json.loads(out.splitlines()[0])["passed"] and out.splitlines()[1:] == ["after"] and err == "A"


def test_under_the_runner_of_click(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("import os, numpy\ndef f(x):\n    print('A')\n    return numpy.tanh(x)\n")
    ran = CliRunner().invoke(
        refbss_cli.check.check, [f"{tmp_path}/loud.py:f", "--op", "tanh/plain", "--json"], standalone_mode=False
    )
    assert ran.exception is None and json.loads(ran.stdout)["passed"] is True and ran.stderr == "A\n"


@pytest.mark.parametrize("how", ["-m refbss_cli.main", "-c 'import sys, refbss_cli.main as m; sys.exit(m.main())'"])
def test_a_termination_while_the_target_runs(tmp_path: Path, how: str) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, signal, time\ndef f(x):\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)\n"
    )
    command = f"{shlex.quote(sys.executable)} {how} check slow.py:f --op tanh/plain"
    ran = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 143 and ran.stdout == "" and ran.stderr == "refbss: terminated\n"


def test_code_that_prints_and_leaves(run: Run) -> None:
    ran = run("check", f"{GRUS}:exits", "--op", "gru/plain", "--json")
    assert ran.code == 1 and json.loads(ran.out)["cases"][0]["problem"].startswith("raised SystemExit: 3 (grus.py:")
    assert "leaving" in ran.err


def test_progress_goes_to_stderr(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refbss_cli.check, "SILENT_S", -1.0)
    ran = run("check", f"{GRUS}:right", "--op", "gru")
    assert ran.code == 0 and ran.err.startswith("checking 1/11 ") and ran.out.count("\n") == 1


def test_an_interrupt(run: Run) -> None:
    ran = run("check", f"{GRUS}:interrupted", "--op", "gru")
    assert ran.code == 130 and ran.out == ""


def test_answers_as_files(run: Run, answers: Path) -> None:
    ran = run("check", "--results", answers, "--grads")
    assert ran.code == 0
    assert ran.out.startswith("linear float64: 9 of 9 cases agree, gradients too (worst error 0.0e+00 of ")
    assert ran.out.endswith(" allowed), 2 refused as they must be\n")
    (answers / "linear" / "plain.json").unlink()
    (answers / "linear" / "typo.json").write_text("{}")
    ran = run("check", "--results", answers, "--grads")
    assert ran.code == 1 and ran.out.splitlines()[:2] == [
        f"FAIL linear/plain float64: has no answer: there is no {answers}/linear/plain.json",
        f"FAIL linear/typo float32: is not a case, but there is an answer to it: {answers}/linear/typo.json",
    ]
    (answers / "linearr").mkdir()
    (answers / "linearr" / "plain.JSON").write_text("{}")
    ran = run("check", "--results", answers, "--grads")
    assert f"FAIL linearr/plain.JSON float32: is not a case, but there is an answer to it: {answers}/linearr" in ran.out
    assert "linearr" not in run("check", "--results", answers, "--op", "linear/square").out
    ran = run("check", "--results", answers, "--op", "gru/plain")
    assert ran.code == 1 and ran.out.startswith("FAIL gru/plain float64: has no answer: ")
    ran = run("check", "--results", answers, "--op", "linear/square", "--dtype", "float32")
    assert ran.code == 1 and "y is float64 in a float32 run, wanted float32" in ran.out


def test_an_answer_in_another_folder_alone(run: Run, answers: Path) -> None:
    (answers / "tanhh").mkdir()
    (answers / "tanhh" / "plain.json").write_text("{}")
    ran = run("check", "--results", answers, "--grads", "--json")
    assert ran.code == 1 and [case["case"] for case in json.loads(ran.out)["cases"] if not case["passed"]] == [
        "tanhh/plain"
    ]


def test_an_answer_of_no_bytes(run: Run, answers: Path) -> None:
    (answers / "linear" / "plain.json").rename(answers / "linear" / "plain.npz")
    (answers / "linear" / "plain.npz").write_bytes(b"")
    ran = run("check", "--results", answers)
    assert ran.code == 1 and ran.out.startswith("FAIL linear/plain ") and ran.err == ""


def test_a_file_for_the_function_and_its_vjp(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "cached.py"
    path.write_text(
        "import numpy\nKEPT = {}\n"
        "def tanh(x):\n    KEPT['y'] = numpy.tanh(x)\n    return KEPT['y']\n"
        "def pull(dy, x):\n    return dy * (1 - KEPT['y'] ** 2)\n"
    )
    assert run("check", f"{path}:tanh", "--op", "tanh", "--vjp", f"{path}:pull", "--grads").code == 0


def test_a_whole_model(run: Run) -> None:
    pytest.importorskip("torch")
    options = ("--model", "no-memory", "--state-map", SAMPLES / "torch_nets.toml")
    ran = run("check", f"{SAMPLES / 'torch_nets.py'}:build", *options, "--grads")
    assert ran.code == 0 and ran.out.startswith("model float32: 1 of 1 cases agree, gradients too (worst error ")
    ran = run("check", f"{SAMPLES / 'torch_nets.py'}:no_residual", *options)
    assert ran.code == 1
    assert ran.out.startswith("FAIL model/no-memory float32: h1, h2, g0 agree, g1 is the first that differs: by ")


def test_a_whole_model_in_numpy(run: Run) -> None:
    target = f"{SAMPLES / 'numpy_nets.py'}:model"
    assert run("check", target, "--model", "model/b*", "--vjp", f"{target}_vjp", "--grads").code == 0
    assert run("check", target, "--model", "none").code == 2


@pytest.mark.parametrize(("layer", "cases"), [("GRU", 9), ("LSTM", 6)])
def test_a_layer_of_pytorch(run: Run, layer: str, cases: int) -> None:
    pytest.importorskip("torch")
    op = layer.lower()
    ran = run("check", f"torch.nn:{layer}", "--op", op, "--framework", "torch", "--grads")
    assert ran.code == 0
    assert ran.out.startswith(f"{op} float32: {cases} of {cases} cases agree, gradients too (worst error ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "wanted either a TARGET or --results DIR."),
        (["a:b", "--results", "."], "wanted either a TARGET or --results DIR."),
        (
            ["--results", ".", "--vjp", "a:b"],
            "--model, --framework, --vjp and --state-map want a TARGET, not --results.",
        ),
        (
            ["--results", ".", "--model", "bare"],
            "--model, --framework, --vjp and --state-map want a TARGET, not --resul",
        ),
        (["--results", ".", "--dtype", "both"], "--dtype both wants a TARGET: an answer as a file is of one dtype."),
        (["a:b", "--op", "gru", "--model", "bare"], "wanted --op or --model, not both."),
        (
            ["reference", "--op", "gru", "--framework", "torch"],
            "--framework, --vjp and --state-map want a TARGET of yo",
        ),
        (
            ["fast", "--op", "gru", "--vjp", "nosuch:x"],
            "--framework, --vjp and --state-map want a TARGET of yours, not",
        ),
        ([f"{GRUS}:right"], "--op is missing: the operator that TARGET computes, such as --op gru."),
        (
            [f"{GRUS}:right", "--op", "gru", "--dtype", "float16"],
            "Invalid value for '--dtype': 'float16' is not one of",
        ),
    ],
)
def test_usage(run: Run, arguments: list[str], message: str) -> None:
    ran = run("check", *arguments)
    assert ran.code == 2 and ran.out == ""
    assert ran.err.startswith("Usage: refbss check ") and ran.err.splitlines()[-1].startswith(
        f"refbss: error: {message}"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([f"{GRUS}:rigt", "--op", "gru"], "has no rigt, did you mean right?"),
        ([f"{GRUS}:ANSWER", "--op", "gru"], "is a int, wanted a callable"),
        (["nowhere:f", "--op", "gru"], "target: nowhere cannot be imported: it raised ModuleNotFoundError"),
        ([f"{GRUS}:right", "--op", "gruu"], "vectors: nothing is called 'gruu', did you mean gru?"),
        ([f"{GRUS}:right", "--op", "gru", "--grads"], "has no vjp, wanted one for --grads: name it with --vjp, or set"),
        ([f"{GRUS}:right", "--op", "gru", "--vjp", f"{GRUS}:no"], "has no no"),
        ([f"{GRUS}:right", "--op", "gru", "--vectors", "nowhere"], "nowhere/MANIFEST.json: No such file or directory"),
        (
            [f"{GRUS}:right", "--op", "gru", "--state-map", "none.toml"],
            "none.toml: No such file or directory, wanted a st",
        ),
        (
            [f"{GRUS}:right", "--op", "gru", "--junit", "nowhere/out.xml"],
            "nowhere/out.xml: cannot be written (No such file or directory)",
        ),
        ([f"{GRUS}:right", "--op", "gru", "--junit", "."], ".: cannot be written (Is a directory)"),
        ([f"{GRUS}:right", "--op", "gru", "--junit", "/proc/x.xml"], "/proc/x.xml: cannot be written ("),
        ([f"{GRUS}:right", "--op", "gru", "--junit", "a" * 256], "cannot be written (File name too long)"),
        ([f"{GRUS}:right", "--op", "gru", "--grads", "--vjp", f"{GRUS}:ANSWER"], "is a int, wanted a callable"),
        (["--results", "nowhere"], "nowhere: does not exist, wanted a folder"),
        (["--results", "."], "holds no answers, wanted files <op>/<case>.json or "),
    ],
)
def test_bad_input_is_one_line(
    run: Run, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("check", *arguments)
    assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1
    assert ran.err.startswith("refbss: error: ") and message in ran.err
