"""What stands in the place of a file: pipes, devices, folders, circles of links; files that change or are closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import cases
import pytest
import trees
from cases import Case
from kinds import KINDS
from refusals import in_little_memory, refused
from trees import built

from refbss import InputError
from refbss._files import MOST_BYTES, contents, opened
from refbss.data.audio_io import AudioReader
from refbss.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes, links and rights of POSIX")

FILES = {
    "wav": "pcm16.wav",
    "toml": "run.toml",
    "checkpoint": "last/state.json",
    "vectors": "MANIFEST.json",
    "export": "MANIFEST.json",
    "safetensors": "in.safetensors",
    "npz": "in.npz",
    "state map": "map.toml",
    "recordings": "manifest.csv",
    "set": "manifest.json",
    "librimix": "metadata/mixture_test_mix_both.csv",
    "speechbrain": "wham_tt.csv",
    "asteroid": "tt/s1.json",
    "kaldi": "tt/spk1.scp",
    "score": "ref/s1/x.wav",
    "noise": "test/a.wav",
}
"""The file of each kind without which there is nothing to read."""
EMPTY_IS_VALID = {"toml", "state map"}
ANOTHER_LAYOUT = {"recordings", "set", "noise"}
"""Without this file the others are a folder of another layout, or of less noise."""


@pytest.mark.parametrize("shape", ["gone", "folder", "pipe", "lost link", "circle", "device", "empty"])
@pytest.mark.parametrize("name", FILES)
def test_in_the_place_of_a_file(tmp_path: Path, name: str, shape: str) -> None:
    kind = KINDS[name]
    root = tmp_path / "given"
    cases.write(Case(built(kind.build, tmp_path / "valid"), FILES[name], shape, ""), root)
    given = root / FILES[name] if kind.one_file else root
    if (shape == "empty" and name in EMPTY_IS_VALID) or (shape != "empty" and name in ANOTHER_LAYOUT):
        with in_little_memory():
            kind.read(given)
    elif (name, shape) != ("set", "empty"):
        refused(lambda: kind.read(given), str(root))


@pytest.mark.parametrize("name", ["model.safetensors", "optim.safetensors"])
@pytest.mark.parametrize("shape", ["gone", "folder", "pipe", "circle", "device", "empty"])
def test_in_the_place_of_tensors(tmp_path: Path, name: str, shape: str) -> None:
    tree = built(trees.checkpoint, tmp_path / "valid")
    cases.write(Case(tree, f"last/{name}", shape, ""), tmp_path / "given")
    refused(lambda: load_checkpoint(tmp_path / "given", optimizer=True), rf"last/{name}: cannot be read")


def test_a_file_of_holes(tmp_path: Path) -> None:
    """One that claims more bytes than the memory has, and takes none on the disk."""
    with (tmp_path / "a.toml").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    refused(lambda: contents(tmp_path / "a.toml"), f"has {MOST_BYTES + 1} bytes, wanted at most {MOST_BYTES}")


def test_a_name_that_is_no_path(tmp_path: Path) -> None:
    refused(lambda: contents(Path("a\0b")), "is not a path")
    with pytest.raises(IsADirectoryError, match=tmp_path.name), opened(tmp_path):
        pass


AS_NOBODY = """
import os, sys
from refbss_cli.main import main
main(sys.argv[1:])  # what is imported now need not be read by somebody who may not
print("as nobody", file=sys.stderr, flush=True)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize(
    ("kind", "file", "command"),
    [
        ("checkpoint", "last/model.safetensors", ["info", "{}"]),
        ("checkpoint", "last/state.json", ["info", "{}"]),
        ("recordings", "manifest.csv", ["data", "scan", "{}"]),
        ("recordings", "a/1.wav", ["data", "scan", "{}"]),
        ("run", "log.jsonl", ["report", "{}", "--out", "{}/page.html"]),
        ("set", "manifest.json", ["data", "verify", "{}"]),
        (
            "safetensors",
            "in.safetensors",
            ["convert", "{}/in.safetensors", "{}/o.npz", "--from", "torch", "--to", "onnx"],
        ),
    ],
)
def test_closed_to_us(tmp_path: Path, kind: str, file: str, command: list[str]) -> None:
    root = tmp_path / "given"
    root.mkdir()
    KINDS[kind].build(root)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o711)
    (root / file).chmod(0)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    arguments = [part.format(root) for part in command]
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *arguments], capture_output=True, text=True, env=environment
    )
    before, _, said = done.stderr.partition("as nobody\n")
    assert "error" not in before, before
    said += done.stdout.rpartition("problems:")[2]
    assert "Traceback" not in said and Path(file).name in said and "ermission denied" in said, said
    assert done.returncode == 0 if "unreadable" in said else done.returncode in (1, 2)


