"""PyTorch: a callable on tensors, or a torch.nn.Module, as an implementation; gradients by autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refbss._checks import InputError
from refbss._types import Array
from refbss.conformance import models_adapter, torch_modules
from refbss.conformance.implementation import Answer, CallFailure, Implementation
from refbss.conformance.numpy_adapter import as_array, fits
from refbss.conformance.signature import WHOLE, call, names, outputs_by_name, unwrapped, user_code
from refbss.conformance.state_map import Place, StateMap
from refbss.conformance.vectors import Arrays, Vector

Leaves = Mapping[str, tuple[Any, Place]]


def torch_implementation(name: str, target: Any, torch: Any, state_map: StateMap) -> Implementation:
    """The adapter of a torch target: a callable, a torch.nn.Module, a class or a builder of them."""
    return TorchTarget(name, target, torch, state_map)


class TorchTarget:
    """A function of tensors; a class, an instance or a builder of torch.nn.Module."""

    def __init__(self, name: str, target: Any, torch: Any, state_map: StateMap) -> None:
        self.name = name
        self.target = target
        self.torch = torch
        self.state_map = state_map
        module = torch.nn.Module
        self.is_module = isinstance(target, module)
        made = unwrapped(target)
        self.is_class = isinstance(made, type) and issubclass(made, module)

    def answer(self, vector: Vector, dtype: str, grads: bool) -> Answer:
        """Call it, and pull the cotangents back. Raises CallFailure; InputError on a state map that does not fit."""
        grads = grads and bool(vector.grads)
        if self.state_map.layers and vector.op != "model":
            raise InputError(f"state map: [layers] are those of whole models, wanted none for {vector.op}")
        if self.makes_modules(vector):
            found, leaves = self._module(vector, dtype, grads)
        elif self.state_map != StateMap():
            raise InputError(
                f"check: a state map is for a torch.nn.Module, wanted none: {self.name} is given the arrays"
            )
        else:
            found, leaves = self._function(vector, dtype, grads)
        outputs = {name: self._array(name, value, dtype) for name, value in found.items()}
        if not grads or not fits(vector, outputs):
            return Answer(outputs, {})
        with user_code():
            return Answer(outputs, self._gradients(vector, found, leaves, dtype))

    def makes_modules(self, vector: Vector) -> bool:
        """Whether the target is, or returns, a module: its arguments are then sizes and not arrays of the case."""
        if self.is_module or self.is_class:
            return True
        has = names(self.target)
        if isinstance(self.target, type) or vector.op in ("objective", "train"):
            return False
        arrays = {"params", *vector.inputs} if vector.op in WHOLE else {*vector.inputs, *vector.params}
        named = {*has.keywords, *has.positional}
        return not arrays & named and not (has.everything and not named & set(torch_modules.sizes_of(vector)))

    def _function(self, vector: Vector, dtype: str, grads: bool) -> tuple[dict[str, Any], Leaves]:
        leaves = {
            name: self._tensor(array, dtype, grads and name in vector.grads)
            for name, array in (vector.inputs | vector.params).items()
        }
        returned = self._call(vector, _clones(leaves))
        found = outputs_by_name(vector, returned, grads)
        return found, {name: (leaf, Place(name)) for name, leaf in leaves.items()}

    def _call(self, vector: Vector, arrays: Mapping[str, Any]) -> Any:
        """Call a function. One that has nothing but ``**kwargs`` is told why it was given arrays, if it fails."""
        has = names(self.target)
        may_build = has.everything and not has.keywords and not has.positional and vector.op in torch_modules.SIZES
        try:
            returned = call(self.target, vector, arrays).returned
            if isinstance(returned, self.torch.nn.Module):
                raise CallFailure(f"returned a {type(returned).__name__}, wanted arrays")
        except CallFailure as error:
            if not may_build or not isinstance(error.__cause__, TypeError | None):
                raise
            size = next(iter(torch_modules.sizes_of(vector)))
            raise CallFailure(
                f"{error}; given the arrays, as **kwargs alone are; a builder of modules names a size, such as {size}"
            ) from error
        return returned

    def _module(self, vector: Vector, dtype: str, grads: bool) -> tuple[dict[str, Any], Leaves]:
        whole = vector.op == "model"
        if whole:
            module, taken = models_adapter.build(self.target, self.is_module, vector)
        else:
            module, taken = torch_modules.build(self.target, self.is_module, vector)
        if not isinstance(module, self.torch.nn.Module):
            came = type(module).__name__
            raise CallFailure(f"returned a {came}, wanted a torch.nn.Module, or arguments named as the case's arrays")
        loaded = torch_modules.load(module, vector, self.state_map, self.torch, dtype)
        inputs = {
            name: self._tensor(array, dtype, grads and name in vector.grads) for name, array in vector.inputs.items()
        }
        if whole:
            found = models_adapter.run(module, vector, _clones(inputs), taken, self.state_map, grads)
        else:
            found = torch_modules.apply(module, vector, _clones(inputs), taken, grads, self.torch)
        return found, {name: (leaf, Place(name)) for name, leaf in inputs.items()} | loaded

    def _tensor(self, array: Array, dtype: str, differentiated: bool) -> Any:
        return self.torch.tensor(array, dtype=getattr(self.torch, dtype)).requires_grad_(differentiated)

    def _array(self, name: str, value: Any, dtype: str) -> Array:
        if not isinstance(value, self.torch.Tensor):
            return as_array(name, value, dtype)
        try:
            with user_code():
                array = value.detach().resolve_conj().resolve_neg().cpu().numpy()
        except CallFailure as error:  # a type that NumPy has not, or no numbers that lie in a row
            raise CallFailure(f"{name} is {_kind(value)}, wanted torch.{dtype}") from error
        return as_array(name, array, dtype)

    def _gradients(self, vector: Vector, found: Mapping[str, Any], leaves: Leaves, dtype: str) -> Arrays:
        """Gradients by name; zeros for what the outputs do not depend on."""
        outputs, cotangents = [], []
        for name, cotangent in vector.cotangents.items():
            if getattr(found[name], "requires_grad", False):
                outputs.append(found[name])
                cotangents.append(self.torch.tensor(cotangent, dtype=found[name].dtype))
        wanted = [leaves[name][0] for name in vector.grads]
        pulled: Any = [None] * len(wanted)
        if outputs:
            pulled = self.torch.autograd.grad(outputs, wanted, cotangents, allow_unused=True)
        grads: Arrays = {}
        for name, value in zip(vector.grads, pulled, strict=True):
            leaf, place = leaves[name]
            array = np.zeros(leaf.shape, dtype) if value is None else self._array(name, value, dtype)
            grads[name] = array.transpose(place.ours(array.shape))
        return grads


def _clones(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """What is handed out: unlike a leaf, it may be written into."""
    return {name: leaf.clone() for name, leaf in leaves.items()}


def _kind(value: Any) -> str:
    """What a tensor is that NumPy cannot hold: ``torch.bfloat16``, ``torch.float32 (torch.sparse_coo)``."""
    said = ["nested"] * bool(value.is_nested) + ["meta"] * bool(value.is_meta)
    said += [str(value.layout)] * (str(value.layout) != "torch.strided")
    return f"{value.dtype} ({', '.join(said)})" if said else str(value.dtype)
