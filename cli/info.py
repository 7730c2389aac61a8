"""refbss info: what a model is made of and what it costs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from refbss_cli.options import clock, emit, json_option

if TYPE_CHECKING:
    from refbss.training.config import RunConfig


@click.command()
@click.argument("model", default="bundled", metavar="[RUN|bundled|PRESET]")
@json_option
def info(model: str, as_json: bool) -> None:
    """Print the size, latency and cost of a model.

    RUN is a run or a checkpoint; without it, the bundled model. A PRESET (lvbd-tiny, lvbd-small) is described as it is
    before training.
    """
    from refbss.models.info import model_info

    config, params, training = _load(model)
    found = model_info(config.model, params)
    result = {
        "model": model,
        "sources": config.model.sources,
        "sample_rate_hz": config.model.sample_rate_hz,
        **dataclasses.asdict(found),
        "total_parameters": found.total_parameters,
        "total_multiply_adds_per_s": found.total_multiply_adds_per_s,
        "unbounded_through": ["gru", "memory"] if config.model.memory else ["gru"],
        "training": training,
    }
    beyond = "the GRU sections and the memory" if config.model.memory else "the GRU sections"
    rows = {"total": (found.total_parameters, found.total_multiply_adds_per_s)}
    for name in found.parameters:
        rows[name] = (found.parameters[name], found.multiply_adds_per_s.get(name, 0))
    lines = [
        f"{model}: {config.model.sources} sources at {config.model.sample_rate_hz} Hz",
        f"{'part':10} {'parameters':>11} {'million multiply-adds/s':>24}",
        *(f"{name:10} {size:11,} {cost / 1e6:24.1f}" for name, (size, cost) in rows.items()),
        "multiply-adds: convolutions and matrix products; pointwise work is left out",
        f"hop: {found.hop_samples} samples, algorithmic latency {found.latency_ms:g} ms",
        f"receptive field: {found.receptive_field_samples} samples ({found.receptive_field_ms:g} ms) through the "
        f"convolutions, unbounded through {beyond}",
        _training_line(training),
    ]
    emit(result, lines, as_json=as_json)


def _load(model: str) -> tuple[RunConfig, dict[str, Any], dict[str, Any] | None]:
    """Configuration, parameters and what is known of the training (None for a preset)."""
    from refbss.config import load_config
    from refbss.models.lvbd_params import init_params
    from refbss.training.checkpoint import load_checkpoint
    from refbss.training.config import PRESETS, RunConfig

    if model in PRESETS:
        config = load_config(RunConfig, PRESETS[model])
        return config, init_params(config.model, 0, loss_config=config.loss), None
    checkpoint = load_checkpoint(model)
    kept = ("step", "steps", "seconds", "best", "version")
    return checkpoint.config, checkpoint.params, {name: checkpoint.state.get(name) for name in kept}


def _training_line(training: dict[str, Any] | None) -> str:
    if training is None:
        return "training: none, this is a preset"
    line = f"training: {training['step']} of {training['steps'] or 'a number of'} steps"
    if training["seconds"] is not None:
        line += f" in {clock(training['seconds'])}"
    if training["best"] is not None:
        line += f", best validation SI-SDR {training['best']:.2f} dB"
    return line + f", refbss {training['version']}"
