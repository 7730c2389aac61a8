"""Weights of GRU and LSTM in other layouts: every bit comes back, and the other framework's equations give the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refbss._checks import InputError
from refbss.conformance.convert import LAYOUTS, Move, to_layout

Named = dict[str, np.ndarray]
GATES = {"gru": 3, "lstm": 4}
DTYPES = ("float32", "float64", "float16", "int8", "complex64")
OTHERS = ("keras", "onnx")


def weights(
    cell: str,
    inputs: int,
    units: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    prefix: str = "",
    dtype: str = "float64",
    seed: int = 0,
) -> Named:
    """Weights as PyTorch has them, of random numbers, all different."""
    rng = np.random.default_rng(seed)
    rows, made = GATES[cell] * units, {}
    for layer in range(layers):
        wide = inputs if layer == 0 else units * (1 + bidirectional)
        for end in ("", "_reverse")[: 1 + bidirectional]:
            shapes = {"weight_ih": (rows, wide), "weight_hh": (rows, units)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            for name, shape in shapes.items():
                made[f"{prefix}{name}_l{layer}{end}"] = rng.standard_normal(shape).astype(dtype)
    return made


def raw(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Types, shapes and bits."""
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in tensors.items()}


# ---------------------------------------------------------------- every bit comes back


@st.composite
def files(draw: Callable[..., Any], cells: tuple[str, ...] = ("gru", "lstm")) -> Named:
    """A file of one or two models, of any bits whatever, NaN and -0.0 among them, and tensors that are none."""
    made: Named = {}
    for prefix in draw(st.sampled_from([("",), ("net.gru.",), ("a/b_", "c.0.")])):
        model = weights(
            draw(st.sampled_from(cells)),
            draw(st.integers(1, 5)),
            draw(st.integers(1, 5)),
            layers=draw(st.integers(1, 3)),
            bidirectional=draw(st.booleans()),
            bias=draw(st.booleans()),
            prefix=prefix,
            dtype=draw(st.sampled_from(DTYPES)),
        )
        for name, array in model.items():
            bits = draw(st.binary(min_size=array.nbytes, max_size=array.nbytes))
            made[name] = np.frombuffer(bits, array.dtype).reshape(array.shape)
    made["fc.weight"] = np.arange(6.0).reshape(2, 3)
    made["fc.kernel"] = np.arange(4, dtype=np.int64)
    made["W_q"] = np.ones((), bool)
    return made


def no_second_bias(tensors: Named) -> Named:
    """The recurrent biases of LSTMs are zero: what Keras can express."""
    lstm = {
        n.replace("weight_hh", "bias_hh") for n, a in tensors.items() if "weight_hh" in n and len(a) == 4 * a.shape[1]
    }
    return {name: np.zeros_like(array) if name in lstm else array for name, array in tensors.items()}


@settings(max_examples=150, deadline=None)
@given(files())
def test_there_and_back_by_every_way(tensors: Named) -> None:
    """torch to a to b to torch, for all layouts a and b."""
    for a, b in itertools.product(LAYOUTS, repeat=2):
        given = no_second_bias(tensors) if "keras" in (a, b) else tensors
        there = to_layout(given, "torch", a)
        onward = to_layout(there.tensors, a, b)
        back = to_layout(onward.tensors, b, "refbss")
        assert raw(back.tensors) == raw(given), (a, b)
        assert sorted(there.unchanged) == sorted(onward.unchanged) == ["W_q", "fc.kernel", "fc.weight"]
        assert raw(to_layout(onward.tensors, b, a).tensors) == raw(there.tensors), (a, b)


@settings(max_examples=50, deadline=None)
@given(files(("gru",)))
def test_no_bit_of_a_gru_is_lost_or_made(tensors: Named) -> None:
    """The same bytes in another order, and the arguments are as they were."""
    before = raw(tensors)
    for layout in OTHERS:
        made = to_layout(tensors, "torch", layout).tensors
        assert sorted(b"".join(a.tobytes() for a in made.values())) == sorted(
            b"".join(bits for *_, bits in before.values())
        )
    assert raw(tensors) == before


