"""Configuration: TOML text or dicts into frozen dataclasses, and back into TOML text.

A schema is a dataclass whose fields are bools, ints, floats, strings, ``Literal`` choices, tuples of these,
``X | None``, ``X | tuple[X, ...]``, or dataclasses of their own (TOML sections). Sources are layered, the later ones
win::

    config = load_config(RunConfig, preset, "mine.toml", overrides=["train.batch=4", "model.memory=false"])

Types are checked here. Ranges are checked by the dataclass itself, in ``__post_init__``, with the functions of
``refbss._checks``. TOML has no null: None is written as ``"none"``, and read so where the field allows None.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from refbss._checks import InputError
from refbss._files import parse_toml, read_text

T = TypeVar("T")

NONE = "none"
_LARGEST = sys.float_info.max
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class _Layer(NamedTuple):
    where: str  # for messages: a path, "--set", "preset"
    values: Mapping[str, Any]


def load_config(schema: type[T], *sources: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> T:
    """Build a ``schema`` from its defaults, then ``sources`` (paths of TOML files, or dicts), then ``overrides``.

    An override reads ``section.key=value`` with the value in TOML syntax; a bare word counts as a string. Raises
    InputError for a file that cannot be read or parsed, for an unknown key (it suggests the nearest one), and for a
    value of the wrong type or out of range (it names the key, what came and what was wanted).
    """
    layers = [_read(source) for source in sources] + [_parse_override(text) for text in overrides]
    return _build(schema, layers, "", list(_keys(schema, "")))


def _read(source: str | Path | Mapping[str, Any]) -> _Layer:
    if isinstance(source, Mapping):
        return _Layer("config", source)
    try:
        return _Layer(str(source), parse_toml(read_text(Path(source), "utf-8-sig")))
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror}), wanted a TOML file") from error
    except ValueError as error:  # of TOML or of UTF-8
        raise InputError(f"{source}: not valid TOML: {error}") from error


def _parse_override(text: str) -> _Layer:
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise InputError(f"--set: got {text!r}, wanted section.key=value")
    try:
        parsed = parse_toml(f"value = {value}")
    except ValueError as error:
        if not _WORD.fullmatch(value.strip()):
            raise InputError(f"--set: {key.strip()} is {value.strip()!r}, which is not a TOML value") from error
        parsed = {"value": value.strip()}
    if set(parsed) != {"value"}:
        raise InputError(f"--set: got {text!r}, wanted one value on one line")
    result = parsed["value"]
    for part in reversed(parts):
        result = {part: result}
    return _Layer("--set", result)


def _keys(schema: Any, path: str) -> Iterator[str]:
    """Every dotted key of a schema."""
    for name, hint in _hints(schema).items():
        if dataclasses.is_dataclass(hint):
            yield from _keys(hint, f"{path}{name}.")
        else:
            yield path + name


def _hints(schema: Any) -> dict[str, Any]:
    hints = get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema) if field.init}


def _build(schema: type[T], layers: list[_Layer], path: str, keys: list[str]) -> T:
    hints = _hints(schema)
    for layer in layers:
        for name in layer.values:
            if name not in hints:
                raise InputError(f"{layer.where}: unknown key {path}{name}{_suggest(path + str(name), keys, hints)}")
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(schema):  # type: ignore[arg-type]
        if not field.init:
            continue
        key, hint = path + field.name, hints[field.name]
        given = [_Layer(layer.where, layer.values[field.name]) for layer in layers if field.name in layer.values]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            for layer in given:
                if not isinstance(layer.values, Mapping):
                    raise InputError(f"{layer.where}: {key} is {_came(layer.values)}, wanted a section [{key}]")
            arguments[field.name] = _build(hint, [*_default_layer(field), *given], f"{key}.", keys)
        elif given:
            # Every layer is checked, a value that a later one replaces as well.
            arguments[field.name] = [_convert(hint, layer.values, f"{layer.where}: {key}") for layer in given][-1]
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"config: {key} is missing, wanted {_wanted(hint)}")
    try:
        return schema(**arguments)
    except InputError as error:
        where = ", ".join(dict.fromkeys(layer.where for layer in layers if layer.where != "default")) or "config"
        section = f"[{path[:-1]}] " if path and not str(error).startswith(f"{path[:-1]}:") else ""
        raise InputError(f"{where}: {section}{error}") from error


def _default_layer(field: dataclasses.Field[Any]) -> list[_Layer]:
    if field.default is not dataclasses.MISSING:
        return [_Layer("default", to_dict(field.default))]
    if field.default_factory is not dataclasses.MISSING:
        return [_Layer("default", to_dict(field.default_factory()))]
    return []


def _suggest(key: str, keys: list[str], siblings: Mapping[str, Any]) -> str:
    prefix, _, name = key.rpartition(".")
    near = [f"{prefix}.{match}".lstrip(".") for match in get_close_matches(name, siblings, n=1)]
    elsewhere = [other for other in keys if other.rpartition(".")[2] == name]
    close = near or elsewhere or get_close_matches(key, keys, n=1)
    return f", did you mean {close[0]}?" if close else f", wanted one of {', '.join(siblings)}"


def _convert(hint: Any, value: Any, key: str) -> Any:
    """Check ``value`` against a type hint; only int to float and list to tuple are converted. Raises InputError."""
    wrong = InputError(f"{key} is {_came(value)}, wanted {_wanted(hint)}")
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in choices or isinstance(value, bool) != isinstance(choices[0], bool):
            raise wrong
        return value
    if origin in (Union, types.UnionType):
        if type(None) in choices and (value is None or value == NONE):
            return None
        arrays = [choice for choice in choices if get_origin(choice) is tuple]
        plain = [choice for choice in choices if choice is not type(None) and choice not in arrays]
        fitting = arrays if arrays and isinstance(value, list | tuple) else plain
        if not fitting:
            raise wrong
        (inner,) = fitting
        return _convert(inner, value, key)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise wrong
        if choices[-1] is Ellipsis:
            choices = choices[:1] * len(value)
        if len(value) != len(choices):
            raise wrong
        return tuple(_convert(c, v, f"{key}[{i}]") for i, (c, v) in enumerate(zip(choices, value, strict=True)))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return float(value)
    if hint in (int, str, bool) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise wrong


def _came(value: Any) -> str:
    kinds = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array"}
    kind = "a section" if isinstance(value, Mapping) else kinds.get(type(value), type(value).__name__)
    return kind if isinstance(value, Mapping) else f"{value!r} ({kind})"


def _wanted(hint: Any) -> str:
    names = {bool: "true or false", int: "an integer", float: "a finite number", str: "a string"}
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(json.dumps(choice) for choice in choices)}"
    if origin in (Union, types.UnionType):
        return " or ".join(f'"{NONE}"' if choice is type(None) else _wanted(choice) for choice in choices)
    if origin is tuple:
        count = "an array, each item" if choices[-1] is Ellipsis else f"an array of {len(choices)}, each item"
        return f"{count} {' or '.join(dict.fromkeys(_wanted(choice) for choice in choices if choice is not Ellipsis))}"
    if hint not in names:
        raise TypeError(f"a config field has type {hint!r}, which refbss.config does not know")
    return names[hint]


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config dataclass as nested dicts of plain values; ``load_config`` reads them back."""
    return dataclasses.asdict(config)


def dump_toml(config: Any) -> str:
    """Write a config dataclass as TOML text; ``load_config`` on that text gives an equal object.

    Raises InputError for NaN and infinity. The word "none" in a field of type ``str | None`` comes back as None.
    """
    return "\n".join(_section(to_dict(config), "")).strip() + "\n"


def _section(values: Mapping[str, Any], path: str) -> Iterator[str]:
    plain = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
    if path and plain:
        yield f"\n[{path}]"
    for name, value in plain.items():
        yield f"{name} = {_literal(value, f'{path}.{name}'.lstrip('.'))}"
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _section(value, f"{path}.{name}".lstrip("."))


def _literal(value: Any, key: str) -> str:
    if value is None:
        return f'"{NONE}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return repr(float(value))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(item, key) for item in value) + "]"
    raise InputError(f"config: {key} is {value!r}, which cannot be written as TOML")