CUT = """
import os, sys, threading
from pathlib import Path
from refbss import InputError
from refbss.training.checkpoint import load_checkpoint
path, whole = Path(sys.argv[1]) / "last" / "model.safetensors", None
whole = path.read_bytes()
stop = threading.Event()
def change():
    while not stop.is_set():
        with path.open("r+b") as file:
            file.truncate(600)
            file.seek(0)
            file.write(whole)
thread = threading.Thread(target=change)
thread.start()
found = {"read": 0, "refused": 0}
try:
    for _ in range(400):
        try:
            load_checkpoint(sys.argv[1])
            found["read"] += 1
        except InputError as error:
            assert "model.safetensors" in str(error)
            found["refused"] += 1
finally:
    stop.set()
    thread.join()
print(found)
"""


def test_a_checkpoint_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    """A file mapped into memory would end the process with SIGBUS."""
    trees.checkpoint(tmp_path)
    done = subprocess.run([sys.executable, "-c", CUT, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_a_recording_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    trees.wav(tmp_path)
    with AudioReader(tmp_path / "pcm16.wav") as reader:
        reader.read(10)
        os.truncate(reader.path, 200)
        with pytest.raises(InputError, match=r"pcm16\.wav: is truncated or damaged after frame \d+ of 400"):
            for _ in reader.blocks(100):
                pass


def test_a_pipe_with_a_writer_is_refused_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.toml")
    writer = threading.Thread(target=lambda: os.close(os.open(tmp_path / "run.toml", os.O_RDWR)))
    writer.start()
    refused(lambda: contents(tmp_path / "run.toml"), "is a pipe or a device, no file")
    writer.join()


def _listed(name: str) -> Callable[[dict[str, object]], None]:
    def change(files: dict[str, object]) -> None:
        files[name] = next(iter(files.values()))

    return change


@pytest.mark.parametrize(
    "name", ["../x/a.json", "/etc/passwd.json", "gru/../../a.json", "a\\..\\b.json", "gru/\0.json"]
)
def test_a_manifest_of_vectors_that_leads_elsewhere(tmp_path: Path, name: str) -> None:
    trees.vectors(tmp_path)
    manifest = json.loads((tmp_path / "MANIFEST.json").read_text())
    _listed(name)(manifest["files"])
    (tmp_path / "MANIFEST.json").write_text(json.dumps(manifest))
    refused(lambda: KINDS["vectors"].read(tmp_path), r"MANIFEST\.json: lists .*, wanted the path of a file below")


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("librimix", "metadata/mixture_test_mix_both.csv", r"wanted a path without \.\."),
        ("speechbrain", "wham_tt.csv", r"wanted a path without \.\."),
        ("asteroid", "tt/s1.json", r"wanted a path without \.\."),
        ("kaldi", "tt/spk1.scp", r"wanted a path without \.\."),
        ("set", "manifest.json", "wanted 's1/"),
    ],
)
def test_a_list_that_leads_elsewhere(tmp_path: Path, name: str, file: str, message: str) -> None:
    KINDS[name].build(tmp_path)
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(text.replace("s1/", "../s1/"))
    assert (tmp_path / file).read_text() != text
    refused(lambda: KINDS[name].read(tmp_path), message)
