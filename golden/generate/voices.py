"""Render the shipped voices with espeak-ng: refbss/data/embedded/*.flac and index.json.

Run from the root of the repository, with espeak-ng installed (Debian package espeak-ng):

    python golden/generate/voices.py [--out FOLDER]

Ten voices read thirty sentences each, every voice its own (voices.txt, thirty lines a voice). The last six of each
voice are its test sentences. A sentence is rendered at 22.05 kHz, brought to 8 kHz, trimmed, faded over 5 ms at both
ends, set to a peak of 0.9 and rounded to 11 bits to save space; the sentences of a voice share one file. The same
versions of espeak-ng, SciPy and libsndfile give the same bytes. Prints a table: median pitch, seconds, size, and the
distance to the nearest other voice in dB (root mean square difference of the long-term spectra in 1/3 octaves).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfilt

RATE_HZ = 8000
SENTENCES = 30
TEST_SENTENCES = 6
BITS = 11
PEAK = 0.9
TRIM = 0.01
MARGIN_S = 0.02
FADE_S = 0.005

# name: (espeak voice and variant, pitch 0-99, words a minute). The name en-gb ignores its variant, en does not.
VOICES = {
    "arthur": ("en-us+Andy", 35, 180),
    "bella": ("en-us+f5", 55, 185),
    "craig": ("en-gb-scotland+m3", 60, 185),
    "dora": ("en+shelby", 40, 190),
    "emil": ("en-029+Hugo", 80, 200),
    "fay": ("en-us+Alicia", 60, 205),
    "gus": ("en-gb-x-gbcwmd+david", 45, 175),
    "hana": ("en-gb-x-gbclan+linda", 50, 195),
    "ivan": ("en-gb-x-rp+Jacky", 30, 195),
    "joy": ("en-us-nyc+steph", 60, 180),
}

Signal = NDArray[np.float64]


def render(text: str, voice: str, pitch: int, speed: int, scratch: Path) -> Signal:
    """One sentence at 8 kHz, trimmed to the speech and 20 ms around it, in steps of 11 bits."""
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "-w", str(scratch), text]
    subprocess.run(command, check=True)
    x, rate_hz = soundfile.read(scratch)
    divisor = np.gcd(rate_hz, RATE_HZ)
    x = resample_poly(x, RATE_HZ // divisor, rate_hz // divisor)
    x = sosfilt(butter(2, 50.0, "highpass", fs=RATE_HZ, output="sos"), x)
    x = x * (PEAK / np.abs(x).max())
    loud = np.flatnonzero(np.abs(x) > TRIM)
    margin = round(MARGIN_S * RATE_HZ)
    x = x[max(0, loud[0] - margin) : loud[-1] + margin]
    fade = round(FADE_S * RATE_HZ)
    ramp = np.sin((np.arange(fade) + 0.5) / fade * np.pi / 2) ** 2
    x[:fade] *= ramp
    x[-fade:] *= ramp[::-1]
    return np.asarray(np.rint(x * 2 ** (BITS - 1)) / 2 ** (BITS - 1))


def pitch_hz(x: Signal) -> float:
    """Median pitch: the highest peak of the autocorrelation of 40 ms frames, voiced frames only."""
    frame, least, most = 320, RATE_HZ // 400, RATE_HZ // 60
    found = []
    for start in range(0, len(x) - frame - most, frame // 2):
        part = x[start : start + frame + most]
        head = part[:frame]
        if np.mean(head**2) < 0.002:
            continue
        lags = range(least, most + 1)
        score = np.array(
            [
                head @ part[k : k + frame] / np.sqrt((head @ head) * (part[k : k + frame] @ part[k : k + frame]) + 1e-9)
                for k in lags
            ]
        )
        best = next(i for i, s in enumerate(score) if s > 0.9 * score.max() and s == score[max(0, i - 3) : i + 4].max())
        if score[best] > 0.6:
            found.append(RATE_HZ / lags[best])
    return float(np.median(found))


def spectrum_db(x: Signal) -> Signal:
    """Long-term spectrum in dB, in 1/3 octaves from 100 Hz to 3.2 kHz, mean 0."""
    frames = np.lib.stride_tricks.sliding_window_view(x, 1024)[::512] * np.hanning(1024)
    power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0)
    f = np.fft.rfftfreq(1024, 1 / RATE_HZ)
    edges = 100 * 2 ** (np.arange(17) / 3)
    bands = np.array([power[(f >= low) & (f < high)].mean() for low, high in pairwise(edges)])
    level = 10 * np.log10(bands)
    return np.asarray(level - level.mean())


def generator_version() -> str:
    """The version of espeak-ng."""
    said = subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True).stdout
    match = re.search(r"text-to-speech: (\S+)", said)
    if not match:
        raise SystemExit(f"espeak-ng --version said {said!r}, wanted its version")
    return f"espeak-ng {match[1]}"


def write_voice(name: str, sentences: list[str], out: Path, scratch: Path) -> tuple[dict[str, object], Signal]:
    """Write NAME.flac; returns the voice's entry of the index and its samples."""
    voice, pitch, speed = VOICES[name]
    parts = [render(text, voice, pitch, speed, scratch) for text in sentences]
    x = np.concatenate(parts)
    path = out / f"{name}.flac"
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16", format="FLAC", compression_level=1.0) as file:
        file.write((x * 2**15).astype(np.int16))
    starts = np.cumsum([0] + [len(part) for part in parts])
    entry: dict[str, object] = {
        "name": name,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "frames": len(x),
        "voice": voice,
        "pitch": pitch,
        "words_per_minute": speed,
        "median_pitch_hz": round(pitch_hz(x), 1),
        "sentences": [
            {
                "text": text,
                "start": int(start),
                "frames": len(part),
                "split": "train" if number < SENTENCES - TEST_SENTENCES else "test",
            }
            for number, (text, part, start) in enumerate(zip(sentences, parts, starts, strict=False))
        ],
    }
    return entry, x


def main() -> None:
    """Render every voice, write the index, print the table."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Render the shipped voices with espeak-ng.")
    parser.add_argument("--out", type=Path, default=here.parents[1] / "refbss" / "data" / "embedded")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    lines = (here / "voices.txt").read_text(encoding="utf-8").splitlines()
    if len(lines) != SENTENCES * len(VOICES) or len(set(lines)) != len(lines):
        raise SystemExit(f"voices.txt has {len(lines)} lines, wanted {SENTENCES * len(VOICES)}, all different")
    entries, spectra = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(VOICES):
            sentences = lines[number * SENTENCES : (number + 1) * SENTENCES]
            entry, x = write_voice(name, sentences, out, Path(folder) / "sentence.wav")
            entries.append(entry)
            spectra[name] = spectrum_db(x)
    index = {
        "generator": generator_version(),
        "script": "golden/generate/voices.py",
        "rate_hz": RATE_HZ,
        "bits": BITS,
        "voices": entries,
    }
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    print(f"{'voice':8} {'espeak-ng':20} {'pitch Hz':>8} {'seconds':>8} {'kB':>6} {'nearest dB':>10}")
    for entry in entries:
        name = str(entry["name"])
        near = min(float(np.sqrt(np.mean((spectra[name] - s) ** 2))) for other, s in spectra.items() if other != name)
        size = (out / f"{name}.flac").stat().st_size / 1000
        seconds = int(str(entry["frames"])) / RATE_HZ
        print(f"{name:8} {entry['voice']!s:20} {entry['median_pitch_hz']:8} {seconds:8.1f} {size:6.0f} {near:10.1f}")
    print(f"total {sum(path.stat().st_size for path in out.iterdir()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
