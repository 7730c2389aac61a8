"""Families of spherically invariant priors p(z) ~ f(u), u = z' R^-1 z: the law.

Every family is a module of functions of (u, dim, shape, offset): u is a float64 array, dim the size D of z, shape
the family's parameter, offset is added to u where the family is singular at u = 0. They return arrays like u.

    phi = -2 f'(u) / f(u)    phi_1, phi_2: first and second derivative of phi by u
    log_f = log f(u), up to a constant in u    phi_shape, phi_1_shape: derivative of phi and phi_1 by shape

HAS_SHAPE says whether the family has a parameter, SINGULAR_AT_ZERO whether u + offset must be above 0.
Sources: Brehm & Stammler 1987 for the class [std]; the choice of families [ours].
"""

from __future__ import annotations

from types import ModuleType

from refbss._checks import check_choice
from refbss.priors import gaussian, laplace, power, student

FAMILIES: dict[str, ModuleType] = {"gaussian": gaussian, "student": student, "power": power, "laplace": laplace}


def get(name: str) -> ModuleType:
    """Return the module of a family. Raises InputError on an unknown name."""
    check_choice("priors", tuple(FAMILIES), family=name)
    return FAMILIES[name]
