"""Lists of files: paths of another machine are found again, what would lead outside is refused, nothing is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refbss import InputError
from refbss.data.corpora.part import Choice
from refbss.data.corpora.paths import Rooted
from refbss.data.corpora.registry import recognise
from refbss.data.mixtures import open_mixtures
from refbss.data.verify import verify


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with a few files to find."""
    for name in ("wav8k/min/tt/s1/a.wav", "tt/s1/a.wav", "a.wav", "wav8k/b c.wav"):
        path = tmp_path / "base" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "secret.wav").touch()
    return tmp_path / "base"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/elsewhere/wham/wav8k/min/tt/s1/a.wav", "wav8k/min/tt/s1/a.wav"),  # the longest tail that is there
        ("/elsewhere/tt/s1/a.wav", "tt/s1/a.wav"),
        ("/elsewhere/a.wav", "a.wav"),
        ("wav8k/min/tt/s1/a.wav", "wav8k/min/tt/s1/a.wav"),
        ("data/tt/s1/a.wav", "tt/s1/a.wav"),
        ("$data_root/tt/s1/a.wav", "tt/s1/a.wav"),
        ("{data_root}/tt/s1/a.wav", "tt/s1/a.wav"),
        ("./wav8k/b c.wav", "wav8k/b c.wav"),
        (r"D:\corpora\wham\tt\s1\a.wav", "tt/s1/a.wav"),
        ("/elsewhere/wham/tt/s1/gone.wav", "tt/s1/gone.wav"),  # its folder is there: it has a place, and is missing
        ("gone/b.wav", "gone/b.wav"),
    ],
)
def test_found_below_the_root(base: Path, text: str, wanted: str) -> None:
    assert Rooted(base, given=True).find(text, "list: line 1") == str(base / wanted)


def test_absolute_paths_inside_stay(base: Path, tmp_path: Path) -> None:
    inside = str(base / "tt" / "s1" / "a.wav")
    assert Rooted(base, given=False).find(inside, "list") == inside
    (tmp_path / "link").symlink_to(base, target_is_directory=True)
    assert Rooted(tmp_path / "link", given=False).find(inside, "list") == str(tmp_path / "link" / "tt/s1/a.wav")


def test_the_first_file_of_a_folder_decides(base: Path) -> None:
    """One that is missing is missing where the others are, and not found somewhere else."""
    rooted = Rooted(base, given=True)
    (base / "b.wav").touch()
    assert rooted.find("/elsewhere/tt/s1/a.wav", "list") == str(base / "tt/s1/a.wav")
    assert rooted.find("/elsewhere/tt/s1/b.wav", "list") == str(base / "tt/s1/b.wav")
    assert Rooted(base, given=True).find("/elsewhere/tt/s1/b.wav", "list") == str(base / "b.wav")


@pytest.mark.parametrize(
    "text",
    [
        "../secret.wav",
        "tt/../../secret.wav",
        "/elsewhere/../../secret.wav",
        "$data_root/../secret.wav",
        r"D:\..\secret.wav",
        "..",
    ],
)
def test_traversal_is_refused(base: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"^list: line 7 names .*, wanted a path without \.\.$"):
        Rooted(base, given=True).find(text, "list: line 7")


@pytest.mark.parametrize("text", ["", "  ", "a\0.wav", "/", "$data_root"])
def test_no_path_at_all(base: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"^list names .*, wanted the path of a file$"):
        Rooted(base, given=True).find(text, "list")


def test_absolute_paths_outside_are_refused(base: Path, tmp_path: Path) -> None:
    """Also where the file is there: what a list says never opens it."""
    outside = str(tmp_path / "secret.wav")
    with pytest.raises(InputError, match=r"no tail of which is in .*base; wanted --root with the folder that holds"):
        Rooted(base, given=False).find(outside, "list")
    with pytest.raises(InputError, match=r"wanted another --root"):
        Rooted(base, given=True).find(outside, "list")
    assert Rooted(tmp_path, given=True).find(outside, "list") == outside


def test_paths_that_no_system_takes(base: Path) -> None:
    for text in (f"/data/{'a' * 5000}/x.wav", "/data/\ud800/x.wav"):
        with pytest.raises(InputError, match=r"no tail of which is in"):
            Rooted(base, given=True).find(text, "list")


def test_librimix_lists_find_their_recordings_after_a_move(trees: Any) -> None:
    """Beside metadata without a word; from anywhere with --root; each file of a split and of a condition alone."""
    root = trees.librimix()
    place = root / "wav8k" / "min"
    assert open_mixtures(place / "metadata", Choice("mix_both")).splits == {"validation": 3, "test": 3, "train": 3}
    moved = place.rename(trees.folder / "moved")
    lists = (moved / "metadata").rename(trees.folder / "lists")
    with pytest.raises(
        InputError, match=r"mixture_train-100_mix_both\.csv: line 2 names '/elsewhere/.*, no tail of which"
    ):
        open_mixtures(lists, Choice("mix_both"))
    found = open_mixtures(lists, Choice("mix_both", (), moved))
    assert found.splits == {"validation": 3, "test": 3, "train": 3}
    one = open_mixtures(lists / "mixture_test_mix_single.csv", Choice(root=moved))
    assert (one.splits, one.condition, one.sources) == ({"test": 3}, "mix_single", 1)
    assert open_mixtures(lists, Choice("mix_both", ("train-100",), moved)).splits == found.splits
    assert verify(lists, Choice(root=moved)).problems == ()


