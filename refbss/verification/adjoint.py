"""Adjoint test: <A u, v> = <u, A'v> for every argument in which an op is linear.

The op may be affine: A u is forward(u) - forward(0) with all other arguments fixed. Source: [std], the dot-product
test of Claerbout, Earth Soundings Analysis, 1992.
"""

from __future__ import annotations

import numpy as np

from refbss.verification.draw import generator
from refbss.verification.spec import Case, OpSpec


def adjoint_error(spec: OpSpec, case: Case, argument: str, seed: int) -> float:
    """Return |<A u, v> - <u, A'v>| relative to the sum of the magnitudes of the terms, in float64."""
    arrays = spec.draw(case, seed, "float64")
    rng = generator(seed, spec.name, case.name, "adjoint", argument)
    u = rng.standard_normal(arrays[argument].shape)
    image, cache = spec.run({**arrays, argument: u}, case.attributes)
    origin, _ = spec.run({**arrays, argument: np.zeros_like(u)}, case.attributes)
    v = spec.draw_cotangents(case, seed, image)
    pulled = spec.pull(v, cache)[argument]
    left = [(image[name] - origin[name]) * v[name] for name in spec.pulled]
    right = u * pulled
    scale = sum(float(np.abs(term).sum()) for term in left) + float(np.abs(right).sum())
    gap = abs(sum(float(term.sum()) for term in left) - float(right.sum()))
    return gap / scale if scale > 0.0 else gap
