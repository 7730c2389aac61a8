"""A model that hears its signal hop by hop: what goes in now comes out now, separated.

The fast engine does a hop in one kernel, the reference engine with the law's operators.
"""

from __future__ import annotations

import numpy as np

from refbss._checks import InputError, NotFiniteError, check_choice
from refbss._types import Array
from refbss.engine import ENGINES
from refbss.engine import engine as load_engine
from refbss.fast.lvbd_hop import FusedHop
from refbss.models import lvbd
from refbss.models.lvbd_config import LvbdConfig
from refbss.models.lvbd_params import init_params
from refbss.models.lvbd_stream import hop_forward, initial_stream
from refbss.models.params import Params, check_params


class HopStream:
    """One signal's way through a network, ``hop`` samples at a time. Not for several threads at once.

    ``engine`` is ``fast`` or ``reference``; ``params`` are copied. Raises InputError on another engine, and on
    parameters that are not those of the configuration.
    """

    def __init__(self, params: Params, config: LvbdConfig, *, engine: str = "fast") -> None:
        check_choice("stream", ENGINES, engine=engine)
        self._dtype = np.dtype(getattr(dict(params or {}).get("encoder.conv.0.weight"), "dtype", np.float32))
        wanted = init_params(config, 0, dtype=self._dtype.name)
        used = {name: array for name, array in dict(params or {}).items() if not name.startswith("prior.")}
        params = {name: array.copy() for name, array in check_params(used, wanted, "stream: params").items()}
        self._params, self._config, self._ops = params, config, load_engine(engine)
        self._begun = initial_stream(params, 1, config, self._ops)
        self._state = self._begun
        self._fused: FusedHop | None = None
        if engine == "fast":
            memory = self._begun.network.m[0], self._begun.network.q[0]
            self._fused = FusedHop(params, config, lvbd.decoder_shape(config), memory)

    @property
    def hop(self) -> int:
        """Samples of a step; also the latency."""
        return self._config.hop

    def reset(self) -> None:
        """Forget everything that was heard."""
        self._state = self._begun
        if self._fused is not None:
            self._fused.reset()

    def step(self, samples: Array) -> Array:
        """The estimates (P, hop) of the next ``samples`` (hop,), in the dtype of the parameters.

        Raises InputError when the samples are anything else than such a vector, and NotFiniteError when one of them is
        NaN or infinite. The stream is then where it was before.
        """
        if isinstance(samples, np.ma.MaskedArray):
            raise InputError(f"stream: samples is masked, wanted an unmasked {self._dtype} of shape ({self.hop},)")
        if not isinstance(samples, np.ndarray) or samples.shape != (self.hop,) or samples.dtype != self._dtype:
            came = f"{samples.dtype} of shape {samples.shape}" if isinstance(samples, np.ndarray) else repr(samples)
            raise InputError(f"stream: samples is {came}, wanted {self._dtype} of shape ({self.hop},)")
        if self._fused is not None:
            return self._fused.step(samples)
        if not np.isfinite(samples).all():
            raise NotFiniteError("stream: samples holds NaN or infinity, wanted finite samples")
        est, self._state = hop_forward(self._params, samples[None], self._state, config=self._config, ops=self._ops)
        separated: Array = est[0]
        return separated