def test_a_root_above_finds_every_corpus_below(trees: Any) -> None:
    lists = trees.speechbrain()
    assert open_mixtures(lists, Choice(root=trees.folder / "wham_original")).layout == "speechbrain"
    with pytest.raises(InputError, match=r"wham_tt\.csv.*(no such file|names)|gone\.wav|wav8k"):
        list(open_mixtures(lists))


def write_csv(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


LIBRI = "mixture_ID,mixture_path,source_1_path,source_2_path,length\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            LIBRI,
            r"1 mixtures or lists of it cannot be used; .*the first: .*m\.csv: holds no mixtures, wanted at least 1",
        ),
        (LIBRI + "a,a.wav,b.wav,c.wav,9\na,a.wav,b.wav,c.wav,9\n", r"line 3 has the id 'a', wanted an id, each once"),
        (LIBRI + ",a.wav,b.wav,c.wav,9\n", r"line 2 has the id '', wanted an id, each once"),
        (LIBRI + "a,a.wav,b.wav,9\n", r"line 2 has another number of cells, wanted 5"),
        (LIBRI + "a,a.wav,b.wav,c.wav,9,9\n", r"line 2 has another number of cells, wanted 5"),
        (LIBRI + "a,a.wav,b.wav,c.wav,long\n", r"line 2 has the length 'long', wanted a number of samples"),
        (LIBRI + "a,a.wav,b.wav,c.wav,-4\n", r"line 2 has the length '-4', wanted a number of samples"),
        (LIBRI + "a,a.wav,b.wav,c.wav,1e300\n", r"line 2 has the length '1e300', wanted a number of samples"),
        (LIBRI + "a,a.wav,b.wav,c.wav,nan\n", r"line 2 has the length 'nan', wanted a number of samples"),
        (
            LIBRI + "a,../../etc/passwd,b.wav,c.wav,9\n",
            r"line 2 names '\.\./\.\./etc/passwd', wanted a path without \.\.",
        ),
        (
            LIBRI + "a,/etc/passwd,b.wav,c.wav,9\n",
            r"line 2 names '/etc/passwd', no tail of which is in .*; wanted --root",
        ),
        (LIBRI + 'a,"a.wav,b.wav,c.wav,9\n', r"line \d is not CSV \(unexpected end of data\)"),
        (
            LIBRI.replace("source_2", "source_3") + "a,a.wav,b.wav,c.wav,9\n",
            r"columns source_1_path, source_3_path, want",
        ),
        ("ID,mix_wav,s1_wav,s3_wav\na,a.wav,b.wav,c.wav\n", r"columns s1_wav, s3_wav, wanted them numbered from 1"),
        (LIBRI + "caf\xe9,a.wav,b.wav,c.wav,9\n", r"m\.csv: is not UTF-8 at byte \d+, wanted text in UTF-8"),
        ("caf\xe9,mix_wav\n", r"m\.csv: holds no mixtures in a layout that is known"),
        ("x" * 200_000, r"m\.csv: holds no mixtures in a layout that is known"),
        ("ID,mix_wav,s1_wav\n" + "x" * 200_000, r"m\.csv: line \d is not CSV \(field larger than field limit"),
    ],
)
def test_damaged_csv(tmp_path: Path, text: str, message: str) -> None:
    path = write_csv(tmp_path / "m.csv", text, "latin-1")
    with pytest.raises(InputError, match=message):
        open_mixtures(path)