def test_the_shapes_and_names() -> None:
    gru = weights("gru", 5, 2, layers=2, bidirectional=True, prefix="enc.")
    keras = {name: array.shape for name, array in to_layout(gru, "torch", "keras").tensors.items()}
    onnx = {name: array.shape for name, array in to_layout(gru, "torch", "onnx").tensors.items()}
    assert keras["enc.kernel_l0_reverse"] == (5, 6) and keras["enc.recurrent_kernel_l1"] == (2, 6)
    assert keras["enc.bias_l1_reverse"] == (2, 6) and len(keras) == 12
    assert onnx == {
        "enc.W_l0": (2, 6, 5), "enc.R_l0": (2, 6, 2), "enc.B_l0": (2, 12),
        "enc.W_l1": (2, 6, 4), "enc.R_l1": (2, 6, 2), "enc.B_l1": (2, 12),
    }  # fmt: skip
    lstm = weights("lstm", 3, 2, prefix="x_")
    assert {n: a.shape for n, a in to_layout(lstm, "torch", "onnx").tensors.items()} == {
        "x_W_l0": (1, 8, 3), "x_R_l0": (1, 8, 2), "x_B_l0": (1, 16),
    }  # fmt: skip
    lstm["x_bias_hh_l0"][:] = 0.0
    assert to_layout(lstm, "torch", "keras").tensors["x_bias_l0"].shape == (8,)


def test_what_became_of_what() -> None:
    gru = weights("gru", 2, 3, bidirectional=True) | {"fc.bias": np.zeros(2)}
    made = to_layout(gru, "torch", "onnx")
    assert made.moved == (
        Move("gru", ("weight_ih_l0", "weight_ih_l0_reverse"), ("W_l0",)),
        Move("gru", ("weight_hh_l0", "weight_hh_l0_reverse"), ("R_l0",)),
        Move("gru", ("bias_ih_l0", "bias_hh_l0", "bias_ih_l0_reverse", "bias_hh_l0_reverse"), ("B_l0",)),
    )
    assert made.unchanged == ("fc.bias",)
    keras = to_layout(made.tensors, "onnx", "keras")
    assert keras.moved[0] == Move("gru", ("W_l0",), ("kernel_l0", "kernel_l0_reverse"))
    assert to_layout(keras.tensors, "keras", "torch").moved[2] == Move(
        "gru", ("bias_l0",), ("bias_ih_l0", "bias_hh_l0")
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_without_a_layer_are_layer_0(layout: str) -> None:
    made = to_layout(weights("gru", 2, 3, prefix="p."), "torch", layout).tensors
    plain = {name.removesuffix("_l0"): array for name, array in made.items()}
    assert raw(to_layout(plain, layout, layout).tensors) == raw(made)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_order_of_the_tensors_does_not_matter(layout: str) -> None:
    gru = weights("gru", 2, 3, layers=2, bidirectional=True)
    backwards = dict(reversed(gru.items()))
    made = to_layout(backwards, "torch", layout).tensors
    assert raw(made) == raw(to_layout(gru, "torch", layout).tensors)
    assert raw(to_layout(dict(reversed(made.items())), layout, "torch").tensors) == raw(gru)


def test_dense_layers_of_keras_are_not_recurrent() -> None:
    gru = to_layout(weights("gru", 2, 3, prefix="rnn/"), "torch", "keras").tensors
    dense = {"dense/kernel": np.ones((2, 3)), "dense/bias": np.ones(3)}
    assert to_layout(gru | dense, "keras", "torch").unchanged == ("dense/kernel", "dense/bias")


# ---------------------------------------------------------------- the biases of an LSTM of Keras


def test_two_biases_do_not_fit_into_one() -> None:
    lstm = weights("lstm", 2, 3, prefix="rnn.")
    with pytest.raises(InputError, match=r"the LSTM of rnn\.weight_hh_l0 is not zero.*wanted --sum-biases"):
        to_layout(lstm, "torch", "keras")
    with pytest.raises(InputError, match=r"the LSTM of rnn\.R_l0 is not zero"):
        to_layout(to_layout(lstm, "torch", "onnx").tensors, "onnx", "keras")
    made = to_layout(lstm, "torch", "keras", sum_biases=True).tensors
    assert np.array_equal(made["rnn.bias_l0"], lstm["rnn.bias_ih_l0"] + lstm["rnn.bias_hh_l0"])
    back = to_layout(made, "keras", "torch").tensors
    assert not back["rnn.bias_hh_l0"].any() and np.array_equal(back["rnn.bias_ih_l0"], made["rnn.bias_l0"])


def test_minus_zero_would_not_come_back() -> None:
    lstm = weights("lstm", 2, 3)
    lstm["bias_hh_l0"] = np.full(12, -0.0)
    with pytest.raises(InputError, match="is not zero"):
        to_layout(lstm, "torch", "keras")


# ---------------------------------------------------------------- the equations of the others


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def torch_equations(cell: str, p: Named, x: np.ndarray) -> np.ndarray:
    """torch.nn.GRU and torch.nn.LSTM, as their documentation has them: x (T, B, I) -> (T, B, H)."""
    split = {n: np.split(p[f"{n}_l0"], GATES[cell]) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    h = np.zeros((x.shape[1], p["weight_hh_l0"].shape[1]))
    c, states = h, []
    for x_t in x:
        a = [x_t @ w.T + b for w, b in zip(split["weight_ih"], split["bias_ih"], strict=True)]
        s = [h @ w.T + b for w, b in zip(split["weight_hh"], split["bias_hh"], strict=True)]
        if cell == "gru":
            r, z = sigmoid(a[0] + s[0]), sigmoid(a[1] + s[1])
            n = np.tanh(a[2] + r * s[2])
            h = (1 - z) * n + z * h
        else:
            i, f, o = (sigmoid(a[k] + s[k]) for k in (0, 1, 3))
            c = f * c + i * np.tanh(a[2] + s[2])
            h = o * np.tanh(c)
        states.append(h)
    return np.stack(states)


def torch_itself(cell: str, p: Named, x: np.ndarray) -> np.ndarray:
    """The layer of PyTorch with these weights."""
    torch = pytest.importorskip("torch")
    layer = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](x.shape[2], p["weight_hh_l0"].shape[1]).double()
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in p.items()})
    return np.asarray(layer(torch.from_numpy(x))[0].detach().numpy())


