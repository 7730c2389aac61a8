"""Audio files: exact round trips, block-wise reading, one clear line for every bad file, nothing half written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from refbss import InputError
from refbss.data.audio_io import AudioReader, AudioWriter, read_audio, resample, write_audio

RATE_HZ = 8000


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.9, 0.9, (2, 5001)).astype(np.float32)


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", None), ("a.wav", "DOUBLE")])
def test_round_trip_is_exact(tmp_path: Path, x: np.ndarray, name: str, subtype: str | None) -> None:
    write_audio(tmp_path / name, x, RATE_HZ, subtype)
    y, rate_hz = read_audio(tmp_path / name)
    assert rate_hz == RATE_HZ
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    ("name", "subtype", "bits"),
    [("a.flac", None, 24), ("a.flac", "PCM_16", 16), ("a.wav", "PCM_32", 32), ("a.wav", "PCM_16", 16)],
)
def test_integers_are_rounded_to_the_nearest_step(
    tmp_path: Path, x: np.ndarray, name: str, subtype: str | None, bits: int
) -> None:
    write_audio(tmp_path / name, x, RATE_HZ, subtype)
    y, _ = read_audio(tmp_path / name, dtype="float64")
    np.testing.assert_array_equal(y, np.rint(x.astype(np.float64) * 2 ** (bits - 1)) / 2 ** (bits - 1))


def test_the_same_samples_give_the_same_bytes(tmp_path: Path, x: np.ndarray) -> None:
    """libsndfile writes the time of day into float WAV files; it must not be there."""
    write_audio(tmp_path / "a.wav", x, RATE_HZ)
    data = (tmp_path / "a.wav").read_bytes()
    at = data.index(b"PEAK")
    assert data[at + 12 : at + 16] == bytes(4)


def test_blocks_are_the_file(tmp_path: Path, x: np.ndarray) -> None:
    write_audio(tmp_path / "a.wav", x, RATE_HZ)
    with AudioReader(tmp_path / "a.wav") as reader:
        assert (reader.rate_hz, reader.channels, reader.frames) == (RATE_HZ, 2, 5001)
        blocks = list(reader.blocks(1000))
        assert reader.read(10).shape == (2, 0)
    assert [block.shape[1] for block in blocks] == [1000] * 5 + [1]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), x)


def test_a_part_of_a_file(tmp_path: Path, x: np.ndarray) -> None:
    write_audio(tmp_path / "a.flac", x, RATE_HZ)
    whole, _ = read_audio(tmp_path / "a.flac")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac", start=100, frames=50)[0], whole[:, 100:150])
    with pytest.raises(InputError, match=r"a\.flac: frames is 10 from 5000 on, the file has 5001"):
        read_audio(tmp_path / "a.flac", start=5000, frames=10)
    with pytest.raises(InputError, match=r"start is 6000, the file has 5001 frames"):
        read_audio(tmp_path / "a.flac", start=6000)


def test_resampling_keeps_a_tone(tmp_path: Path) -> None:
    """A tone of 440 Hz at 22050 Hz is the tone of 440 Hz at 8000 Hz, away from the ends."""

    def wave(rate_hz: int) -> np.ndarray:
        return 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)

    write_audio(tmp_path / "a.wav", wave(22050), 22050)
    y, rate_hz = read_audio(tmp_path / "a.wav", resample_hz=RATE_HZ)
    assert (rate_hz, y.shape, y.dtype) == (RATE_HZ, (1, RATE_HZ), np.float32)
    np.testing.assert_allclose(y[0, 200:-200], wave(RATE_HZ)[200:-200], atol=1e-3)  # ripple of the filter
    assert resample(wave(16000), 16000, 8000).shape == (8000,)


def _bad_files(folder: Path) -> dict[str, Path]:
    tone = np.sin(np.arange(4000) * 0.1).astype(np.float32) / 2
    for name in ("good.wav", "good.flac"):
        write_audio(folder / name, tone, RATE_HZ)
    soundfile.write(folder / "good.aiff", tone, RATE_HZ)
    for kind in ("wav", "flac", "aiff"):
        data = (folder / f"good.{kind}").read_bytes()
        (folder / f"half.{kind}").write_bytes(data[: len(data) // 2])
        (folder / f"head.{kind}").write_bytes(data[:20])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_bytes(b"no audio at all, " * 50)
    soundfile.write(folder / "none.wav", np.zeros(0), RATE_HZ)
    data = bytearray((folder / "good.flac").read_bytes())
    data[21] &= 0xF0  # STREAMINFO starts at byte 8; the low 36 bits of its bytes 13 to 17 are the number of samples
    data[22:26] = bytes(4)
    (folder / "open.flac").write_bytes(data)
    soundfile.write(folder / "rate.wav", tone, 2**31 - 1)
    tone[1234] = np.nan
    soundfile.write(folder / "nan.wav", tone, RATE_HZ, subtype="FLOAT")
    tone[1234] = -np.inf
    soundfile.write(folder / "inf.wav", np.stack([np.zeros(4000), tone], 1), RATE_HZ, subtype="FLOAT")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("half.wav", r"is truncated, holds 79\d\d of 16000 bytes of samples"),
        ("half.aiff", r"is truncated, holds 39\d\d of 8008 bytes of samples"),
        ("half.flac", r"is truncated or damaged after frame 0 of 4000 \(.*\)"),
        ("head.wav", r"is not audio that can be read \(.*\), wanted WAV or FLAC"),
        ("head.flac", r"is not audio that can be read \(.*\), wanted WAV or FLAC"),
        ("head.aiff", r"is not audio that can be read \(.*\), wanted WAV or FLAC"),
        ("empty.wav", r"is empty \(0 bytes\), wanted an audio file"),
        ("text.wav", r"is not audio that can be read \(Format not recognised\), wanted WAV or FLAC"),
        ("none.wav", r"holds no samples"),
        ("open.flac", r"its header does not say how many samples follow, wanted a file of known length"),
        ("rate.wav", r"sample rate is 2147483647 Hz, wanted 1 to 1000000 Hz"),
        ("nan.wav", r"holds nan at frame 1234, channel 0, wanted finite samples"),
        ("inf.wav", r"holds -inf at frame 1234, channel 1, wanted finite samples"),
    ],
)
def test_bad_files_name_themselves(tmp_path: Path, name: str, message: str) -> None:
    path = _bad_files(tmp_path)[name]
    with pytest.raises(InputError, match=rf"^.*{name}: {message}$"):
        read_audio(path)


def test_a_bad_sample_is_found_in_any_block(tmp_path: Path) -> None:
    path = _bad_files(tmp_path)["nan.wav"]
    with AudioReader(path) as reader, pytest.raises(InputError, match="holds nan at frame 1234"):
        list(reader.blocks(500))


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.wav: no such file$"):
        read_audio(tmp_path / "gone.wav")
    with pytest.raises(InputError, match=r"is a folder, wanted an audio file$"):
        read_audio(tmp_path)


def test_rates_that_cannot_be_resampled_name_the_file(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.zeros(9), 999983)
    with pytest.raises(InputError, match=r"a\.wav: cannot resample from 999983 Hz to 8000 Hz, wanted rates at most"):
        read_audio(tmp_path / "a.wav", resample_hz=8000)


@pytest.mark.parametrize("name", ["a\0b.wav", "a\ud800.wav", "a" * 5000 + ".wav"])
def test_names_that_are_no_paths(tmp_path: Path, name: str) -> None:
    for refuse in (lambda: read_audio(tmp_path / name), lambda: write_audio(tmp_path / name, np.zeros(9), RATE_HZ)):
        with pytest.raises(InputError, match=r"is not a path \(.*\)$|cannot be reached \(File name too long\)$"):
            refuse()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_not_utf8(tmp_path: Path, x: np.ndarray) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    write_audio(path, x, RATE_HZ)
    np.testing.assert_array_equal(read_audio(path)[0], x)
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9.wav"]


def test_a_length_that_a_pipe_could_not_know_is_accepted(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.full(100, 0.25), RATE_HZ, "PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(data)
    assert read_audio(tmp_path / "a.wav")[0].shape == (1, 100)


@pytest.mark.parametrize("value", [1.0, -1.01])
@pytest.mark.parametrize(("name", "subtype"), [("a.flac", None), ("a.wav", "PCM_16")])
def test_integers_refuse_to_clip(tmp_path: Path, value: float, name: str, subtype: str | None) -> None:
    x = np.zeros((2, 50))
    x[1, 7] = value
    with pytest.raises(InputError, match=r"at frame 7, channel 1 would clip in PCM_\d\d, wanted magnitudes below 1"):
        write_audio(tmp_path / name, x, RATE_HZ, subtype)
    assert not list(tmp_path.iterdir())


def test_float_keeps_what_lies_above_full_scale(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.array([0.0, 3.5, -2.0]), RATE_HZ)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], [[0.0, 3.5, -2.0]])


@pytest.mark.parametrize(
    ("name", "x", "subtype", "message"),
    [
        ("a.mp3", np.zeros(4), None, r"suffix is '.mp3', wanted .wav or .flac"),
        ("a.flac", np.zeros(4), "FLOAT", r"subtype is 'FLOAT', wanted one of PCM_24, PCM_16"),
        ("a.wav", np.array([0.0, np.nan]), None, r"block holds nan at frame 1, channel 0, wanted finite samples"),
        ("a.wav", np.zeros((1, 2, 3)), None, r"block has shape \(1, 2, 3\), wanted \(1, n\)"),
        ("a.wav", np.zeros(0), None, r"no samples were written"),
        ("no/a.wav", np.zeros(4), None, r"cannot be written, the folder .*no does not exist"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, x: np.ndarray, subtype: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_audio(tmp_path / name, x, RATE_HZ, subtype)
    assert not list(tmp_path.iterdir())


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, np.full(10, 0.5), RATE_HZ)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), AudioWriter(path, RATE_HZ) as writer:
        writer.write(np.zeros(5, np.float32))
        assert path.read_bytes() == before
        raise RuntimeError("stop")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(InputError, match=r"a\.wav: cannot be written \(.*\)$"), AudioWriter(path, RATE_HZ) as writer:
        writer.write(np.zeros(5))
        path.mkdir()
    with pytest.raises(InputError, match=r"a\.wav: is a folder, wanted the name of a file"):
        AudioWriter(path, RATE_HZ)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_blocks_written_are_one_file(tmp_path: Path, x: np.ndarray) -> None:
    with AudioWriter(tmp_path / "a.wav", RATE_HZ, channels=2) as writer:
        for start in range(0, 5001, 999):
            writer.write(x[:, start : start + 999])
    write_audio(tmp_path / "b.wav", x, RATE_HZ)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_a_wav_file_ends_at_4_gib(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "a.wav", RATE_HZ) as writer:
        writer.write(np.zeros(5))
        writer.frames = 2**30
        with pytest.raises(InputError, match="passes 4 GiB"):
            writer.write(np.zeros(5))
        writer.frames = 5
