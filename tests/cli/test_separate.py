"""refbss separate: files of any kind and length, bad ones among good ones, and nothing lost or changed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from refbss.data.audio_io import AudioWriter, read_audio, resample, write_audio
from refbss.separation import Separator

Run = Callable[..., Any]
Record = Callable[..., Path]


def test_one_file(run: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    path = record("talk.wav", 1.3)
    ran = run("separate", path, "--model", tiny_model, "--out", tmp_path / "out" / "deep")
    assert ran.code == 0
    names = [tmp_path / "out" / "deep" / f"talk_est{p}.wav" for p in (1, 2)]
    assert sorted((tmp_path / "out" / "deep").iterdir()) == names
    assert ran.out.startswith(f"{path}: 1.30 s, real-time factor ") and str(names[1]) in ran.out
    mix, rate_hz = read_audio(path)
    wanted = Separator(tiny_model).separate(mix[0], rate_hz)
    for name, estimate in zip(names, wanted, strict=True):
        assert soundfile.info(name).subtype == "FLOAT"
        samples, rate = read_audio(name)
        assert rate == 8000 and np.array_equal(samples[0], estimate)


def test_loud_signals_are_neither_clipped_nor_rescaled(
    run: Run, record: Record, tiny_model: Path, tmp_path: Path
) -> None:
    path = record("loud.wav", level=100.0)
    assert run("separate", path, "--model", tiny_model, "--out", tmp_path).code == 0
    wanted = Separator(tiny_model).separate(read_audio(path)[0][0], 8000)
    assert np.abs(wanted).max() > 1.5
    assert np.array_equal(read_audio(tmp_path / "loud_est2.wav")[0][0], wanted[1])


def test_json(run: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    good, bad = record("good.flac", level=0.05), tmp_path / "bad.wav"
    arguments = ("separate", good, bad, "--model", tiny_model, "--out", tmp_path / "out", "--engine", "reference")
    ran = run(*arguments, "--json")
    assert ran.code == 1 and ran.out.count("\n") == 1
    result = json.loads(ran.out)
    first, second = result["files"]
    assert (result["failed"], result["engine"]) == (1, "reference")
    assert first["outputs"] == [str(tmp_path / "out" / f"good_est{p}.wav") for p in (1, 2)]
    assert (first["rate_hz"], first["seconds"], first["error"]) == (8000, 0.5, None) and first["rtf"] > 0
    assert (second["file"], second["outputs"], second["rtf"]) == (str(bad), [], None)
    assert second["error"] == f"{bad}: no such file"


def test_bad_files_cost_a_line_each_and_the_others_are_done(
    run: Run, record: Record, tiny_model: Path, tmp_path: Path
) -> None:
    def put(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    def put_samples(name: str, samples: Any) -> Path:
        soundfile.write(tmp_path / name, samples, 8000, subtype="FLOAT")
        return tmp_path / name

    nan = np.full(9000, 0.1, np.float32)
    nan[8500] = np.nan
    wav, flac = record("whole.wav").read_bytes(), record("whole.flac", 3.0).read_bytes()
    (tmp_path / "folder.wav").mkdir()
    bad = {
        put("empty.wav", b""): "is empty",
        put_samples("header.wav", np.zeros(0)): "holds no samples",
        put_samples("silent.wav", np.zeros(100)): "is silent, every sample is zero",
        put_samples("nan.wav", nan): "holds nan at frame 8500, channel 0, wanted finite samples",
        put_samples("huge.wav", np.full(100, 3e38)): "the estimates pass the range of float32",
        put("cut.wav", wav[:-100]): "is truncated",
        put("torn.flac", flac[: len(flac) // 2]): "is truncated or damaged",
        put("text.wav", b"not audio at all\n" * 9): "is not audio that can be read",
        tmp_path / "folder.wav": "is a folder",
        tmp_path / "none.wav": "no such file",
        record(
            "fast.wav", rate_hz=16000
        ): "sample rate is 16000 Hz, wanted 8000 Hz as the model has; convert with --resample",
        record("stereo.wav", channels=2): "has 2 channels, wanted 1; choose one with --channel",
    }
    out = tmp_path / "out"
    out.mkdir()
    (out / "nan_est1.wav").write_bytes(b"from before")
    files = [record("first.wav"), *bad, record("last.wav")]
    ran = run("separate", *files, "--model", tiny_model, "--out", out)
    assert ran.code == 1
    errors = [line for line in ran.err.splitlines() if line.startswith("refbss: error: ")]
    assert len(errors) == len(bad) and "Traceback" not in ran.err
    for (path, reason), line in zip(bad.items(), errors, strict=True):
        assert path.name in line, line
        assert reason in line, line
    names = sorted(path.name for path in out.iterdir())
    assert names == ["first_est1.wav", "first_est2.wav", "last_est1.wav", "last_est2.wav", "nan_est1.wav"]
    assert (out / "nan_est1.wav").read_bytes() == b"from before"


def test_a_target_that_cannot_be_written_costs_a_line(
    run: Run, record: Record, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, files = tmp_path / "out", [record(f"{name}.wav") for name in ("folder", "full", "big", "good")]
    (out / "folder_est1.wav").mkdir(parents=True)
    write = AudioWriter.write

    def fail(writer: AudioWriter, block: Any) -> None:
        if writer.path.name.startswith("full"):
            raise OSError(28, "No space left on device", str(writer.path))
        if writer.path.name.startswith("big"):
            raise MemoryError("Unable to allocate 7 TiB")
        write(writer, block)

    monkeypatch.setattr(AudioWriter, "write", fail)
    ran = run("separate", *files, "--model", tiny_model, "--out", out, "--json")
    assert ran.code == 1 and "Traceback" not in ran.err
    errors = [result["error"] for result in json.loads(ran.out)["files"]]
    assert errors[0] == f"{files[0]}: {out / 'folder_est1.wav'} cannot be written, it is a folder"
    assert errors[1] == f"{files[1]}: {out / 'full_est1.wav'}: No space left on device"
    assert errors[2:] == [f"{files[2]}: out of memory: Unable to allocate 7 TiB", None]
    assert sorted(path.name for path in out.iterdir()) == ["folder_est1.wav", "good_est1.wav", "good_est2.wav"]


def test_sigterm_leaves_nothing_half_written(
    run: Run, record: Record, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record("talk.wav")
    monkeypatch.setattr(AudioWriter, "write", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    ran = run("separate", path, "--model", tiny_model, "--out", tmp_path / "out")
    assert ran.code == 143 and ran.err.splitlines()[-1] == "refbss: terminated"
    assert list((tmp_path / "out").iterdir()) == []


def test_out_that_is_a_file(run: Run, record: Record, tiny_model: Path) -> None:
    path = record("talk.wav")
    ran = run("separate", path, "--model", tiny_model, "--out", path)
    assert ran.code == 2 and ran.err.splitlines()[-1].endswith(f"Directory '{path}' is a file.")


@pytest.mark.filterwarnings("error")
def test_very_quiet_files(run: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    path = record("quiet.wav", level=1e-40)
    ran = run("separate", path, "--model", tiny_model, "--out", tmp_path / "out")
    assert ran.code == 0 and "worked on at +7" in ran.out
    assert read_audio(tmp_path / "out" / "quiet_est1.wav")[0].any()


def test_what_would_overwrite_is_refused_before_anything_is_done(
    run: Run, record: Record, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    one, other, third = record("a.wav"), record("a.flac"), record("b/a.wav")
    output = record("a_est2.wav")
    for files, message in [
        ((one, other), "a.wav and .*a.flac would both write .*a_est1.wav"),
        ((one, third), "would both write"),
        ((one, one), "is given twice"),
        ((output, one), "a_est2.wav of .*a.wav would replace an input"),
    ]:
        ran = run("separate", *files, "--model", tiny_model, "--out", tmp_path)
        assert ran.code == 2 and ran.out == ""
        assert re.search(message, ran.err), ran.err
    assert not (tmp_path / "a_est1.wav").exists()


@pytest.mark.parametrize("rate_hz", [16000, 11025])
def test_resample_gives_the_rate_and_length_of_the_file(
    run: Run, record: Record, tiny_model: Path, tmp_path: Path, rate_hz: int
) -> None:
    path = record("talk.wav", 2.0101, rate_hz=rate_hz)
    assert run("separate", path, "--model", tiny_model, "--out", tmp_path, "--resample").code == 0
    mix, _ = read_audio(path)
    down = resample(mix[0], rate_hz, 8000)
    wanted = resample(Separator(tiny_model).separate(down, 8000), 8000, rate_hz)[:, : mix.shape[1]]
    for p in (1, 2):
        est, rate = read_audio(tmp_path / f"talk_est{p}.wav")
        assert rate == rate_hz and est.shape == mix.shape
        assert np.abs(est[0] - wanted[p - 1]).max() <= 5e-6 * np.abs(wanted).max()


def test_channels_count_from_one(run: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    path = record("two.wav", channels=2)
    second = tmp_path / "second.wav"
    write_audio(second, read_audio(path)[0][1], 8000)
    arguments = ("--model", tiny_model, "--out", tmp_path / "out")
    assert run("separate", path, *arguments, "--channel", 2).code == 0
    assert run("separate", second, *arguments).code == 0
    two, one = (tmp_path / "out" / f"{name}_est1.wav" for name in ("two", "second"))
    assert two.read_bytes() == one.read_bytes()
    ran = run("separate", path, *arguments, "--channel", 3)
    assert ran.code == 1 and "two.wav: has 2 channels, --channel is 3" in ran.err
    assert run("separate", path, *arguments, "--channel", 0).code == 2


def test_the_length_costs_no_memory(run: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    def peak(seconds: float) -> int:
        path = record(f"{seconds:g}.wav", seconds)
        tracemalloc.start()
        assert run("separate", path, "--model", tiny_model, "--out", tmp_path).code == 0
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(9.0)
    assert peak(90.0) <= 1.1 * peak(9.0) + 1e6


def test_equal_inputs_give_equal_bytes(run: Run, record: Record, tiny_model: Path, tmp_path: Path) -> None:
    path = record("talk.wav")
    for out in ("one", "two"):
        assert run("separate", path, "--model", tiny_model, "--out", tmp_path / out).code == 0
    assert (tmp_path / "one" / "talk_est1.wav").read_bytes() == (tmp_path / "two" / "talk_est1.wav").read_bytes()


def test_no_model(run: Run, record: Record, tmp_path: Path) -> None:
    ran = run("separate", record("a.wav"), "--model", tmp_path, "--out", tmp_path / "out")
    assert ran.code == 2 and "holds no checkpoint" in ran.err
    assert not (tmp_path / "out").exists()


def test_the_bundled_model_from_the_shell(record: Record, tmp_path: Path) -> None:
    path = record("talk.wav")
    command = [sys.executable, "-m", "refbss_cli.main", "separate", path, "--out", tmp_path / "out", "--json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "bundled"
    assert len(list((tmp_path / "out").iterdir())) == 2
