"""The configuration of LVBD. Every field is a choice that the paper's summary leaves open [ours], unless tagged."""

from __future__ import annotations

from dataclasses import dataclass

from refbss._checks import InputError, check_choice, check_integer, check_number


@dataclass(frozen=True)
class LvbdConfig:
    """Sizes and switches of the network. Raises InputError, naming the field, when the values do not fit together."""

    sources: int = 2
    """Number of outputs P."""
    sample_rate_hz: int = 8000
    """Sample rate that the model is trained for."""
    conv_channels: tuple[int, ...] = (64, 96, 96)
    """Channels of the encoder's convolutions; three of them [paper]."""
    conv_kernels: tuple[int, ...] = (8, 4, 4)
    """Kernel lengths in samples of each layer's input."""
    conv_strides: tuple[int, ...] = (4, 2, 2)
    """Strides; their product is the hop."""
    gru_hidden: int = 96
    """Units H of each GRU section."""
    gru_sections: int = 3
    """GRU sections; three [paper]."""
    norm: bool = True
    """LayerNorm before the first and after each GRU section."""
    norm_eps: float = 1e-5
    """Added to the variance in LayerNorm."""
    residual: bool = True
    """Add a section's input to its output; wants gru_hidden equal to the last of conv_channels."""
    concat_conv: bool = True
    """Let the convolutional features be part of the virtual array."""
    latent: int = 96
    """Latent size D of one source."""
    memory: bool = True
    """The memory bank and its feedback [paper]; off for the ablation."""
    block: int = 32
    """Block length L in frames."""
    time_constants: int = 3
    """Number K of memory time constants."""
    theta_init: tuple[float, ...] = (2.0, 0.0, -2.0)
    """Initial time constants before their sigmoid, one per k."""
    e0: float = 0.1
    """Latent energy at which a frame counts as half active."""
    delta: float = 1e-3
    """Floor of the activity sum of a block."""
    truncate: int = 0
    """Cut the gradient through the memory every so many blocks; 0 never."""
    log_var_min: float = -8.0
    """Lower bound of the posterior's log-variance."""
    log_var_max: float = -2.0
    """Upper bound of the posterior's log-variance."""
    sample: bool = True
    """Sample the posterior in training [std]; off: use its mean."""
    slope_init: float = 0.25
    """Initial slope of every PReLU."""
    memory_init: float = 0.1
    """Standard deviation of the memory's initial first moments, and value of its initial mean squares."""

    def __post_init__(self) -> None:
        for name in ("sources", "sample_rate_hz", "gru_hidden", "gru_sections", "latent", "block", "time_constants"):
            check_integer("model", **{name: getattr(self, name)})
        check_integer("model", least=0, truncate=self.truncate)
        check_number("model", above=0.0, e0=self.e0, delta=self.delta, norm_eps=self.norm_eps)
        check_number("model", above=0.0, memory_init=self.memory_init)
        check_number("model", slope_init=self.slope_init)
        check_number("model", log_var_min=self.log_var_min)
        check_number("model", above=self.log_var_min, log_var_max=self.log_var_max)
        layers = len(self.conv_channels)
        for name in ("conv_channels", "conv_kernels", "conv_strides"):
            values = getattr(self, name)
            if len(values) != layers or layers < 2:
                raise InputError(f"model: {name} has {len(values)} values, wanted as many as conv_channels, at least 2")
            for value in values:
                check_integer("model", **{name: value})
        for kernel, stride in zip(self.conv_kernels, self.conv_strides, strict=True):
            if kernel < stride:
                raise InputError(
                    f"model: conv_kernels has {kernel} below its stride {stride}, wanted at least the stride"
                )
        if self.residual and self.gru_hidden != self.conv_channels[-1]:
            raise InputError(
                f"model: gru_hidden is {self.gru_hidden}, wanted {self.conv_channels[-1]} for residual = true"
            )
        if len(self.theta_init) != self.time_constants:
            raise InputError(
                f"model: theta_init has {len(self.theta_init)} values, wanted time_constants = {self.time_constants}"
            )

    @property
    def hop(self) -> int:
        """Samples per frame: the product of the strides. Also the algorithmic latency."""
        product = 1
        for stride in self.conv_strides:
            product *= stride
        return product

    @property
    def channels(self) -> int:
        """Channels M of the virtual array."""
        return (self.conv_channels[-1] if self.concat_conv else 0) + self.gru_sections * self.gru_hidden


