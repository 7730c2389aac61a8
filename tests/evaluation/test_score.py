"""Scoring files: which file belongs to what, values equal those of the metrics, refusals that name the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from refbss._checks import InputError
from refbss._types import Array
from refbss.data.audio_io import write_audio
from refbss.evaluation.bss_eval import bss_eval_v3_images, bss_eval_v3_sources, bss_eval_v4
from refbss.evaluation.score import METRICS, Settings, csv_text, match, score, sources_of, summarise
from refbss.evaluation.si_sdr import si_sdr
from refbss.evaluation.si_sir import si_sar, si_sir
from refbss.evaluation.snr import snr

RATE_HZ = 8000


def drawn(seed: int = 0, sources: int = 2, channels: int = 1, samples: int = 400) -> tuple[Array, Array]:
    """References and estimates in reversed order, (P, C, N), as float32 files hold them."""
    rng = np.random.Generator(np.random.Philox(seed))
    ref = 0.1 * rng.standard_normal((sources, channels, samples))
    est = ref[::-1] + 0.2 * ref + 0.01 * rng.standard_normal(ref.shape)
    return ref.astype(np.float32), est.astype(np.float32)


def write(paths: list[Path], signals: Array, rate_hz: int = RATE_HZ) -> None:
    for path, signal in zip(paths, signals, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, signal, rate_hz)


NAMES = {
    "folders of sources": lambda root, id, j: root / f"s{j + 1}" / f"{id}.wav",
    "folders of numbers": lambda root, id, j: root / f"{j + 1}" / f"{id}.flac",
    "flat": lambda root, id, j: root / f"{id}_est{j + 1}.wav",
    "flat, below": lambda root, id, j: root / "deep" / f"{id}_spk{j + 1}.wav",
}


def test_beside_folders_of_sources_other_folders_are_left_aside(tmp_path: Path) -> None:
    ref, est = drawn(0)
    write([tmp_path / "ref" / folder / "a.wav" for folder in ("s1", "s2")], ref)
    write([tmp_path / "ref" / folder / "a.wav" for folder in ("mix", "noise")], est)
    write([tmp_path / "est" / f"a_est{j}.wav" for j in (1, 2)], est)
    task = match(tmp_path / "ref", tmp_path / "est", tmp_path / "ref" / "mix")
    (one,) = task.utterances
    assert one.id == "a" and [path.parent.name for path in one.ref] == ["s1", "s2"]
    assert one.mix == tmp_path / "ref" / "mix" / "a.wav"
    assert [path.parent.name for path in task.unused] == ["mix", "noise"]


@pytest.mark.parametrize("layout", NAMES)
def test_layouts(tmp_path: Path, layout: str) -> None:
    for number, id in enumerate(("a_1x", "b")):
        ref, est = drawn(number)
        write([NAMES[layout](tmp_path / "ref", id, j) for j in range(2)], ref)
        write([NAMES[layout](tmp_path / "est", id, j) for j in range(2)], est)
    task = match(tmp_path / "ref", tmp_path / "est")
    assert [one.id.removeprefix("deep/") for one in task.utterances] == ["a_1x", "b"]
    assert not task.named and not task.unused
    for number, one in enumerate(task.utterances):
        found = score(one, Settings(), named=task.named)
        ref, est = drawn(number)
        assert found.permutation == (1, 0)
        wanted = si_sdr(ref=ref[:, 0], est=est[::-1, 0])
        assert_allclose(found.values["si_sdr_db"], wanted, rtol=0, atol=1e-3 if "flac" in str(one.ref[0]) else 1e-9)


def test_names_count_where_sources_have_them(tmp_path: Path) -> None:
    ref, est = drawn()
    for folder, signals in (("ref", ref), ("est", est)):
        write([tmp_path / folder / "song" / f"{name}.wav" for name in ("drums", "vocals")], signals)
    task = match(tmp_path / "ref", tmp_path / "est")
    assert task.named and task.sources == ("drums", "vocals")
    found = score(task.utterances[0], Settings(("si_sdr", "bss_eval_v3_sources"), taps=4), named=True)
    assert found.permutation == (0, 1)
    assert_allclose(found.values["si_sdr_db"], si_sdr(ref=ref[:, 0], est=est[:, 0]), rtol=0, atol=1e-9)
    straight = bss_eval_v3_sources(ref=ref[:, 0], est=est[:, 0], taps=4, permute=False)
    assert_allclose(found.values["bss_eval_v3_sources_sdr_db"], straight.sdr_db, rtol=0, atol=1e-9)


def three(tmp_path: Path, channels: int = 1) -> tuple[Array, Array, Array]:
    ref, est = drawn(3, sources=3, channels=channels)
    est = est[[1, 2, 0]]
    mix = ref.sum(axis=0)
    for folder, signals in (("ref", ref), ("est", est)):
        write([tmp_path / folder / f"s{j + 1}" / "u.wav" for j in range(3)], signals)
    write([tmp_path / "mix" / "u.wav"], mix[None])
    return ref, est, mix


def test_every_metric_and_its_improvement(tmp_path: Path) -> None:
    ref, est, mix = (x[..., 0, :] for x in three(tmp_path))
    task = match(tmp_path / "ref", tmp_path / "est", tmp_path / "mix")
    found = score(task.utterances[0], Settings(METRICS, taps=8, window_s=0.02), named=False)
    order, both = list(found.permutation), np.stack([mix] * 3)
    for name, ratio in (("si_sdr", si_sdr), ("si_sir", si_sir), ("si_sar", si_sar), ("snr", snr)):
        after, before = ratio(ref=ref, est=est[order]), ratio(ref=ref, est=both)
        assert_allclose(found.values[f"{name}_db"], after, rtol=0, atol=1e-9)
        assert_allclose(found.values[f"{name}_i_db"], after - before, rtol=0, atol=1e-6)
    windows = {"rate_hz": RATE_HZ, "window_s": 0.02, "taps": 8}
    for call, shape in ((bss_eval_v3_sources, (3, -1)), (bss_eval_v3_images, (3, 1, -1)), (bss_eval_v4, (3, 1, -1))):
        wanted = call(ref=ref.reshape(shape), est=est.reshape(shape), **windows).medians()
        assert_array_equal(found.values[f"{call.__name__}_sir_db"], wanted.sir_db)
        assert_array_equal(found.values[f"{call.__name__}_sar_db"], wanted.sar_db)
        assert f"{call.__name__}_sdr_i_db" in found.values
        assert (f"{call.__name__}_isr_db" in found.values) == (call is not bss_eval_v3_sources)


def test_images_have_channels_and_the_others_none(tmp_path: Path) -> None:
    ref, est, _ = three(tmp_path, channels=2)
    one = match(tmp_path / "ref", tmp_path / "est").utterances[0]
    found = score(one, Settings(("bss_eval_v3_images",), taps=4), named=False)
    wanted = bss_eval_v3_images(ref=ref, est=est, taps=4)
    assert_array_equal(found.values["bss_eval_v3_images_isr_db"], wanted.isr_db)
    assert found.permutation == tuple(wanted.permutation)
    for metric in ("si_sdr", "snr", "bss_eval_v3_sources"):
        with pytest.raises(InputError, match=f"u: {metric}: signals have 2 channels, wanted 1"):
            score(one, Settings((metric,)), named=False)


def test_the_summary_counts_what_it_leaves_out(tmp_path: Path) -> None:
    scores = []
    for number in range(3):
        ref, est = drawn(number)
        if number == 1:
            ref[0] = 0.0
        write([tmp_path / "ref" / f"{number}_s{j}.wav" for j in range(2)], ref)
        write([tmp_path / "est" / f"{number}_s{j}.wav" for j in range(2)], est)
    task = match(tmp_path / "ref", tmp_path / "est")
    scores = [score(one, Settings(silent="skip"), named=False) for one in task.utterances]
    column = summarise(scores)["si_sdr_db"]
    table = np.stack([one.values["si_sdr_db"] for one in scores])
    assert column.skipped == 1 and np.isnan(table[1, 0])
    assert_allclose(column.mean_db, np.mean([table[0].mean(), table[1, 1], table[2].mean()]))
    assert column.median_db == np.nanmedian(table)
    rows = csv_text(scores, task.sources).splitlines()
    assert rows[0] == "id,seconds,source,estimate,si_sdr_db" and len(rows) == 7
    assert rows[1].startswith("0,0.05,s0,2,") and rows[3].endswith(",nan")
    with pytest.raises(InputError, match="1: si_sdr: ref is silent"):
        score(task.utterances[1], Settings(), named=False)


def test_lengths(tmp_path: Path) -> None:
    ref, est = drawn()
    write([tmp_path / "ref" / f"u_s{j}.wav" for j in (1, 2)], ref)
    write([tmp_path / "est" / f"u_s{j}.wav" for j in (1, 2)], est[..., :390])
    one = match(tmp_path / "ref", tmp_path / "est").utterances[0]
    with pytest.raises(InputError, match=r"u_s1.wav: has 390 samples, wanted 400 as .*u_s1.wav has"):
        score(one, Settings(), named=False)
    found = score(one, Settings(trim=True), named=False)
    assert_allclose(found.values["si_sdr_db"], si_sdr(ref=ref[:, 0, :390], est=est[::-1, 0, :390]), rtol=0, atol=1e-9)


def test_rates_and_channels(tmp_path: Path) -> None:
    ref, est = drawn()
    write([tmp_path / "ref" / f"u_s{j}.wav" for j in (1, 2)], ref)
    write([tmp_path / "est" / f"u_s{j}.wav" for j in (1, 2)], est, 16000)
    with pytest.raises(InputError, match=r"u_s1.wav: sample rate is 16000 Hz, wanted 8000 Hz"):
        score(match(tmp_path / "ref", tmp_path / "est").utterances[0], Settings(), named=False)
    write([tmp_path / "est" / f"u_s{j}.wav" for j in (1, 2)], np.repeat(est, 2, axis=1))
    with pytest.raises(InputError, match=r"u_s1.wav: has 2 channels, wanted 1"):
        score(match(tmp_path / "ref", tmp_path / "est").utterances[0], Settings(), named=False)
    write([tmp_path / "est" / "u_s1.wav"], est[:1])
    with pytest.raises(InputError, match=r"u_s2.wav: has 2 channels of 400 samples at 8000 Hz, wanted 1 of 400"):
        score(match(tmp_path / "ref", tmp_path / "est").utterances[0], Settings(), named=False)


def test_what_does_not_match(tmp_path: Path) -> None:
    ref, est = drawn()
    with pytest.raises(InputError, match="ref: is not a folder"):
        match(tmp_path / "ref", tmp_path)
    with pytest.raises(InputError, match="holds no signals of sources, wanted s1/ID"):
        sources_of(tmp_path)
    write([tmp_path / "ref" / f"u_s{j}.wav" for j in (1, 2)], ref)
    write([tmp_path / "est" / f"v_s{j}.wav" for j in (1, 2)], est)
    with pytest.raises(InputError, match="est: has no estimates of u"):
        match(tmp_path / "ref", tmp_path / "est")
    write([tmp_path / "est" / "u_s1.wav", tmp_path / "est" / "noise.wav"], est)
    with pytest.raises(InputError, match="est: u has s1, wanted s1, s2 as the references have"):
        match(tmp_path / "ref", tmp_path / "est")
    write([tmp_path / "est" / "u_s2.wav"], est[:1])
    task = match(tmp_path / "ref", tmp_path / "est")
    assert [path.name for path in task.unused] == ["noise.wav", "v_s1.wav", "v_s2.wav"]
    write([tmp_path / "mix" / "x.wav"], est[:1])
    with pytest.raises(InputError, match="mix: has no mixture u"):
        match(tmp_path / "ref", tmp_path / "est", tmp_path / "mix")
    write([tmp_path / "ref" / "u_s1.flac"], est[:1])
    with pytest.raises(InputError, match=r"u_s1.wav: is a second file of source s1 of u, beside .*u_s1.flac"):
        match(tmp_path / "ref", tmp_path / "est")
    with pytest.raises(InputError, match="score: metric is 'sdr', wanted one of si_sdr, si_sir"):
        Settings(("sdr",))
