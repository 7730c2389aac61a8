"""refbss stream: files in, files and samples out, every option, and what is refused."""

from __future__ import annotations

import io
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from refbss._types import Array
from refbss.data.audio_io import read_audio, write_audio
from refbss.data.pcm import PcmFormat, decode, encode, read_wav_header
from refbss.separation import Separator
from refbss_cli.main import main

Run = Callable[..., Any]
Record = Callable[..., Path]


@pytest.fixture
def run_binary(capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Any]:
    """Run ``refbss stream`` in this process: exit code, bytes on stdout, text on stderr."""

    def call(*arguments: object) -> tuple[int, bytes, str]:
        code = main(["stream", *map(str, arguments)])
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()

    return call


def samples_of(out: bytes) -> tuple[Array, PcmFormat]:
    """A WAV stream as (channels, N), and its format."""
    file = io.BytesIO(out)
    form = read_wav_header(file.read, "out")
    return decode(file.read(), form.samples).reshape(-1, form.channels).T, form


def offline(model: Path, x: Array, rate_hz: int = 8000, gain: float = 1.0) -> Array:
    found = Separator(model).separate_blocks([x], rate_hz, resample=True, gain=gain)
    return np.concatenate(list(found), axis=1)


def test_wav_to_wav(run_binary: Run, record: Record, tiny_model: Path) -> None:
    path = record("talk.wav", 1.3001)
    code, out, err = run_binary("--in", path, "--model", tiny_model)
    est, form = samples_of(out)
    assert code == 0 and form == PcmFormat("f32le", 8000, 2)
    assert np.array_equal(est, offline(tiny_model, read_audio(path)[0][0]))
    lines = err.splitlines()
    assert lines[0] == f"refbss: {path}: f32le at 8000 Hz; latency 2 ms"
    assert lines[1].startswith(f"{path}: 1.30 s, real-time factor 0.")


@pytest.mark.parametrize("samples", ["s16le", "s24le", "s32le", "f32le"])
@pytest.mark.parametrize("chunk", [1, 16, 1000])
def test_raw_to_raw(
    run_binary: Run, record: Record, tiny_model: Path, tmp_path: Path, samples: str, chunk: int
) -> None:
    data, _ = encode(read_audio(record("talk.wav", 0.1))[0][0], samples)
    raw = tmp_path / "in.raw"
    raw.write_bytes(data)
    code, out, _ = run_binary("--in", raw, "--format", samples, "--model", tiny_model, "--chunk", chunk)
    wanted = offline(tiny_model, decode(data, samples))
    assert code == 0 and out == encode(wanted.T, samples)[0]


def test_containers_and_sample_formats_are_free(
    run_binary: Run, record: Record, tiny_model: Path, tmp_path: Path
) -> None:
    path, raw = record("talk.wav"), tmp_path / "in.raw"
    x = read_audio(path)[0][0]
    raw.write_bytes(x.tobytes())
    wanted = offline(tiny_model, x)
    _, out, _ = run_binary("--in", path, "--to", "raw", "--samples", "s24le", "--model", tiny_model)
    assert out == encode(wanted.T, "s24le")[0]
    _, out, _ = run_binary("--in", raw, "--format", "f32le", "--to", "wav", "--samples", "s16le", "--model", tiny_model)
    est, form = samples_of(out)
    assert form == PcmFormat("s16le", 8000, 2)
    assert np.array_equal(est, decode(encode(wanted, "s16le")[0], "s16le").reshape(2, -1))


