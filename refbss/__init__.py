"""refbss: a reference implementation of neural source separation in plain NumPy and Numba.

Importing refbss loads nothing else: each public name is fetched from its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from refbss._version import __version__

if TYPE_CHECKING:
    from refbss._checks import InputError
    from refbss.config import dump_toml, load_config
    from refbss.evaluation.bss_eval import bss_eval_v3_images, bss_eval_v3_sources, bss_eval_v4
    from refbss.evaluation.si_sdr import si_sdr, si_sdr_i
    from refbss.evaluation.si_sir import si_sar, si_sir
    from refbss.evaluation.snr import snr
    from refbss.models.lvbd_config import LvbdConfig, LvbdLossConfig
    from refbss.separation import Separator
    from refbss.training.config import RunConfig

__all__ = [
    "InputError",
    "LvbdConfig",
    "LvbdLossConfig",
    "RunConfig",
    "Separator",
    "__version__",
    "bss_eval_v3_images",
    "bss_eval_v3_sources",
    "bss_eval_v4",
    "dump_toml",
    "load_config",
    "si_sar",
    "si_sdr",
    "si_sdr_i",
    "si_sir",
    "snr",
]

_HOME = {
    "InputError": "refbss._checks",
    "LvbdConfig": "refbss.models.lvbd_config",
    "LvbdLossConfig": "refbss.models.lvbd_config",
    "RunConfig": "refbss.training.config",
    "Separator": "refbss.separation",
    "bss_eval_v3_images": "refbss.evaluation.bss_eval",
    "bss_eval_v3_sources": "refbss.evaluation.bss_eval",
    "bss_eval_v4": "refbss.evaluation.bss_eval",
    "dump_toml": "refbss.config",
    "load_config": "refbss.config",
    "si_sar": "refbss.evaluation.si_sir",
    "si_sdr": "refbss.evaluation.si_sdr",
    "si_sdr_i": "refbss.evaluation.si_sdr",
    "si_sir": "refbss.evaluation.si_sir",
    "snr": "refbss.evaluation.snr",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'refbss' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
