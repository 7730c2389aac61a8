"""The machinery itself: differences, comparison, layouts, seeds, the command."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from refbss.verification.compare import worst
from refbss.verification.draw import LAYOUTS, generator
from refbss.verification.gradcheck import check_gradients, derivative
from refbss.verification.registry import SPECS


def test_derivative_is_exact_for_polynomials_of_degree_six() -> None:
    def change(h: float) -> float:
        return sum(c * ((1.0 + h) ** k - (1.0 - h) ** k) for k, c in enumerate((3.0, -1.0, 2.0, 0.5, -2.0, 1.0, 0.3)))

    exact = -1.0 + 4.0 + 1.5 - 8.0 + 5.0 + 1.8
    assert derivative(change, 0.1) == pytest.approx(exact, rel=1e-12)


def test_derivative_of_the_sine() -> None:
    assert derivative(lambda h: math.sin(0.4 + h) - math.sin(0.4 - h), 2e-3) == pytest.approx(math.cos(0.4), rel=1e-12)


def test_worst_names_the_place_and_both_values() -> None:
    wanted = np.array([[1.0, -4.0], [2.0, 3.0]])
    got = wanted.copy()
    got[1, 0] += 0.1
    found = worst(got, wanted)
    assert found.place == (1, 0) and found.wanted == 2.0
    assert found.error == pytest.approx(0.1 / 4.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_worst_counts_what_is_not_finite_as_infinite(bad: float) -> None:
    assert worst(np.array([1.0, bad]), np.array([1.0, 2.0])).error == np.inf
    assert worst(np.array([1.0, 2.0]), np.array([1.0, bad])).error == np.inf


def test_worst_refuses_another_shape() -> None:
    with pytest.raises(AssertionError, match=r"shape \(2,\), wanted \(1, 2\)"):
        worst(np.zeros(2), np.zeros((1, 2)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_hold_equal_values(layout: str) -> None:
    array = generator(0, "layouts").standard_normal((3, 4, 2))
    view = LAYOUTS[layout](array)
    assert np.array_equal(view, array) and view.strides != array.strides
    assert not view.flags.c_contiguous
    assert LAYOUTS[layout](np.array(3.0)).shape == ()


def test_seeds_and_labels_make_streams_that_replay() -> None:
    assert generator(0, "a").integers(2**62) == generator(0, "a").integers(2**62)
    assert generator(0, "a").integers(2**62) != generator(0, "b").integers(2**62)
    assert generator(0, "a").integers(2**62) != generator(1, "a").integers(2**62)


def test_report_replays_from_its_seed() -> None:
    report = check_gradients(SPECS["linear"], np.random.Generator(np.random.Philox(key=5)))
    again = check_gradients(SPECS["linear"], report.seed, case=report.case)
    assert report == again
    assert f"seed {report.seed}" in str(report) and f"d{report.worst_argument}" in str(report)
    with pytest.raises(KeyError):
        check_gradients(SPECS["linear"], 0, case="no such case")


def test_command_prints_the_table() -> None:
    command = [sys.executable, "-m", "refbss.verification", "linear", "prelu", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [
        ["linear", "x"],
        ["linear", "w"],
        ["linear", "b"],
        ["prelu", "x"],
        ["prelu", "a"],
    ]
    assert lines[-1].startswith("worst of all: ") and "seed 3" in lines[-1]
