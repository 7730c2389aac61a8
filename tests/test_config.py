"""Configuration: layers, suggestions, messages, and TOML text that reads back to the same object."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refbss._checks import InputError, check_integer, check_number
from refbss.config import dump_toml, load_config, to_dict


@dataclass(frozen=True)
class Model:
    block: int = 32
    kernels: tuple[int, ...] = (8, 4, 4)
    theta: tuple[float, float, float] = (2.0, 0.0, -2.0)
    memory: bool = True

    def __post_init__(self) -> None:
        check_integer("model", block=self.block)


@dataclass(frozen=True)
class Loss:
    assignment: Literal["pit", "sinkhorn", "softmax"] = "pit"
    weight: float = 1e-3
    rho: float | None = None
    name: str = ""
    taps: tuple[int, ...] | None = None
    scale: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        check_number("Loss", least=0.0, scale=self.scale if isinstance(self.scale, float) else sum(self.scale))


@dataclass(frozen=True)
class Run:
    model: Model = field(default_factory=lambda: Model(block=16))
    loss: Loss = Loss()
    seed: int = 0


@dataclass(frozen=True)
class Needy:
    rate_hz: int


def test_the_defaults_are_the_schemas_own() -> None:
    assert load_config(Run) == Run()
    assert load_config(Run, {"model": {"memory": False}}).model == Model(block=16, memory=False)


def test_later_layers_win(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("seed = 3\n[model]\nblock = 8\nkernels = [3]\n", encoding="utf-8")
    config = load_config(
        Run,
        {"seed": 1, "loss": {"weight": 2}},
        path,
        overrides=["model.block=4", "loss.assignment=sinkhorn", 'loss.name="a b"', "loss.rho = 1e-2"],
    )
    assert config == Run(Model(block=4, kernels=(3,)), Loss("sinkhorn", 2.0, 0.01, "a b"), 3)
    assert type(config.loss.weight) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sede": 1}, "config: unknown key sede, did you mean seed?"),
        ({"model": {"blok": 1}}, "config: unknown key model.blok, did you mean model.block?"),
        ({"weight": 1.0}, "config: unknown key weight, did you mean loss.weight?"),
        ({"zzz": 1}, "config: unknown key zzz, wanted one of model, loss, seed"),
        ({"seed": "1"}, "config: seed is '1' (a string), wanted an integer"),
        ({"seed": 1.0}, "config: seed is 1.0 (a number), wanted an integer"),
        ({"seed": True}, "config: seed is True (a boolean), wanted an integer"),
        ({"seed": {}}, "config: seed is a section, wanted an integer"),
        ({"model": 3}, "config: model is 3 (an integer), wanted a section [model]"),
        ({"model": {"memory": 1}}, "config: model.memory is 1 (an integer), wanted true or false"),
        ({"model": {"kernels": [1, 2.5]}}, "config: model.kernels[1] is 2.5 (a number), wanted an integer"),
        (
            {"model": {"theta": [1.0]}},
            "config: model.theta is [1.0] (an array), wanted an array of 3, each item a finite number",
        ),
        ({"loss": {"weight": math.nan}}, "config: loss.weight is nan (a number), wanted a finite number"),
        ({"loss": {"rho": "x"}}, "config: loss.rho is 'x' (a string), wanted a finite number"),
        (
            {"loss": {"assignment": "pitt"}},
            'config: loss.assignment is \'pitt\' (a string), wanted one of "pit", "sinkhorn", "softmax"',
        ),
        ({"loss": {"taps": 1}}, 'config: loss.taps is 1 (an integer), wanted an array, each item an integer or "none"'),
        ({"loss": {"scale": ["x"]}}, "config: loss.scale[0] is 'x' (a string), wanted a finite number"),
        ({"loss": {"scale": -1.0}}, "config: [loss] Loss: scale is -1.0, wanted a finite number at least 0.0"),
        ({"model": {"block": 0}}, "config: model: block is 0, wanted an integer of at least 1"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(Run, values)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.block", "--set: got 'model.block', wanted section.key=value"),
        ("model..block=1", "--set: got 'model..block=1', wanted section.key=value"),
        ("model.block=[1", "--set: model.block is '[1', which is not a TOML value"),
        ("seed=1\nother=2", "--set: got 'seed=1\\nother=2', wanted one value on one line"),
        ("model.blocks=1", "--set: unknown key model.blocks, did you mean model.block?"),
        ("seed=big", "--set: seed is 'big' (a string), wanted an integer"),
    ],
)
def test_wrong_overrides_are_named(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(Run, overrides=[override])
    assert str(caught.value) == message


def test_an_override_that_a_later_one_replaces_is_checked() -> None:
    with pytest.raises(InputError, match="--set: seed is 'big'"):
        load_config(Run, overrides=["seed=big", "seed=3"])
    assert load_config(Run, overrides=["seed=2", "seed=3"]).seed == 3


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("seed = 3\n", encoding="utf-8-sig")
    assert load_config(Run, path).seed == 3


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError, match="rate_hz is missing, wanted an integer"):
        load_config(Needy)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: cannot be read \(No such file or directory\), wanted a TOML"):
        load_config(Run, tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("seed = = 3", encoding="utf-8")
    with pytest.raises(InputError, match=r"broken\.toml: not valid TOML: .*line 1"):
        load_config(Run, broken)


texts = st.text(st.characters(exclude_categories=("Cs",))).filter(lambda text: text != "none")
floats = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(0.0, 1e100)


@given(
    st.builds(
        Run,
        st.builds(
            Model,
            block=st.integers(1, 2**62),
            kernels=st.lists(st.integers(-(2**62), 2**62)).map(tuple),
            theta=st.tuples(floats, floats, floats),
            memory=st.booleans(),
        ),
        st.builds(
            Loss,
            assignment=st.sampled_from(["pit", "sinkhorn", "softmax"]),
            weight=floats,
            rho=st.none() | floats,
            name=texts,
            taps=st.none() | st.lists(st.integers(0, 9)).map(tuple),
            scale=positive | st.lists(positive).map(tuple),
        ),
        st.integers(0, 2**62),
    )
)
def test_toml_text_reads_back_to_the_same_object(tmp_path_factory: pytest.TempPathFactory, config: Run) -> None:
    path = tmp_path_factory.mktemp("config") / "run.toml"
    path.write_text(dump_toml(config), encoding="utf-8", newline="")
    assert load_config(Run, path) == config
    assert load_config(Run, to_dict(config)) == config


def test_the_text_is_flat_and_readable() -> None:
    assert dump_toml(Run()) == (
        "seed = 0\n\n[model]\nblock = 16\nkernels = [8, 4, 4]\ntheta = [2.0, 0.0, -2.0]\nmemory = true\n"
        '\n[loss]\nassignment = "pit"\nweight = 0.001\nrho = "none"\nname = ""\ntaps = "none"\nscale = 1.0\n'
    )


def test_values_that_toml_cannot_hold_are_refused() -> None:
    with pytest.raises(InputError, match=r"loss\.weight is nan"):
        dump_toml(Run(loss=Loss(weight=math.nan)))