def keras_equations(cell: str, p: Named, x: np.ndarray) -> np.ndarray:
    """keras.layers.GRU(reset_after=True) and keras.layers.LSTM: the gates are columns, z r h and i f c o."""
    kernel, recurrent, bias = p["kernel_l0"], p["recurrent_kernel_l0"], p["bias_l0"]
    h = np.zeros((x.shape[1], len(recurrent)))
    c, states = h, []
    for x_t in x:
        if cell == "gru":
            x_z, x_r, x_h = np.split(x_t @ kernel + bias[0], 3, axis=1)
            recurrent_z, recurrent_r, recurrent_h = np.split(h @ recurrent + bias[1], 3, axis=1)
            z, r = sigmoid(x_z + recurrent_z), sigmoid(x_r + recurrent_r)
            h = z * h + (1 - z) * np.tanh(x_h + r * recurrent_h)
        else:
            z0, z1, z2, z3 = np.split(x_t @ kernel + h @ recurrent + bias, 4, axis=1)
            c = sigmoid(z1) * c + sigmoid(z0) * np.tanh(z2)
            h = sigmoid(z3) * np.tanh(c)
        states.append(h)
    return np.stack(states)


def onnx_equations(cell: str, p: Named, x: np.ndarray) -> np.ndarray:
    """GRU with linear_before_reset=1 and LSTM of the ONNX standard: W[zrh] and W[iofc], Wb and Rb in B."""
    gates, letters = GATES[cell], "zrh" if cell == "gru" else "iofc"
    w, r = (dict(zip(letters, np.split(p[n][0], gates), strict=True)) for n in ("W_l0", "R_l0"))
    both = np.split(p["B_l0"][0], 2 * gates)
    wb, rb = (dict(zip(letters, half, strict=True)) for half in (both[:gates], both[gates:]))
    h = np.zeros((x.shape[1], p["R_l0"].shape[2]))
    c, states = h, []
    for x_t in x:

        def gate(k: str, x_t: np.ndarray = x_t, h: np.ndarray = h) -> np.ndarray:
            return sigmoid(x_t @ w[k].T + h @ r[k].T + wb[k] + rb[k])

        if cell == "gru":
            candidate = np.tanh(x_t @ w["h"].T + gate("r") * (h @ r["h"].T + rb["h"]) + wb["h"])
            h = (1 - gate("z")) * candidate + gate("z") * h
        else:
            c = gate("f") * c + gate("i") * np.tanh(x_t @ w["c"].T + h @ r["c"].T + wb["c"] + rb["c"])
            h = gate("o") * np.tanh(c)
        states.append(h)
    return np.stack(states)


