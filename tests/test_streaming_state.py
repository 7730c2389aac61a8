"""A hop allocates nothing, a copy has a state of its own, and a state that is put back goes on bit for bit."""

from __future__ import annotations

import copy
import dataclasses
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from refbss import InputError
from refbss.fast import lvbd_hop
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.lvbd_params import init_params
from refbss.models.params import Params
from refbss.streaming import HopStream
from refbss.verification.draw import generator, normal

TINY = LvbdConfig(
    conv_channels=(5, 6, 7), conv_kernels=(9, 5, 4), conv_strides=(4, 2, 2), gru_hidden=7, gru_sections=2, latent=6,
    block=5, time_constants=2, theta_init=(1.0, -1.0),
)  # fmt: skip
LONG = dataclasses.replace(TINY, conv_channels=(4, 7), conv_kernels=(64, 64), conv_strides=(64, 64), residual=True)
"""Hops of 4096 samples: an array of estimates has 32 kB, far above what Python allocates for a call."""
ENGINES = ("fast", "reference")


def drawn(config: LvbdConfig, seed: int = 3) -> Params:
    """Parameters without a zero among them."""
    params = init_params(config, seed)
    return {
        name: (value + 0.1 * normal(generator(0, "stream", name), *value.shape)).astype(np.float32)
        for name, value in params.items()
    }


def signal(hops: int, config: LvbdConfig = TINY) -> np.ndarray:
    return (0.3 * normal(generator(1, "stream"), hops, config.hop)).astype(np.float32)


def steps(stream: HopStream, mix: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((stream.sources, 0), np.float32), *map(stream.step, mix)], axis=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_out_is_written_and_returned(engine: str) -> None:
    stream, other = (HopStream(drawn(TINY), TINY, engine=engine) for _ in range(2))
    out = np.full((2, TINY.hop), np.nan, np.float32)
    for hop in signal(12):
        assert stream.step(hop, out) is out
        assert np.array_equal(out, other.step(hop))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((2, 15), np.float32), r"out is float32 of shape \(2, 15\), wanted float32 of shape \(2, 16\)"),
        (np.zeros((2, 16)), "out is float64"),
        (np.zeros((16, 2), np.float32).T, "out has gaps or is read-only"),
        (np.broadcast_to(np.float32(0), (2, 16)), "out has gaps or is read-only"),
        ([0.0], r"out is \[0.0\]"),
    ],
)
def test_other_outs_are_refused(out: Any, message: str) -> None:
    stream, other = (HopStream(drawn(TINY), TINY) for _ in range(2))
    (hop,) = signal(1)
    with pytest.raises(InputError, match=message):
        stream.step(hop, out)
    assert np.array_equal(stream.step(hop), other.step(hop)), "the refused step must not have moved the stream"


def peak_of(stream: HopStream, mix: np.ndarray, out: np.ndarray | None) -> int:
    """Bytes that a hop takes at most, over those that were there before."""
    stream.step(mix[0], out)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for hop in mix:
        stream.step(hop, out)
    found = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return found


def test_a_hop_allocates_no_array() -> None:
    stream, mix = HopStream(drawn(LONG), LONG), signal(9, LONG)
    out = np.zeros((2, LONG.hop), np.float32)
    assert peak_of(stream, mix, None) > out.nbytes, "the measure must see an array"
    assert peak_of(stream, mix, out) < 2048 < mix[0].nbytes


def test_thousands_of_hops_leave_nothing_behind() -> None:
    stream, mix = HopStream(drawn(TINY), TINY), signal(8)
    out = np.zeros((2, TINY.hop), np.float32)
    blocks = []
    for round_ in range(5):
        for _ in range(500):
            for hop in mix:
                stream.step(hop, out)
        if round_:
            blocks.append(sys.getallocatedblocks())
    assert max(blocks) - min(blocks) < 100, "16,000 hops: less than one object in a hundred hops"


@pytest.mark.skipif(not hasattr(lvbd_hop._hop, "signatures"), reason="NUMBA_DISABLE_JIT: there is no kernel")
def test_the_kernel_allocates_nothing() -> None:
    """Numba makes a handle for every array that it is given. A kernel that made one itself would add to them."""
    stream, mix = HopStream(drawn(TINY), TINY), signal(100)
    out = np.zeros((2, TINY.hop), np.float32)
    stream.step(mix[0], out)
    fused = stream._fused
    assert fused is not None
    handed = [fused._weights, fused._state, *fused._fixed, fused._samples, out, *fused._scratch]
    arrays = sum(isinstance(one, np.ndarray) for one in handed)
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        for hop in mix:
            stream.step(hop, out)
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert after.mi_alloc - before.mi_alloc == arrays * len(mix)
    assert after.mi_free - before.mi_free == after.mi_alloc - before.mi_alloc


