"""Values of the wrong kind, size or depth in documents: refused by a line that names the file and the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS
from refusals import refused
from safetensors.numpy import load_file, save_file

from refbss import InputError
from refbss.config import load_config
from refbss.conformance.results import check_document
from refbss.conformance.tensor_files import TensorFile, to_npz, write_tensors
from refbss.data.audio_io import write_audio
from refbss.data.corpora.own import KIND, read_manifest
from refbss.data.corpora.paths import Rooted
from refbss.data.layouts import open_corpus
from refbss.data.speech import SpeechPool
from refbss.models.lvbd_params import init_params, parameter_count
from refbss.reports.run_log import read_run
from refbss.reports.training import run_page, summary
from refbss.training.checkpoint import load_checkpoint
from refbss.training.config import PRESETS, RunConfig
from refbss.training.curve import draw_curve
from refbss.training.run_folder import cut_log
from refbss_cli.main import main
from refbss_cli.options import LONGEST_REASON, reason

DEEP = "[" * 100_000 + "]" * 100_000
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([2**63, 10**400, -1]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Whatever JSON or TOML can hold."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a = {DEEP}", "nested too deep"),
        ("[train]\nsteps = 1" + "0" * 5000, "not valid TOML: Exceeds the limit"),
        ("[train]\nsteps = 0x" + "f" * 5000, "an integer passes 64 bits"),
        ("[train]\nlearning_rate = 1" + "0" * 400, "an integer passes 64 bits"),
        ("[train]\nlearning_rate = inf", r"train\.learning_rate is inf"),
    ],
)
def test_a_configuration(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    refused(lambda: load_config(RunConfig, tmp_path / "a.toml"), rf"a\.toml: .*{message}")
    with pytest.raises(InputError, match=r"train\.learning_rate is 1000"):
        load_config(RunConfig, {"train": {"learning_rate": 10**400}})


@settings(max_examples=200, deadline=None)
@given(section=st.sampled_from(["model", "loss", "mix", "train", "other"]), values=ANY)
def test_a_configuration_of_anything(section: str, values: Any) -> None:
    fields = load_config(RunConfig, PRESETS["lvbd-tiny"])
    names = list(vars(getattr(fields, section, fields)))
    given_values = {name: values for name in names[:3]} if not isinstance(values, dict) else values
    try:
        load_config(RunConfig, {section: given_values})
    except InputError as error:
        assert str(error)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a log and a checkpoint."""
    trees.run_log(tmp_path)
    return tmp_path


