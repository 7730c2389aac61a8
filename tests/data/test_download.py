"""Downloads from a server of our own: what is right appears whole, and of anything else nothing is left."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from refbss import InputError
from refbss.data import download as module
from refbss.data.download import SOURCES, digest_of, download
from refbss.data.layouts import open_corpus
from refbss_cli.main import main

pytest.importorskip("pooch", reason="the extra data is not installed")
NAMES = [f"{digit}_ann_{index}.wav" for digit in range(3) for index in range(2)]


class Answer(NamedTuple):
    """What the server says to a path: a body, how many bytes of it it announces, and whether it then hangs."""

    body: bytes
    announced: int | str | None = None
    hangs: bool = False


class Server(NamedTuple):
    """A server's address, its answers by path, and the paths that were asked for."""

    url: str
    answers: dict[str, Answer]
    asked: list[str]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on this machine."""
    answers: dict[str, Answer] = {}
    asked: list[str] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer = answers.get(self.path)
            if answer is None:
                self.send_error(404)
                return
            self.send_response(200)
            announced = len(answer.body) if answer.announced is None else answer.announced
            if announced:
                self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(answer.body)
            self.wfile.flush()
            if answer.hangs:
                over.wait(60)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True).start()
    yield Server(f"http://127.0.0.1:{found.server_port}/data", answers, asked)
    over.set()
    found.shutdown()
    found.server_close()


def archive(members: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda member: None) -> bytes:
    """A .tar.gz with these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            change(member)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Six recordings in an archive as FSDD has it, and their digest in the place of FSDD's."""
    from refbss.data.audio_io import write_audio

    folder = tmp_path / "made"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        write_audio(folder / name, [0.1 * number] * 99, 8000)
    count, digest = digest_of(folder)
    members = {f"fsdd-1.0.10/recordings/{path.name}": path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    source = replace(SOURCES["fsdd"], recordings=count, digest=digest)
    monkeypatch.setitem(module.SOURCES, "fsdd", source)
    return members


ARCHIVE = "/data/v1.0.10.tar.gz"


def test_fsdd(server: Server, digits: dict[str, bytes], tmp_path: Path) -> None:
    """The recordings of the archive and nothing else of it, a corpus as it stands."""
    more = {"fsdd-1.0.10/README.md": b"read me", "fsdd-1.0.10/recordings/notes.txt": b"x", "fsdd-1.0.10/x.wav": b"y"}
    server.answers[ARCHIVE] = Answer(archive({**more, **digits}))
    seen: list[tuple[int, int]] = []
    report = download("fsdd", tmp_path / "fsdd", url=server.url, progress=lambda *now: seen.append(now))
    assert sorted(path.name for path in (tmp_path / "fsdd" / "recordings").iterdir()) == NAMES
    assert [path.name for path in (tmp_path / "fsdd").iterdir()] == ["recordings"]
    size = sum(len(content) for content in digits.values())
    assert report[:2] == (6, size) and "CC BY-SA 4.0" in report.licence
    assert seen[-1][0] == seen[-1][1] == len(server.answers[ARCHIVE].body)
    assert open_corpus(tmp_path / "fsdd").layout == "fsdd"
    assert [path.name for path in tmp_path.iterdir()] == ["fsdd"]


def test_the_digest_of_fsdd_is_that_of_its_recordings(server: Server, fsdd_dir: Path, tmp_path: Path) -> None:
    """Of the copy at hand, packed as its host packs it."""
    files = sorted((fsdd_dir / "recordings").glob("*.wav"))
    server.answers[ARCHIVE] = Answer(
        archive({f"fsdd-1.0.10/recordings/{path.name}": path.read_bytes() for path in files})
    )
    assert download("fsdd", tmp_path / "fsdd", url=f"{server.url}/").files == 3000


def test_the_sums_of_mnist_are_those_of_its_test_files(fsdd_dir: Path) -> None:
    """Of the copy at hand: the labels as they are; the images were packed anew, and hold what the others have."""
    folder = fsdd_dir.parent / "mnist"
    if not folder.is_dir():
        pytest.skip(f"no MNIST in {folder.parent}")
    labels, images = (folder / f"t10k-{what}-ubyte.gz" for what in ("labels-idx1", "images-idx3"))
    assert hashlib.sha256(labels.read_bytes()).hexdigest() == SOURCES["mnist"].files[labels.name]
    content = hashlib.sha256(gzip.decompress(images.read_bytes())).hexdigest()
    assert content == "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"


@pytest.fixture
def images(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four small files as MNIST has them, on the server, and their sums in the place of MNIST's."""
    files = {name: gzip.compress(name.encode() * 50, mtime=0) for name in SOURCES["mnist"].files}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(module.SOURCES, "mnist", replace(SOURCES["mnist"], files=sums))
    server.answers.update({f"/data/{name}": Answer(content) for name, content in files.items()})
    return files


def test_mnist(server: Server, images: dict[str, bytes], tmp_path: Path) -> None:
    """Byte by byte, as they lie there."""
    (tmp_path / "mnist").mkdir()  # an empty folder may be there
    assert download("mnist", tmp_path / "mnist", url=server.url).files == 4
    assert {path.name: path.read_bytes() for path in (tmp_path / "mnist").iterdir()} == images
    assert server.asked == [f"/data/{name}" for name in images]


def nothing_left(tmp_path: Path) -> bool:
    return not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", ["changed", "short", "cut off", "missing", "page"])
def test_a_file_that_is_not_what_it_should_be(
    server: Server, images: dict[str, bytes], tmp_path: Path, fault: str
) -> None:
    """The last of four: the three before it, which were right, are not left either."""
    name, content = list(images.items())[-1]
    path = f"/data/{name}"
    if fault == "changed":
        server.answers[path] = Answer(content[:-1] + bytes([content[-1] ^ 1]))
    elif fault == "short":  # as a server that closes without having said how much would come
        server.answers[path] = Answer(content[:-9], announced=0)
    elif fault == "cut off":
        server.answers[path] = Answer(content[:-9], announced=len(content))
    elif fault == "page":
        server.answers[path] = Answer(b"<html>Please log in</html>")
    else:
        del server.answers[path]
    error = OSError if fault in ("cut off", "missing") else InputError
    message = r"cannot be downloaded \(" if error is OSError else r"what came has the SHA-256 \w{64}, wanted \w{64}$"
    with pytest.raises(error, match=rf"^{server.url}/{name}: {message}"):
        download("mnist", tmp_path / "mnist", url=server.url)
    assert nothing_left(tmp_path) and len(server.asked) == 4


def renamed(digits: dict[str, bytes], old: str, new: str) -> dict[str, bytes]:
    return {name.replace(old, new): content for name, content in digits.items()}


HOSTILE = {
    "other samples": (
        lambda d: archive({**d, next(iter(d)): b"RIFF"}),
        r"holds 6 recordings of the digest \w+, wanted 6",
    ),
    "one less": (lambda d: archive(dict(list(d.items())[1:])), r"holds 5 recordings of the digest \w+, wanted 6 of"),
    "other names": (lambda d: archive(renamed(d, "0_ann", "3_ann")), r"holds 6 recordings of the digest \w+, wanted 6"),
    "cut off": (lambda d: archive(d)[:-60], r"what came is no whole archive \(.*\), wanted a \.tar\.gz"),
    "no archive": (lambda d: b"<html></html>", r"what came is no whole archive \(.*\), wanted a \.tar\.gz"),
    "no archive inside": (lambda d: gzip.compress(b"hello" * 999), r"no whole archive|holds 0 recordings"),
    "traversal": (lambda d: archive(renamed(d, "fsdd-1.0.10/recordings/0", "../../0")), r"holds 4 recordings of the"),
    "absolute": (
        lambda d: archive(renamed(d, "fsdd-1.0.10/recordings/0", "/recordings/../0")),
        r"holds 4 recordings of",
    ),
    "links": (
        lambda d: archive({name: b"" for name in d}, lambda m: (setattr(m, "type", tarfile.SYMTYPE), None)[1]),
        r"holds 0 recordings of the digest",
    ),
    "a large file": (
        lambda d: archive({**d, "x/recordings/1_bob_1.wav": bytes(2**20 + 1)}),
        r"1_bob_1\.wav with 1048577",
    ),
    "twice": (
        lambda d: archive({**d, "x/recordings/0_ann_0.wav": b"RIFF"}),
        r"x/recordings/0_ann_0\.wav with a second",
    ),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_archives_that_are_refused(server: Server, digits: dict[str, bytes], tmp_path: Path, fault: str) -> None:
    make, message = HOSTILE[fault]
    server.answers[ARCHIVE] = Answer(make(digits))
    with pytest.raises(InputError, match=rf"^{server.url}/v1\.0\.10\.tar\.gz: .*({message})"):
        download("fsdd", tmp_path / "fsdd", url=server.url)
    assert nothing_left(tmp_path)


def test_sizes_that_are_refused(
    server: Server, digits: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is announced, what comes unannounced, and what is packed: none of it is read to its end."""
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    server.answers[ARCHIVE] = Answer(b"x" * 10, announced=2**20 + 1, hangs=True)
    with pytest.raises(InputError, match=r"passes 1048576 bytes, wanted a corpus below that"):
        download("fsdd", tmp_path / "fsdd", url=server.url)
    server.answers[ARCHIVE] = Answer(b"x" * (2**20 + 2**17), announced=0)
    with pytest.raises(InputError, match=r"passes 1048576 bytes"):
        download("fsdd", tmp_path / "fsdd", url=server.url)
    server.answers[ARCHIVE] = Answer(archive({"a": bytes(2**20 + 1), **digits}))  # zeros: a few hundred bytes packed
    with pytest.raises(InputError, match=r"holds more than 1048576 bytes, wanted recordings of digits"):
        download("fsdd", tmp_path / "fsdd", url=server.url)
    assert nothing_left(tmp_path)


def test_an_answer_that_is_no_http(server: Server, images: dict[str, bytes], tmp_path: Path) -> None:
    name = next(iter(images))
    server.answers[f"/data/{name}"] = Answer(b"x", announced="soon")
    with pytest.raises(OSError, match=rf"{name}: cannot be downloaded \("):
        download("mnist", tmp_path / "mnist", url=server.url)
    assert nothing_left(tmp_path)


def test_a_server_that_falls_silent(
    server: Server, images: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    name, content = next(iter(images.items()))
    server.answers[f"/data/{name}"] = Answer(content[:5], announced=len(content), hangs=True)
    with pytest.raises(OSError, match=rf"{name}: cannot be downloaded \(.*timed out"):
        download("mnist", tmp_path / "mnist", url=server.url)
    assert nothing_left(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_download_leaves_nothing(
    server: Server, images: dict[str, bytes], tmp_path: Path, number: signal.Signals
) -> None:
    """In a process of its own, in the middle of the third file."""
    sums = json.dumps(dict(module.SOURCES["mnist"].files))
    name, content = list(images.items())[2]
    server.answers[f"/data/{name}"] = Answer(content[:5], announced=len(content), hangs=True)
    code = (
        "import json, signal, sys; from dataclasses import replace\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "from refbss.data import download; from refbss_cli import main\n"
        f"source = replace(download.SOURCES['mnist'], files=json.loads({sums!r}))\n"
        "download.SOURCES['mnist'] = source\n"
        f"sys.exit(main.main(['data', 'get', 'mnist', '--out', {str(tmp_path / 'mnist')!r}, '--url', {server.url!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if len(server.asked) == 3 or process.poll() is not None:
            break
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else 143), err
    assert "Traceback" not in err and len(server.asked) == 3
    assert nothing_left(tmp_path)


def test_what_is_there_stays(server: Server, images: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"mnist: exists and is not an empty folder, wanted a new one"):
        download("mnist", tmp_path / "mnist", url=server.url)
    assert not server.asked and (tmp_path / "mnist" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/x", "file:///etc", "127.0.0.1/x", "http://"])
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match=r"url is '.*', wanted one that begins with http:// or https://"):
        download("mnist", tmp_path / "mnist", url=url)
    with pytest.raises(InputError, match="name is 'wsj0', wanted one of fsdd, mnist"):
        download("wsj0", tmp_path / "wsj0")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["data", "get", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command(
    capsys: pytest.CaptureFixture[str], server: Server, images: dict[str, bytes], tmp_path: Path
) -> None:
    out_dir = tmp_path / "mnist"
    code, out, err = run(capsys, "mnist", "--out", out_dir, "--url", server.url, "--json")
    assert code == 0 and "downloading mnist" in err
    size = sum(len(content) for content in images.values())
    licence = "MNIST, Y. LeCun, C. Cortes and C. J. C. Burges, CC BY-SA 3.0"
    assert json.loads(out) == {"name": "mnist", "out": str(out_dir), "files": 4, "bytes": size, "licence": licence}
    code, out, err = run(capsys, "mnist", "--out", out_dir, "--url", server.url)
    assert (code, out) == (2, "") and "exists and is not an empty folder" in err
    server.answers.clear()
    code, out, err = run(capsys, "mnist", "--out", tmp_path / "other", "--url", server.url)
    assert (code, out) == (1, "") and err.splitlines()[-1].startswith(f"refbss: error: {server.url}/train-images-")
    assert "404" in err.splitlines()[-1]
    code, _, err = run(capsys, "mnist", "--out", tmp_path / "other", "--url", "http://127.0.0.1:1")
    assert code == 1 and "cannot be downloaded (" in err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["mnist"]


def test_without_pooch(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent: Any = None
    monkeypatch.setitem(sys.modules, "pooch", absent)
    code, out, err = run(capsys, "fsdd", "--out", tmp_path / "fsdd")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith("pooch is not installed, wanted it for this (pip install 'refbss[data]')")
    assert nothing_left(tmp_path)
