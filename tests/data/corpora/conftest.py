"""Small corpora in every layout, of the shipped voices: 0.5 s at 8 kHz, three mixtures a split."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss.data.audio_io import write_audio
from refbss.data.layouts import Corpus
from refbss.data.mixing import Item, MixConfig, Mixer
from refbss.data.sets import write_set

RATE_HZ, SECONDS, COUNT = 8000, 0.5, 3
SPLITS = ("train", "validation", "test")
WSJ = {"tr": "train", "cv": "validation", "tt": "test"}
LIBRI = {"train-100": "train", "dev": "validation", "test": "test"}


class Trees:
    """Writes corpora below a folder. Every method returns what to give as --data."""

    def __init__(self, mixers: dict[str, Mixer], folder: Path) -> None:
        self.mixers, self.folder = mixers, folder

    def items(self, split: str, count: int = COUNT) -> list[Item]:
        """The mixtures of a split: noisy, with their sources and noise."""
        return [self.mixers[split].item(0, index) for index in range(count)]

    def signals(self, item: Item) -> dict[str, Any]:
        """An item by the names that corpora use."""
        s1, s2 = item.sources
        clean = np.float32(s1 + s2)
        return {
            "mix": clean,
            "mix_clean": clean,
            "mix_both": item.mix,
            "mix_single": np.float32(s1 + item.noise),
            "s1": s1,
            "s2": s2,
            "noise": item.noise,
        }

    def write(
        self, folder: Path, items: Iterable[Item], names: Iterable[str], subtype: str | None, ending: str = ""
    ) -> Path:
        """Folders of these names with a file for each item."""
        for item in items:
            for name, signal in self.signals(item).items():
                if name in names:
                    path = folder / (name if name == "noise" else name + ending) / f"{item.id}.wav"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_audio(path, signal, RATE_HZ, subtype)
        return folder

    def wsj0mix(self) -> Path:
        root = self.folder / "wsj0-mix"
        for folder, split in WSJ.items():
            place = root / "2speakers" / "wav8k" / "min" / folder
            self.write(place, self.items(split), ("mix", "s1", "s2"), "PCM_16")
        return root

    def wham(self) -> Path:
        root = self.folder / "wham_original"
        names = ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise")
        for folder, split in WSJ.items():
            self.write(root / "wav8k" / "min" / folder, self.items(split), names, "FLOAT")
        return root

    def whamr(self) -> Path:
        """With an echo of 10 ms for reverberation."""
        root = self.folder / "whamr"
        names = ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise")
        for folder, split in WSJ.items():
            place = root / "wav8k" / "min" / folder
            dry = self.items(split)
            self.write(place, dry, names, "FLOAT", "_anechoic")
            self.write(place, [self.echoing(item) for item in dry], names, "FLOAT", "_reverb")
        return root

    @staticmethod
    def echoing(item: Item) -> Item:
        """The item in a room."""
        sources = item.sources.copy()
        sources[:, 80:] += np.float32(0.3) * item.sources[:, :-80]
        return Item(item.id, np.float32(sources.sum(axis=0) + item.noise), sources, item.noise, False, {})

    def librimix(self) -> Path:
        root = self.folder / "Libri2Mix"
        names = ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise")
        for folder, split in LIBRI.items():
            place = root / "wav8k" / "min"
            self.write(place / folder, self.items(split), names, "PCM_16")
            for condition in ("mix_clean", "mix_both", "mix_single"):
                self.librimix_list(place, folder, split, condition)
        return root

    def librimix_list(
        self, place: Path, folder: str, split: str, condition: str, home: str = "/elsewhere/Libri2Mix/wav8k/min"
    ) -> Path:
        """The list of a split in a condition, with the paths of another machine."""
        columns = {"mixture_path": condition, "source_1_path": "s1"}
        columns |= {"source_2_path": "s2"} if condition != "mix_single" else {}
        columns |= {"noise_path": "noise"} if condition != "mix_clean" else {}
        path = place / "metadata" / f"mixture_{folder}_{condition}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            rows = csv.DictWriter(file, ["mixture_ID", *columns, "length"])
            rows.writeheader()
            for item in self.items(split):
                paths = {column: f"{home}/{folder}/{name}/{item.id}.wav" for column, name in columns.items()}
                rows.writerow({"mixture_ID": item.id, **paths, "length": len(item.mix)})
        return path

    def librimix_lists(self) -> Path:
        return self.librimix() / "wav8k" / "min" / "metadata"

    def plain(self, *, splits: bool = True, noise: bool = False) -> Path:
        root = self.folder / "plain"
        names = ("mix", "s1", "s2") if not noise else ("mix_both", "s1", "s2", "noise")
        for split in SPLITS if splits else ("test",):
            place = self.write(root / split if splits else root, self.items(split), names, "FLOAT")
            if noise:
                (place / "mix_both").rename(place / "mix")
        return root

    def stems(self) -> Path:
        """Stereo, the same sources louder on the left."""
        root = self.folder / "musdb"
        for split in ("train", "test"):
            for item in self.items(split):
                folder = root / split / f"Artist - {item.id}"
                folder.mkdir(parents=True)
                signals = {"mixture": item.mix, "vocals": item.sources[0], "drums": item.sources[1], "bass": item.noise}
                for name, x in signals.items():
                    write_audio(folder / f"{name}.wav", np.stack([x, np.float32(0.5) * x]), RATE_HZ, "PCM_16")
        return root

    def asteroid(self) -> Path:
        """Lists beside the recordings, which are those of WHAM!."""
        self.wham()
        return self.asteroid_lists()

    def asteroid_lists(self) -> Path:
        """The lists alone, of a WHAM! that is there."""
        audio = self.folder / "wham_original" / "wav8k" / "min"
        root = self.folder / "lists"
        for folder in WSJ:
            (root / folder).mkdir(parents=True)
            for name in ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise"):
                files = sorted((audio / folder / name).iterdir())
                listed = [
                    [f"/data/wham/wav8k/min/{folder}/{name}/{file.name}", round(SECONDS * RATE_HZ)] for file in files
                ]
                (root / folder / f"{name}.json").write_text(json.dumps(listed))
        return root

    def speechbrain(self) -> Path:
        """One list a split of the noisy mixtures of WHAM!."""
        self.wham()
        root = self.folder / "save"
        root.mkdir()
        for folder, split in WSJ.items():
            with (root / f"wham_{folder}.csv").open("w", newline="") as file:
                rows = csv.writer(file)
                names = {"mix_wav": "mix_both", "s1_wav": "s1", "s2_wav": "s2", "noise_wav": "noise"}
                triples = [(name, f"{name}_format", f"{name}_opts") for name in names]
                rows.writerow(["ID", "duration", *(name for triple in triples for name in triple)])
                for item in self.items(split):
                    cells = [
                        cell
                        for name in names.values()
                        for cell in (f"$data_root/wav8k/min/{folder}/{name}/{item.id}.wav", "wav", "")
                    ]
                    rows.writerow([item.id, 1.0, *cells])
        return root

    def kaldi(self) -> Path:
        """Folders of scp files, the clean mixtures of WHAM!, relative to where a recipe runs."""
        self.wham()
        root = self.folder / "dump"
        for folder, split in WSJ.items():
            place = root / f"{folder}_min_8k"
            place.mkdir(parents=True)
            for scp, name in (("wav", "mix_clean"), ("spk1", "s1"), ("spk2", "s2")):
                lines = [f"{item.id} wav8k/min/{folder}/{name}/{item.id}.wav\n" for item in self.items(split)]
                (place / f"{scp}.scp").write_text("".join(lines))
        return root

    def refbss(self) -> Path:
        return write_set(self.mixers["test"], COUNT, self.folder / "eval")

    def every(self, layout: str) -> tuple[Path, list[str]]:
        """The tree of a layout, and the options that choose one noisy or, where there is none, clean set of it."""
        both, root = ["--condition", "mix_both"], ["--root", str(self.folder / "wham_original")]
        return {
            "refbss": lambda: (self.refbss(), []),
            "wsj0-mix": lambda: (self.wsj0mix(), []),
            "wham": lambda: (self.wham(), both),
            "whamr": lambda: (self.whamr(), [*both, "--subset", "reverb"]),
            "librimix": lambda: (self.librimix(), both),
            "librimix lists": lambda: (self.librimix_lists(), both),
            "plain": lambda: (self.plain(), []),
            "stems": lambda: (self.stems(), []),
            "asteroid": lambda: (self.asteroid(), [*both, *root]),
            "speechbrain": lambda: (self.speechbrain(), root),
            "kaldi": lambda: (self.kaldi(), root),
        }[layout]()


@pytest.fixture(scope="session")
def mixers(voices: Corpus) -> dict[str, Mixer]:
    """What makes the mixtures of each split."""
    config = MixConfig(seconds=SECONDS, noise="pink", level_dbfs=(-26.0, -26.0))
    return {split: Mixer([voices], config, seed=3, split=split) for split in SPLITS}


@pytest.fixture
def trees(mixers: dict[str, Mixer], tmp_path: Path) -> Trees:
    """Writes corpora below the test's folder."""
    return Trees(mixers, tmp_path)


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[Path, Callable[[Any], Any]], None]:
    """Change the samples of a file, in its own format."""
    import soundfile

    def change(path: Path, edit: Callable[[Any], Any]) -> None:
        info = soundfile.info(path)
        x, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
        soundfile.write(path, edit(x), rate_hz, subtype=info.subtype)

    return change
