"""float32 in, float64 inside, rounded once: what the law means by sums that run in float64.

A result in float32 is the float64 result on the same numbers, rounded: within half a unit in the last place of each
element, and not only of the largest. A product or a sum formed in float32 on the way shows.
"""

from __future__ import annotations

import numpy as np
import pytest

from refbss._types import Array
from refbss.ops.gru import GruCache, gru_backward, gru_forward
from refbss.ops.lstm import LstmCache, lstm_backward, lstm_forward
from refbss.verification.ladder import doubled, full_run
from refbss.verification.registry import SPECS
from refbss.verification.spec import Case, OpSpec

SLACK = 1e-13
"""Float64 roundings of the sums, relative to the largest magnitude of the array."""
MORE_THAN_ONCE = {
    "gru": "states and gates are rounded once a frame: see the tests below",
    "lstm": "the same",
    "memory_separator": "the state is rounded once a block; its parts are judged here",
}
CASES = [
    pytest.param(spec, case, id=f"{name}-{case.name}".replace(" ", "_"))
    for name, spec in SPECS.items()
    for case in spec.cases
    if name not in MORE_THAN_ONCE
]


def assert_rounded(got: Array, wanted: Array, where: str) -> None:
    """Check that ``got``, float32, is ``wanted``, float64, rounded once."""
    assert got.dtype == np.float32 and wanted.dtype == np.float64, where
    half = np.abs(np.spacing(wanted.astype(np.float32))).astype(np.float64) / 2.0
    gap = np.abs(got - wanted) - half - SLACK * np.max(np.abs(wanted))
    place = np.unravel_index(int(np.argmax(gap)), gap.shape)
    assert gap[place] <= 0.0, f"{where} at {place}: got {got[place]!r}, the float64 value is {wanted[place]!r}"


@pytest.mark.parametrize(("spec", "case"), CASES)
def test_single_precision_is_rounded_once(spec: OpSpec, case: Case) -> None:
    outputs, cotangents, grads, _ = full_run(spec, case, 0, "float32")
    wanted, cache = spec.run(doubled(spec.draw(case, 0, "float32")), case.attributes)
    pulled = spec.pull(doubled(cotangents), cache)
    for name, array in outputs.items():
        assert_rounded(array, wanted[name], f"{spec.name} case {case.name!r} seed 0: {name}")
    for name, grad in grads.items():
        assert_rounded(grad, pulled[name], f"{spec.name} case {case.name!r} seed 0: d{name}")


GRU = [pytest.param(SPECS["gru"], case, id=case.name.replace(" ", "_")) for case in SPECS["gru"].cases]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("spec", "case"), GRU)
def test_gru_rounds_a_frame_once(spec: OpSpec, case: Case, seed: int) -> None:
    """The new state and the gates of each frame, from the state before it as that was rounded."""
    arrays = spec.draw(case, seed, "float32")
    y, _, cache = gru_forward(**arrays)
    for t in range(y.shape[1]):
        state = y[:, t - 1] if t else arrays["h0"]
        _, _, wanted = gru_forward(**doubled({**arrays, "x": arrays["x"][:, t : t + 1], "h0": state}))
        for name in ("r", "z", "n", "a", "y"):
            where = f"gru case {case.name!r} seed {seed}: {name} at frame {t}"
            assert_rounded(getattr(cache, name)[:, t], getattr(wanted, name)[:, 0], where)


@pytest.mark.parametrize(("spec", "case"), GRU)
def test_gru_rounds_a_gradient_once(spec: OpSpec, case: Case) -> None:
    """All gradients, given the gates of the forward pass as they were rounded."""
    _, cotangents, grads, cache = full_run(spec, case, 0, "float32")
    wide = GruCache(*(array.astype(np.float64) for array in cache))
    wanted = gru_backward(*doubled(cotangents).values(), wide)
    for name, array in zip(grads, wanted, strict=True):
        assert_rounded(grads[name], array, f"gru case {case.name!r} seed 0: d{name}")


LSTM = [pytest.param(SPECS["lstm"], case, id=case.name.replace(" ", "_")) for case in SPECS["lstm"].cases]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("spec", "case"), LSTM)
def test_lstm_rounds_a_frame_once(spec: OpSpec, case: Case, seed: int) -> None:
    """Output, cell and gates of each frame, from the output and the cell before it as they were rounded."""
    arrays = spec.draw(case, seed, "float32")
    y, _, _, cache = lstm_forward(**arrays)
    for t in range(y.shape[1]):
        state = {"h0": y[:, t - 1], "c0": cache.c[:, t - 1]} if t else {}
        *_, wanted = lstm_forward(**doubled({**arrays, "x": arrays["x"][:, t : t + 1], **state}))
        for name in ("i", "f", "g", "o", "c", "y"):
            where = f"lstm case {case.name!r} seed {seed}: {name} at frame {t}"
            assert_rounded(getattr(cache, name)[:, t], getattr(wanted, name)[:, 0], where)


@pytest.mark.parametrize(("spec", "case"), LSTM)
def test_lstm_rounds_a_gradient_once(spec: OpSpec, case: Case) -> None:
    """All gradients, given the cells and gates of the forward pass as they were rounded."""
    _, cotangents, grads, cache = full_run(spec, case, 0, "float32")
    wide = LstmCache(*(array.astype(np.float64) for array in cache))
    wanted = lstm_backward(*doubled(cotangents).values(), wide)
    for name, array in zip(grads, wanted, strict=True):
        assert_rounded(grads[name], array, f"lstm case {case.name!r} seed 0: d{name}")
