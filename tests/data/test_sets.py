"""Fixed evaluation sets: what is read is what was mixed, and every planted fault is found."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss import InputError
from refbss.data.audio_io import read_audio, write_audio
from refbss.data.layouts import Corpus
from refbss.data.mixing import MixConfig, Mixer
from refbss.data.mixtures import open_mixtures
from refbss.data.new_folder import check_new
from refbss.data.sets import write_set
from refbss.data.verify import verify

N = 4


@pytest.fixture(scope="module")
def mixer(voices: Corpus) -> Mixer:
    config = MixConfig(seconds=0.5, noise=("none", "white"), silence_probability=0.5, silence_s=(0.1, 0.3))
    return Mixer([voices], config, seed=5, split="test")


@pytest.fixture(scope="module", params=["wav", "flac"])
def original(request: pytest.FixtureRequest, mixer: Mixer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(mixer, N, tmp_path_factory.mktemp("sets") / request.param, fmt=request.param)


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """A copy of a set to do damage to."""
    return Path(shutil.copytree(original, tmp_path / "set"))


def edit(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = root / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def rehash(root: Path, name: str) -> None:
    """Put the hash of the first item's file ``name`` right, so that only the deeper check can find the fault."""

    def change(manifest: dict[str, Any]) -> None:
        file = manifest["items"][0]["files"][name]
        file["sha256"] = hashlib.sha256((root / file["path"]).read_bytes()).hexdigest()

    edit(root, change)


def first(root: Path, name: str) -> Path:
    return root / json.loads((root / "manifest.json").read_text())["items"][0]["files"][name]["path"]


def test_a_set_is_the_mixers_items(original: Path, mixer: Mixer) -> None:
    found = open_mixtures(original)
    assert (len(found), found.rate_hz, found.sources) == (N, 8000, 2)
    tolerance = 0.0 if original.name == "wav" else 2**-24 * 1.001
    kinds = set()
    for index, item in enumerate(found):
        made = mixer.item(0, index)
        assert (item.id, item.clean, item.recipe) == (made.id, made.clean, made.recipe)
        for name in ("mix", "sources", "noise"):
            got = getattr(item, name)
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, getattr(made, name), rtol=0, atol=tolerance)
        kinds.add(item.clean)
    assert kinds == {True, False}
    report = verify(original)
    assert (report.items, report.sums, set(report.rates_hz), report.problems) == (N, N, {8000}, ())


def test_layout_on_disk(original: Path) -> None:
    suffix = original.name
    folders = {path.name: sorted(file.name for file in path.iterdir()) for path in original.iterdir() if path.is_dir()}
    assert set(folders) == {"mix", "s1", "s2", "noise"}
    ids = [f"s5e0i00000{index}.{suffix}" for index in range(N)]
    assert folders["mix"] == folders["s1"] == folders["s2"] == ids
    assert 0 < len(folders["noise"]) < N
    text = (original / "manifest.json").read_text()
    assert str(original.parent) not in text
    manifest = json.loads(text)
    assert (manifest["seed"], manifest["split"], manifest["config"]["seconds"]) == (5, "test", 0.5)


