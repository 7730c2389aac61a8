"""Run the law on an example as plain Python and record what every tagged statement gives.

Nothing is computed in another way: the functions of ``refbss.ops`` and the rest run as they stand, their kernels as
Python, and a trace function of the interpreter looks at the variables after every statement that carries a tag.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from refbss import priors
from refbss._types import Array
from refbss.audit.examples import Example
from refbss.audit.pages import symbol_of
from refbss.audit.source import PACKAGE, Source, Statement, read_source
from refbss.engine import engine
from refbss.training.optimizers import AdamState, adam_step, clip_gradients

Loops = Mapping[str, int | str]
Symbols = Mapping[str, Mapping[str, str]]
"""Of every tag the symbols of its page, by the name in the code."""


@dataclass(frozen=True)
class Step:
    """One value that a tagged statement gave."""

    tag: str
    phase: str
    """forward or backward."""
    symbol: str | None
    """LaTeX, from the table of the page that has the tag; None where there is no page or no row."""
    target: str
    """What was set, as the code says it; of a return the function."""
    loops: Loops
    """The variables of the loops around the statement, those of the callers first."""
    value: float | Array
    """After the statement, float64."""
    function: str
    file: str
    line: int


@dataclass(frozen=True)
class Trace:
    """Everything that is known about one run of an example."""

    example: Example
    inputs: dict[str, Array]
    cotangents: dict[str, Array]
    outputs: dict[str, Array]
    grads: dict[str, Array]
    """By the name of the input."""
    steps: list[Step] = field(default_factory=list)

    def find(self, tag: str, target: str | None = None, **loops: int | str) -> list[Step]:
        """Steps of a tag in the order of execution; ``target`` and the loop variables narrow the choice."""
        return [
            step
            for step in self.steps
            if step.tag == tag
            and target in (None, step.target)
            and all(step.loops.get(name) == value for name, value in loops.items())
        ]

    def value(self, tag: str, target: str | None = None, **loops: int | str) -> Any:
        """Value of the last of those steps: of a sum that grows, the sum. Raises LookupError where there is none."""
        found = self.find(tag, target, **loops)
        if not found:
            raise LookupError(f"{self.example.name}: no step ({tag}) {target or ''} with {loops}")
        return found[-1].value


def trace(example: Example, symbols: Symbols | None = None) -> Trace:
    """Run an example and record its steps, with the symbols of the pages if they are given."""
    recorder = _Recorder(symbols or {})
    inputs, cotangents = example.inputs(), example.pulled()
    grads: dict[str, Array] = {}
    with as_python():
        if example.op == "adam":
            outputs = _adam(example, inputs, recorder)
        elif example.op.startswith("prior_"):
            outputs = _prior(example, inputs, recorder)
        else:
            outputs, grads = _operator(example, inputs, cotangents, recorder)
    return Trace(example, inputs, cotangents, outputs, grads, recorder.steps)


@contextmanager
def as_python() -> Iterator[None]:
    """Put Python in the place of every compiled kernel of the law. Not for use in several threads at once."""
    engine("reference")  # imports every module of the law
    compiled: list[tuple[Any, str, object]] = []
    for name, module in list(sys.modules.items()):
        if name.startswith(("refbss.ops.", "refbss.losses.", "refbss.priors.")):
            compiled += [(module, key, value) for key, value in vars(module).items() if hasattr(value, "py_func")]
    try:
        for module, key, value in compiled:
            setattr(module, key, value.py_func)  # type: ignore[attr-defined]
        yield
    finally:
        for module, key, value in compiled:
            setattr(module, key, value)


def _operator(
    example: Example, inputs: dict[str, Array], cotangents: dict[str, Array], recorder: _Recorder
) -> tuple[dict[str, Array], dict[str, Array]]:
    law = engine("reference")
    forward, backward = getattr(law, f"{example.op}_forward"), getattr(law, f"{example.op}_backward")
    *outputs, cache = recorder.run("forward", forward, *inputs.values(), **example.attributes)
    pulled = recorder.run("backward", backward, *cotangents.values(), cache)
    grads = {name.removeprefix("d"): value for name, value in pulled._asdict().items()}
    return dict(zip(example.outputs, outputs, strict=True)), grads


def _prior(example: Example, inputs: dict[str, Array], recorder: _Recorder) -> dict[str, Array]:
    family = priors.get(example.op.removeprefix("prior_"))
    shape = float(inputs["shape"][0]) if "shape" in inputs else 1.0
    arguments = (inputs["u"], example.attributes["dim"], shape, example.attributes["offset"])
    return {name: recorder.run("forward", getattr(family, name), *arguments) for name in example.outputs}


def _adam(example: Example, inputs: dict[str, Array], recorder: _Recorder) -> dict[str, Array]:
    split = {name: {"w": value[:1], "b": value[1:]} for name, value in inputs.items()}
    attributes = dict(example.attributes)
    state = AdamState(split["m"], split["v"], attributes.pop("t"))
    clipped, _ = recorder.run("forward", clip_gradients, split["g"], attributes.pop("clip"))
    params, after = recorder.run("forward", adam_step, split["theta"], clipped, state, **attributes)
    found = {"theta_new": params, "m_new": after.m, "v_new": after.v}
    return {name: np.concatenate(list(tensors.values())) for name, tensors in found.items()}


class _Recorder:
    """The trace function: notes which statement runs, and reads its targets when the next one begins."""

    def __init__(self, symbols: Symbols) -> None:
        self.steps: list[Step] = []
        self.symbols = symbols
        self.phase = ""
        self.pending: dict[FrameType, Statement] = {}

    def run(self, phase: str, function: Callable[..., Any], *arguments: Any, **attributes: Any) -> Any:
        """Call the function under this trace function."""
        self.phase = phase
        before = sys.gettrace()
        sys.settrace(self.enter)
        try:
            return function(*arguments, **attributes)
        finally:
            sys.settrace(before)
            self.pending.clear()

    def enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Follow the functions of files that carry tags. A comprehension is part of the statement it stands in."""
        inner = frame.f_code.co_name.startswith("<")
        return None if inner or _source(frame.f_code.co_filename) is None else self.follow

    def follow(self, frame: FrameType, event: str, argument: Any) -> Any:
        """One event inside such a function."""
        source = _source(frame.f_code.co_filename)
        assert source is not None
        done = self.pending.get(frame)
        if event == "line":
            now = source.statements.get(frame.f_lineno)
            if done is not None and done is not now:
                self.record(frame, done, None)
            if now is None:
                self.pending.pop(frame, None)
            else:
                self.pending[frame] = now
        elif event == "return" and done is not None:
            self.record(frame, done, argument)
            del self.pending[frame]
        return self.follow

    def record(self, frame: FrameType, statement: Statement, returned: Any) -> None:
        """Append the values of a statement that has just been executed."""
        loops = _loops(frame, statement.first)
        for target, value in _values(frame, statement, returned):
            for tag in statement.tags:
                symbol = symbol_of(self.symbols.get(tag, {}), statement.function, target)
                place = (statement.function, statement.file, statement.first)
                self.steps.append(Step(tag, self.phase, symbol, target, loops, value, *place))