def onnx_itself(cell: str, p: Named, x: np.ndarray) -> np.ndarray:
    """The reference evaluator of the onnx package."""
    helper = pytest.importorskip("onnx.helper")
    from onnx.reference import ReferenceEvaluator

    more = {"linear_before_reset": 1} if cell == "gru" else {}
    node = helper.make_node(cell.upper(), ["x", "W_l0", "R_l0", "B_l0"], ["y"], hidden_size=p["R_l0"].shape[2], **more)
    values = [helper.make_tensor_value_info(name, helper.TensorProto.DOUBLE, None) for name in node.input]
    result = helper.make_tensor_value_info("y", helper.TensorProto.DOUBLE, None)
    model = helper.make_model(
        helper.make_graph([node], "g", values, [result]), opset_imports=[helper.make_opsetid("", 14)]
    )
    (y,) = ReferenceEvaluator(model).run(["y"], {"x": x, **{n: p[n] for n in ("W_l0", "R_l0", "B_l0")}})
    return np.asarray(y)[:, 0]


@pytest.mark.parametrize(("inputs", "units"), [(3, 2), (2, 2), (1, 4)])
@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("theirs", [keras_equations, onnx_equations, onnx_itself], ids=lambda f: f.__name__)
@pytest.mark.parametrize("ours", [torch_equations, torch_itself], ids=lambda f: f.__name__)
def test_the_layer_computes_the_same(ours: Any, theirs: Any, cell: str, inputs: int, units: int) -> None:
    layout = theirs.__name__.split("_")[0]
    p = weights(cell, inputs, units, seed=1)
    if cell == "lstm" and layout == "keras":
        p["bias_hh_l0"][:] = 0.0
    x = np.random.default_rng(2).standard_normal((6, 3, inputs))
    converted = to_layout(p, "torch", layout).tensors
    np.testing.assert_allclose(theirs(cell, converted, x), ours(cell, p, x), rtol=0, atol=1e-14)


def test_the_sum_of_the_biases_computes_the_same() -> None:
    p, x = weights("lstm", 3, 2, seed=1), np.random.default_rng(2).standard_normal((6, 3, 3))
    converted = to_layout(p, "torch", "keras", sum_biases=True).tensors
    np.testing.assert_allclose(keras_equations("lstm", converted, x), torch_equations("lstm", p, x), rtol=0, atol=1e-14)


# ---------------------------------------------------------------- what has no counterpart


def changed(layout: str, cell: str = "gru", **tensors: Any) -> Named:
    """A layer of 3 inputs and 2 units with some tensors replaced; None takes one away."""
    made = to_layout(no_second_bias(weights(cell, 3, 2)), "torch", layout).tensors | tensors
    return {name: array for name, array in made.items() if array is not None}


