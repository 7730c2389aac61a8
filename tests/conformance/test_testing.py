"""refbss.testing in this process: the test that vector_test makes, and what its failures say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refbss._checks import InputError
from refbss.conformance.export import export
from refbss.conformance.vectors import Library
from refbss.ops.gru import gru_backward, gru_forward
from refbss.testing import vector_test
from refbss.testing.cases import adapters

LIBRARY = Library()
GRU = LIBRARY.find("gru")

test_the_reference = vector_test("gru/", "reference", grads=True, dtype="both")
test_the_fast_engine = vector_test(["prelu", "linear/*"], "fast", grads=True)


class TestInAClass:
    """As a method, and as people write it for a pytest that cannot tell a method by itself."""

    test_tanh = vector_test("tanh/", "reference", grads=True)
    test_static = staticmethod(vector_test("tanh/plain", "reference"))


@pytest.fixture(autouse=True)
def search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a target makes its folder importable; afterwards it is not."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def cases(test: Callable[..., None]) -> list[tuple[str, str]]:
    """What a test is parametrised over."""
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    assert mark.kwargs["ids"] == [f"{case}-{dtype}" for case, dtype in mark.args[1]]
    return list(mark.args[1])


def outcome(test: Callable[..., None], case: str = "gru/plain", dtype: str = "float32") -> str:
    """What a failing test says; empty where it passes."""
    try:
        test(case=case, dtype=dtype)
    except pytest.fail.Exception as failure:
        assert failure.pytrace is False
        return str(failure)
    return ""


def gru(x: Any, h0: Any, **p: Any) -> Any:
    """The law's GRU under the names of the vectors."""
    return gru_forward(x, *(p[f"{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), h0)[:2]


def zrn(x: Any, h0: Any, **p: Any) -> Any:
    """A GRU that reads its rows in the order of Keras."""
    return gru(x, h0, **{name: np.concatenate([np.split(a, 3)[i] for i in (1, 0, 2)]) for name, a in p.items()})


def test_every_case_in_every_dtype_that_was_asked_for() -> None:
    assert cases(vector_test("gru/", gru)) == [(case, "float32") for case in GRU]
    assert cases(vector_test("gru", gru, dtype="float64")) == [(case, "float64") for case in GRU]
    assert cases(test_the_reference) == [(case, dtype) for case in GRU for dtype in ("float32", "float64")]
    both = vector_test(["gru/one*", "gru/one-unit", "prelu/"], gru)
    assert [case for case, _ in cases(both)] == LIBRARY.find("gru/one*") + LIBRARY.find("prelu")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_right_passes(dtype: str) -> None:
    assert [outcome(vector_test("gru/", gru), case, dtype) for case in GRU] == [""] * len(GRU)


def test_what_is_wrong_is_named() -> None:
    lines = outcome(vector_test("gru/", zrn)).splitlines()
    assert lines[0].startswith("gru/plain float32: y differs by ")
    assert lines[1].startswith("your y, h_n equal mistake 'gates-zrn' (max error ")
    assert lines[1].endswith(
        "you read the rows as [z; r; n], the order of Keras and ONNX; the case stacks them [r; z; n]"
    )


def test_a_mistake_that_another_case_contradicts_is_said_so() -> None:
    def stateless(x: Any, h0: Any, **p: Any) -> Any:
        gru(x, h0, **p)  # refuses what must be refused
        return zrn(x, np.zeros_like(h0), **p)

    said = outcome(vector_test("gru/", stateless), "gru/zero-state")
    assert "mistake 'gates-zrn'" in said and "; but not in gru/" in said
    assert "; but not in" not in outcome(vector_test("gru/zero-state", stateless), "gru/zero-state")


def test_a_form_that_fits_every_case_is_said_in_each() -> None:
    loud = vector_test("tanh/", lambda x: 3.7 * np.tanh(x))
    for case in ("tanh/plain", "tanh/one-number"):
        (line,) = outcome(loud, case).splitlines()[1:]
        assert line.startswith("your y: 3.7 times what it should be")


def test_nothing_is_said_twice() -> None:
    def two_biases(x: Any, weight: Any, bias: Any, stride: int = 1, pad_left: int = 0) -> Any:
        x = np.pad(x, ((0, 0), (0, 0), (pad_left, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], 2)[:, :, ::stride]
        return (np.einsum("bctk,ock->bot", windows, weight) + 2 * bias[:, None]).astype(x.dtype)

    lines = outcome(vector_test("conv1d/silence", two_biases), "conv1d/silence").splitlines()
    assert len(lines) == 2 and lines[1].startswith("your y: 2 times what it should be: 2 or ")


def test_a_case_is_judged_once() -> None:
    asked: list[int] = []

    def counted(x: Any, h0: Any, **p: Any) -> Any:
        asked.append(len(x))
        return zrn(x, h0, **p)

    test = vector_test("gru/", counted)
    assert all(outcome(test, case) for case in GRU if LIBRARY.load(case).valid) and len(asked) == len(GRU)


def test_what_must_be_refused() -> None:
    accepting = vector_test("gru/", lambda **_: np.zeros(1))
    assert "was accepted, wanted it refused" in outcome(accepting, "gru/wrong-state-size")


def test_gradients_are_judged_where_they_are_asked_for() -> None:
    def vjp(cotangents: Any, x: Any, h0: Any, **p: Any) -> Any:
        *_, cache = gru_forward(x, *(p[f"{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), h0)
        g = gru_backward(*cotangents, cache)
        return {
            "x": -g.dx,
            "h0": g.dh0,
            **{f"{n}_l0": getattr(g, f"d{short}") for n, short in zip(
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), ("w_ih", "w_hh", "b_ih", "b_hh"), strict=True)},
        }  # fmt: skip

    assert outcome(vector_test("gru/", gru, vjp=vjp)) == ""
    said = outcome(vector_test("gru/", gru, vjp=vjp, grads=True))
    assert "the gradient of x differs by" in said and "the sign is the other way" in said
    assert "has no vjp, wanted one" in outcome(vector_test("gru/", gru, grads=True))


def test_a_torch_module() -> None:
    torch = pytest.importorskip("torch")
    relu = vector_test("prelu/", torch.nn.PReLU, framework="torch", grads=True)
    valid = [case for case, _ in cases(relu) if LIBRARY.load(case).valid]
    assert valid and [outcome(relu, case) for case in valid] == [""] * len(valid)


def test_the_vectors_of_another_folder(tmp_path: Path) -> None:
    export(tmp_path, LIBRARY, ["gru/plain"])
    test = vector_test("gru/", zrn, vectors=tmp_path)
    assert cases(test) == [("gru/plain", "float32")] and "gates-zrn" in outcome(test)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gruu/", "reference"), "nothing is called 'gruu/', did you mean gru"),
        ((["gru", "no-such"], "reference"), "nothing is called 'no-such'"),
    ],
)
def test_no_case_is_an_error_at_once(arguments: tuple[Any, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        vector_test(*arguments)
    with pytest.raises(InputError, match="dtype is 'float16', wanted one of float32, float64, both"):
        vector_test("gru", "reference", dtype="float16")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_package:gru", "no_such_package cannot be imported"),
        ("json:gru", "json has no gru"),
        ("json", "'json' is no target, wanted module:attribute"),
        ("json:JSONDecodeError.__doc__", "wanted a callable"),
    ],
)
def test_a_target_that_cannot_be_had_fails_each_case(target: str, message: str) -> None:
    test = vector_test("gru/", target)
    assert message in outcome(test) and message in outcome(test, "gru/wrong-state-size")


# ---------------------------------------------------------------- modules of adapters


def module(folder: Path, text: str) -> str:
    (folder / "adapters.py").write_text(text)
    return str(folder / "adapters.py")


def test_attributes_that_are_named_after_operators(tmp_path: Path) -> None:
    text = "import math as model\ngru = lambda **a: 1\nfrom math import tanh\nprelu = None\nother = print\n"
    found = adapters(module(tmp_path, text), None, dtype="float32", grads=False)
    assert [sorted({case.split("/")[0] for case, _ in questions.asked}) for questions in found] == [["gru"], ["tanh"]]


def test_a_dict_of_implementations(tmp_path: Path) -> None:
    text = "gru = print\nIMPLEMENTATIONS = {'gru/one*': 'reference', 'prelu': print}\n"
    found = adapters(module(tmp_path, text), None, dtype="both", grads=True)
    assert [len(questions.asked) for questions in found] == [2 * len(LIBRARY.find(p)) for p in ("gru/one*", "prelu")]
    assert found[0].problem("gru/one-unit", "float64") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has neither IMPLEMENTATIONS nor a callable named as one of "),
        ("IMPLEMENTATIONS = {}", r"IMPLEMENTATIONS is \{\}, wanted a dict from operators"),
        ("IMPLEMENTATIONS = [print]", "wanted a dict from operators"),
        ("IMPLEMENTATIONS = {1: print}", "IMPLEMENTATIONS has the key 1, wanted an operator"),
        ("IMPLEMENTATIONS = {'gru': 1}", r"IMPLEMENTATIONS\['gru'\] is 1, wanted a callable"),
        ("IMPLEMENTATIONS = {'gruu': print}", "nothing is called 'gruu', did you mean gru"),
        ("1 / 0", "cannot be imported: it raised ZeroDivisionError"),
    ],
)
def test_modules_that_will_not_do(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        adapters(module(tmp_path, text), None, dtype="float32", grads=False)


def test_importing_it_loads_nothing_of_weight(tmp_path: Path) -> None:
    code = "import sys, refbss.testing.plugin; print(sorted({'numpy', 'numba', 'safetensors'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
