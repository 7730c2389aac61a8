"""Two public corpora, downloaded and checked: nothing appears under its name before all of it is there and right.

MNIST is checked file by file as it comes. The archive of FSDD is made anew by its host, and its bytes with it: of FSDD
the recordings in it are checked, by one SHA-256 over the sums of all of them (``sha256sum *.wav | sha256sum``, names in
the order of their bytes).
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from refbss._checks import InputError, check_choice
from refbss.data.new_folder import check_new, new_folder
from refbss.data.problems import Progress

MOST_BYTES = 2**29
"""Bytes that a download, or what is packed in it, may have."""
MOST_RECORDING_BYTES = 2**20
TIMEOUT_S = 60.0
CHUNK = 2**16
_RECORDING = re.compile(r"\d_[A-Za-z]+_\d+\.wav")


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from: the folder on its server, and the SHA-256 of each file, None for an archive.

    ``recordings`` and ``digest``: how many an archive holds, and their digest as ``digest_of`` gives it.
    """

    url: str
    files: Mapping[str, str | None]
    licence: str
    recordings: int = 0
    digest: str = ""


SOURCES: dict[str, Source] = {
    "fsdd": Source(
        "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags",
        {"v1.0.10.tar.gz": None},
        "Free Spoken Digit Dataset, Z. Jackson and others, CC BY-SA 4.0",
        recordings=3000,
        digest="1801eae019c063377d98f831d3f93574f259475df7332bb0e3d1b080fb5e6959",
    ),
    "mnist": Source(
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        "MNIST, Y. LeCun, C. Cortes and C. J. C. Burges, CC BY-SA 3.0",
    ),
}


class Downloaded(NamedTuple):
    """What came: number of files, bytes, and whose they are."""

    files: int
    size: int
    licence: str


class _Meter:
    """What pooch tells of a download: hands it on, and refuses one without end."""

    def __init__(self, url: str, progress: Progress | None) -> None:
        self._total, self._received, self._url, self._progress = 0, 0, url, progress

    @property
    def total(self) -> int:
        """Bytes that the server announces; 0 where it does not."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._check(total)
        self._total = total

    def update(self, count: int) -> None:
        self._received += count
        self._check(self._received)
        if self._progress and self._total:
            self._progress(min(self._received, self._total), self._total)

    def _check(self, size: int) -> None:
        if size > MOST_BYTES:
            raise InputError(f"{self._url}: passes {MOST_BYTES} bytes, wanted a corpus below that")

    def reset(self) -> None:
        self._received = 0

    def close(self) -> None:
        """Nothing is left to close."""


def download(name: str, out: str | Path, *, url: str | None = None, progress: Progress | None = None) -> Downloaded:
    """Download a corpus of SOURCES into a new folder, from another server's folder with ``url``.

    ``progress`` hears of the bytes of each file. Raises InputError: an unknown name, ``out`` is not new, pooch is not
    installed, what came is not what it should be. Raises OSError where the server cannot be reached or breaks off. In
    either case nothing is left.
    """
    check_choice("download", tuple(SOURCES), name=name)
    source = SOURCES[name]
    base = (source.url if url is None else url).rstrip("/")
    if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).netloc:
        raise InputError(f"download: url is {base!r}, wanted one that begins with http:// or https://")
    check_new(out)
    with new_folder(out) as part:
        for file, sha256 in source.files.items():
            _fetch(f"{base}/{file}", part / file, sha256, progress)
            if sha256 is None:
                _unpack(part / file, part / "recordings", source, f"{base}/{file}")
                (part / file).unlink()
        held = [path for path in part.rglob("*") if path.is_file()]
        return Downloaded(len(held), sum(path.stat().st_size for path in held), source.licence)


def _fetch(url: str, path: Path, sha256: str | None, progress: Progress | None) -> None:
    try:
        import pooch
        import requests
    except ImportError:
        raise InputError("download: pooch is not installed, wanted it for this (pip install 'refbss[data]')") from None
    pooch.get_logger().setLevel("WARNING")
    fetch = pooch.HTTPDownloader(
        progressbar=_Meter(url, progress),
        chunk_size=CHUNK,
        timeout=TIMEOUT_S,
        headers={"Accept-Encoding": "identity"},  # the bytes as they lie there are what is checked
    )
    try:
        pooch.retrieve(url, known_hash=None, path=path.parent, fname=path.name, downloader=fetch)
    except InputError:
        raise
    except (requests.RequestException, ValueError) as error:  # ValueError: an answer that is no HTTP
        raise OSError(f"{url}: cannot be downloaded ({error})") from None
    if sha256 is not None:
        came = pooch.file_hash(str(path), alg="sha256")
        if came != sha256:
            raise InputError(f"{url}: what came has the SHA-256 {came}, wanted {sha256}")


def _unpack(archive: Path, folder: Path, source: Source, url: str) -> None:
    """Write the recordings of an archive, nothing else of it. Raises InputError: damaged, hostile, or others."""
    folder.mkdir()
    unpacked = 0
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                unpacked += member.size
                if not 0 <= member.size <= unpacked <= MOST_BYTES:
                    raise InputError(f"{url}: holds more than {MOST_BYTES} bytes, wanted recordings of digits")
                path = PurePosixPath(member.name)
                if path.parent.name != "recordings" or not member.isfile() or not _RECORDING.fullmatch(path.name):
                    continue
                if member.size > MOST_RECORDING_BYTES or (folder / path.name).exists():
                    what = f"{member.size} bytes" if member.size > MOST_RECORDING_BYTES else "a second file of its name"
                    raise InputError(f"{url}: holds {member.name} with {what}, wanted each recording once, below 1 MiB")
                content = tar.extractfile(member)
                assert content is not None  # it is a file
                (folder / path.name).write_bytes(content.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{url}: what came is no whole archive ({error}), wanted a .tar.gz") from None
    count, digest = digest_of(folder)
    if (count, digest) != (source.recordings, source.digest):
        raise InputError(
            f"{url}: holds {count} recordings of the digest {digest}, wanted {source.recordings} of {source.digest}"
        )


def digest_of(folder: Path) -> tuple[int, str]:
    """How many .wav files a folder holds, and the SHA-256 of the lines ``SHA-256  NAME`` of all of them."""
    paths = sorted(folder.glob("*.wav"), key=lambda path: path.name)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    return len(lines), hashlib.sha256("".join(lines).encode()).hexdigest()
