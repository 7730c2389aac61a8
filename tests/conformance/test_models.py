"""Whole models: the first layer that differs is named, parameters find their places, objectives are callables too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refbss._checks import InputError
from refbss.conformance.judge import Verdict
from refbss.conformance.state_map import Place, StateMap, read_state_map
from refbss.conformance.vectors import Library

Judge = Callable[..., Verdict]
CASE = "model/no-memory"


@pytest.fixture(scope="module")
def state_map() -> StateMap:
    """Which of the sample network's parameters and layers is which."""
    return read_state_map(Path(__file__).parent / "samples" / "torch_nets.toml")


@pytest.fixture
def built(judged: Judge, state_map: StateMap) -> Judge:
    """Judge a builder of the sample network."""
    pytest.importorskip("torch")

    def call(name: str, *, case: str = CASE, dtype: str = "float32", grads: bool = False, **changes: Any) -> Verdict:
        changed = replace(state_map, **changes)
        return judged(f"torch_nets:{name}", case, dtype, grads=grads, state_map=changed)

    return call


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_network(built: Judge, dtype: str) -> None:
    verdict = built("build", dtype=dtype, grads=True)
    assert verdict.passed and verdict.not_given == ("x", "l")
    assert list(verdict.arrays["outputs"]) == ["h1", "h2", "g0", "g1", "w", "mu", "log_var", "z", "est"]
    assert len(verdict.arrays["grads"]) == 23 and verdict.errors["grads"] > 0


def test_a_call_to_refuse(built: Judge) -> None:
    assert built("build", case="model/wrong-noise").passed


def test_the_first_layer_that_differs(built: Judge) -> None:
    verdict = built("no_residual", grads=True)
    assert verdict.problem.startswith("h1, h2, g0 agree, g1 is the first that differs: by ")
    assert verdict.problem.endswith("; w, mu, log_var, z, est follow from it; gradients too")


def test_a_known_mistake_in_the_estimates(built: Judge) -> None:
    verdict = built("trimmed_left")
    assert verdict.problem.startswith(
        "h1, h2, g0, g1, w, mu, log_var, z agree, est is the first that differs (not given"
    )
    assert verdict.hints[0].name == "decoder-trimmed-left" and verdict.hints[0].stored


def test_estimates_alone(built: Judge) -> None:
    verdict = built("est_only", layers={})
    assert verdict.passed and list(verdict.arrays["outputs"]) == ["est"]
    assert built("est_only", grads=True).problem == (
        "outputs agree; gradients: returned h1, h2, g0, est; --grads wants mu, log_var too: the golden gradients are "
        "those of est, mu, log_var together"
    )


def test_a_layer_s_axes_may_be_turned(built: Judge, state_map: StateMap) -> None:
    turned = {**state_map.layers, "norm_in": Place("g0", True)}
    verdict = built("build", layers=turned)
    assert verdict.problem.startswith(
        "h1, h2 agree, g0 is the first that differs: has shape (1, 3, 5), wanted (1, 5, 3)"
    )
    assert verdict.hints[0].text.startswith(
        "your g0: its axes look like (B C T), wanted (B T C); turned round it agrees"
    )


def test_layers_and_parameters_that_are_not_there(built: Judge, state_map: StateMap) -> None:
    with pytest.raises(InputError, match=r"state map: the module has no layer 'front\.9', did you mean front\.\d\?"):
        built("build", layers={"front.9": Place("h1")})
    with pytest.raises(InputError, match=r"state map: 'front\.0' is 'h99', which no case has; .* has h1, h2, g0, g1,"):
        built("build", layers={"front.0": Place("h99")})
    verdict = built("build", parameters={})
    assert verdict.problem.startswith("parameters do not match by name: it lacks encoder.conv.0.weight, ")
    assert " and 19 more and has mask, " in verdict.problem
    untransposed = {**state_map.parameters, "kernel": Place("separator.fc.weight")}
    assert built("build", parameters=untransposed).problem == "parameter kernel has shape (3, 4), wanted (4, 3)"


def test_one_map_serves_cases_of_which_some_lack_a_layer(built: Judge, state_map: StateMap) -> None:
    parameters = {**state_map.parameters, "front.2.0.weight": Place("encoder.conv.2.weight")}
    layers = {**state_map.layers, "front.2": Place("h3")}
    verdict = built("build", parameters=parameters, layers=layers, grads=True)
    assert verdict.passed and "h1" in verdict.arrays["outputs"]
    with pytest.raises(
        InputError, match=r"'x' is 'encoder\.norm\.weigth', which no case has, did you mean encoder\.norm"
    ):
        built("build", parameters={**parameters, "x": Place("encoder.norm.weigth")})
    with pytest.raises(InputError, match=r"the module has no parameter 'norm_inn\.weight', did you mean norm_in\.weig"):
        built("build", parameters={**parameters, "norm_inn.weight": Place("encoder.norm.weight")})


def test_the_axes_of_a_layer_are_checked_before_it_is_called(built: Judge, state_map: StateMap) -> None:
    with pytest.raises(InputError, match=r"transpose of g0 is \[0, 1, 3\], wanted an order of 3 axes"):
        built("build", layers={**state_map.layers, "norm_in": Place("g0", (0, 1, 3))})


def test_a_layer_that_gives_no_tensor(judged: Judge, sample: Callable[[str], Any], state_map: StateMap) -> None:
    torch = pytest.importorskip("torch")

    class Boxed(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return {"a": x}

    def build(config: Any) -> Any:
        net = sample("torch_nets:build")(config)
        net.box = Boxed()
        net.register_forward_hook(lambda module, given, returned: module.box(returned) and None)
        return net

    layers = {**state_map.layers, "box": Place("x")}
    verdict = judged(build, CASE, framework="torch", state_map=replace(state_map, layers=layers))
    assert verdict.problem == "layer box gives a dict, wanted a tensor"


def test_a_layer_that_is_called_twice(judged: Judge, library: Library) -> None:
    torch = pytest.importorskip("torch")

    def build(config: Any) -> Any:
        class Twice(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.layer = torch.nn.Identity()
                for name, array in library.load(CASE).params.items():
                    self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(torch.tensor(array)))

            def forward(self, mix: Any, eps: Any) -> Any:
                return self.layer(self.layer(mix))

        return Twice()

    verdict = judged(build, CASE, state_map=StateMap(layers={"layer": Place("h1")}))
    assert verdict.problem == "layer layer is called more than once, wanted a mapping of intermediates instead"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ["bare", "one-frame", "three-sources", "no-memory"])
def test_a_callable_takes_every_parameter_in_one_mapping(judged: Judge, case: str, dtype: str) -> None:
    verdict = judged("numpy_nets:model", f"model/{case}", dtype, grads=True, vjp="numpy_nets:model_vjp")
    assert verdict.passed and "h1" in verdict.not_given and verdict.errors["grads"] > 0
    assert judged("numpy_nets:estimates", f"model/{case}", dtype).passed


def test_of_a_mapping_too_the_first_that_differs_is_named(judged: Judge) -> None:
    verdict = judged("numpy_nets:shifted", "model/bare")
    assert verdict.problem.startswith(
        "mu, log_var agree, z is the first that differs (not given: h1, h2, h3, g0, g1, g2"
    )
    assert [hint.name for hint in verdict.hints] == ["factor -1"]


@pytest.mark.parametrize("case", ["all-terms", "no-sampling"])
def test_objectives(judged: Judge, case: str) -> None:
    verdict = judged("numpy_nets:objective", f"objective/{case}", "float64", grads=True)
    assert verdict.passed and verdict.errors["grads"] > 0 and "reconstruction" in verdict.not_given
