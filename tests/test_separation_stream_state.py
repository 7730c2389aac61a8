"""The state of a stream, put away and put back: bit for bit as if nothing had been between, or refused."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refbss import InputError
from refbss._types import Array
from refbss.separation import Separator
from refbss.separation_stream import SeparationStream, load_state, save_state

RATE_HZ, BLOCK = 8000, 512
repeatable = settings(derandomize=True, deadline=None, max_examples=30)


@pytest.fixture(scope="module")
def separator(checkpoint: Path) -> Separator:
    made = Separator(checkpoint)
    assert made.config.hop * made.config.block == BLOCK
    return made


def noise(samples: int) -> Array:
    return 0.1 * np.random.default_rng(0).standard_normal(samples, dtype=np.float32)


def rest(stream: SeparationStream, mix: Array) -> Array:
    return np.concatenate([stream.push(mix), stream.finish()], axis=1)


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("at", [0, 5, 16, 100, BLOCK - 1, BLOCK, BLOCK + 7])
def test_through_a_file(checkpoint: Path, tmp_path: Path, engine: str, at: int) -> None:
    """In the middle of a hop, between hops, in a block and at its end."""
    separator, mix, path = Separator(checkpoint, engine=engine), noise(1500), tmp_path / "state.safetensors"
    stream = separator.stream()
    stream.push(mix[:at])
    save_state(path, stream.state())
    wanted = rest(stream, mix[at:])
    other = Separator(checkpoint, engine=engine).stream()
    other.push(mix[:77])
    other.restore(load_state(path))
    assert other.received == at
    assert np.array_equal(rest(other, mix[at:]), wanted)
    assert os.listdir(tmp_path) == [path.name]


@repeatable
@given(
    at=st.integers(0, 1500), rate_hz=st.sampled_from([RATE_HZ, 16000, 44100, 11025, 4000]),
    gain=st.sampled_from([1.0, 0.3, "auto"]),
)  # fmt: skip
def test_anywhere(separator: Separator, at: int, rate_hz: int, gain: Any) -> None:
    mix = noise(1500)
    stream, other = (separator.stream(rate_hz, resample=True, gain=gain) for _ in range(2))
    wanted = rest(stream, mix)
    stream.reset()
    first = stream.push(mix[:at])
    other.restore(stream.state())
    assert np.array_equal(np.concatenate([first, rest(other, mix[at:])], axis=1), wanted)
    assert np.array_equal(np.concatenate([first, rest(stream, mix[at:])], axis=1), wanted)


@pytest.mark.parametrize("way", ["copy", "deepcopy", "reduce"])
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 11025])
def test_a_copy_goes_on_by_itself(separator: Separator, way: str, rate_hz: int) -> None:
    mix = noise(1500)
    wanted = rest(separator.stream(rate_hz, resample=True, gain="auto"), mix)
    stream = separator.stream(rate_hz, resample=True, gain="auto")
    first = stream.push(mix[:333])
    if way == "reduce":  # what other processes are sent
        make, parts = stream.__reduce__()
        other = make(*copy.deepcopy(parts))
    else:
        other = getattr(copy, way)(stream)
    second = [each.push(mix[333:400]) for each in (other, stream)]
    for each, piece in zip((other, stream), second, strict=True):
        assert np.array_equal(np.concatenate([first, piece, rest(each, mix[400:])], axis=1), wanted)
    with pytest.raises(InputError, match="after finish"):
        copy.copy(stream).push(mix)


def test_other_states_are_refused(separator: Separator, checkpoint: Path) -> None:
    mix = noise(1500)
    stream = separator.stream(11025, resample=True)
    wanted = rest(stream, mix)
    stream.reset()
    first = stream.push(mix[:333])
    state = separator.stream(11025, resample=True).state()
    ahead = separator.stream(11025, resample=True)
    ahead.push(mix[:700])
    later = ahead.state()
    for given_state, message in [
        (separator.stream(16000, resample=True).state(), "rate_hz is 16000, wanted 11025"),
        (separator.stream(11025, resample=True, gain=2.0).state(), r"gain is 2\.0, wanted 1\.0"),
        (separator.stream(11025, resample=True, gain="auto").state(), r"unknown tensors \['level'\]"),
        (separator.stream().state(), "missing tensors .*resampler"),
        (Separator(checkpoint, engine="reference").stream(11025, resample=True).state(), "another model or engine"),
        (Separator("bundled").stream(11025, resample=True).state(), "another model or engine"),
        (later | {"received": np.array(701)}, "resampler.into has shape"),
        (later | {"received": np.array(-1)}, "received is -1"),
        (later | {"received": np.array(2**62)}, "received is"),
        (later | {"received": np.array(7.5)}, "received has dtype float64"),
        (later | {"received": np.array(7 + 1j)}, "received has dtype complex128"),
        (later | {"received": np.array([1, 2])}, "received has shape"),
        (later | {"count": np.array(later["count"] + 1)}, "count is .*, wanted .* after 700 samples"),
        (later | {"waiting": later["waiting"] * np.float32(np.nan)}, "waiting holds NaN"),
        ({name: state[name] for name in state if name != "received"}, r"missing tensors \['received'\]"),
        ([], "no mapping"),
    ]:
        with pytest.raises(InputError, match=f"stream: state.*{message}"):
            stream.restore(given_state)
    automatic = separator.stream(gain="auto")
    with pytest.raises(InputError, match=r"level is .*, wanted powers, a level and a count of at least 0"):
        automatic.restore(automatic.state() | {"level": np.array([0.0, 0.0, 0.0, -1.0, 0.0])})
    assert np.array_equal(np.concatenate([first, rest(stream, mix[333:])], axis=1), wanted)


def test_files_that_are_no_state(separator: Separator, tmp_path: Path) -> None:
    stream = separator.stream()
    whole = tmp_path / "whole"
    save_state(whole, stream.state())
    data = whole.read_bytes()
    huge = (2**40).to_bytes(8, "little") + b"{}"
    odd = b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
    for number, content in enumerate(
        [b"", b"text", data[:-5], data[:100], huge, len(odd).to_bytes(8, "little") + odd + b"0"]
    ):
        path = tmp_path / f"bad{number}"
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{path}: cannot be read as safetensors .*, wanted the state of a stream"):
            load_state(path)
    with pytest.raises(InputError, match=r"none: cannot be read .*, wanted the state of a stream"):
        load_state(tmp_path / "none")


def test_a_file_that_cannot_be_written_stays(separator: Separator, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"from before")

    def fail(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        save_state(path, separator.stream().state())
    assert path.read_bytes() == b"from before" and os.listdir(tmp_path) == ["state"]
