"""The training loop: steps, validation, log, checkpoints, and an end that loses nothing.

A step is a function of the checkpoint and the configuration alone, so that a run which is killed and resumed is, bit
for bit, the run that was not. A run given minutes instead of steps times its first steps, which the schedule's end does
not reach yet, fixes its number of steps by that, and keeps it. Of several ranks each works on its share of the shards
and of the validation; the first one writes the files.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from refbss._checks import InputError, NotFiniteError, check_number
from refbss._files import contents, naming, parse_json, replaced
from refbss._types import Array
from refbss.config import dump_toml, to_dict
from refbss.data.opening import Data
from refbss.engine import engine
from refbss.evaluation.si_sdr import mean_db, si_sdr_i
from refbss.machine import cpus
from refbss.models import lvbd
from refbss.models.lvbd_loss import LossResult, loss_and_grads
from refbss.models.lvbd_params import init_params
from refbss.ranks import Ranks
from refbss.training.checkpoint import load_checkpoint, save_checkpoint, stored_checkpoint
from refbss.training.config import RunConfig
from refbss.training.examples import Examples, describe, posterior_noise
from refbss.training.memory_use import mean_memory_use, memory_use
from refbss.training.optimizers import AdamState, adam_init, adam_step, clip_gradients
from refbss.training.run_folder import cut_log, only_training_in, where_to_go_on
from refbss.training.schedule import learning_rate, sinkhorn_temperature_db
from refbss.training.shards import Pool, split, workers
from refbss.training.together import Found, TrainingError, check_agreement, put_together, total_over_ranks

TIMED_STEPS, UNTIMED_STEPS = 20, 3
"""A run given minutes times this many steps, after some that are not counted because kernels may compile in them."""


class Step(NamedTuple):
    """What one step did."""

    step: int
    loss: float
    terms: dict[str, float]
    grad_norm: float
    learning_rate: float
    seconds: float
    validation_db: float | None
    memory: dict[str, Any] | None
    """What the memory bank holds and does, where the step was validated; see refbss.training.memory_use."""


class Validation(NamedTuple):
    """Mean SI-SDR in dB over the held-out mixtures, and the use of the memory bank (None: there is none)."""

    score_db: float
    memory: dict[str, Any] | None


class Summary(NamedTuple):
    """How a run ended: ``finished`` or ``stopped``."""

    reason: str
    step: int
    steps: int
    best_db: float | None
    minutes: float


class Trainer:
    """One run in one folder. Raises InputError when the folder, the data or the configuration do not fit."""

    def __init__(
        self,
        config: RunConfig,
        corpora: Sequence[Data],
        out: Path,
        *,
        minutes: float | None = None,
        resume: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        if minutes is not None:
            check_number("train", above=0.0, minutes=minutes)
        self.ranks = ranks or Ranks()
        for name in ("shards", "batch"):
            if getattr(config.train, name) < self.ranks.size:
                came = f"train.{name} is {getattr(config.train, name)}"
                raise InputError(f"train: {came}, wanted at least {self.ranks.size}, one for each rank")
        found = where_to_go_on(out, resume=resume)
        self.out, self.minutes = out, minutes
        self.data = [describe(corpus) for corpus in corpora]
        self.steps: int | None = None if minutes else config.train.steps
        self.step, self.best, self.spent = 0, None, 0.0
        self.stopped_by = 0
        if found is not None:
            checkpoint = load_checkpoint(found, optimizer=True)
            self._check_same(checkpoint.config, config, found)
            self.params, state = checkpoint.params, checkpoint.state
            if state.get("data") != self.data:
                raise InputError(f"train: --data holds {self.data}, wanted {state.get('data')} as in {found}")
            for key in ("steps", "minutes", "seconds", "best"):
                if key not in state or not isinstance(state[key], int | float | None):
                    raise InputError(f"{found / 'state.json'}: {key} is {state.get(key)!r}, wanted what a run stores")
            assert checkpoint.optimizer is not None
            self.optimizer: AdamState = checkpoint.optimizer
            self.step, self.spent = int(state["step"]), float(state["seconds"])
            self.best = state["best"] if stored_checkpoint(out / "best") else None
            if minutes not in (None, state["minutes"]):
                begun = f"--minutes {state['minutes']:g}" if state["minutes"] else f"--steps {state['steps']}"
                raise InputError(f"train: --minutes is {minutes:g}, wanted {begun} as the run in {out} was begun with")
            self.minutes = state["minutes"]
            self.steps = state["steps"] if self.minutes else self.steps
        else:
            self.params = init_params(config.model, config.train.seed, loss_config=config.loss)
            self.optimizer = adam_init(self.params)
        self.config = config
        seed, weights = config.train.seed, config.train.data_weights
        self.examples = Examples(corpora, config.mix, seed=seed, split="train", weights=weights)
        self.held_out = None
        if config.train.validate_every:
            try:
                self.held_out = Examples(corpora, config.mix, seed=seed, split="validation", weights=weights)
            except InputError as error:
                raise InputError(f"{error}; train.validate_every = 0 goes without validation") from None
        out.mkdir(parents=True, exist_ok=True)
        facts = {"data": self.data, "step": self.step, "steps": self.steps, "minutes": self.minutes, "run": str(out)}
        check_agreement(self.ranks, self.params, config, facts)

    @staticmethod
    def _check_same(stored: RunConfig, wanted: RunConfig, folder: Path) -> None:
        """A resumed run must be the same run; who works on it, how they sum and how often it saves are free."""
        free = {"workers", "exact", "checkpoint_every"}
        before, now = to_dict(stored), to_dict(wanted)
        for section, values in before.items():
            for key, value in values.items():
                if section == "train" and key in free:
                    continue
                came = now[section][key]
                if value != came:
                    raise InputError(f"train: {section}.{key} is {came!r}, wanted {value!r} as in {folder}")

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "steps": self.steps,
            "minutes": self.minutes,
            "seconds": self.spent,
            "best": self.best,
            "data": self.data,
            "rng": {
                "generator": "Philox",
                "seed": self.config.train.seed,
                "next_item": self.step * self.config.train.batch,
            },
        }

    def save(self, name: str = "last") -> None:
        """Write the checkpoint RUN/last or RUN/best; the first rank does."""
        if self.ranks.first:
            save_checkpoint(self.out / name, self.config, self.params, self.optimizer, self._state())

    def _shard(self, numbers: Sequence[int], loss_config: Any) -> tuple[LossResult, tuple[str, ...]]:
        config = self.config
        batch = self.examples.batch(numbers, config.train.epoch_items)
        frames = -(-batch.mix.shape[1] // config.model.hop)
        eps = None
        if config.model.sample:
            eps = posterior_noise(config.train.seed, numbers, (config.model.sources, frames, config.model.latent))
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # an overflow is caught by what it leads to
                result = loss_and_grads(
                    self.params,
                    batch.mix,
                    batch.sources,
                    eps,
                    batch.clean,
                    config=config.model,
                    loss_config=loss_config,
                    ops=engine(config.train.engine),
                    items=config.train.batch,
                )
        except NotFiniteError as error:  # the assignment refuses costs that are not finite
            raise self._not_finite(self.step + 1, f"loss of items {', '.join(batch.ids)}", error) from None
        return result, batch.ids

    def _not_finite(self, step: int, what: str, reason: Exception | None = None) -> TrainingError:
        found = stored_checkpoint(self.out / "last")
        kept = "nothing, there is no checkpoint yet"
        if found is not None:
            kept = f"{self.out / 'last'}, step {parse_json(contents(found / 'state.json'))['step']}"
        because = "" if reason is None else f" ({reason})"
        return TrainingError(f"step {step}: the {what} is not finite{because}; kept: {kept}")

    def _advance(self, pool: Pool) -> tuple[float, dict[str, float], float, float]:
        """One optimiser step. Raises TrainingError, and changes nothing, when something that it gives is not finite."""
        config = self.config.train
        temperature = sinkhorn_temperature_db(self.step, self.steps, self.config.loss)
        loss_config = dataclasses.replace(self.config.loss, sinkhorn_temp_db=temperature)
        first = self.step * config.batch
        shards = [[first + i for i in part] for part in split(config.batch, config.shards)]
        own, error = list[tuple[LossResult, tuple[str, ...]]](), None
        try:
            own = pool(lambda numbers: self._shard(numbers, loss_config), self.ranks.mine(shards))
        except TrainingError as failed:
            error = str(failed)
        results, names = [result for result, _ in own], [ids for _, ids in own]
        found = put_together(self.ranks, Found(error, [r.loss for r in results], [r.terms for r in results], names))
        terms = {name: np.concatenate([part[name] for part in found.terms]) for name in found.terms[0]}
        ids = [name for names in found.ids for name in names]
        grads = total_over_ranks(self.ranks, [r.grads for r in results], len(shards), exact=config.exact)
        grads, norm = clip_gradients(grads, config.clip_norm)
        bad = [name for name, value in zip(ids, terms["loss"], strict=True) if not np.isfinite(value)]
        if bad or not np.isfinite(norm):
            what = f"loss of items {', '.join(bad)}" if bad else f"gradient of items {', '.join(ids)}"
            raise self._not_finite(self.step + 1, what)
        rate = learning_rate(self.step, self.steps, config)
        params, optimizer = adam_step(
            self.params,
            grads,
            self.optimizer,
            learning_rate=rate,
            beta1=config.beta1,
            beta2=config.beta2,
            eps=config.adam_eps,
        )
        for name, value in params.items():
            if not np.isfinite(value).all():
                raise self._not_finite(self.step + 1, f"parameter {name} after items {', '.join(ids)}")
        self.params, self.optimizer = params, optimizer
        return sum(found.losses), {k: float(v.mean()) for k, v in terms.items()}, norm, rate

    def validate(self, pool: Pool) -> Validation:
        """Score the fixed held-out mixtures. Raises TrainingError when an estimate is not finite."""
        assert self.held_out is not None
        held_out, config = self.held_out, self.config

        def score(index: int) -> dict[str, Array]:
            item = held_out.item(0, index)
            ops = engine(config.train.engine)
            with np.errstate(over="ignore", invalid="ignore"):
                outputs, _ = lvbd.forward(self.params, item.mix[None], None, config=config.model, ops=ops)
            if not np.isfinite(outputs.est).all():
                raise self._not_finite(self.step, f"estimate of validation item {item.id}")
            use = memory_use(self.params, outputs, config.model, ops)
            if not item.mix.any():
                return {"score": np.full(len(item.sources), np.nan), "memory": use}
            result = si_sdr_i(ref=item.sources, est=outputs.est[0], mix=item.mix, silent="nan")
            return {"score": result.si_sdr_db, "memory": use}

        own, error = list[dict[str, Array]](), None
        try:
            own = pool(score, self.ranks.mine(range(config.train.validation_items)))
        except TrainingError as failed:
            error = str(failed)
        found = put_together(self.ranks, Found(error, [], own, []))
        mean = mean_db(np.stack([values["score"] for values in found.terms]), silent="skip")[0]
        return Validation(mean, mean_memory_use(self.params, [values["memory"] for values in found.terms]))

    @contextmanager
    def _log(self) -> Iterator[TextIO | None]:
        """The log without the steps that will be made again, open at its end; beside it the configuration.

        For the first rank, which holds the folder for this training meanwhile; the others have none.
        """
        if not self.ranks.first:
            yield None
            return
        with only_training_in(self.out):
            self._begin_log()
            with open(self.out / "log.jsonl", "a", encoding="utf-8") as log:
                yield log

    def _begin_log(self) -> None:
        with replaced(self.out / "config.toml") as path:
            path.write_text(dump_toml(self.config), encoding="utf-8")
        cut_log(self.out / "log.jsonl", self.step)

    def run(self, report: Callable[[Step, int | None], None], stop: Callable[[], int] = lambda: 0) -> Summary:
        """Train to the end, or until ``stop`` is not 0 on some rank; then save. ``report`` hears of every step.

        What it was, such as a signal, is in ``stopped_by`` on every rank afterwards.

        Raises TrainingError when something is not finite; the last checkpoint stays as it is. Raises InputError when
        another training works in the folder, or its log is damaged; nothing in it is touched then.
        """
        config = self.config.train
        timed: list[float] = []
        share = max(1, cpus() // self.ranks.local())
        with workers(config.workers or share) as pool, self._log() as log:
            while self.steps is None or self.step < self.steps:
                self.stopped_by = max(self.ranks.share(stop()))
                if self.stopped_by:
                    break
                began = time.perf_counter()
                loss, terms, norm, rate = self._advance(pool)
                self.step += 1
                timed.append(time.perf_counter() - began)
                settled = self.steps is None and len(timed) >= UNTIMED_STEPS + TIMED_STEPS
                if settled:
                    seconds = float(np.mean(timed[UNTIMED_STEPS:]))
                    self.steps = self.ranks.share(self._steps_in_time(seconds))[0]
                score = memory = None
                last = self.step == self.steps
                if self.held_out is not None and (self.step % config.validate_every == 0 or last):
                    score, memory = self.validate(pool)
                seconds = time.perf_counter() - began
                self.spent += seconds
                step = Step(self.step, loss, terms, norm, rate, seconds, score, memory)
                if log is not None:
                    with naming(self.out / "log.jsonl"):
                        log.write(json.dumps(step._asdict()) + "\n")
                        log.flush()
                if score is not None and (self.best is None or score > self.best):
                    self.best = score
                    self.save("best")
                if self.step % config.checkpoint_every == 0 or last or settled:  # who resumes needs the settled length
                    self.save()
                report(step, self.steps)
            finished = self.steps is not None and self.step >= self.steps
            if not finished:
                self.save()
            elif stored_checkpoint(self.out / "best") is None:
                self.save("best")
        return Summary("finished" if finished else "stopped", self.step, self.steps or 0, self.best, self.spent / 60)

    def _steps_in_time(self, seconds: float) -> int:
        """Steps that fit into the minutes asked for, at the seconds a step measured, validation included."""
        assert self.minutes is not None
        config = self.config.train
        share = config.validation_items / (3 * config.batch * config.validate_every) if config.validate_every else 0.0
        left = self.minutes * 60 - self.spent
        return self.step + max(1, int(left / (seconds * (1 + share))))
