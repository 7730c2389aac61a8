"""Every kind of file that refbss reads: a valid tree, what damages it, what reads it, and whose readers those are.

``read`` does what a command does with the tree: it may return, or raise InputError or OSError with a line that names a
file of the tree. Anything else that it raises is a defect.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import headers
import numpy as np
import texts
import trees
from mutations import Mutation

from refbss._checks import InputError
from refbss.config import dump_toml, load_config
from refbss.conformance.convert import to_layout
from refbss.conformance.export import export
from refbss.conformance.results import Results
from refbss.conformance.state_map import read_state_map
from refbss.conformance.tensor_files import read_tensors, write_tensors
from refbss.conformance.vectors import Library
from refbss.data.audio_io import AudioReader
from refbss.data.corpora.part import Choice
from refbss.data.corpora.registry import recognised
from refbss.data.download import Source, _unpack
from refbss.data.inventory import inventory
from refbss.data.layouts import open_corpus
from refbss.data.noise import NoiseFolder
from refbss.data.opening import open_data
from refbss.data.pcm import PcmReader, read_wav_header
from refbss.data.scan import scan
from refbss.data.speech import SpeechPool
from refbss.data.verify import verify
from refbss.evaluation import score as scoring
from refbss.reports.run_log import read_run
from refbss.reports.training import run_page, summary
from refbss.training.checkpoint import load_checkpoint
from refbss.training.config import RunConfig
from refbss.training.run_folder import cut_log, where_to_go_on
from refbss_cli.info import _training_line
from refbss_cli.stream import go_on

Tree = dict[str, bytes]


class Kind(NamedTuple):
    """One kind of input. ``damage``: a pattern of names and the mutations that know such files; the first that fits.

    ``whole``: files that a case may take for the one it reads; none: the folder is read. ``repair``: brings what else
    is in the tree to the damaged file, so that the damage is not stopped at a checksum. ``shape``: whether the tree
    itself is damaged too: files gone, renamed, links, pipes.
    """

    name: str
    build: Callable[[Path], None]
    read: Callable[[Path], object]
    damage: Mapping[str, Sequence[Mutation]]
    covers: tuple[str, ...]
    one_file: bool = False
    repair: Callable[[Tree, str], None] = lambda tree, name: None
    shape: bool = False
    share: float = 1.0


def _audio(path: Path) -> None:
    with AudioReader(path) as reader:
        for block in reader.blocks(max(1, reader.frames // 3)):
            assert np.isfinite(block).all() and block.shape[0] == reader.channels


def _config(path: Path) -> None:
    config = load_config(RunConfig, path)
    assert load_config(RunConfig, config_dict(dump_toml(config))) == config


def config_dict(text: str) -> dict[str, object]:
    """TOML text as a dict."""
    import tomllib

    return tomllib.loads(text)


def _checkpoint(root: Path) -> None:
    found = load_checkpoint(root, optimizer=True)
    _training_line({name: found.state.get(name) for name in ("step", "steps", "seconds", "best", "version")})


def _run(root: Path) -> None:
    found = read_run(root)
    json.dumps(summary(found), allow_nan=False)
    run_page([found, found]).encode("utf-8")
    where_to_go_on(root, resume=True)
    cut_log(root / "log.jsonl", 2)


def _vectors(root: Path) -> None:
    for vector in Library(root).load_all():
        assert all(array.dtype == np.float64 for array in vector.outputs.values())


def _rehashed(tree: Tree, name: str) -> None:
    if name != "MANIFEST.json" and "MANIFEST.json" in tree:
        manifest = json.loads(tree["MANIFEST.json"])
        if name in manifest["files"]:
            manifest["files"][name]["sha256"] = hashlib.sha256(tree[name]).hexdigest()
            tree["MANIFEST.json"] = json.dumps(manifest).encode()


def _exported(root: Path) -> None:
    export(root, Library(), ["tanh"])


SHIPPED = Library()


def _answers(root: Path) -> None:
    from refbss.conformance.judge import judge

    results = Results(root, SHIPPED)
    for case in results.files:
        if case in SHIPPED.ids:
            judge(SHIPPED.load(case), results, results.dtype_of(case), False)


def _piped(path: Path) -> None:
    with open(path, "rb", buffering=0) as file:
        reader = PcmReader(file.read, read_wav_header(file.read, str(path)))
        while not reader.ended:
            assert reader.read(100).ndim == 1
        assert reader.fault().isprintable()


def _state(path: Path) -> None:
    stream = trees.going()
    go_on(stream, path)
    with suppress(InputError):  # finite numbers of any size are a state, and estimates may pass the range of float32
        assert np.isfinite(stream.push(np.zeros(300, np.float32))).all()


def _convert(path: Path) -> None:
    file = read_tensors(path)
    made = to_layout(file.tensors, "torch", "keras")
    for suffix in (".npz", ".safetensors"):
        write_tensors(path.with_name(f"out{suffix}"), file._replace(tensors=made.tensors))


def _recordings(root: Path) -> None:
    scan(root)
    corpus = open_corpus(root)
    pool = SpeechPool([corpus], split="test", rate_hz=8000, resample=True)
    pool.string(pool.speakers[0], 800, (0.0, 0.01), np.random.default_rng(0))


def _mixtures(root: Path, *subset: str) -> None:
    choice = Choice(subset=subset)
    inventory(root, recognised(root), choice)
    verify(root, choice)
    items = open_data(root, choice)
    if not hasattr(items, "recordings"):
        list(items.items())


def _list(folder: str, root: Path) -> None:
    """As lists are read: by their folder or file, their recordings below the root."""
    choice = Choice(root=root)
    verify(root / folder, choice)
    list(open_data(root / folder, choice).items())  # type: ignore[union-attr]


def _scored(root: Path) -> None:
    task = scoring.match(root / "ref", root / "est", root / "mix")
    settings = scoring.Settings(("si_sdr", "snr"), "leroux", "nan", False, None, None)
    scores = [scoring.score(one, settings, named=task.named) for one in task.utterances]
    scoring.csv_text(scores, task.sources)


def _archive(path: Path) -> None:
    packed = path.with_suffix(".tar.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1) if path.suffix == ".tar" else path.read_bytes())
    _unpack(packed, path.parent / "recordings", Source("", {}, "", 3, ""), f"http://host/{path.name}")


def _noise(root: Path) -> None:
    NoiseFolder(root, split="test", rate_hz=8000, resampled=True).excerpt(500, np.random.default_rng(0))


SOUND = ("refbss/data/audio_io.py", "refbss/data/containers.py")
AUDIO = {"*.wav": headers.WAV, "*.flac": headers.FLAC, "*": headers.WAV}
RUN = {"*.jsonl": texts.JSON_LINES, "*.toml": texts.TOML, "*.json": texts.JSON, "*": ()}
CORPORA = "refbss/data/corpora/"
LISTS = (f"{CORPORA}listed.py", f"{CORPORA}tables.py", f"{CORPORA}paths.py", f"{CORPORA}place.py")
FOLDERS = (
    "refbss/data/inventory.py",
    "refbss/data/verify.py",
    "refbss/data/mixtures.py",
    f"{CORPORA}members.py",
    f"{CORPORA}place.py",
)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("wav", trees.wav, _audio, AUDIO, SOUND, one_file=True, share=4.0),
        Kind("flac", trees.flac, _audio, AUDIO, SOUND, one_file=True, share=2.0),
        Kind("audio", trees.other_audio, _audio, AUDIO, SOUND, one_file=True, share=3.0),
        Kind("toml", trees.toml, _config, {"*": texts.TOML}, ("refbss/config.py",), one_file=True),
        Kind("checkpoint", trees.checkpoint, _checkpoint, {"*.json": texts.JSON, "*": headers.TENSORS},
             ("refbss/training/checkpoint.py", "refbss/config.py"), shape=True),
        Kind("run", trees.run_log, _run, RUN,
             ("refbss/reports/run_log.py", "refbss/training/run_folder.py"), shape=True),
        Kind("vectors", trees.vectors, _vectors, {"*.json": texts.JSON, "*": headers.TENSORS},
             ("refbss/conformance/vectors.py",), repair=_rehashed, shape=True),
        Kind("export", trees.vectors, _exported, {"MANIFEST.json": texts.JSON, "*": ()},
             ("refbss/conformance/export.py",), shape=True, share=0.3),
        Kind("answers", trees.answers, _answers,
             {"*.json": texts.JSON, "*.npz": headers.NPZ, "*": headers.TENSORS},
             ("refbss/conformance/results.py", "refbss/conformance/tensor_files.py"), shape=True),
        Kind("safetensors", trees.tensors, _convert, {"*": headers.TENSORS},
             ("refbss/conformance/tensor_files.py",), one_file=True),
        Kind("npz", trees.npz, _convert, {"*": headers.NPZ}, ("refbss/conformance/tensor_files.py",), one_file=True),
        Kind("state map", trees.state_map, read_state_map, {"*": texts.TOML},
             ("refbss/conformance/state_map.py",), one_file=True),
        Kind("piped", trees.piped, _piped, AUDIO, ("refbss/data/pcm.py", "cli/stream.py"), one_file=True),
        Kind("stream state", trees.stream_state, _state, {"*": headers.TENSORS},
             ("refbss/separation_stream.py",), one_file=True, share=0.5),
        Kind("recordings", trees.recordings, _recordings, {"*.csv": texts.CSV, "*": headers.WAV},
             ("refbss/data/layouts.py", "refbss/data/scan.py", "refbss/data/speech.py"), shape=True),
        Kind("set", trees.own_set, _mixtures, {"*.json": texts.JSON, "*": headers.WAV},
             (f"{CORPORA}own.py", "refbss/data/sets.py", *FOLDERS), shape=True),
        Kind("folders", trees.mixtures, _mixtures, AUDIO, FOLDERS, shape=True, share=0.5),
        Kind("whamr", trees.whamr, lambda root: _mixtures(root, "reverb"), AUDIO, FOLDERS, shape=True, share=0.3),
        Kind("stems", trees.stems, _mixtures, AUDIO, (f"{CORPORA}stems.py", *FOLDERS), shape=True, share=0.3),
        Kind("librimix", trees.librimix, lambda root: _list("metadata", root), {"*.csv": texts.CSV, "*": headers.WAV},
             (f"{CORPORA}librimix.py", *LISTS), shape=True),
        Kind("speechbrain", trees.speechbrain, lambda root: _list("wham_tt.csv", root),
             {"*.csv": texts.CSV, "*": headers.WAV}, (f"{CORPORA}speechbrain.py", *LISTS), shape=True),
        Kind("asteroid", trees.asteroid, lambda root: _list("tt", root), {"*.json": texts.JSON, "*": headers.WAV},
             (f"{CORPORA}asteroid.py", *LISTS), shape=True),
        Kind("kaldi", trees.kaldi, lambda root: _list("tt", root), {"*.scp": texts.TEXT, "*": headers.WAV},
             (f"{CORPORA}kaldi.py", *LISTS), shape=True),
        Kind("score", trees.scored, _scored, AUDIO, ("refbss/evaluation/score.py",), shape=True, share=0.5),
        Kind("archive", trees.digits, _archive, {"*": headers.TAR}, ("refbss/data/download.py",), one_file=True,
             share=0.5),
        Kind("noise", trees.noises, _noise, AUDIO, ("refbss/data/noise.py",), shape=True, share=0.5),
    )
}  # fmt: skip


def mutations_for(kind: Kind, name: str) -> Sequence[Mutation]:
    """What knows a file of that name."""
    return next(found for pattern, found in kind.damage.items() if fnmatchcase(name, pattern))
