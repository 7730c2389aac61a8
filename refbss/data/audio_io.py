"""Audio files in and out: WAV and FLAC, whole or block by block, never half written.

Signals are arrays of shape (channels, N) with full scale at 1. Every failure is an InputError of one line that
starts with the file's path. Files are written under a temporary name in the same folder and renamed at the end.
Integer formats use the rule q = round(x 2^(bits-1)), x = q / 2^(bits-1), so what fits is read back as written.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile

from refbss._checks import InputError, NotFiniteError, check_choice, check_integer
from refbss._files import check_file
from refbss._types import Array
from refbss.data.containers import check_complete, check_container, clear_time_stamp
from refbss.data.resampling import HIGHEST_HZ, check_rate, ratio

SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".ogg")
"""Suffixes taken for audio when a folder is searched."""

SUBTYPES = {"WAV": ("FLOAT", "DOUBLE", "PCM_16", "PCM_24", "PCM_32"), "FLAC": ("PCM_24", "PCM_16")}
"""Sample formats that can be written; the first of each container is its default."""

AT_ONCE = 2**22
"""Samples that memory is taken for at once: more only when the file has given so many. A header can say anything."""

BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's count for a FLAC stream whose header leaves the length open
_LARGEST_WAV = 2**32 - 2**16


def audio_files(folder: Path, *, deep: bool) -> list[Path]:
    """Audio files of a folder, sorted by name; names that begin with a dot are left out."""
    found = folder.rglob("*") if deep else folder.iterdir()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def path_kind(path: Path) -> str:
    """``folder``, ``file`` (whatever else is there) or ``missing``. Raises InputError: a path that cannot be asked for.

    That is one that is too long, holds a NUL or runs through a file or a closed folder.
    """
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise InputError(f"{path}: cannot be reached ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{str(path)!r}: is not a path ({error})") from None


def _name(path: Path) -> str | bytes:
    """The path as libsndfile wants it: bytes, which can be any file name; on Windows a string."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _open(path: Path) -> soundfile.SoundFile:
    kind = path_kind(path)
    if kind == "folder":
        raise InputError(f"{path}: is a folder, wanted an audio file")
    if kind == "missing":
        raise InputError(f"{path}: no such file")
    try:
        found = path.stat()
        check_file(path, found)
        if found.st_size == 0:
            raise InputError(f"{path}: is empty (0 bytes), wanted an audio file")
        check_container(path)
        check_complete(path)
        return soundfile.SoundFile(_name(path))
    except TypeError:  # soundfile goes by the suffix and asks for a rate
        raise InputError(f"{path}: suffix is .raw, for samples without a header; wanted .wav or .flac") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise InputError(f"{path}: is not audio that can be read ({reason}), wanted WAV or FLAC") from None


