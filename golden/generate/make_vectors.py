"""Make the golden vectors of operators, losses and priors: ``python golden/generate/make_vectors.py [op ..]``.

Writes golden/<op>/<case>.json and .safetensors and brings golden/MANIFEST.json up to date. Needs NumPy, mpmath and
safetensors, and reproduces every file bit for bit on every machine. ``--prove`` compares the gradients of every case
with differences instead and writes nothing; ``--out DIR`` writes elsewhere.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from book import BadCase, Book, Case, answer, proof
from library import GOLDEN, MPMATH, Entry, case_files, sentences, write_library

MODULES = (
    "formulas_gru",
    "formulas_lstm",
    "formulas_convolution",
    "formulas_layers",
    "formulas_pointwise",
    "formulas_memory",
    "formulas_separator",
    "formulas_recursion",
    "formulas_signal",
    "formulas_mixture",
    "formulas_permutation",
    "formulas_sinkhorn",
    "formulas_similarity",
    "formulas_prior",
    "formulas_fisher",
    "formulas_adam",
)
PROVEN = 1e-14
"""Gradients are rounded to float64 before they are compared."""


def books() -> Iterator[Book]:
    """Every book, in order."""
    for module in MODULES:
        loaded = importlib.import_module(module)
        yield from getattr(loaded, "BOOKS", None) or (loaded.BOOK,)


def bad_case(book: Book, bad: BadCase) -> Case:
    """The question of a call that must be refused: the first case with changes."""
    first = book.cases[0]
    return Case(bad.name, first.arrays | bad.arrays, {**first.attrs, **bad.attrs}, ("error",))


def entries(book: Book) -> Iterator[Entry]:
    """Every case of a book, worked out."""
    missing = {mistake.name for mistake in book.mistakes}
    for case in book.cases:
        solved = answer(book, case)
        missing -= set(solved.mistakes)
        yield Entry(book, case, solved, None)
    if missing:
        raise SystemExit(f"{book.op}: no case tells these mistakes from the right answer: {sorted(missing)}")
    for bad in book.bad_cases:
        yield Entry(book, bad_case(book, bad), None, bad.why)


def main() -> None:
    """Read the command line, and make or prove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ops", nargs="*", help="operators to make; without any, all")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="folder to write to")
    parser.add_argument("--prove", action="store_true", help="compare gradients with differences, write nothing")
    options = parser.parse_args()
    chosen = [book for book in books() if not options.ops or book.op in options.ops]
    if unknown := set(options.ops) - {book.op for book in chosen}:
        raise SystemExit(f"no book of {sorted(unknown)}")
    if options.prove:
        for book in chosen:
            errors = {case.name: proof(book, case) for case in book.cases}
            worst = max(errors, key=lambda name: errors[name])
            print(f"{book.op:24} {len(errors):3} cases, gradients against differences {errors[worst]:.1e} ({worst})")
            if not errors[worst] <= PROVEN:
                raise SystemExit(1)
        return
    files: dict[str, tuple[bytes, dict[str, str]]] = {}
    for book in chosen:
        for entry in entries(book):
            files |= case_files(entry)
        said = {"source": MPMATH, "generator": book.generator}
        files |= sentences(book.op, {mistake.name: mistake.says for mistake in book.mistakes}, said)
        print(f"{book.op:24} {len(book.cases):3} cases, {len(book.bad_cases)} to refuse, {len(book.mistakes)} mistakes")
    write_library(options.out, files, {book.op for book in chosen})


if __name__ == "__main__":
    main()
