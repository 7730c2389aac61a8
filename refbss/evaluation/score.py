"""Scoring what any system has written: folders of references, estimates and mixtures, matched by name.

| a folder holds | utterance | source |
|---|---|---|
| ``s1/ID.wav  s2/ID.wav ..`` (also est1, spk1, source1, 1) | ID | the folder |
| ``ID_s1.wav  ID_s2.wav ..`` (also _est1, _spk1, _source1, _1) | ID | what follows the last underscore |
| ``ID/vocals.wav  ID/drums.wav ..`` | the folder | the file |

Where there are folders as in the first row, whatever else a folder holds is left aside: mix/, noise/ and the like.
Sources are ordered by the number in their name, or else by name. Where references have words for names, an estimate
belongs to the reference of its name; numbers mean nothing, and the permutation is the best one. [ours]
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refbss._checks import InputError, check_choice, check_integer
from refbss._types import Array
from refbss.data.audio_io import audio_files, path_kind, read_audio
from refbss.evaluation.bss_eval import TAPS, BssEval, bss_eval_v3_images, bss_eval_v3_sources, bss_eval_v4
from refbss.evaluation.conventions import CONVENTIONS
from refbss.evaluation.evaluate import interval
from refbss.evaluation.permutation import best_permutation
from refbss.evaluation.si_sdr import mean_db, si_sdr
from refbss.evaluation.si_sir import si_sar, si_sir
from refbss.evaluation.signals import SILENT
from refbss.evaluation.snr import snr

NUMBERED = re.compile(r"(?:s|est|spk|source|src)?_?(\d+)", re.IGNORECASE)
BSS_EVAL: dict[str, Callable[..., BssEval]] = {
    "bss_eval_v3_sources": bss_eval_v3_sources,
    "bss_eval_v3_images": bss_eval_v3_images,
    "bss_eval_v4": bss_eval_v4,
}
METRICS = ("si_sdr", "si_sir", "si_sar", "snr", *BSS_EVAL)
WINDOW_S = 1.0
"""Of bss_eval_v4, where none is asked for."""


@dataclass(frozen=True)
class Settings:
    """What is scored and how. ``window_s`` is for bss_eval_v4, and for the others of BSS Eval where it is given."""

    metrics: tuple[str, ...] = ("si_sdr",)
    convention: str = "leroux"
    silent: str = "raise"
    trim: bool = False
    """Cut estimates and references to the shorter of both; otherwise another length is an error."""
    window_s: float | None = None
    hop_s: float | None = None
    taps: int = TAPS

    def __post_init__(self) -> None:
        """Check names and taps. Raises InputError."""
        if not self.metrics:
            raise InputError(f"score: metrics is empty, wanted some of {', '.join(METRICS)}")
        for metric in self.metrics:
            check_choice("score", METRICS, metric=metric)
        check_choice("score", tuple(CONVENTIONS), convention=self.convention)
        check_choice("score", SILENT, silent=self.silent)
        check_integer("score", taps=self.taps)


class Utterance(NamedTuple):
    """The files of one utterance: references and estimates in the order of their sources, and the mixture."""

    id: str
    ref: tuple[Path, ...]
    est: tuple[Path, ...]
    mix: Path | None


@dataclass(frozen=True)
class Task:
    """Utterances to score; ``named``: estimates belong to references by name. ``unused`` files match nothing."""

    utterances: tuple[Utterance, ...]
    sources: tuple[str, ...]
    named: bool
    unused: tuple[Path, ...]


@dataclass(frozen=True)
class Scores:
    """One utterance: every column's value in dB for each reference (P,), and the estimate taken for it."""

    id: str
    seconds: float
    permutation: tuple[int, ...]
    values: dict[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def sources_of(folder: Path) -> tuple[dict[str, dict[str, Path]], tuple[Path, ...]]:
    """Utterance to source to file of a folder, and the files that fit no layout. Raises InputError."""
    if path_kind(folder) != "folder":
        raise InputError(f"{folder}: is not a folder, wanted one with the signals of the sources")
    found: dict[str, dict[str, Path]] = {}
    unused: list[Path] = []
    paths = {path: path.relative_to(folder).with_suffix("").parts for path in audio_files(folder, deep=True)}
    folders = any(len(parts) > 1 and NUMBERED.fullmatch(parts[0]) for parts in paths.values())
    for path, parts in paths.items():
        stem, mark, number = parts[-1].rpartition("_")
        if folders and not (len(parts) > 1 and NUMBERED.fullmatch(parts[0])):
            unused.append(path)
            continue
        if folders:
            utterance, source = "/".join(parts[1:]), parts[0]
        elif mark and stem and NUMBERED.fullmatch(number):
            utterance, source = "/".join((*parts[:-1], stem)), number
        elif len(parts) > 1:
            utterance, source = "/".join(parts[:-1]), parts[-1]
        else:
            unused.append(path)
            continue
        if source in (files := found.setdefault(utterance, {})):
            raise InputError(f"{path}: is a second file of source {source} of {utterance}, beside {files[source]}")
        files[source] = path
    if not found:
        raise InputError(f"{folder}: holds no signals of sources, wanted s1/ID.wav, ID_s1.wav or ID/NAME.wav")
    return found, tuple(unused)


def _ordered(names: Iterable[str]) -> list[str]:
    def place(name: str) -> tuple[int, int, str]:
        number = NUMBERED.fullmatch(name)
        return (0, int(number[1]), name) if number else (1, 0, name)

    return sorted(names, key=place)


def match(ref: Path, est: Path, mix: Path | None = None) -> Task:
    """Match the files of three folders by utterance. Raises InputError: what a reference needs and is not there."""
    (refs, extra), (ests, others) = sources_of(ref), sources_of(est)
    mixtures = {} if mix is None else _mixtures(mix)
    words = _ordered(next(iter(refs.values())))
    named = not any(NUMBERED.fullmatch(word) for word in words)
    utterances = []
    for id, files in sorted(refs.items()):
        order = _ordered(files)
        if named and order != words:
            raise InputError(f"{ref}: {id} has sources {', '.join(order)}, wanted {', '.join(words)} as the first has")
        if len(order) != len(words):
            raise InputError(f"{ref}: {id} has {len(order)} sources, wanted {len(words)} as the first has")
        if id not in ests:
            raise InputError(f"{est}: has no estimates of {id}")
        given = _ordered(ests[id])
        if len(given) != len(order) or (named and given != order):
            raise InputError(f"{est}: {id} has {', '.join(given)}, wanted {', '.join(order)} as the references have")
        if mix is not None and id not in mixtures:
            raise InputError(f"{mix}: has no mixture {id}")
        utterances.append(
            Utterance(id, tuple(files[s] for s in order), tuple(ests[id][s] for s in given), mixtures.get(id))
        )
    unmatched = [path for id, files in ests.items() if id not in refs for path in files.values()]
    return Task(tuple(utterances), tuple(words), named, (*extra, *others, *sorted(unmatched)))


def _mixtures(folder: Path) -> dict[str, Path]:
    """Mixture files by utterance: ID.wav, or ID/mixture.wav. Raises InputError."""
    if path_kind(folder) != "folder":
        raise InputError(f"{folder}: is not a folder, wanted one with mixtures")
    found = {}
    for path in audio_files(folder, deep=True):
        parts = path.relative_to(folder).with_suffix("").parts
        found["/".join(parts[:-1] if parts[-1] in ("mixture", "mix") and len(parts) > 1 else parts)] = path
    return found


def score(utterance: Utterance, settings: Settings, *, named: bool) -> Scores:
    """Score one utterance. Raises InputError: files that cannot be read or do not fit together, or silence."""
    (ref, rate_hz), (est, est_hz) = _read(utterance.ref), _read(utterance.est)
    signals = {"est": (est, est_hz, utterance.est[0])}
    if utterance.mix is not None:
        mix, mix_hz = _read((utterance.mix,))
        signals["mix"] = (np.repeat(mix, len(ref), axis=0), mix_hz, utterance.mix)
    samples = ref.shape[2]
    for signal, other_hz, path in signals.values():
        if other_hz != rate_hz:
            raise InputError(f"{path}: sample rate is {other_hz} Hz, wanted {rate_hz} Hz as {utterance.ref[0]} has")
        if signal.shape[1] != ref.shape[1]:
            raise InputError(f"{path}: has {signal.shape[1]} channels, wanted {ref.shape[1]} as {utterance.ref[0]} has")
        if signal.shape[2] != ref.shape[2] and not settings.trim:
            raise InputError(f"{path}: has {signal.shape[2]} samples, wanted {ref.shape[2]} as {utterance.ref[0]} has")
        samples = min(samples, signal.shape[2])
    cut = {name: signal[:, :, :samples] for name, (signal, _, _) in signals.items()}
    try:
        return _scored(utterance.id, rate_hz, ref[:, :, :samples], cut["est"], cut.get("mix"), settings, named=named)
    except InputError as error:
        raise InputError(f"{utterance.id}: {error}") from None


def _read(paths: Sequence[Path]) -> tuple[Array, int]:
    """Signals (P, C, N) of several files, and their sample rate. Raises InputError."""
    read = [read_audio(path) for path in paths]
    for path, (x, rate_hz) in zip(paths[1:], read[1:], strict=True):
        if (x.shape, rate_hz) != (read[0][0].shape, read[0][1]):
            raise InputError(
                f"{path}: has {x.shape[0]} channels of {x.shape[1]} samples at {rate_hz} Hz, wanted "
                f"{read[0][0].shape[0]} of {read[0][0].shape[1]} at {read[0][1]} Hz as {paths[0]} has"
            )
    return np.stack([x for x, _ in read]), read[0][1]


def _scored(
    id: str, rate_hz: int, ref: Array, est: Array, mix: Array | None, settings: Settings, *, named: bool
) -> Scores:
    """Values of signals (P, C, N); of the mixture too, where there is one, for the improvements. Raises InputError."""
    order, notes = np.arange(len(ref)), list[str]()
    values: dict[str, Array] = {}
    if ref.shape[1] == 1:
        ref, est, mix = ref[:, 0], est[:, 0], None if mix is None else mix[:, 0]
        if not named:
            order = best_permutation(_pairs(ref, est, settings))
    for metric in settings.metrics:
        if metric in BSS_EVAL:
            found = _bss_eval(metric, ref, est, rate_hz, settings, permute=not named)
            before = None if mix is None else _bss_eval(metric, ref, mix, rate_hz, settings, permute=False)
            order = found.permutation if ref.ndim == 3 else order
            for name in ("sdr_db", "isr_db", "sir_db", "sar_db"):
                if name != "isr_db" or metric != "bss_eval_v3_sources":
                    values[f"{metric}_{name}"] = getattr(found, name)
                    if before is not None:
                        values[f"{metric}_{name[:-3]}_i_db"] = getattr(found, name) - getattr(before, name)
            if found.singular:
                notes.append(f"{metric}: {found.singular} singular systems")
            continue
        if ref.ndim == 3:
            raise InputError(f"{metric}: signals have {ref.shape[1]} channels, wanted 1 (or bss_eval_v3_images)")
        ratio = _single(metric, settings)
        values[f"{metric}_db"] = ratio(ref=ref, est=est[order], silent=settings.silent)
        if mix is not None:
            values[f"{metric}_i_db"] = values[f"{metric}_db"] - ratio(ref=ref, est=mix, silent=settings.silent)
    return Scores(id, ref.shape[-1] / rate_hz, tuple(int(k) for k in order), values, tuple(notes))


def _pairs(ref: Array, est: Array, settings: Settings) -> Array:
    """SI-SDR of every reference and estimate, (P, P)."""
    rows = [np.broadcast_to(row, est.shape) for row in ref]
    return np.stack([si_sdr(ref=row, est=est, silent=settings.silent) for row in rows])


def _single(metric: str, settings: Settings) -> Callable[..., Array]:
    if metric == "si_sdr":
        return partial(si_sdr, convention=settings.convention)
    return {"si_sir": si_sir, "si_sar": si_sar, "snr": snr}[metric]


def _bss_eval(metric: str, ref: Array, est: Array, rate_hz: int, settings: Settings, *, permute: bool) -> BssEval:
    """BSS Eval of signals (P, N) or (P, C, N); the median over windows where there are some."""
    window_s = WINDOW_S if metric == "bss_eval_v4" and settings.window_s is None else settings.window_s
    if metric == "bss_eval_v3_sources" and ref.ndim == 3:
        raise InputError(f"{metric}: signals have {ref.shape[1]} channels, wanted 1 (or bss_eval_v3_images)")
    if metric != "bss_eval_v3_sources" and ref.ndim == 2:
        ref, est = ref[:, np.newaxis], est[:, np.newaxis]
    found = BSS_EVAL[metric](
        ref=ref, est=est, rate_hz=rate_hz, window_s=window_s, hop_s=settings.hop_s, taps=settings.taps,
        permute=permute, silent=settings.silent,
    )  # fmt: skip
    return found if window_s is None else found.medians()


class Summary(NamedTuple):
    """One column: its mean over sources, then over utterances; its median over both; how many values are left out."""

    mean_db: float
    interval_db: tuple[float, float]
    median_db: float
    skipped: int


def summarise(scores: Sequence[Scores]) -> dict[str, Summary]:
    """Every column of the scores. A value that is NaN is left out and counted."""
    found = {}
    for name in scores[0].values:
        table = np.stack([one.values[name] for one in scores])
        mean, skipped = mean_db(table, silent="skip")
        known = table[~np.isnan(table)]
        found[name] = Summary(mean, interval(table), float(np.median(known)) if len(known) else float("nan"), skipped)
    return found


def csv_text(scores: Sequence[Scores], sources: Sequence[str]) -> str:
    """A row for every source of every utterance."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "seconds", "source", "estimate", *scores[0].values])
    for one in scores:
        for j, source in enumerate(sources):
            numbers = [f"{values[j]:.6f}" for values in one.values.values()]
            rows.writerow([one.id, f"{one.seconds:g}", source, one.permutation[j] + 1, *numbers])
    return text.getvalue()
