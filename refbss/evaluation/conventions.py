"""SI-SDR as other libraries print it, so that their numbers can be met; ``leroux`` is the definition.

| convention | mean removed | what is added where |
|---|---|---|
| leroux | no | nothing [std] Le Roux et al. 2019 |
| tasnet | yes | nothing [std] Luo, Mesgarani 2018 |
| asteroid, speechbrain | yes | 1e-8 to the reference's energy, to the error's energy, and to their ratio |
| torchmetrics | no | 1.2e-7, a float32's epsilon, to both sums of alpha and to both energies |
| fast_bss_eval | no | norms are at least 1e-6; the ratio is cos^2 / (1 - cos^2) of the angle between the signals |

What is added is absolute: the same two signals a thousand times fainter score otherwise. Sums run in float64 here, in
float32 there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refbss._types import Array
from refbss.evaluation.signals import decibels


def leroux(s: Array, e: Array) -> Array:
    """The definition. Products are summed by ``np.sum`` so that e = s gives alpha = 1 exactly."""
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.sum(e * s, axis=-1) / np.sum(s * s, axis=-1)
        target = alpha[..., np.newaxis] * s
        ratio = np.sum(target**2, axis=-1) / np.sum((e - target) ** 2, axis=-1)
    return decibels(ratio)


def asteroid(s: Array, e: Array) -> Array:
    """Asteroid's SingleSrcNegSDR("sisdr") and SpeechBrain's cal_si_snr, their signs turned."""
    added = 1e-8
    target = (np.sum(e * s, axis=-1) / (np.sum(s * s, axis=-1) + added))[..., np.newaxis] * s
    ratio = np.sum(target**2, axis=-1) / (np.sum((e - target) ** 2, axis=-1) + added)
    return decibels(ratio + added)


def torchmetrics(s: Array, e: Array) -> Array:
    """TorchMetrics' scale_invariant_signal_distortion_ratio of float32 tensors."""
    added = float(np.finfo(np.float32).eps)
    target = ((np.sum(e * s, axis=-1) + added) / (np.sum(s * s, axis=-1) + added))[..., np.newaxis] * s
    ratio = (np.sum(target**2, axis=-1) + added) / (np.sum((target - e) ** 2, axis=-1) + added)
    return decibels(ratio)


def fast_bss_eval(s: Array, e: Array) -> Array:
    """fast_bss_eval's si_sdr, its estimates in the references' order."""
    unit_s, unit_e = (x / np.maximum(np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), 1e-6) for x in (s, e))
    coherence = np.minimum(np.sum(unit_s * unit_e, axis=-1) ** 2, 1.0)
    with np.errstate(divide="ignore"):
        return decibels(coherence / (1.0 - coherence))


class Convention(NamedTuple):
    """SI-SDR (...) in dB of references and estimates (..., N), and how these are prepared."""

    ratio_db: Callable[[Array, Array], Array]
    zero_mean: bool
    level: bool
    """The level of the signals matters, so they are not brought to another."""


CONVENTIONS = {
    "leroux": Convention(leroux, zero_mean=False, level=False),
    "tasnet": Convention(leroux, zero_mean=True, level=False),
    "asteroid": Convention(asteroid, zero_mean=True, level=True),
    "torchmetrics": Convention(torchmetrics, zero_mean=False, level=True),
    "fast_bss_eval": Convention(fast_bss_eval, zero_mean=False, level=True),
    "speechbrain": Convention(asteroid, zero_mean=True, level=True),
}
