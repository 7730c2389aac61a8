"""refbss demo: two embedded voices come apart, a tiny model learns, a gradient is checked."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from refbss_cli.options import FiniteFloat, Progress, emit, engine_option, json_option, seed_option

VOICES = ("bella", "craig")
"""A female and a male voice; the demo takes sentences that no model was trained on."""
MIX_S = 6.0
STEPS_A_SECOND = 30
"""Training steps per second asked for: what two cores manage with some room, so that the number of steps is fixed."""
PARTS = 10
"""Mean losses that are printed."""
GRADIENT_OF = "gru"

Say = Callable[[str], None]


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-out"),
    show_default=True,
    metavar="DIR",
    help="Folder to write.",
)
@click.option("--model", default="bundled", show_default=True, metavar="RUN|bundled", help="The model that separates.")
@click.option("--seconds", type=FiniteFloat(min=0.1), default=30.0, show_default=True, help="Longest time to train.")
@seed_option
@engine_option
@json_option
def demo(out: Path, model: str, seconds: float, seed: int, engine: str, as_json: bool) -> int:
    """Take two embedded voices apart, train a little, check a gradient.

    DIR gets mix.wav, ref1.wav, ref2.wav, est1.wav, est2.wav and, where matplotlib is installed, spectrogram.png and
    training.png. With --json the last line on stdout is the result and everything else goes to stderr. All numbers but
    the times are the same for the same seed.
    """
    began = time.perf_counter()

    def say(text: str) -> None:
        click.echo(text, err=as_json)

    out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "separation": _separate(out, model, seed, engine, say),
        "training": _train(out, seconds, seed, engine, say),
        "gradient": _check_gradient(seed, say),
    }
    spent = time.perf_counter() - began
    result |= {"out": out, "model": model, "seed": seed, "engine": engine, "seconds": spent}
    files = f"{out / 'mix.wav'}, {out / 'est1.wav'} and {out / 'est2.wav'}"
    emit(result, f"Done in {spent:.0f} s. Listen to {files}.", as_json=as_json)
    return 0 if result["gradient"]["passed"] else 1


def _separate(out: Path, model: str, seed: int, engine: str, say: Say) -> dict[str, Any]:
    from refbss.data.audio_io import write_audio
    from refbss.data.layouts import only_speakers, open_corpus
    from refbss.data.mixing import MixConfig, Mixer
    from refbss.evaluation.si_sdr import CONVENTION, si_sdr_i
    from refbss.evaluation.spectrogram import draw_spectrograms
    from refbss.separation import Separator

    say(f"1. Separate: the voices {' and '.join(VOICES)} speak at once for {MIX_S:g} s; the model is {model}.")
    separator = Separator(model, engine=engine)
    config = MixConfig(sources=len(VOICES), seconds=MIX_S, sample_rate_hz=separator.rate_hz, resample=True)
    item = Mixer(only_speakers([open_corpus("embedded")], VOICES), config, seed=seed, split="test").item(0, 0)
    separator.warm_up()
    began = time.perf_counter()
    est = separator.separate(item.mix, separator.rate_hz)
    rtf = (time.perf_counter() - began) / MIX_S
    score = si_sdr_i(ref=item.sources, est=est, mix=item.mix, silent="nan")
    before = score.si_sdr_db - score.si_sdr_i_db
    speakers = [name.split("/")[-1] for name in item.recipe["speakers"]]
    for name, low, high in zip(speakers, before, score.si_sdr_db, strict=True):
        say(f"   {name}: SI-SDR {low:.2f} dB in the mixture, {high:.2f} dB separated, gain {high - low:.2f} dB")
    say(f"   real-time factor {rtf:.3f}; {CONVENTION}")
    signals = {"mix": item.mix}
    signals |= {f"ref{j}": source for j, source in enumerate(item.sources, start=1)}
    signals |= {f"est{j}": est[p] for j, p in enumerate(score.permutation, start=1)}
    for name, signal in signals.items():
        write_audio(out / f"{name}.wav", signal, separator.rate_hz)
    picture = draw_spectrograms(signals, separator.rate_hz, out / "spectrogram.png")
    say(f"   wrote {', '.join(f'{name}.wav' for name in signals)} to {out}; " + _drawn(picture))
    return {
        "speakers": speakers,
        "si_sdr_before_db": before,
        "si_sdr_after_db": score.si_sdr_db,
        "si_sdr_i_db": score.si_sdr_i_db.mean(),
        "convention": CONVENTION,
        "rtf": rtf,
        "files": [out / f"{name}.wav" for name in signals] + [picture] * (picture is not None),
    }


def _drawn(picture: Path | None) -> str:
    return f"picture: {picture}" if picture else "no picture: matplotlib is not installed (pip install 'refbss[plot]')"


def _train(out: Path, seconds: float, seed: int, engine: str, say: Say) -> dict[str, Any]:
    from refbss.config import load_config
    from refbss.data.layouts import open_corpus
    from refbss.training.config import PRESETS, RunConfig
    from refbss.training.curve import draw_curve
    from refbss.training.loop import Step, Trainer
    from refbss.training.shards import split

    steps = max(PARTS, round(STEPS_A_SECOND * seconds))
    changes = {"steps": steps, "seed": seed, "validate_every": 0, "checkpoint_every": steps, "learning_rate": 5e-3}
    overrides = [f"train.{name}={value}" for name, value in changes.items()] + [f"train.engine={engine}"]
    config = load_config(RunConfig, PRESETS["lvbd-tiny"], overrides=overrides)
    say(
        f"2. Train: lvbd-tiny on the embedded voices, {steps} steps, at most {seconds:g} s. The loss in dB should fall."
    )
    losses: list[float] = []
    started = 0.0
    with tempfile.TemporaryDirectory() as folder, Progress("training", steps) as progress:
        run = Path(folder)

        def report(step: Step, _: int | None) -> None:
            nonlocal started
            started = started or time.perf_counter()  # the first step may compile kernels: it does not count
            losses.append(step.loss)
            progress.update(step.step, f"loss {step.loss:.2f}")

        trainer = Trainer(config, [open_corpus("embedded")], run)
        summary = trainer.run(report, lambda: bool(started) and time.perf_counter() - started > seconds)
        picture = draw_curve(run / "log.jsonl", out / "training.png")
    means = []
    for part in split(len(losses), PARTS):
        means.append(sum(losses[i] for i in part) / len(part))
        say(f"   steps {part[0] + 1:4} to {part[-1] + 1:4}: mean loss {means[-1]:6.2f} dB")
    cut = "" if summary.reason == "finished" else f" (stopped by the time after {len(losses)} steps)"
    say(f"   from {means[0]:.2f} to {means[-1]:.2f} dB{cut}; " + _drawn(picture))
    return {
        "preset": "lvbd-tiny",
        "steps": len(losses),
        "finished": summary.reason == "finished",
        "first_loss_db": means[0],
        "last_loss_db": means[-1],
        "mean_losses_db": means,
        "files": [picture] * (picture is not None),
    }


def _check_gradient(seed: int, say: Say) -> dict[str, Any]:
    from refbss.verification.gradcheck import LIMIT, check_gradients
    from refbss.verification.registry import SPECS

    say(f"3. Check a gradient: every element of the backward pass of {GRADIENT_OF} against differences, in float64.")
    found = check_gradients(SPECS[GRADIENT_OF], seed)
    passed = found.worst_error <= LIMIT
    say(f"   worst relative error {found.worst_error:.1e}, allowed {LIMIT:.0e}: {'passed' if passed else 'FAILED'}")
    return {"op": GRADIENT_OF, "worst_relative_error": found.worst_error, "limit": LIMIT, "passed": passed}
