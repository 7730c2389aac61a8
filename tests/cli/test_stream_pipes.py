"""refbss stream in pipes: what trickles in goes on at once, what ends early is whole, sox and ffmpeg on both sides."""

from __future__ import annotations

import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss._types import Array
from refbss.data.audio_io import read_audio, write_audio
from refbss.data.pcm import decode, encode, read_wav_header
from refbss.separation import Separator

COMMAND = [sys.executable, "-m", "refbss_cli.main", "stream"]
WAIT_S = 60.0
"""A process that says nothing for so long hangs."""
needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="sox is not installed")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.fixture(scope="module")
def mix() -> Array:
    """16-bit samples in the range of what can be written without clipping."""
    x = 0.05 * np.random.default_rng(0).standard_normal(8000, dtype=np.float32)
    return decode(encode(x, "s16le")[0], "s16le")


@pytest.fixture(scope="module")
def wanted(tiny_model: Path, mix: Array) -> Array:
    return np.concatenate(list(Separator(tiny_model).separate_blocks([mix], 8000)), axis=1)


@pytest.fixture
def start(tiny_model: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start ``refbss stream`` with pipes; what is left of it at the end is killed."""
    begun: list[subprocess.Popen[bytes]] = []

    def call(*arguments: object, **more: Any) -> subprocess.Popen[bytes]:
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        command = [*COMMAND, "--model", str(tiny_model), *map(str, arguments)]
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        begun.append(subprocess.Popen(command, env=buffered, **(pipes | more)))
        return begun[-1]

    yield call
    for process in begun:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[bytes], most: int) -> bytes:
    """What comes from the process next, up to so many bytes."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], WAIT_S)[0], "nothing came"
    return os.read(process.stdout.fileno(), most)


def raw(x: Array) -> bytes:
    return encode(x, "s16le")[0]


def test_what_trickles_in_goes_on_at_once(start: Any, mix: Array, wanted: Array, tiny_model: Path) -> None:
    """A hop comes out while the pipe stays open, though a larger chunk was asked for."""
    process = start("--format", "s16le", "--chunk", 4000)
    data = raw(mix)
    for hop, place in enumerate((0, 32, 64)):
        for part in (data[place : place + 7], data[place + 7 : place + 32]):
            process.stdin.write(part)
            process.stdin.flush()
            time.sleep(0.01)
        out = heard(process, 10_000)
        assert out == raw(wanted[:, 16 * hop : 16 * hop + 16].T)
    process.stdin.write(data[96:102])
    out, err = process.communicate(timeout=WAIT_S)
    est = np.concatenate(list(Separator(tiny_model).separate_blocks([mix[:51]], 8000)), axis=1)
    assert out == raw(est[:, 48:].T)
    assert process.returncode == 0 and b"0.01 s" in err


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("out", ["-", "est"])
def test_a_signal_ends_it_whole(
    start: Any, mix: Array, tiny_model: Path, tmp_path: Path, number: int, code: int, word: str, out: str
) -> None:  # fmt: skip
    process = start("--format", "s16le", "--out", out, "--json", cwd=tmp_path)
    process.stdin.write(raw(mix[:1003]) + b"\1")
    process.stdin.flush()
    deadline = time.monotonic() + WAIT_S
    while out != "-" and not list(tmp_path.glob(".est*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    got = heard(process, 64) if out == "-" else b""
    time.sleep(0.5)
    process.send_signal(number)
    rest, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == code and err.decode().splitlines()[-1] == f"refbss: {word}"
    est = np.concatenate(list(Separator(tiny_model).separate_blocks([mix[:1003]], 8000)), axis=1)
    summary = json.loads((err if out == "-" else rest).decode().splitlines()[0])
    assert (summary["samples"], summary["stopped"], summary["error"]) == (1003, number.name, None)
    if out == "-":
        assert got + rest == raw(est.T)
    else:
        found = [read_audio(tmp_path / f"est_est{p}.wav")[0][0] for p in (1, 2)]
        assert np.array_equal(found, est)
        assert not list(tmp_path.glob(".*"))


def test_a_signal_before_the_header(start: Any, tmp_path: Path) -> None:
    process = start("--json")
    process.stdin.write(b"RIFF")
    process.stdin.flush()
    time.sleep(4.0)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (143, b"", b"refbss: terminated\n")


def test_a_reader_that_leaves_ends_it_quietly(start: Any, mix: Array) -> None:
    process = start("--format", "s16le")
    process.stdin.write(raw(mix[:160]))
    process.stdin.flush()
    assert len(heard(process, 10)) == 10
    process.stdout.close()
    with pytest.raises(BrokenPipeError):
        while process.poll() is None:
            process.stdin.write(raw(mix))
            process.stdin.flush()
        raise BrokenPipeError
    assert process.wait(timeout=WAIT_S) == 1
    err = process.stderr.read().decode()
    assert err.splitlines() == ["refbss: stdin: s16le at 8000 Hz; latency 2 ms"]


def piped(*commands: list[str], data: bytes) -> tuple[bytes, list[bytes]]:
    """Run commands in a pipe: the last one's output, and what each said."""
    processes: list[subprocess.Popen[bytes]] = []
    for command in commands:
        stdin = processes[-1].stdout if processes else subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    first = processes[0]
    assert first.stdin is not None
    for process in processes[:-1]:
        assert process.stdout is not None
        process.stdout.close()  # the next one has it
    first.stdin.write(data)
    first.stdin.close()
    last = processes[-1]
    assert last.stdout is not None
    out = last.stdout.read()
    said = [process.stderr.read() if process.stderr else b"" for process in processes]
    assert [process.wait(timeout=WAIT_S) for process in processes] == [0] * len(processes), said
    return out, said


def wav_of(x: Array, path: Path) -> bytes:
    write_audio(path, x, 8000, "PCM_16")
    return path.read_bytes()


SOX = ["sox", "-V1", "-t", "wav", "-", "-t", "wav", "-"]
FFMPEG = ["ffmpeg", "-loglevel", "error", "-i", "-", "-f", "wav", "-"]


@pytest.mark.parametrize(
    "before", [pytest.param(SOX, marks=needs_sox), pytest.param(FFMPEG, marks=needs_ffmpeg)], ids=["sox", "ffmpeg"]
)
@pytest.mark.parametrize(
    "after", [pytest.param(SOX, marks=needs_sox), pytest.param(FFMPEG, marks=needs_ffmpeg)], ids=["sox", "ffmpeg"]
)
def test_wav_between_others(
    before: list[str], after: list[str], tiny_model: Path, mix: Array, wanted: Array, tmp_path: Path
) -> None:
    """WAV of unknown length on both sides, through tools that write and read it."""
    ours = [*COMMAND, "--model", str(tiny_model)]
    out, said = piped(before, ours, after, data=wav_of(mix, tmp_path / "mix.wav"))
    file = io.BytesIO(out)
    form = read_wav_header(file.read, "out")
    assert (form.channels, form.rate_hz, form.samples) == (2, 8000, "s16le")
    assert file.read() == raw(wanted.T)
    assert b"corrupt" not in said[2] and b"Premature" not in said[2]


@needs_sox
@pytest.mark.parametrize(("encoding", "bits", "samples"), [("signed", 24, "s24le"), ("float", 32, "f32le")])
def test_sample_formats_of_sox(
    tiny_model: Path, mix: Array, wanted: Array, tmp_path: Path, encoding: str, bits: int, samples: str
) -> None:  # fmt: skip
    convert = ["sox", "-V1", "-t", "wav", "-", "-e", encoding, "-b", str(bits)]
    ours = [*COMMAND, "--model", str(tiny_model)]
    data = wav_of(mix, tmp_path / "mix.wav")
    for container, more in (("wav", ["--to", "raw"]), ("raw", ["--format", samples])):
        out, _ = piped([*convert, "-t", container, "-"], [*ours, *more], data=data)
        assert out == encode(wanted.T, samples)[0]