@dataclass(frozen=True)
class LvbdLossConfig:
    """Weights and forms of the training objective."""

    assignment: str = "pit"
    """How outputs are assigned to references: pit, sinkhorn or softmax."""
    temp: float = 0.1
    """Temperature of the softmax assignment, on similarities in [0, 1]."""
    sinkhorn_temp_db: float = 10.0
    """Temperature of the sinkhorn assignment at the first step, in dB of cost."""
    sinkhorn_temp_end_db: float = 1.0
    """The same at the last step; between, it falls geometrically (annealing, as SinkPIT)."""
    sinkhorn_steps: int = 10
    """Row and column normalisations of the sinkhorn assignment."""
    si_sdr_eps: float = 1e-8
    """Relative floor of the SI-SDR loss: it stays within +-10 log10(1 + 1 / si_sdr_eps) dB."""
    silent_ratio: float = 1e-6
    """A reference with at most this share of the mixture's energy counts as silent."""
    silent_floor: float = 1e-3
    """Energy of an output, as a share of the mixture's, below which silence is silent enough."""
    fisher_weight: float = 1e-3
    """Weight of the divergence between posterior and prior."""
    divergence: str = "fisher"
    """fisher [paper], or kl [std]: closed form, gaussian prior only, for the prior-sensitivity experiment."""
    fisher_form: str = "weighted"
    """weighted, explicit or implicit."""
    prior: str = "student"
    """Family of the SIRP prior [paper]; the families, gaussian, student, power or laplace, and the default [ours]."""
    prior_shape: float = 4.0
    """Student's degrees of freedom or the power family's exponent; initial value when learned."""
    learn_prior_shape: bool = False
    """Learn prior_shape, through a softplus."""
    prior_r: str = "identity"
    """Scatter matrix R: identity, learned (log-diagonal per source) or memory."""
    prior_offset: float = 1e-2
    """Added to u in the power and laplace families, whose score is singular at 0."""
    memory_rho: float = 1e-2
    """Added to the memory's mean squares where prior_r = "memory"."""
    permutation_weight: float = 0.1
    """Weight [ours] of the softmax permutation loss [paper]."""
    permutation_frame: int = 160
    """Frame length of the permutation loss in samples."""
    permutation_temp: float = 0.1
    """Temperature of the softmax across outputs."""
    permutation_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    """Weight of each resolution r = 0, 1, ... of the differential operators."""
    permutation_floor: float = 1e-3
    """Energy added to every frame in the similarity, as a share of the signal's mean frame energy."""
    mixture_weight: float = 0.1
    """Weight of mixture consistency, clean mixtures only."""

    def __post_init__(self) -> None:
        check_choice("loss", ("pit", "sinkhorn", "softmax"), assignment=self.assignment)
        check_choice("loss", ("fisher", "kl"), divergence=self.divergence)
        check_choice("loss", ("weighted", "explicit", "implicit"), fisher_form=self.fisher_form)
        check_choice("loss", ("gaussian", "student", "power", "laplace"), prior=self.prior)
        check_choice("loss", ("identity", "learned", "memory"), prior_r=self.prior_r)
        check_number("loss", above=0.0, temp=self.temp, prior_shape=self.prior_shape)
        temperatures = {name: getattr(self, name) for name in ("sinkhorn_temp_db", "sinkhorn_temp_end_db")}
        check_number("loss", above=0.0, **temperatures)
        check_number("loss", above=0.0, permutation_temp=self.permutation_temp, memory_rho=self.memory_rho)
        check_number("loss", above=0.0, si_sdr_eps=self.si_sdr_eps, silent_floor=self.silent_floor)
        check_number("loss", above=0.0, permutation_floor=self.permutation_floor)
        check_number("loss", least=0.0, most=1.0, silent_ratio=self.silent_ratio)
        check_number("loss", least=0.0, fisher_weight=self.fisher_weight, prior_offset=self.prior_offset)
        check_number("loss", least=0.0, permutation_weight=self.permutation_weight, mixture_weight=self.mixture_weight)
        check_integer("loss", sinkhorn_steps=self.sinkhorn_steps, permutation_frame=self.permutation_frame)
        for weight in self.permutation_weights:
            check_number("loss", least=0.0, permutation_weights=weight)
        if self.permutation_weight and not self.permutation_weights:
            raise InputError("loss: permutation_weights is empty, wanted a weight, or permutation_weight = 0")
        if self.learn_prior_shape and self.prior not in ("student", "power"):
            raise InputError(f"loss: learn_prior_shape is true, wanted false: {self.prior} has no parameter")
        if self.prior in ("power", "laplace") and not self.prior_offset:
            raise InputError(f"loss: prior_offset is 0, wanted above 0: {self.prior} is singular at z = 0")
        if self.divergence == "kl" and self.prior != "gaussian":
            raise InputError(f'loss: prior is {self.prior!r}, wanted "gaussian" for divergence = "kl"')
