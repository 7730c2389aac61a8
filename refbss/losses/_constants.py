"""Constants that several losses share."""

from __future__ import annotations

import numpy as np

TINY = 1e-30
"""Added where a signal may be zero, so that value and gradient stay finite."""
DB = 10.0 / np.log(10.0)
"""One neper of a power ratio in dB: 10 log10(y) = DB ln(y)."""
