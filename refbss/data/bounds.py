"""What no signal and no mixture of this package passes; a file that says so is damaged or hostile."""

from __future__ import annotations

MOST_SOURCES = 240
MOST_SAMPLES = 2**31