def test_lines_break_only_where_csv_breaks_them(trees: Any) -> None:
    r"""U+2028 and \x0b are part of an id, a byte order mark is not, and a quoted line break is."""
    place = trees.wham() / "wav8k" / "min" / "tt"
    name = sorted((place / "s1").iterdir())[0].name
    paths = f"mix_clean/{name},s1/{name},s2/{name}"
    path = write_csv(place / "wsj_tt.csv", f'\ufeffID,mix_wav,s1_wav,s2_wav\r\n"a\u2028b\x0b\nc",{paths}\r\n')
    found = open_mixtures(path)
    assert [mixture.id for mixture in found.mixtures] == ["a\u2028b\x0b\nc"]
    assert found.splits == {"test": 1} and len(list(found)) == 1


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda listed: {"a": listed}, r"s1\.json: holds a dict, wanted a list of \[path, length\]"),
        (lambda listed: [*listed, "a.wav"], r"s1\.json: entry 3 is 'a\.wav', wanted \[path, length\]"),
        (lambda listed: [*listed, [1, 2]], r"s1\.json: entry 3 is \[1, 2\], wanted \[path, length\]"),
        (lambda listed: [*listed, ["a.wav", "9"]], r"s1\.json: entry 3 is \['a\.wav', '9'\], wanted \[path, length\]"),
        (lambda listed: [*listed, ["a.wav", 10**20]], r"s1\.json: entry 3 has the length '1000.*', wanted a number of"),
        (lambda listed: [*listed, ["a.wav", 0]], r"s1\.json: entry 3 has the length '0', wanted a number of samples"),
        (lambda listed: [*listed, listed[0]], r"s1\.json: entry 3 has the name 's3e0i000000' for the second time"),
        (
            lambda listed: [*listed, ["x/../a.wav", 9]],
            r"s1\.json: entry 3 names 'x/\.\./a\.wav', wanted a path without",
        ),
        (lambda listed: listed[1:], r"the first: .*s1\.json: has no s3e0i000000"),
        (
            lambda listed: [[listed[0][0], 5], *listed[1:]],
            r"the first: .*mix_both\.json: s3e0i000000 has 5 and 4000 samples in the lists, wanted one length",
        ),
    ],
)
def test_damaged_json(trees: Any, change: Callable[[Any], Any], message: str) -> None:
    lists = trees.asteroid()
    edit_json(lists / "tt" / "s1.json", change)
    with pytest.raises(InputError, match=message):
        open_mixtures(lists, Choice("mix_both", (), trees.folder / "wham_original"))


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, '[["\\ud800.wav", 3', "\xff"])
def test_files_that_are_no_json(trees: Any, text: str) -> None:
    lists = trees.asteroid()
    (lists / "tt" / "mix_both.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"mix_both\.json: (cannot be read as JSON|is not UTF-8)"):
        open_mixtures(lists, Choice("mix_both", (), trees.folder / "wham_original"))


def test_names_decide_not_the_order(trees: Any) -> None:
    lists = trees.asteroid()
    root = trees.folder / "wham_original"
    before = [item.mix.tobytes() for item in open_mixtures(lists, Choice("mix_both", (), root))]
    for path in sorted(lists.rglob("*.json"))[::2]:
        edit_json(path, lambda listed: listed[::-1])
    found = open_mixtures(lists, Choice("mix_both", (), root))
    assert [item.mix.tobytes() for item in found] == before
    assert verify(lists, Choice("mix_both", (), root)).problems == ()


def scp(trees: Any, text: str, name: str = "spk1.scp") -> Path:
    """The Kaldi folders, with another list of test sources."""
    root: Path = trees.kaldi()
    (root / "tt_min_8k" / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a sph2pipe -f wav a.wv1 |\n",
            r"line 1 is a command, 'sph2pipe .*, which is never run; wanted the path of a file",
        ),
        ("a touch HERE |\n", r"line 1 is a command, 'touch HERE \|', which is never run"),
        ("a | touch HERE\n", r"line 1 is a command"),
        ("a raw.ark:1234\n", r"line 1 points into an archive, 'raw\.ark:1234'; wanted the path of an audio file"),
        ("a\n", r"line 1 has the id 'a', wanted an id, each once, and the path of a file"),
        ("a a.wav\na b.wav\n", r"line 2 has the id 'a', wanted an id, each once"),
        ("a ../a.wav\n", r"line 1 names '\.\./a\.wav', wanted a path without \.\."),
        ("", r"the first: .*spk1\.scp: has no s3e0i000000"),
    ],
)
def test_damaged_scp(trees: Any, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    root = scp(trees, text)
    monkeypatch.chdir(trees.folder)
    with pytest.raises(InputError, match=rf"(spk1\.scp: )?{message}"):
        open_mixtures(root, Choice(root=trees.folder / "wham_original"))
    assert not (trees.folder / "HERE").exists()


def test_scp_with_tabs_and_empty_lines(trees: Any) -> None:
    root = trees.kaldi()
    path = root / "tt_min_8k" / "spk2.scp"
    path.write_text("\n" + path.read_text().replace(" ", "\t").replace("\n", " \r\n\n"))
    assert len(open_mixtures(root, Choice(root=trees.folder / "wham_original")).of_split("test")) == 3


def test_segments_of_recordings_are_refused(trees: Any) -> None:
    root = trees.kaldi()
    (root / "tt_min_8k" / "segments").write_text("a b 0 1\n")
    with pytest.raises(InputError, match=r"segments: cuts recordings into utterances, wanted a file for each mixture"):
        recognise(root)


def test_a_length_that_is_not_the_files(trees: Any) -> None:
    path = trees.librimix() / "wav8k/min/metadata/mixture_test_mix_clean.csv"
    path.write_text(path.read_text().replace(",4000", ",4001", 1))
    found = open_mixtures(path)
    with pytest.raises(InputError, match=r"mix_clean/s3e0i000000\.wav: has 4000 samples, wanted 4001 as its list says"):
        list(found)
    assert [problem.kind for problem in verify(path).problems] == ["length"] * 3