def test_the_same_arguments_give_the_same_bytes(original: Path, mixer: Mixer, tmp_path: Path) -> None:
    again = write_set(mixer, N, tmp_path / "again", fmt=original.name)
    names = sorted(path.relative_to(original) for path in original.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in names:
        assert (original / name).read_bytes() == (again / name).read_bytes(), name


def test_a_set_may_move(copy: Path) -> None:
    moved = copy.rename(copy.with_name("moved"))
    assert verify(moved).problems == ()


def kinds(root: Path) -> list[str]:
    return [problem.kind for problem in verify(root).problems]


@pytest.mark.parametrize("name", ["mix", "s1", "s2"])
def test_one_changed_sample_is_found(copy: Path, name: str) -> None:
    """By the hash and by the sum; with the hash forged, by the sum alone."""
    path = first(copy, name)
    x, rate_hz = read_audio(path, dtype="float64")
    x[0, 100] += 1.02e-5
    write_audio(path, x, rate_hz)
    assert kinds(copy) == ["hash", "sum"]
    rehash(copy, name)
    report = verify(copy)
    assert [problem.kind for problem in report.problems] == ["sum"]
    assert re.search(r"differs from the sum of its parts by 1(\.0\d)?e-05 at frame 100", report.problems[0].message)


def test_another_rate_is_found(copy: Path) -> None:
    path = first(copy, "s1")
    write_audio(path, read_audio(path)[0], 16000)
    rehash(copy, "s1")
    report = verify(copy)
    assert [problem.kind for problem in report.problems] == ["rate"]
    assert report.problems[0].message.endswith("has 16000 Hz, wanted 8000")


def test_another_length_is_found(copy: Path) -> None:
    path = first(copy, "s2")
    write_audio(path, read_audio(path)[0][:, :-1], 8000)
    rehash(copy, "s2")
    assert kinds(copy) == ["length"]


def test_a_second_channel_is_found(copy: Path) -> None:
    path = first(copy, "s2")
    write_audio(path, np.repeat(read_audio(path)[0], 2, axis=0), 8000)
    rehash(copy, "s2")
    assert kinds(copy) == ["channels"]


def test_clipping_is_found(copy: Path) -> None:
    loud = np.zeros(4000)
    loud[10] = 1 - 2**-20
    for name, x in (("mix", loud), ("s1", loud), ("s2", np.zeros(4000))):
        write_audio(first(copy, name), x, 8000)
        rehash(copy, name)
    first(copy, "noise").unlink()
    edit(copy, lambda manifest: manifest["items"][0]["files"].pop("noise"))
    edit(copy, lambda manifest: manifest["items"][0].update(clean=True))
    assert kinds(copy) == ["clip", "clip", "silent"]


def test_missing_extra_and_broken_files_are_found(copy: Path) -> None:
    first(copy, "mix").unlink()
    (copy / "s1" / "stray.txt").write_text("not ours")
    path = first(copy, "s2")
    path.write_bytes(path.read_bytes()[:1000])
    report = verify(copy)
    assert [problem.kind for problem in report.problems] == ["missing", "hash", "unreadable", "extra"]
    assert all(str(problem.path) in problem.message for problem in report.problems)


def test_reading_a_damaged_set_stops(copy: Path) -> None:
    path = first(copy, "s1")
    write_audio(path, np.zeros(7), 8000)
    with pytest.raises(InputError, match=r"has 7 samples, wanted 4000 as .*mix.* has"):
        list(open_mixtures(copy))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=2), "is not the manifest of a refbss evaluation set, version 1"),
        (lambda m: m.pop("items"), r"is damaged \(KeyError: 'items'\)"),
        (lambda m: m.update(rate_hz="8000"), "rate_hz is '8000', wanted an integer"),
        (lambda m: m.update(items=[1]), r"is damaged \(TypeError"),
        (lambda m: m["items"][0]["files"].pop("s1"), r"item 0 has files .*mix, .*, wanted .*mix, .*s1"),
        (
            lambda m: m["items"][1]["files"]["s1"].update(path="../x.wav"),
            r"item 1 names '\.\./x\.wav', wanted 's1/s5e0",
        ),
        (lambda m: m["items"][1]["files"]["s1"].update(path="/x.wav"), r"item 1 names '/x\.wav', wanted 's1/s5e0"),
        (lambda m: m["items"][1]["files"]["s1"].update(path="s1/\0.wav"), r"item 1 names 's1/\\x00\.wav', wanted 's1/"),
        (lambda m: m["items"][1]["files"]["s1"].update(sha256="x" * 64), r"item 1 names .* and a SHA-256"),
        (lambda m: m["items"][1].update(id="a/../../b"), r"item 1 has id 'a/\.\./\.\./b', wanted letters and digits"),
        (lambda m: m["items"].append(m["items"][0]), r"item 4 has id 's5e0i000000', wanted .* each id once"),
        (lambda m: m["items"][2].update(clean=1), r"item 2 has no clean"),
        (
            lambda m: m["items"][2].update(frames=2**40),
            r"item 2: frames is 1099511627776, wanted a finite number at most",
        ),
        (lambda m: m.update(items=[]), r"has no items, wanted at least 1"),
        (lambda m: m.update(sources=10**9), r"sources is 1000000000, wanted a finite number at most 240"),
        (lambda m: m.update(rate_hz=10**9), r"rate_hz is 1000000000, wanted an integer from 1 to 1000000"),
        (lambda m: m.pop("format"), r"is damaged \(KeyError: 'format'\)"),
        (lambda m: m.update(format="mp3"), r"format is 'mp3', wanted one of wav, flac"),
    ],
)
def test_manifests_that_are_refused(copy: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    edit(copy, change)
    with pytest.raises(InputError, match=rf"manifest\.json: .*{message}|manifest\.json: {message}"):
        verify(copy)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"holds no mixtures in a layout that is known, wanted mixtures ready made in one of refbss, ws",
    ):
        open_mixtures(tmp_path)
    (tmp_path / "manifest.json").write_text('{"kind": "refbss evaluation set"')
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read as JSON"):
        open_mixtures(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b'{"kind": "refbss evaluation set", "made_by": "caf\xe9"}')
    with pytest.raises(InputError, match=r"manifest\.json: is not UTF-8 at byte 49, wanted text in UTF-8"):
        open_mixtures(tmp_path)


def test_a_folder_with_files_is_refused(mixer: Mixer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert len(open_mixtures(write_set(mixer, 1, tmp_path / "empty"))) == 1
    with pytest.raises(InputError, match="empty: exists and is not an empty folder, wanted a new one"):
        write_set(mixer, 1, tmp_path / "empty")
    with pytest.raises(InputError, match="fmt is 'mp3', wanted one of wav, flac"):
        write_set(mixer, 1, tmp_path / "new", fmt="mp3")
    with pytest.raises(InputError, match="n is 0, wanted an integer of at least 1"):
        write_set(mixer, 0, tmp_path / "new")
    with pytest.raises(InputError, match="n is 1000001, wanted a finite number at most 1000000"):
        write_set(mixer, 1_000_001, tmp_path / "new")


@pytest.mark.parametrize("out", [".", "gone/..", "deep/.."])
def test_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    monkeypatch.chdir(tmp_path)
    if out == "deep/..":
        (tmp_path / "deep").mkdir()
    with pytest.raises(InputError, match="is the current folder, wanted a new one"):
        check_new(out)


def test_links(mixer: Mixer, tmp_path: Path) -> None:
    """A set goes where a link to an empty folder points; a link to nothing is refused."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "lost").symlink_to("gone")
    assert len(open_mixtures(write_set(mixer, 1, tmp_path / "link"))) == 1
    assert (tmp_path / "link").is_symlink() and (tmp_path / "empty" / "manifest.json").is_file()
    with pytest.raises(InputError, match="lost: is a symbolic link to nothing, wanted a new folder"):
        check_new(tmp_path / "lost")


def test_a_set_that_fails_leaves_nothing(mixer: Mixer, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(mixer, N, tmp_path / "deep" / "set", progress=stop)
    assert not list((tmp_path / "deep").iterdir())
