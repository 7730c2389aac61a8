"""``truncate=n`` of the memory separator: gradients as if the blocks between two cuts were calls of their own."""

from __future__ import annotations

import numpy as np
import pytest

from refbss._types import Array
from refbss.ops.memory_separator import MemorySeparatorGrads, memory_separator_backward, memory_separator_forward
from refbss.verification.compare import worst
from refbss.verification.draw import generator
from refbss.verification.specs.memory_separator import NUMBERS, draw

BLOCK, FRAMES = 2, 11
NB = -(-FRAMES // BLOCK)


def piecewise(arrays: dict[str, Array], cotangents: list[Array], truncate: int) -> MemorySeparatorGrads:
    """Run the blocks between two cuts by themselves, from the states that the whole run had, and add up.

    The state at a cut is the last one of the piece before it; the piece behind takes it as given.
    """
    dmu, dl, dm, dq = cotangents
    _, _, m_blocks, q_blocks, _ = memory_separator_forward(**arrays, block=BLOCK, **NUMBERS)
    pieces = []
    for first in range(0, NB, truncate):
        frames, states = slice(first * BLOCK, (first + truncate) * BLOCK), slice(first, first + truncate + 1)
        given = {**arrays, "x": arrays["x"][:, frames], "g": arrays["g"][:, frames]}
        given |= {"m0": m_blocks[:, :, first], "q0": q_blocks[:, :, first]}
        *_, cache = memory_separator_forward(**given, block=BLOCK, **NUMBERS)
        dm_piece, dq_piece = dm[:, :, states].copy(), dq[:, :, states].copy()
        if first:
            dm_piece[:, :, 0] = dq_piece[:, :, 0] = 0.0
        pieces.append(memory_separator_backward(dmu[:, :, frames], dl[:, :, frames], dm_piece, dq_piece, cache))
    joined = {name: np.concatenate([getattr(one, name) for one in pieces], axis=1) for name in ("dx", "dg")}
    summed = {name: sum(getattr(one, name) for one in pieces) for name in ("da", "dc", "dread", "dv", "db", "dtheta")}
    return MemorySeparatorGrads(**joined, **summed, dm0=pieces[0].dm0, dq0=pieces[0].dq0)


@pytest.mark.parametrize("truncate", [1, 2, 4, 5, 6])
def test_a_cut_lets_no_gradient_through(truncate: int) -> None:
    arrays = draw(2, FRAMES, 2, 2)(generator(0, "truncation"))
    *outputs, cache = memory_separator_forward(**arrays, block=BLOCK, **NUMBERS, truncate=truncate)
    *whole, uncut = memory_separator_forward(**arrays, block=BLOCK, **NUMBERS)
    assert all(np.array_equal(got, wanted) for got, wanted in zip(outputs, whole, strict=True))
    rng = generator(0, "truncation", "cotangents")
    cotangents = [rng.standard_normal(output.shape) for output in outputs]
    grads = memory_separator_backward(*cotangents, cache)
    wanted = piecewise(arrays, cotangents, truncate)
    for name, grad in grads._asdict().items():
        found = worst(grad, getattr(wanted, name))
        assert found.error <= 1e-13, f"truncate {truncate} seed 0: {name}: {found}"
    full = memory_separator_backward(*cotangents, uncut)
    assert (worst(grads.dtheta, full.dtheta).error > 1e-3) == (truncate < NB)