def test_a_file_for_each_source(run: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    path = record("talk.wav", 0.7, level=3.0)
    ran = run("stream", "--in", path, "--out", tmp_path / "est" / "talk", "--model", tiny_model)
    assert ran.code == 2 and "the folder" in ran.err and "does not exist" in ran.err
    ran = run("stream", "--in", path, "--out", tmp_path / "talk", "--model", tiny_model)
    names = [tmp_path / f"talk_est{p}.wav" for p in (1, 2)]
    assert ran.code == 0 and str(names[1]) in ran.out, "stdout is free for the summary"
    wanted = offline(tiny_model, read_audio(path)[0][0])
    assert np.abs(wanted).max() > 1
    for name, estimate in zip(names, wanted, strict=True):
        assert soundfile.info(name).subtype == "FLOAT"
        assert np.array_equal(read_audio(name)[0][0], estimate)
    ran = run("stream", "--in", path, "--out", tmp_path / "talk", "--samples", "s16le", "--model", tiny_model)
    assert ran.code == 0 and soundfile.info(names[0]).subtype == "PCM_16"
    assert f"{encode(wanted, 's16le')[1]} samples were clipped" in ran.out


def test_clipping_is_counted_and_never_wraps(run_binary: Run, tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    write_audio(path, 0.99 * np.sign(np.random.default_rng(0).standard_normal(4000)), 8000, "PCM_16")
    code, out, err = run_binary("--in", path, "--model", tiny_model)
    wanted = offline(tiny_model, read_audio(path)[0][0])
    est, _ = samples_of(out)
    count = int(np.sum((np.rint(wanted * 2**15) > 2**15 - 1) | (np.rint(wanted * 2**15) < -(2**15))))
    assert code == 0 and count > 100 and f"{count} samples were clipped" in err
    assert np.abs(est - np.clip(wanted, -1, 1)).max() <= 2**-15


@pytest.mark.parametrize("rate_hz", [16000, 11025])
def test_resample(run_binary: Run, record: Record, tiny_model: Path, rate_hz: int) -> None:
    path = record("talk.wav", rate_hz=rate_hz)
    code, out, err = run_binary("--in", path, "--model", tiny_model)
    assert code == 2 and out == b""
    assert f"{path}: sample rate is {rate_hz} Hz, wanted 8000 Hz as the model has; convert with --resample" in err
    code, out, err = run_binary("--in", path, "--model", tiny_model, "--resample")
    est, form = samples_of(out)
    assert code == 0 and form.rate_hz == rate_hz and "; latency 4.4" in err
    assert np.array_equal(est, offline(tiny_model, read_audio(path)[0][0], rate_hz))


def test_channels_count_from_one(run_binary: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    path, raw = record("two.wav", channels=2), tmp_path / "two.raw"
    x, _ = read_audio(path)
    raw.write_bytes(x.T.tobytes())
    for where in (["--in", path], ["--in", raw, "--format", "f32le", "--channels", 2]):
        code, out, err = run_binary(*where, "--model", tiny_model, "--channel", 2, "--to", "wav")
        assert code == 0 and "channel 2 of 2" in err
        assert np.array_equal(samples_of(out)[0], offline(tiny_model, x[1]))
        code, out, err = run_binary(*where, "--model", tiny_model)
        assert (code, out) == (2, b"") and "has 2 channels, wanted 1; choose one with --channel" in err
        code, out, err = run_binary(*where, "--model", tiny_model, "--channel", 3)
        assert (code, out) == (2, b"") and "has 2 channels, --channel is 3" in err


def test_gain(run_binary: Run, record: Record, tiny_model: Path) -> None:
    path = record("quiet.wav", 1.0, level=0.003)
    x = read_audio(path)[0][0]
    _, out, _ = run_binary("--in", path, "--model", tiny_model, "--gain", "20")
    assert np.array_equal(samples_of(out)[0], offline(tiny_model, x, gain=10.0))
    _, out, _ = run_binary("--in", path, "--model", tiny_model, "--gain", "auto")
    stream = Separator(tiny_model).stream(gain="auto")
    assert np.array_equal(samples_of(out)[0], np.concatenate([stream.push(x), stream.finish()], axis=1))
    for wrong in ("loud", "nan", "1e9"):
        code, out, err = run_binary("--in", path, "--gain", wrong)
        assert (code, out) == (2, b"") and "is neither auto nor a number of dB from -200 to 200" in err


def test_save_and_restore(run_binary: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    """Three runs, cut in the middle of hops, say together what one says."""
    x = read_audio(record("talk.wav", 0.5))[0][0]
    state, raw, said = tmp_path / "state", tmp_path / "part.raw", []
    common = ("--in", raw, "--format", "f32le", "--model", tiny_model)
    for part, more in (
        (x[:1003], ("--save", state)),
        (x[1003:1010], ("--restore", state, "--save", state)),
        (x[1010:], ("--restore", state)),
    ):
        raw.write_bytes(part.tobytes())
        code, out, _ = run_binary(*common, *more)
        assert code == 0
        said.append(np.frombuffer(out, np.float32).reshape(-1, 2))
    assert [len(part) for part in said] == [992, 16, len(x) - 1008]
    assert np.array_equal(np.concatenate(said).T, offline(tiny_model, x))
    code, out, err = run_binary("--in", raw, "--format", "f32le", "--restore", state)
    assert (code, out) == (2, b"") and "state is of another model or engine" in err
    code, out, err = run_binary(*common, "--restore", raw)
    assert (code, out) == (2, b"") and "cannot be read as safetensors" in err
    code, out, err = run_binary(*common, "--save", tmp_path / "no" / "state")
    assert (code, out) == (1, b"") and "No such file" in err


def test_json(run_binary: Run, record: Record, tiny_model: Path) -> None:
    path = record("talk.wav")
    code, out, err = run_binary("--in", path, "--model", tiny_model, "--json")
    assert code == 0 and err.count("\n") == 1 and samples_of(out)[0].shape == (2, 4000)
    found = json.loads(err)
    assert (found["samples"], found["seconds"], found["rate_hz"], found["latency_ms"]) == (4000, 0.5, 8000, 2.0)
    assert (found["clipped"], found["error"], found["stopped"], found["outputs"]) == (0, None, None, [])
    assert found["chunks"] == 250 and 0 <= found["late"] <= 250 and found["rtf"] > 0
    assert 0 < found["chunk_ms"]["p50"] <= found["chunk_ms"]["p99"] <= found["chunk_ms"]["max"] + 1e-3


def test_json_goes_to_stdout_where_files_are_written(
    run: Run, record: Record, tiny_model: Path, tmp_path: Path
) -> None:
    ran = run("stream", "--in", record("talk.wav"), "--out", tmp_path / "est", "--model", tiny_model, "--json")
    assert ran.code == 0 and ran.err == ""
    assert json.loads(ran.out)["outputs"] == [str(tmp_path / f"est_est{p}.wav") for p in (1, 2)]


def test_stats(run_binary: Run, record: Record, tiny_model: Path) -> None:
    _, _, err = run_binary("--in", record("talk.wav"), "--model", tiny_model, "--stats")
    assert "250 chunks, ms from samples read to estimates written: median 0." in err


@pytest.mark.parametrize("out", ["-", "files"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_up_to_what_is_not_finite(run_binary: Run, tiny_model: Path, tmp_path: Path, value: float, out: str) -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal(1500, dtype=np.float32)
    x[1234] = value
    raw = tmp_path / "in.raw"
    raw.write_bytes(x.tobytes())
    target = "-" if out == "-" else tmp_path / "est"
    code, data, err = run_binary("--in", raw, "--format", "f32le", "--model", tiny_model, "--out", target)
    assert code == 2 and err.splitlines()[-1] == (
        f"refbss: error: {raw}: holds {value} at sample 1234, wanted finite samples"
    )
    wanted = offline(tiny_model, x[:1234])
    if out == "-":
        assert data == wanted.T.tobytes()
    else:
        assert np.array_equal(read_audio(tmp_path / "est_est2.wav")[0][0], wanted[1])


def test_an_input_that_is_cut(run_binary: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    path, cut = record("talk.wav"), tmp_path / "cut.wav"
    x = read_audio(path)[0][0]
    data = path.read_bytes()
    start = data.index(b"data") + 8
    cut.write_bytes(data[: start + 4 * 1000 + 3])
    code, out, err = run_binary("--in", cut, "--model", tiny_model)
    assert code == 1 and err.splitlines()[-1] == (
        f"refbss: error: {cut}: is truncated, held 4003 of 16000 bytes of samples"
    )
    assert np.array_equal(samples_of(out)[0], offline(tiny_model, x[:1000]))
    cut.write_bytes(data[start : start + 4 * 1000 + 3])
    code, out, err = run_binary("--in", cut, "--format", "f32le", "--model", tiny_model, "--json")
    lines = err.splitlines()
    assert code == 1 and lines[1] == (f"refbss: error: {cut}: ends in the middle of a sample, after 3 of its 4 bytes")
    assert json.loads(lines[0])["error"] == lines[1].removeprefix("refbss: error: ")
    assert out == offline(tiny_model, x[:1000]).T.tobytes()


def test_estimates_beyond_float32_end_it(run_binary: Run, tiny_model: Path, tmp_path: Path) -> None:
    raw = tmp_path / "in.raw"
    good = 0.1 * np.random.default_rng(0).standard_normal(160, dtype=np.float32)
    raw.write_bytes(good.tobytes() + np.full(4000, 3e38, np.float32).tobytes())
    code, out, err = run_binary("--in", raw, "--format", "f32le", "--model", tiny_model)
    assert code == 2 and "the estimates pass the range of float32" in err.splitlines()[-1]
    assert len(out) % 128 == 0 and np.isfinite(np.frombuffer(out, np.float32)).all()
    assert out[: 160 * 8] == offline(tiny_model, good).T.tobytes()


@pytest.mark.parametrize(
    ("name", "content", "form", "message"),
    [
        ("empty.wav", b"", "wav", "is empty (0 bytes), wanted a WAV stream"),
        ("empty.raw", b"", "s16le", "holds no samples, wanted a signal"),
        ("odd.raw", b"\1", "s16le", "holds no samples, wanted a signal"),
        (
            "text.wav",
            b"not audio at all\n",
            "wav",
            "begins with b'not ', wanted WAV (RIFF or RF64), or raw samples said to be so",
        ),
        ("none.wav", None, "wav", "cannot be read (No such file or directory), wanted a stream of samples"),
    ],
)
@pytest.mark.parametrize("out", ["-", "est"])
def test_inputs_that_are_nothing(
    run_binary: Run,
    tiny_model: Path,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    form: str,
    message: str,
    out: str,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    target = out if out == "-" else tmp_path / out
    code, data, err = run_binary("--in", path, "--format", form, "--model", tiny_model, "--out", target)
    assert (code, data) == (2, b"") and err.splitlines()[-1] == f"refbss: error: {path}: {message}"
    assert {left.name for left in tmp_path.iterdir()} <= {name}, "no output is left"


def test_terminals_are_refused(
    run_binary: Run, record: Record, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record("talk.wav")
    for name, arguments in (("stdout", ("--in", path)), ("stdin", ("--out", "est"))):
        with monkeypatch.context() as patched:
            patched.setattr(getattr(sys, name), "isatty", lambda: True)
            code, out, err = run_binary(*arguments, "--model", tiny_model)
        assert (code, out) == (2, b"") and f"stream: {name} is a terminal, wanted a pipe or a file" in err


def test_what_would_be_ignored_or_lost_is_refused(
    run_binary: Run, record: Record, tiny_model: Path, tmp_path: Path
) -> None:
    path = record("a_est1.wav")
    for arguments, message in [
        (("--rate", 8000), "--rate is of raw samples; the header of WAV says it."),
        (("--channels", 1), "--channels is of raw samples"),
        (("--out", tmp_path / "b", "--to", "raw"), "--to is what goes to stdout; files are WAV."),
        (("--out", tmp_path), "a folder, wanted the beginning of a file name"),
        (("--out", tmp_path / "a"), "a_est1.wav would replace the input"),
        (("--chunk", 0), "0 is not in the range"),
        (("--model", tmp_path), "holds no checkpoint"),
    ]:
        code, out, err = run_binary("--in", path, "--model", tiny_model, *arguments)
        assert (code, out) == (2, b"") and message in err, err
    assert struct.unpack("<4s", path.read_bytes()[:4]) == (b"RIFF",)