@pytest.mark.parametrize(
    ("layout", "tensors", "message"),
    [
        ("torch", {"x.weight": np.ones(3)}, "layout torch, wanted weight_ih and weight_hh"),
        ("keras", {"kernel": np.ones(3)}, "layout keras, wanted kernel and recurrent_kernel"),
        ("onnx", {"W": np.ones(3)}, "no recurrent weights in the layout onnx, wanted W and R"),
        ("torch", changed("torch", weight_hr_l0=np.ones((2, 2))), "weight_hr_l0 is a projection, wanted"),
        ("torch", changed("torch", weight_hh_l0=None), r"weight_ih_l0 has no weight_hh beside it"),
        ("torch", changed("torch", bias_hh_l0=None), r"bias_ih_l0 is alone, wanted bias_ih and bias_hh or neither"),
        ("torch", changed("torch", weight_ih_l0=np.ones((5, 3))), r"weight_ih_l0 has shape \(5, 3\), wanted \(6, I\)"),
        ("torch", changed("torch", weight_ih_l0=np.ones((6, 0))), r"weight_ih_l0 has shape \(6, 0\), wanted \(6, I\)"),
        ("torch", changed("torch", bias_ih_l0=np.ones((6, 1))), r"bias_ih_l0 has shape \(6, 1\), wanted \(6\)"),
        ("torch", changed("torch", weight_hh_l0=np.ones(6)), r"weight_hh_l0 has shape \(6,\), wanted \(G H, H\)"),
        ("torch", changed("torch", weight_hh_l0=np.ones((6, 0))), r"weight_hh_l0 has shape \(6, 0\), wanted"),
        ("torch", changed("torch", weight_hh_l0=np.ones((6, 6))), r"6 / 6 = 1 gates, wanted 3 \(GRU\) or 4 \(LSTM\)"),
        ("torch", changed("torch", weight_hh_l0=np.ones((7, 2))), r"7 / 2 = 3\.5 gates, wanted 3"),
        ("torch", changed("torch", weight_hh_l0=np.ones((6, 2), "f")), r"weight_hh_l0 is float32.*wanted one dtype"),
        ("torch", changed("torch", weight_ih=np.ones((6, 3))), r"weight_ih_l0 and weight_ih are both layer 0"),
        ("keras", changed("keras", bias_l0=np.ones(6)), r"bias_l0 has shape \(6,\): a GRU with reset_after=False"),
        ("keras", changed("keras", bias_l0=np.ones((2, 5))), r"bias_l0 has shape \(2, 5\), wanted \(2, 6\)"),
        ("keras", changed("keras", "lstm", bias_l0=np.ones((2, 8))), r"bias_l0 has shape \(2, 8\), wanted \(8\)"),
        ("keras", changed("keras", kernel_l0=None), "_l0 has no kernel beside it, wanted kernel"),
        ("onnx", changed("onnx", "lstm", P_l0=np.ones((1, 6))), r"P_l0 holds peepholes"),
        ("onnx", changed("onnx", R_l0=np.ones((3, 6, 2))), r"R_l0 has 3 directions, wanted 1 or 2"),
        ("onnx", changed("onnx", B_l0=np.ones((1, 6))), r"B_l0 has shape \(1, 6\), wanted \(1, 12\)"),
        ("onnx", changed("onnx", W_l0=np.ones((2, 6, 3))), r"W_l0 has shape \(2, 6, 3\), wanted \(1, 6, I\)"),
    ],
)  # fmt: skip
def test_what_is_refused(layout: str, tensors: Named, message: str) -> None:
    for target in LAYOUTS:
        with pytest.raises(InputError, match=f"convert: .*{message}"):
            to_layout(tensors, layout, target)


def test_a_reverse_direction_alone_is_no_onnx_node() -> None:
    reverse = {f"{name}_reverse": array for name, array in weights("gru", 3, 2).items()}
    assert "kernel_l0_reverse" in to_layout(reverse, "torch", "keras").tensors
    with pytest.raises(InputError, match="weight_hh_l0_reverse is a reverse direction alone"):
        to_layout(reverse, "torch", "onnx")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (weights("lstm", 3, 2), "cell is gru in one and lstm in the other"),
        (weights("gru", 4, 2), r"weight_ih is float64\(6, 3\) in one and float64\(6, 4\)"),
        (weights("gru", 3, 2, bias=False), r"bias_ih is float64\(6,\) in one and absent in the other"),
        (weights("gru", 3, 2, dtype="float32"), r"weight_ih is float64\(6, 3\) in one and float32"),
    ],
)
def test_directions_that_differ_are_no_onnx_node(other: Named, message: str) -> None:
    both = weights("gru", 3, 2) | {f"{name}_reverse": array for name, array in other.items()}
    with pytest.raises(InputError, match=message):
        to_layout(both, "torch", "onnx")


def test_two_tensors_do_not_get_one_name() -> None:
    with pytest.raises(InputError, match="two tensors would be called kernel_l0"):
        to_layout(weights("gru", 3, 2) | {"kernel_l0": np.ones(2)}, "torch", "keras")


def test_an_unknown_layout() -> None:
    with pytest.raises(InputError, match="target is 'jax', wanted one of torch, refbss, keras, onnx"):
        to_layout(weights("gru", 3, 2), "torch", "jax")