@pytest.mark.skipif(not hasattr(lvbd_hop._hop, "signatures"), reason="NUMBA_DISABLE_JIT: there is no kernel")
def test_other_layouts_are_not_compiled_anew() -> None:
    stream, other = (HopStream(drawn(TINY), TINY) for _ in range(2))
    (hop,) = signal(1)
    wanted = other.step(hop)
    compiled = len(lvbd_hop._hop.signatures)
    strided, closed = np.repeat(hop, 3)[::3], np.frombuffer(hop.tobytes(), np.float32)
    for samples in (strided, closed):
        stream.reset()
        assert np.array_equal(stream.step(samples), wanted)
    assert len(lvbd_hop._hop.signatures) == compiled


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", ["copy", "deepcopy", "reduce"])
def test_a_copy_has_a_state_of_its_own(engine: str, way: str) -> None:
    stream, mix = HopStream(drawn(TINY), TINY, engine=engine), signal(20)
    steps(stream, mix[:7])
    if way == "reduce":  # what other processes are sent
        make, parts = stream.__reduce__()
        other = make(*copy.deepcopy(parts))
    else:
        other = getattr(copy, way)(stream)
    steps(other, -mix[7:10])
    wanted = HopStream(drawn(TINY), TINY, engine=engine)
    steps(wanted, mix[:7])
    assert np.array_equal(steps(stream, mix[7:]), steps(wanted, mix[7:])), "the copy moved its original"
    again = getattr(copy, "copy" if way == "reduce" else way)(stream)
    assert np.array_equal(steps(again, mix), steps(stream, mix))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("at", [0, 1, 4, 5, 6, 13])
def test_a_state_that_is_put_back_goes_on(engine: str, at: int) -> None:
    """At the beginning, in the middle of a block of five frames, at its end and behind it."""
    stream, mix = HopStream(drawn(TINY), TINY, engine=engine), signal(20)
    steps(stream, mix[:at])
    state = stream.state()
    kept = {name: array.copy() for name, array in state.items()}
    wanted = steps(stream, mix[at:])
    assert all(np.array_equal(state[name], kept[name]) for name in kept), "state() handed out its own arrays"
    other = HopStream(drawn(TINY), TINY, engine=engine)
    steps(other, mix[:3])
    other.restore(state)
    assert np.array_equal(steps(other, mix[at:]), wanted)
    assert all(np.array_equal(state[name], kept[name]) for name in kept), "restore() took the arrays themselves"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_part_of_a_state_matters(engine: str) -> None:
    """A part that restore() forgot would leave what comes after unchanged."""
    stream, mix = HopStream(drawn(TINY), TINY, engine=engine), signal(20)
    steps(stream, mix[:7])
    state = stream.state()
    wanted = steps(stream, mix[7:])
    for name in set(state) - {"digest", "count"}:
        stream.restore(state | {name: (state[name] + 1).astype(np.float32)})
        assert not np.array_equal(steps(stream, mix[7:]), wanted), name


@pytest.mark.parametrize("engine", ENGINES)
def test_other_states_are_refused(engine: str) -> None:
    stream, mix = HopStream(drawn(TINY), TINY, engine=engine), signal(20)
    steps(stream, mix[:7])
    state = stream.state()
    wanted = steps(stream, mix[7:])
    stream.restore(state)
    changed = drawn(TINY)
    changed["encoder.conv.0.bias"][0] += 1e-6
    other_engine = "reference" if engine == "fast" else "fast"
    other_norm = dataclasses.replace(TINY, norm_eps=2e-5)
    nan, short = state["memory.m"].copy(), state["memory.m"][..., :-1]
    nan[..., 0] = np.nan
    for given, message in [
        (HopStream(changed, TINY, engine=engine).state(), "of another model or engine"),
        (HopStream(drawn(TINY), other_norm, engine=engine).state(), "of another model or engine"),
        (HopStream(drawn(TINY), TINY, engine=other_engine).state(), "of another model or engine"),
        ({name: array for name, array in state.items() if name != "memory.m"}, r"missing tensors \['memory.m'\]"),
        ({name: array for name, array in state.items() if name != "digest"}, r"missing tensors \['digest'\]"),
        (state | {"more": np.zeros(1)}, r"unknown tensors \['more'\]"),
        (state | {"memory.m": short}, "tensor memory.m has shape"),
        (state | {"memory.m": state["memory.m"].astype(float)}, "tensor memory.m has dtype float64"),
        (state | {"memory.m": nan}, "tensor memory.m holds NaN or infinity"),
        (state | {"count": np.array(5)}, "count is 5, wanted 0 to 4"),
        (state | {"count": np.array(-1)}, "count is -1, wanted 0 to 4"),
        (state | {"memory.m": [0.0]}, "no mapping of names to arrays"),
        (None, "no mapping of names to arrays"),
    ]:
        with pytest.raises(InputError, match=f"stream: state.*{message}"):
            stream.restore(given)
    assert np.array_equal(steps(stream, mix[7:]), wanted), "a refused state must leave the stream as it was"


@pytest.mark.parametrize("engine", ENGINES)
def test_back_to_a_mark(engine: str) -> None:
    stream, mix = HopStream(drawn(TINY), TINY, engine=engine), signal(20)
    steps(stream, mix[:7])
    stream.mark()
    wanted = steps(stream, mix[7:])
    stream.rewind()
    assert np.array_equal(steps(stream, mix[7:]), wanted)