@cache
def _source(file: str) -> Source | None:
    """A file of refbss that carries tags, else None."""
    path = Path(file).resolve()
    source = read_source(path) if path.is_relative_to(PACKAGE) and path.suffix == ".py" else None
    return source if source is not None and source.statements else None


def _loops(frame: FrameType, line: int) -> dict[str, int | str]:
    """Integer and text variables of the loops around a line, and around the calls that led to it."""
    around: list[dict[str, int | str]] = []
    here: FrameType | None = frame
    while here is not None:
        source = _source(here.f_code.co_filename)
        if source is not None:
            names = source.loops.get(line if here is frame else here.f_lineno, ())
            values = {name: here.f_locals[name] for name in names if name in here.f_locals}
            around.append({name: value for name, value in values.items() if isinstance(value, int | str)})
        here = here.f_back
    return {name: value for loops in reversed(around) for name, value in loops.items()}


def _values(frame: FrameType, statement: Statement, returned: Any) -> list[tuple[str, float | Array]]:
    if not statement.returns:
        scope = frame.f_globals, frame.f_locals
        return [part for name in statement.targets for part in _parts(name, eval(name, *scope))]
    if not _is_record(returned):
        return _parts(statement.function, returned)
    names = [returned._fields[place] for place in statement.fields or ()]
    return [part for name in names for part in _parts(name, getattr(returned, name))]


def _parts(name: str, value: Any) -> list[tuple[str, float | Array]]:
    """The numbers in a value: lists and records of arrays are taken apart, caches are left out."""
    if isinstance(value, np.ndarray):
        return [(name, np.array(value, dtype=np.float64))]
    if isinstance(value, int | float | np.number):
        return [(name, float(value))]
    if _is_record(value):
        if type(value).__name__.endswith("Cache"):
            return []
        pairs: Sequence[tuple[str, Any]] = [(f"{name}.{key}", part) for key, part in value._asdict().items()]
    elif isinstance(value, list | tuple):
        pairs = [(f"{name}[{place}]", part) for place, part in enumerate(value)]
    else:
        pairs = []
    return [part for key, item in pairs for part in _parts(key, item)]


def _is_record(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")
