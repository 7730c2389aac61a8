"""Valid files of every kind that refbss reads: each function writes one small tree below a folder."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from safetensors.numpy import save_file

from refbss.config import dump_toml, load_config
from refbss.conformance.export import export
from refbss.conformance.vectors import Library
from refbss.data.audio_io import write_audio
from refbss.data.mixing import MixConfig, Mixer
from refbss.data.pcm import PcmFormat, encode, wav_header
from refbss.data.sets import write_set
from refbss.models.lvbd_params import init_params
from refbss.separation_stream import SeparationStream, save_state
from refbss.streaming import HopStream
from refbss.training.checkpoint import save_checkpoint
from refbss.training.config import PRESETS, RunConfig
from refbss.training.optimizers import adam_init

RATE_HZ, FRAMES = 8000, 400


def tone(seed: int, channels: int = 1) -> Any:
    """Noise of 50 ms, (channels, N)."""
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, FRAMES))).astype(np.float32)


def _sound(path: Path, seed: int, subtype: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, tone(seed), RATE_HZ, subtype)


def wav(root: Path) -> None:
    """Float with a PEAK chunk, 16 and 24 bits, extensible, ADPCM and mu-law."""
    _sound(root / "float.wav", 1)
    _sound(root / "pcm16.wav", 2, "PCM_16")
    write_audio(root / "stereo24.wav", tone(3, 2), 48000, "PCM_24")
    for number, (form, subtype) in enumerate((("WAVEX", "PCM_16"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"),
                                              ("WAV", "ULAW"), ("WAV", "GSM610"), ("RF64", "PCM_16"))):  # fmt: skip
        soundfile.write(root / f"other{number}.wav", tone(number)[0], RATE_HZ, subtype, format=form)


def flac(root: Path) -> None:
    """16 and 24 bits, one and two channels."""
    _sound(root / "mono.flac", 1)
    write_audio(root / "stereo.flac", tone(3, 2), 44100, "PCM_16")


CONTAINERS = """
AIFF-PCM_16 AIFF-FLOAT OGG-VORBIS OGG-OPUS W64-PCM_16 CAF-PCM_16 CAF-ALAC_16 AU-PCM_16 MP3-MPEG_LAYER_III NIST-PCM_16
"""
"""What is read beside WAV and FLAC, whatever the suffix."""
UNREAD = """
VOC-PCM_16 PAF-PCM_16 SVX-PCM_16 IRCAM-PCM_16 MAT4-DOUBLE MAT5-DOUBLE PVF-PCM_16 XI-DPCM_16 HTK-PCM_16 AVR-PCM_16
WVE-ALAW MPC2K-PCM_16 SDS-PCM_16
"""
"""What libsndfile would open too."""


def other_audio(root: Path) -> None:
    """A file in each of CONTAINERS."""
    for one in CONTAINERS.split():
        container(root, one)


def container(root: Path, one: str) -> Path:
    """A file in a container and sample format of libsndfile."""
    form, subtype = one.split("-")
    path = root / f"{one}.{ {'AIFF': 'aiff', 'OGG': 'ogg'}.get(form, 'wav') }"
    soundfile.write(path, tone(5)[0], RATE_HZ, subtype, format=form)
    return path


def _config() -> RunConfig:
    model = {"conv_channels": (2, 2), "conv_kernels": (4, 2), "conv_strides": (2, 2), "gru_hidden": 2, "latent": 2}
    return load_config(RunConfig, PRESETS["lvbd-tiny"], {"model": {**model, "gru_sections": 1}})


def toml(root: Path) -> None:
    """The configuration of a run."""
    (root / "run.toml").write_text(dump_toml(_config()))


def checkpoint(root: Path) -> None:
    """A run whose last checkpoint has an optimiser."""
    config = _config()
    params = init_params(config.model, 0, loss_config=config.loss)
    state = {"step": 3, "steps": 7, "minutes": None, "seconds": 1.5, "best": 1.0, "data": [{"name": "embedded"}]}
    save_checkpoint(root / "last", config, params, adam_init(params), state)


def going() -> SeparationStream:
    """A stream of a small network, at another rate than its own and with a gain that follows the level."""
    config = _config().model
    hops = HopStream(init_params(config, 0), config, engine="reference")
    return SeparationStream(hops, config.sample_rate_hz, 11025, "auto", (-33.0, -25.0))


def stream_state(root: Path) -> None:
    """What a stream remembers in the middle of a hop and of a block."""
    stream = going()
    stream.push(tone(1)[0, :400].astype(np.float32))
    save_state(root / "state.safetensors", stream.state())


def piped(root: Path) -> None:
    """What sox and ffmpeg write to a pipe: 16 bits without an end, float, extensible of two channels."""
    for name in ("s16le", "f32le"):
        form = PcmFormat(name, RATE_HZ, 1)
        (root / f"{name}.wav").write_bytes(wav_header(form) + encode(tone(1), name)[0])
    soundfile.write(root / "two.wav", tone(2, 2).T, RATE_HZ, "PCM_24", format="WAVEX")


def run_log(root: Path) -> None:
    """The folder of a run: its log, configuration and checkpoint."""
    checkpoint(root)
    toml(root)
    (root / "run.toml").rename(root / "config.toml")
    lines = [
        {"step": step, "loss": -1.0 * step, "terms": {"separation": -2.0, "divergence": 0.1}, "grad_norm": 1.0,
         "learning_rate": 1e-3, "seconds": 0.1, "validation_db": 1.0 if step == 3 else None,
         "memory": {"m": [0.1, 0.2], "activity": 0.5} if step == 3 else None}
        for step in range(1, 6)
    ]  # fmt: skip
    (root / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def vectors(root: Path) -> None:
    """An export of a few golden cases."""
    export(root, Library(), ["gru/plain", "gru/wrong*", "tanh"])


def answers(root: Path) -> None:
    """Answers to cases in the three forms."""
    library = Library()
    for case, suffix in (("tanh/plain", "json"), ("gru/plain", "safetensors"), ("gru/square", "npz")):
        vector = library.load(case if case in library.ids else library.find(case.split("/")[0])[0])
        (root / vector.op).mkdir(exist_ok=True)
        path = root / f"{vector.id}.{suffix}"
        arrays = {f"outputs.{name}": value.astype(np.float32) for name, value in vector.outputs.items()}
        if suffix == "json":
            said = {name: {"shape": list(x.shape), "data": x.ravel().tolist()} for name, x in vector.outputs.items()}
            path.write_text(json.dumps({"id": vector.id, "dtype": "float32", "outputs": said}))
        elif suffix == "npz":
            np.savez(path, **arrays)
        else:
            save_file(arrays, path)


def _weights() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (6, 3), "weight_hh_l0": (6, 2), "bias_ih_l0": (6,), "bias_hh_l0": (6,), "other": (2, 2)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def tensors(root: Path) -> None:
    """Weights of a GRU, as safetensors."""
    save_file(_weights(), root / "in.safetensors", {"made": "here"})


def npz(root: Path) -> None:
    """Weights of a GRU, as npz, packed and not."""
    np.savez(root / "in.npz", **_weights())
    np.savez_compressed(root / "packed.npz", **_weights())


def state_map(root: Path) -> None:
    """A state map."""
    (root / "map.toml").write_text(
        '[parameters]\n"net.kernel" = "weight"\n"net.w" = { name = "bias", transpose = true }\n'
        '[layers]\n"net.rnn" = { name = "g1", transpose = [0, 1] }\n'
    )


def recordings(root: Path) -> None:
    """Recordings with a manifest."""
    for speaker in "ab":
        for number in range(3):
            _sound(root / speaker / f"{number}.wav", number)
    rows = [[f"{s}{n}", s, f"{s}/{n}.wav", "test" if n == 0 else "train"] for s in "ab" for n in range(3)]
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "speaker", "path", "split"], *rows])


def own_set(root: Path) -> None:
    """A set as ``refbss data mix`` writes it."""
    from refbss.data.layouts import open_corpus

    mixer = Mixer([open_corpus("embedded")], MixConfig(seconds=0.05, noise="white"), seed=1, split="test")
    write_set(mixer, 2, root)


MEMBERS = ("mix_both", "s1", "s2", "noise")


def mixtures(root: Path, folder: str = "wav8k/min/tt", members: tuple[str, ...] = MEMBERS) -> None:
    """Two mixtures whose files are equal: sums are not what is read here."""
    for member in members:
        for one in ("x", "y"):
            _sound(root / folder / member / f"{one}.wav", ord(one) + len(member), "PCM_16")


def librimix(root: Path) -> None:
    """LibriMix by its lists."""
    mixtures(root, "wav8k/min/test")
    rows = [[one, *(f"/else/wav8k/min/test/{m}/{one}.wav" for m in MEMBERS), FRAMES] for one in "xy"]
    path = root / "metadata" / "mixture_test_mix_both.csv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        names = ["mixture_ID", "mixture_path", "source_1_path", "source_2_path", "noise_path", "length"]
        csv.writer(file).writerows([names, *rows])


def speechbrain(root: Path) -> None:
    """SpeechBrain's list."""
    mixtures(root)
    names = {"mix_wav": "mix_both", "s1_wav": "s1", "s2_wav": "s2", "noise_wav": "noise"}
    rows = [[one, 1.0, *(f"$data_root/wav8k/min/tt/{m}/{one}.wav" for m in names.values())] for one in "xy"]
    with (root / "wham_tt.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["ID", "duration", *names], *rows])


def asteroid(root: Path) -> None:
    """Lists of asteroid beside the recordings."""
    mixtures(root, "audio/tt")
    (root / "tt").mkdir()
    for member in MEMBERS:
        listed = [[f"/data/audio/tt/{member}/{one}.wav", FRAMES] for one in "xy"]
        (root / "tt" / f"{member}.json").write_text(json.dumps(listed))


def kaldi(root: Path) -> None:
    """Lists of Kaldi beside the recordings."""
    mixtures(root, "audio/tt")
    (root / "tt").mkdir()
    for scp, member in (("wav", "mix_both"), ("spk1", "s1"), ("spk2", "s2"), ("noise1", "noise")):
        lines = [f"{one} audio/tt/{member}/{one}.wav\n" for one in "xy"]
        (root / "tt" / f"{scp}.scp").write_text("".join(lines))


def whamr(root: Path) -> None:
    """WHAMR! with both rooms."""
    for room in ("anechoic", "reverb"):
        mixtures(root, members=(f"mix_both_{room}", f"s1_{room}", f"s2_{room}"))
    mixtures(root, members=("noise",))


def stems(root: Path) -> None:
    """MUSDB-like tracks."""
    for track in ("one", "two"):
        for number, name in enumerate(("mixture", "vocals", "bass")):
            _sound(root / "test" / track / f"{name}.wav", number, "PCM_16")


def scored(root: Path) -> None:
    """References, estimates and mixtures."""
    for seed, place in enumerate(("ref/s1/x.wav", "ref/s2/x.wav", "est/s1/x.wav", "est/s2/x.wav", "mix/x.wav")):
        _sound(root / place, seed, "PCM_16")


def digits(root: Path) -> None:
    """An archive as that of the Free Spoken Digit Dataset, not packed: what packs it would hide the damage."""
    sound = io.BytesIO()
    soundfile.write(sound, tone(0)[0], RATE_HZ, format="WAV")
    with tarfile.open(root / "digits.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(3):
            member = tarfile.TarInfo(f"fsdd/recordings/0_ann_{number}.wav")
            member.size, member.pax_headers = len(sound.getvalue()), {"comment": "x" * number}
            tar.addfile(member, io.BytesIO(sound.getvalue()))


def noises(root: Path) -> None:
    """A folder of noise."""
    _sound(root / "test" / "a.wav", 1)
    _sound(root / "test" / "b.flac", 2)


def built(build: Callable[[Path], None], scratch: Path) -> dict[str, bytes]:
    """The files of a tree by their paths below its root."""
    scratch.mkdir()
    build(scratch)
    return {p.relative_to(scratch).as_posix(): p.read_bytes() for p in sorted(scratch.rglob("*")) if p.is_file()}