class AudioReader:
    """An audio file read block by block in constant memory; a context manager.

    ``rate_hz``, ``channels``, ``frames`` and ``subtype`` (PCM_16, FLOAT, ..) come from the header. Raises InputError:
    the file is missing, empty, truncated, no audio, of unknown length, of a rate above HIGHEST_HZ or holds no samples;
    and, while reading, where a sample is not finite or the stream breaks.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        self.rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.frames: int = self._file.frames
        self.subtype: str = self._file.subtype
        self.position = 0
        fault = self._fault()
        if fault:
            self.close()
            raise InputError(f"{self.path}: {fault}")

    def _fault(self) -> str:
        """What is wrong with the header, or nothing."""
        if self.frames == 0:
            return "holds no samples"
        if self.frames == _UNKNOWN_FRAMES:
            return "its header does not say how many samples follow, wanted a file of known length"
        if not 1 <= self.rate_hz <= HIGHEST_HZ:
            return f"sample rate is {self.rate_hz} Hz, wanted 1 to {HIGHEST_HZ} Hz"
        return ""

    def seek(self, frame: int) -> None:
        """Go to a frame; the next read starts there."""
        check_integer(str(self.path), least=0, start=frame)
        if frame > self.frames:
            raise InputError(f"{self.path}: start is {frame}, the file has {self.frames} frames")
        if frame != self.position:
            try:
                self.position = self._file.seek(frame)
            except soundfile.LibsndfileError as error:
                raise self._broken(error.error_string.rstrip(".")) from None

    def read(self, frames: int, dtype: str = "float32") -> Array:
        """The next ``frames`` frames, shape (channels, n); fewer at the end of the file, n = 0 past it."""
        wanted, most = min(frames, self.frames - self.position), max(1, AT_ONCE // self.channels)
        pieces = [self._piece(min(most, wanted - done), dtype) for done in range(0, wanted, most)]
        return np.concatenate(pieces, axis=1) if len(pieces) > 1 else (pieces or [self._piece(0, dtype)])[0]

    def _piece(self, wanted: int, dtype: str) -> Array:
        try:
            block: Array = self._file.read(wanted, dtype=dtype, always_2d=True).T
        except soundfile.LibsndfileError as error:
            raise self._broken(error.error_string.rstrip(".")) from None
        if block.shape[1] < wanted:
            raise self._broken(f"{block.shape[1]} of {wanted} frames came")
        if not np.isfinite(block).all():
            channel, frame = np.argwhere(~np.isfinite(block.T))[0][::-1]
            value = block[channel, frame]
            place = f"frame {self.position + frame}, channel {channel}"
            raise NotFiniteError(f"{self.path}: holds {value} at {place}, wanted finite samples")
        self.position += block.shape[1]
        return block

    def blocks(self, size: int, dtype: str = "float32") -> Iterator[Array]:
        """The rest of the file in blocks (channels, size); the last may be shorter."""
        check_integer(str(self.path), size=size)
        while self.position < self.frames:
            yield self.read(size, dtype)

    def _broken(self, reason: str) -> InputError:
        return InputError(
            f"{self.path}: is truncated or damaged after frame {self.position} of {self.frames} ({reason})"
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_audio(
    path: str | Path,
    *,
    start: int = 0,
    frames: int | None = None,
    resample_hz: int | None = None,
    dtype: str = "float32",
) -> tuple[Array, int]:
    """Read an audio file: samples of shape (channels, N), float32 or float64, and the sample rate in Hz.

    ``start`` and ``frames`` (at the file's own rate) read a part. With ``resample_hz`` the samples are brought to
    that rate by a polyphase filter and that rate is returned. Raises InputError as AudioReader does, and where the
    part lies outside the file or the rates cannot be resampled.
    """
    check_choice(str(path), ("float32", "float64"), dtype=dtype)
    with AudioReader(path) as reader:
        reader.seek(start)
        wanted = reader.frames - start if frames is None else frames
        if wanted > reader.frames - start or wanted < 1:
            raise InputError(f"{path}: frames is {wanted} from {start} on, the file has {reader.frames}")
        rate_hz = reader.rate_hz
        if resample_hz is not None:
            ratio(str(path), rate_hz, resample_hz)
        samples = reader.read(wanted, dtype)
    if resample_hz is None or resample_hz == rate_hz:
        return samples, rate_hz
    return resample(samples, rate_hz, resample_hz), resample_hz


def resample(x: Array, rate_hz: int, wanted_hz: int) -> Array:
    """Resample the last axis by scipy's polyphase filter: length ceil(N wanted_hz / rate_hz), dtype kept.

    Raises InputError as ``resampling.ratio`` does.
    """
    from scipy.signal import resample_poly

    up, down = ratio("resample", rate_hz, wanted_hz)
    y: Array = resample_poly(x, up, down, axis=-1)
    return y.astype(x.dtype, copy=False)


def _container(path: Path, subtype: str | None) -> tuple[str, str]:
    container = path.suffix[1:].upper()
    if container not in SUBTYPES:
        raise InputError(f"{path}: suffix is {path.suffix!r}, wanted .wav or .flac")
    if subtype is None:
        return container, SUBTYPES[container][0]
    check_choice(str(path), SUBTYPES[container], subtype=subtype)
    return container, subtype


class AudioWriter:
    """An audio file written block by block; a context manager.

    The samples go to a temporary name in the same folder. Leaving the ``with`` block renames it to ``path``; leaving
    it by an exception removes it and keeps a file that was there before. The suffix chooses WAV (default FLOAT) or
    FLAC (default PCM_24). Raises InputError: a path that is a folder, unknown suffix or subtype, a block of another
    shape, samples that are not finite or would clip in an integer format (nothing is ever rescaled), a WAV file
    beyond 4 GiB, no samples.
    """

    def __init__(self, path: str | Path, rate_hz: int, *, channels: int = 1, subtype: str | None = None) -> None:
        self.path = Path(path)
        check_rate(str(path), rate_hz=rate_hz)
        check_integer(str(path), channels=channels)
        if path_kind(self.path) == "folder":
            raise InputError(f"{path}: is a folder, wanted the name of a file")
        self.container, self.subtype = _container(self.path, subtype)
        self.rate_hz, self.channels, self.frames = rate_hz, channels, 0
        if path_kind(self.path.parent) != "folder":
            raise InputError(f"{path}: cannot be written, the folder {self.path.parent} does not exist")
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self._file = soundfile.SoundFile(
                _name(self._part), "w", rate_hz, channels, self.subtype, format=self.container
            )
        except (OSError, soundfile.LibsndfileError) as error:
            self._part.unlink(missing_ok=True)
            raise InputError(f"{self.path}: cannot be written ({error})") from None

    def write(self, block: Array) -> None:
        """Append samples of shape (channels, n), or (n,) when there is one channel."""
        x = np.atleast_2d(np.asarray(block))
        if x.ndim != 2 or x.shape[0] != self.channels:
            raise InputError(f"{self.path}: block has shape {np.shape(block)}, wanted ({self.channels}, n)")
        bad = ~np.isfinite(x)
        if bad.any():
            channel, frame = np.argwhere(bad)[0]
            place = f"frame {self.frames + frame}, channel {channel}"
            raise InputError(f"{self.path}: block holds {x[channel, frame]} at {place}, wanted finite samples")
        width = BITS.get(self.subtype, 64 if self.subtype == "DOUBLE" else 32) // 8
        if self.container == "WAV" and (self.frames + x.shape[1]) * self.channels * width > _LARGEST_WAV:
            raise InputError(f"{self.path}: passes 4 GiB, the most a WAV file can hold; wanted .flac")
        try:
            self._file.write(self._samples(x).T)
        except (OSError, soundfile.LibsndfileError) as error:
            raise self._unwritten(error) from None
        self.frames += x.shape[1]

    def _samples(self, x: Array) -> np.ndarray[Any, Any]:
        """What libsndfile stores as it is: floats, or integers in the upper bits of an int32."""
        if self.subtype not in BITS:
            return x.astype(np.float64 if self.subtype == "DOUBLE" else np.float32)
        bits = BITS[self.subtype]
        full = 2.0 ** (bits - 1)
        q = np.rint(x.astype(np.float64) * full)
        over = (q >= full) | (q < -full)
        if over.any():
            channel, frame = np.argwhere(over)[0]
            place = f"frame {self.frames + frame}, channel {channel}"
            raise InputError(
                f"{self.path}: sample {x[channel, frame]:.6g} at {place} would clip in {self.subtype}, "
                "wanted magnitudes below 1; write float WAV or lower the level"
            )
        return (q.astype(np.int64) << (32 - bits)).astype(np.int32)

    def close(self) -> None:
        """Finish the file and give it its name. Raises InputError: no samples were written, or the name is taken."""
        self._end()
        if self.frames == 0:
            self._part.unlink(missing_ok=True)
            raise InputError(f"{self.path}: no samples were written")
        try:
            if self.subtype in ("FLOAT", "DOUBLE"):
                clear_time_stamp(self._part)
            self._check_written()
            os.replace(self._part, self.path)
        except (OSError, soundfile.LibsndfileError) as error:
            self._part.unlink(missing_ok=True)
            raise self._unwritten(error) from None

    def _end(self) -> None:
        """Let libsndfile write what it still holds. Raises InputError where it says that it could not."""
        try:
            self._file.close()
        except (OSError, soundfile.LibsndfileError) as error:
            self._part.unlink(missing_ok=True)
            raise self._unwritten(error) from None

    def _unwritten(self, error: Exception) -> InputError:
        """What to raise for this error. libsndfile does not tell a full disk from others."""
        asked = isinstance(error, OSError) and error.errno != errno.ENOSPC
        why = (isinstance(error, OSError) and error.strerror) or error
        return InputError(f"{self.path}: cannot be written ({why})" + ("" if asked else "; is the disk full?"))

    def _check_written(self) -> None:
        """Raises OSError where the last samples are missing: libsndfile does not say when FLAC's did not fit."""
        with soundfile.SoundFile(_name(self._part)) as written:
            if written.frames != self.frames:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def discard(self) -> None:
        """Stop and remove what was written; a file of that name from before stays."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def write_audio(path: str | Path, x: Array, rate_hz: int, subtype: str | None = None) -> None:
    """Write samples of shape (channels, N) or (N,). Raises InputError as AudioWriter does."""
    x = np.asarray(x)
    channels = x.shape[0] if x.ndim == 2 else 1
    with AudioWriter(path, rate_hz, channels=channels, subtype=subtype) as writer:
        writer.write(x)
