"""Strict conversion of plain values, as read from YAML, to values of annotated types.

Errors are one line with the path of the wrong value:
``spec.stages[3]: unknown key 'widht'; did you mean 'width'? (accepted: ...)``. jsonargparse, tyro and pydantic-settings
also read nested dataclasses from YAML and flags. They were tried and not used: none of them names the path, the value,
what is accepted and the nearest name in one line; tyro does not read YAML; pydantic raises its own exception with a
message of several lines.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, TypeVar, Union, get_args

from res3d.settings.fields import markers_of, origin_of, settings_of, without_markers
from res3d.settings.markers import Choice, Tagged
from res3d.settings.suggest import did_you_mean, name_list, shorten
from res3d.settings.types import ANYTHING, Class, Hint, Value
from res3d.settings.variant import Variant

T = TypeVar("T")

MOST_REPEATS = 1000  # largest value of "repeat"
REPEAT = "repeat"  # key of a list item: how many times the list contains the item


def build_dataclass(kind: type[T], data: Mapping[str, Value], *, root: str) -> T:
    """Build a dataclass from plain values by field.

    Args:
        kind: the dataclass.
        data: value of each field; nested dataclasses are mappings. Fields that are missing get their defaults.
        root: path of the dataclass in error messages; "" for none.

    Raises:
        ValueError: a key is not a field, or a value is of the wrong type or refused by the dataclass. The message names
            the path of the value.
    """
    result: T = build_value(kind, data, root)
    return result


def check_arguments(kind: Class, data: Value, root: str) -> dict[str, Value]:
    """Return the keyword arguments to build a dataclass with, converted to the types of its fields.

    Raises:
        ValueError: a key is not a field, a required field is missing, or a value is of the wrong type. The checks of
            the dataclass itself are not made.
    """
    if not isinstance(data, Mapping):
        raise ValueError(located(root, f"expected the keys of {kind.__name__}, not {shorten(data)}"))
    settings = {setting.name: setting for setting in settings_of(kind)}
    for key in data:
        if key not in settings:
            raise ValueError(located(root, unknown_key(key, settings)))
    for name, setting in settings.items():
        if name not in data and setting.default is MISSING:
            meaning = f" ({setting.doc.rstrip('.')})" if setting.doc else ""
            raise ValueError(located(root, f"key {name!r} is missing{meaning}"))
    return {key: build_value(settings[key].hint, value, join(root, key)) for key, value in data.items()}


def build_value(hint: Hint, value: Value, where: str) -> Value:
    """Convert a plain value to the type ``hint``, which may be ``Annotated``.

    Args:
        hint: the type.
        value: the plain value.
        where: path of the value in error messages.

    Raises:
        ValueError: see ``build_dataclass``.
        TypeError: settings cannot be of the type ``hint``.
    """
    kind = without_markers(hint)
    if value is None and (kind is NoneType or NoneType in get_args(kind)):
        return None
    for choice in markers_of(hint, Choice):
        return _read_word(choice, value, where)
    for tagged in markers_of(hint, Tagged):
        return _build_tagged(tagged, kind, value, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return value if isinstance(value, kind) else _build_dataclass(kind, value, where)
    build = _BUILDERS.get(origin_of(kind))
    if build is None:
        raise TypeError(f"{where}: settings cannot be of type {kind!r}")
    return build(kind, value, where)


def join(where: str, key: Value) -> str:
    """Return the path of a key below a path."""
    return f"{where}.{key}" if where else str(key)


def located(where: str, message: str) -> str:
    """Return an error message with the path of the wrong value before it."""
    return f"{where}: {message}" if where else message


def unknown_key(key: Value, accepted: Mapping[str, Value]) -> str:
    """Return the error message for a key that is not accepted."""
    return f"unknown key {shorten(key)}{did_you_mean(str(key), accepted)} (accepted: {name_list(accepted)})"


def _build_dataclass(kind: Hint, value: Value, where: str) -> Value:
    arguments = check_arguments(kind, value, where)
    try:
        return kind(**arguments)
    except ValueError as error:
        raise ValueError(located(where, str(error))) from None


def _read_word(choice: Choice, value: Value, where: str) -> str:
    text = str(value)  # YAML reads the word 32 as a number
    word = choice.also.get(text, text)
    if isinstance(value, (str, int)) and word in choice.words:
        return word
    hint = did_you_mean(text, choice.words)
    raise ValueError(located(where, f"expected one of {name_list(choice.words)}, not {shorten(value)}{hint}"))


def _build_tagged(tagged: Tagged, kind: Hint, value: Value, where: str) -> Value:
    deferred = Variant in {origin_of(part) for part in (kind, *get_args(kind))}
    if isinstance(value, Variant):
        return value if deferred else value.build()
    if is_dataclass(value) and not deferred:
        return value
    if tagged.bare and isinstance(value, str):
        value = {tagged.key: value}
    if not isinstance(value, Mapping):
        raise ValueError(located(where, f"expected a mapping with {tagged.key!r}, not {shorten(value)}"))
    tag = value.get(tagged.key)
    if not isinstance(tag, str) or tag not in tagged.tags:
        problem = (
            f"not {shorten(tag)}{did_you_mean(str(tag), tagged.tags)}" if tagged.key in value else "and is missing"
        )
        raise ValueError(f"{join(where, tagged.key)} must be one of {name_list(tagged.tags)}, {problem}")
    values = {key: item for key, item in value.items() if key != tagged.key}
    member = tagged.type_of(tag)
    if not deferred:
        return _build_dataclass(member, values, where)
    return Variant(tag=tag, kind=member, given=values, arguments=check_arguments(member, values, where), root=where)


def _build_union(hint: Hint, value: Value, where: str) -> Value:
    choices = [choice for choice in get_args(hint) if choice is not NoneType]
    if len(choices) == 1:
        return build_value(choices[0], value, where)
    for choice in choices:
        try:
            return build_value(choice, value, where)
        except ValueError:
            continue
    raise ValueError(located(where, f"expected {' or '.join(map(type_name, choices))}, not {shorten(value)}"))


def _build_tuple(hint: Hint, value: Value, where: str) -> tuple[Value, ...]:
    args = get_args(hint)
    if args and args[-1] is Ellipsis:
        return tuple(_build_items(args[0], value, where))
    if not isinstance(value, (list, tuple)):
        raise ValueError(located(where, f"expected a list, not {shorten(value)}"))
    if len(value) != len(args):
        raise ValueError(located(where, f"expected {len(args)} values, not {shorten(value)}"))
    return tuple(build_value(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))


def _build_list(hint: Hint, value: Value, where: str) -> list[Value]:
    return _build_items(get_args(hint)[0], value, where)


def _build_items(hint: Hint, value: Value, where: str) -> list[Value]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(located(where, f"expected a list, not {shorten(value)}"))
    items: list[Value] = []
    for index, item in enumerate(value):
        path, count = f"{where}[{index}]", 1
        if isinstance(item, Mapping) and REPEAT in item:
            count = _check_count(item[REPEAT], path)
            item = {key: part for key, part in item.items() if key != REPEAT}
        items += [build_value(hint, item, path)] * count
    return items


def _check_count(count: Value, where: str) -> int:
    if isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MOST_REPEATS:
        return count
    raise ValueError(f"{where}.{REPEAT}: expected a whole number from 1 to {MOST_REPEATS}, not {shorten(count)}")


def _build_mapping(hint: Hint, value: Value, where: str) -> dict[Value, Value]:
    if not isinstance(value, Mapping):
        raise ValueError(located(where, f"expected a mapping, not {shorten(value)}"))
    keys, values = get_args(hint) or (ANYTHING, ANYTHING)
    return {build_value(keys, key, where): build_value(values, item, join(where, key)) for key, item in value.items()}


def _build_literal(hint: Hint, value: Value, where: str) -> Value:
    words = get_args(hint)
    if value in words and not isinstance(value, bool):
        return value
    names = list(map(str, words))
    suggestion = did_you_mean(str(value), names)
    raise ValueError(located(where, f"expected one of {name_list(names)}, not {shorten(value)}{suggestion}"))


def _build_scalar(hint: Hint, value: Value, where: str) -> Value:
    is_valid = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    return value if is_valid else _refuse(hint, value, where)


def _build_float(hint: Hint, value: Value, where: str) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-5, which has no dot, as text
        except (ValueError, OverflowError):
            pass
    return float(_refuse(hint, value, where))


def _build_path(hint: Hint, value: Value, where: str) -> Path:
    return Path(value) if isinstance(value, (str, Path)) else Path(_refuse(hint, value, where))


def _refuse(hint: Hint, value: Value, where: str) -> Value:
    raise ValueError(located(where, f"expected {type_name(hint)}, not {shorten(value)}"))


def type_name(hint: Hint) -> str:
    """Return the name of a type for an error message: "a whole number", "a list"."""
    hint = without_markers(hint)
    if origin_of(hint) is Literal:
        return f"one of {name_list(map(str, get_args(hint)))}"
    if origin_of(hint) in (Union, UnionType):
        return " or ".join(map(type_name, get_args(hint)))
    hint = origin_of(hint)
    return _TYPE_NAMES.get(hint) or str(getattr(hint, "__name__", hint))


_TYPE_NAMES: Mapping[Hint, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    NoneType: "null",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}
_BUILDERS: Mapping[Hint, Callable[[Hint, Value, str], Value]] = {
    ANYTHING: lambda hint, value, where: value,
    Union: _build_union,
    UnionType: _build_union,
    tuple: _build_tuple,
    list: _build_list,
    dict: _build_mapping,
    Literal: _build_literal,
    int: _build_scalar,
    str: _build_scalar,
    bool: _build_scalar,
    float: _build_float,
    Path: _build_path,
}
