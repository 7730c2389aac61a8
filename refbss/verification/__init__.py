"""Verification: what every operator and loss must satisfy, and the machinery that checks it.

``registry.SPECS`` holds one OpSpec a function, ``ladder`` climbs the checks, ``gradcheck`` compares backward passes
with differences, ``jit`` compares compiled with interpreted kernels. ``python -m refbss.verification`` prints the
worst gradient error of every argument.
"""
