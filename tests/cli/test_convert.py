"""refbss convert: files in, files out, and one line for everything that cannot be converted."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

Run = Callable[..., Any]
Named = dict[str, np.ndarray]


def gru(units: int = 2, inputs: int = 3, prefix: str = "enc.", dtype: str = "float32") -> Named:
    rng = np.random.default_rng(0)
    shapes = {"weight_ih": (3 * units, inputs), "weight_hh": (3 * units, units)}
    shapes |= {"bias_ih": (3 * units,), "bias_hh": (3 * units,)}
    return {f"{prefix}{name}_l0": rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A GRU and a linear layer, with metadata."""
    save_file(gru() | {"fc.weight": np.ones((2, 2))}, tmp_path / "m.safetensors", {"epoch": "7", "by": "me"})
    return tmp_path / "m.safetensors"


def same(a: Named, b: Named) -> bool:
    return a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and np.array_equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("layout", ["keras", "onnx", "refbss", "torch"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_there_and_back(run: Run, weights: Path, tmp_path: Path, layout: str, suffix: str) -> None:
    there, back = tmp_path / f"there{suffix}", tmp_path / "back.safetensors"
    assert run("convert", weights, there, "--from", "torch", "--to", layout).code == 0
    assert run("convert", there, back, "--from", layout, "--to", "refbss").code == 0
    assert same(load_file(back), load_file(weights))
    if suffix == ".safetensors":
        with safe_open(back, "numpy") as file:
            assert file.metadata() == {"epoch": "7", "by": "me"}
    assert not list(tmp_path.glob(".*"))


def test_a_file_that_is_there_is_replaced(run: Run, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    out.write_text("old")
    assert run("convert", weights, out, "--from", "torch", "--to", "keras").code == 0
    assert out.read_bytes()[:2] == b"PK"
    assert "OUT that exists is replaced" in " ".join(run("convert", "--help").out.split())


def test_the_report(run: Run, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "keras.safetensors"
    ran = run("convert", weights, out, "--from", "torch", "--to", "keras")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"{out}: torch to keras, 4 tensors converted, 1 unchanged",
        "  gru   enc.weight_ih_l0                ->  enc.kernel_l0",
        "  gru   enc.weight_hh_l0                ->  enc.recurrent_kernel_l0",
        "  gru   enc.bias_ih_l0, enc.bias_hh_l0  ->  enc.bias_l0",
        "  same  fc.weight",
    ]


def test_json(run: Run, weights: Path, tmp_path: Path) -> None:
    ran = run("convert", weights, tmp_path / "o.npz", "--from", "torch", "--to", "onnx", "--json")
    result = json.loads(ran.out)
    assert (result["from"], result["to"], result["out"]) == ("torch", "onnx", str(tmp_path / "o.npz"))
    assert result["converted"][2] == {"cell": "gru", "from": ["enc.bias_ih_l0", "enc.bias_hh_l0"], "to": ["enc.B_l0"]}
    assert result["unchanged"] == ["fc.weight"]
    with np.load(tmp_path / "o.npz", allow_pickle=False) as held:
        assert held["enc.B_l0"].shape == (1, 12) and held["enc.B_l0"].dtype == np.float32


def test_an_lstm_for_keras(run: Run, tmp_path: Path) -> None:
    lstm = {"weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2))}
    lstm |= {"bias_ih_l0": np.ones(8), "bias_hh_l0": np.full(8, 2.0)}
    save_file(lstm, tmp_path / "m.safetensors")
    call = ("convert", tmp_path / "m.safetensors", tmp_path / "o.safetensors", "--from", "torch", "--to", "keras")
    ran = run(*call)
    assert ran.code == 2 and ran.err.startswith(
        "refbss: error: convert: the recurrent bias of the LSTM of weight_hh_l0"
    )
    assert "wanted --sum-biases" in ran.err and ran.err.count("\n") == 1 and not (tmp_path / "o.safetensors").exists()
    assert run(*call, "--sum-biases").code == 0
    assert np.array_equal(load_file(tmp_path / "o.safetensors")["bias_l0"], np.full(8, 3.0))


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "complex64"])
def test_types_are_kept(run: Run, tmp_path: Path, dtype: str) -> None:
    save_file(gru(dtype=dtype), tmp_path / "m.safetensors")
    assert run("convert", tmp_path / "m.safetensors", tmp_path / "o.npz", "--from", "torch", "--to", "keras").code == 0
    assert run("convert", tmp_path / "o.npz", tmp_path / "b.safetensors", "--from", "keras", "--to", "torch").code == 0
    assert same(load_file(tmp_path / "b.safetensors"), gru(dtype=dtype))


# ---------------------------------------------------------------- what is refused


def bfloat16() -> bytes:
    said = {"__metadata__": {"a": "b"}, "x.w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    header = json.dumps(said).encode()
    return struct.pack("<Q", len(header)) + header + b"1234"


def an_npz(tmp_path: Path, **arrays: Any) -> bytes:
    np.savez(tmp_path / "made.npz", **arrays)
    return (tmp_path / "made.npz").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.safetensors", bfloat16(), "x.w is BF16, which NumPy has no type for"),
        ("m.safetensors", b"", "header too small, wanted a safetensors file"),
        ("m.safetensors", b"\x10" + bytes(7) + b"not json at all", "wanted a safetensors file"),
        ("m.npz", b"", "wanted an npz file of plain arrays"),
        ("m.npz", b"PK\x03\x04 nothing of the kind", "wanted an npz file of plain arrays"),
        ("m.pt", b"", "suffix is '.pt', wanted .safetensors or .npz"),
    ],
)
def test_files_that_cannot_be_read(run: Run, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    ran = run("convert", tmp_path / name, tmp_path / "o.npz", "--from", "torch", "--to", "onnx")
    assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1
    assert ran.err.startswith(f"refbss: error: {tmp_path / name}: ") and message in ran.err
    assert not (tmp_path / "o.npz").exists()


def test_objects_in_an_npz(run: Run, tmp_path: Path) -> None:
    content = an_npz(tmp_path, weight_ih_l0=np.array([{}, None]))
    (tmp_path / "m.npz").write_bytes(content)
    ran = run("convert", tmp_path / "m.npz", tmp_path / "o.npz", "--from", "torch", "--to", "onnx")
    assert ran.code == 2 and "Object arrays cannot be loaded" in ran.err


@pytest.mark.parametrize("whole", [True, False], ids=["flipped", "cut"])
def test_a_damaged_npz(run: Run, tmp_path: Path, whole: bool) -> None:
    content = bytearray(an_npz(tmp_path, **gru()))
    content[200] ^= 0xFF  # a number of the first array
    (tmp_path / "m.npz").write_bytes(content if whole else content[: len(content) // 2])
    ran = run("convert", tmp_path / "m.npz", tmp_path / "o.npz", "--from", "torch", "--to", "onnx")
    assert ran.code == 2 and "wanted an npz file of plain arrays" in ran.err


def test_a_type_that_safetensors_cannot_hold(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(an_npz(tmp_path, **gru(), note=np.array("text")))
    ran = run("convert", tmp_path / "m.npz", tmp_path / "o.safetensors", "--from", "torch", "--to", "onnx")
    assert ran.code == 2 and "note is <U4, which safetensors cannot hold, wanted .npz" in ran.err
    assert not (tmp_path / "o.safetensors").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("m.safetensors", "m.safetensors: is IN itself, wanted another file"),
        ("none/o.npz", "there is no folder"),
        ("o.onnx", "suffix is '.onnx', wanted .safetensors or .npz"),
    ],
)
def test_where_out_cannot_be(run: Run, weights: Path, tmp_path: Path, out: str, message: str) -> None:
    before = weights.read_bytes()
    ran = run("convert", weights, tmp_path / out, "--from", "torch", "--to", "onnx")
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1
    assert weights.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_usage(run: Run, weights: Path, tmp_path: Path) -> None:
    for more in (["--from", "torch"], ["--to", "onnx"], ["--from", "jax", "--to", "onnx"]):
        assert run("convert", weights, tmp_path / "o.npz", *more).code == 2
    ran = run("convert", tmp_path / "no.safetensors", tmp_path / "o.npz", "--from", "torch", "--to", "onnx")
    assert ran.code == 2 and "no.safetensors: No such file or directory, wanted a file of arrays" in ran.err


def test_the_layouts_of_the_option_are_those_there_are() -> None:
    from refbss.conformance.convert import LAYOUTS
    from refbss_cli import convert

    assert convert.LAYOUTS == LAYOUTS
