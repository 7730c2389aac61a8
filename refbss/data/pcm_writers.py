"""Where the estimates of a stream go: a pipe, as interleaved channels, or one WAV file for each source.

Both write every source or none, so that sources never lose step, and both count the integers that would clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from refbss._files import naming
from refbss._types import Array
from refbss.data.audio_io import AudioWriter
from refbss.data.pcm import SUBTYPES, WIDTHS, PcmFormat, encode, quantise, wav_header


class PcmWriter:
    """Interleaved samples, raw or WAV, to a file that cannot be gone back in; a context manager."""

    def __init__(self, file: BinaryIO, form: PcmFormat, *, wav: bool) -> None:
        self.form = form
        self.names: list[Path] = []
        self.clipped = 0
        """Samples that did not fit."""
        self._file = file
        self._header = wav_header(form) if wav else b""

    def write(self, est: Array) -> None:
        """Append the estimates (P, n) and hand them on at once. The first call, even of n = 0, writes the header."""
        data, clipped = encode(est.T, self.form.samples)
        left = memoryview(self._header + data)
        with naming(Path("standard output")):
            while left:  # without a buffer, as with PYTHONUNBUFFERED, a write that a signal interrupts is short
                left = left[self._file.write(left) :]
            self._file.flush()
        self._header = b""
        self.clipped += clipped

    def __enter__(self) -> PcmWriter:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class FilesWriter:
    """A WAV file for each source, written under temporary names that are renamed at the end; a context manager.

    Leaving it by an exception, or without a sample, leaves no file. Raises InputError as AudioWriter does.
    """

    def __init__(self, paths: Sequence[Path], rate_hz: int, samples: str) -> None:
        self.names = list(paths)
        self.clipped = 0
        """Samples that did not fit."""
        self._samples = samples
        with ExitStack() as opened:
            self._writers = [
                opened.enter_context(AudioWriter(path, rate_hz, subtype=SUBTYPES[samples])) for path in paths
            ]
            self._open = opened.pop_all()

    def write(self, est: Array) -> None:
        """Append the estimates (P, n)."""
        if self._samples != "f32le":
            integers, clipped = quantise(est, self._samples)
            est = integers / 2.0 ** (8 * WIDTHS[self._samples] - 1)
            self.clipped += clipped
        for writer, estimate in zip(self._writers, est, strict=True):
            writer.write(estimate)

    def __enter__(self) -> FilesWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._writers[0].frames:
            self.names = []
            for writer in self._writers:
                writer.discard()
            return
        self._open.__exit__(kind, error, trace)