def _edit(path: Path, edit: Any) -> None:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s["config"]["model"].update(latnet=1), r"unknown key model\.latnet"),
        (
            lambda s: s["config"]["model"].update(conv_channels=[2**40, 2]),
            r"model.safetensors: cannot be read .*too few",
        ),
        (lambda s: s["config"]["model"].update(gru_sections=2**62), r"model.safetensors: cannot be read .*too few"),
        (lambda s: s["config"]["model"].update(latent=2**31), r"model.safetensors: cannot be read .*too few"),
        (lambda s: s.update(step=10**400), "step is 10000"),
        (lambda s: s.update(step=-1), "step is -1"),
        (lambda s: s.update(step=True), "step is True"),
        (lambda s: s.update(steps="many"), "steps is 'many'"),
        (lambda s: s.update(seconds="long"), "seconds is 'long'"),
        (lambda s: s.update(seconds=float("nan")), "seconds is nan"),
        (lambda s: s.update(best="yes"), "best is 'yes'"),
        (lambda s: s.update(best=[1]), r"best is \[1\]"),
        (lambda s: s.update(minutes=-5), "minutes is -5"),
        (lambda s: s.update(version={}), r"version is \{\}"),
    ],
)
def test_a_state(run: Path, edit: Any, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    _edit(run / "last" / "state.json", edit)
    name = "" if "safetensors" in message else r"state\.json: .*"
    refused(lambda: load_checkpoint(run, optimizer=True), name + message)
    assert main(["info", str(run)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_state_that_is_nested_too_deep(run: Path) -> None:
    (run / "last" / "state.json").write_text(DEEP)
    refused(lambda: load_checkpoint(run), r"state\.json: cannot be read \(it is nested too deep\)")
    assert read_run(run).state == {}


@pytest.mark.parametrize(
    "line", [DEEP, '{"step": 1.5}', '{"step": true}', '{"step": 1' + "0" * 30 + "}", "[]", "7", '"x"']
)
def test_a_line_of_a_log(run: Path, line: str) -> None:
    log = run / "log.jsonl"
    log.write_text(f"{line}\n{log.read_text()}")
    refused(lambda: cut_log(log, 2), r"log\.jsonl: line 1 is no line of a log")
    found = read_run(run)
    assert len(found.steps) == 5 and found.steps.dtype == "int64" and "1 lines of the log are damaged" in found.notes[0]
    run_page([found])


@pytest.mark.parametrize("value", ["1e308", "-1e308", "1e200", "1" + "0" * 400, "5e-324", "NaN", "-Infinity"])
def test_values_that_no_axis_can_hold(run: Path, value: str) -> None:
    terms = f'"terms": {{"\\ud800": {value}}}, "memory": {{"m": [{value}, 1.0]}}'
    line = f'"loss": {value}, "grad_norm": {value}, "validation_db": {value}, "seconds": {value}, {terms}'
    (run / "log.jsonl").write_text("".join(f'{{"step": {step}, {line}}}\n' for step in (1, 2)))
    run_page([read_run(run)]).encode("utf-8")


def test_the_best_validation_is_finite(run: Path) -> None:
    log = (run / "log.jsonl").read_text().replace('"validation_db": null', '"validation_db": Infinity')
    (run / "log.jsonl").write_text(log)
    found = summary(read_run(run))
    assert (found["best_validation_db"], found["best_step"]) == (1.0, 3)


def test_vectors_of_complex_numbers(tmp_path: Path) -> None:
    trees.vectors(tmp_path)
    path = next(tmp_path.glob("tanh/*.safetensors"))
    tensors = {name: value.astype(np.complex64) for name, value in load_file(path).items()}
    save_file(tensors, path)
    tree = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    KINDS["vectors"].repair(tree, path.relative_to(tmp_path).as_posix())
    (tmp_path / "MANIFEST.json").write_bytes(tree["MANIFEST.json"])
    refused(lambda: KINDS["vectors"].read(tmp_path), rf"{path.name}: .* is complex64, wanted real numbers")


def test_a_recording_with_a_sample_far_beyond_its_level(tmp_path: Path) -> None:
    """It is past the last whole frame, so that the level does not know it."""
    x = np.full(330, 1e-3, np.float32)
    x[-1] = 3e38
    (tmp_path / "a").mkdir()
    write_audio(tmp_path / "a" / "0.wav", x, 8000)
    pool = [open_corpus(tmp_path)]
    with pytest.raises(InputError, match=r"0\.wav: recording a/0\.wav has samples far beyond its level"):
        SpeechPool(pool, split="train", rate_hz=8000)


@pytest.mark.parametrize("values", ["", '"loss": null', '"loss": "x", "validation_db": []', '"loss": 1' + "0" * 400])
def test_a_curve_of_a_log_that_lacks_values(tmp_path: Path, values: str) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "log.jsonl").write_text("".join(f'{{"step": {n}{", " * bool(values)}{values}}}\n' for n in (1, 2)))
    cut_log(tmp_path / "log.jsonl", 2)
    assert draw_curve(tmp_path / "log.jsonl", tmp_path / "curve.png") == tmp_path / "curve.png"


@pytest.mark.parametrize("value", ["[1, 2]", '"x"', "{a = 1}", "true", "1e308", DEEP[:2000]])
def test_a_page_on_a_configuration_that_somebody_edited(run: Path, value: str) -> None:
    (run / "config.toml").write_text(f"[train]\nclip_norm = {value}\n[loss]\nfisher_weight = {value}\n")
    run_page([read_run(run), read_run(run)])


FOUR_LAYERS = {"conv_channels": (3, 4, 5, 16), "conv_kernels": (8, 4, 4, 3), "conv_strides": (4, 2, 2, 1)}
OPTIONS = ({}, {"norm": False}, {"memory": False}, {"concat_conv": False}, {"sources": 3}, {"gru_sections": 1},
           {"residual": False, "gru_hidden": 7}, FOUR_LAYERS)  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("loss", [{}, {"prior_r": "learned"}, {"learn_prior_shape": True}])
@pytest.mark.parametrize("preset", PRESETS)
def test_parameters_are_counted_before_they_are_drawn(
    preset: str, option: dict[str, Any], loss: dict[str, Any]
) -> None:
    if preset == "lvbd-small" and (option.get("conv_channels") or option.get("residual") is False):
        option = {**option, "residual": False}
    mix = {"sources": option["sources"]} if "sources" in option else {}
    config = load_config(RunConfig, PRESETS[preset], {"model": option, "loss": loss, "mix": mix})
    drawn = init_params(config.model, 0, loss_config=config.loss)
    assert parameter_count(config.model, config.loss) == sum(value.size for value in drawn.values())
    extra = sum(value.size for name, value in drawn.items() if name.startswith("prior."))
    assert parameter_count(config.model) == sum(value.size for value in drawn.values()) - extra


@settings(max_examples=300, deadline=None)
@given(document=ANY)
def test_an_answer_of_anything(document: Any) -> None:
    for given_document in (
        document,
        {"id": "a/b", "dtype": "float32", "outputs": {"y": {"shape": document, "data": []}}},
    ):
        try:
            check_document("a.json", given_document)
        except InputError as error:
            assert str(error).startswith("a.json")


def test_an_answer_whose_shape_has_no_end() -> None:
    array = {"shape": [10**300] * 20, "data": [1.0]}
    with pytest.raises(InputError, match=r"a\.json: outputs\.y: shape is"):
        check_document("a.json", {"id": "a/b", "dtype": "float32", "outputs": {"y": array}})


@settings(max_examples=200, deadline=None)
@given(key=st.sampled_from(["rate_hz", "sources", "format", "items", "kind", "version"]), value=ANY)
def test_a_manifest_of_anything(tmp_path_factory: pytest.TempPathFactory, key: str, value: Any) -> None:
    root = tmp_path_factory.mktemp("set")
    files = {name: {"path": f"{name}/a.wav", "sha256": "0" * 64} for name in ("mix", "s1")}
    item = {"id": "a", "frames": 4, "clean": True, "recipe": {}, "files": files}
    manifest = {"kind": KIND, "version": 1, "rate_hz": 8000, "sources": 1, "format": "wav", "items": [item]}
    (root / "manifest.json").write_text(json.dumps(manifest))
    assert read_manifest(root)["items"][0]["id"] == "a"
    for edit in ({key: value}, {"items": [value]}, {"items": [{**item, "files": value}]}):
        changed = {**manifest, **edit}
        (root / "manifest.json").write_text(json.dumps(changed))
        try:
            read_manifest(root)
        except InputError as error:
            assert "manifest.json" in str(error)


@pytest.mark.parametrize("text", [".", "./.", "a/" * 3000 + "x.wav", "/" + "a/" * 300 + "x.wav"])
def test_paths_of_no_name_or_no_end(tmp_path: Path, text: str) -> None:
    refused(lambda: Rooted(tmp_path, given=True).find(text, "list: line 1"), "list: line 1 names")


def test_a_name_that_no_archive_can_hold(tmp_path: Path) -> None:
    tensors = {"x" * 70_000: np.zeros(2)}
    with pytest.raises(InputError, match="a name has 70000 characters"):
        to_npz(tensors)
    with pytest.raises(InputError):
        write_tensors(tmp_path / "a.npz", TensorFile(tensors, None))
    assert list(tmp_path.iterdir()) == []


def test_a_closed_manifest_is_not_taken_for_another_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hashes would be left out without a word."""
    from refbss.data.corpora import own

    def closed(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "set").mkdir()
    KINDS["set"].build(tmp_path / "set")
    monkeypatch.setattr(own, "contents", closed)
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read \(Permission denied\)"):
        KINDS["set"].read(tmp_path / "set")


def test_what_a_file_says_cannot_reach_the_terminal() -> None:
    said = reason(InputError("a\x1b[31m.csv: \u202e has\na\r\x00 name \udcff"))
    assert said == "a\\x1b[31m.csv: \\u202e has a \\x00 name \\udcff"
    long = reason(InputError("a.csv: " + "x" * 1_000_000 + " wanted less"))
    assert len(long) < LONGEST_REASON + 10 and long.startswith("a.csv: ") and long.endswith("wanted less")
